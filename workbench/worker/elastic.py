"""Starting the ranks of this host with torchrun's elastic agent, on one node or together with those of others."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.elastic.rendezvous import RendezvousError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from workbench.runs.journal import Attempt
from workbench.runs.run_folder import RunFolder
from workbench.system.network import LATER_NODE, Endpoint
from workbench.system.process_tree import descendants
from workbench.worker.rank import RANK, RankOptions, run_forked

MONITOR_SECONDS = 0.1
"""How often the agent looks whether a rank has ended."""
LOOPBACK = "127.0.0.1"
MEETING_SECONDS = 60
"""How long the agents of nodes that are all there wait for each other."""


@dataclass(frozen=True)
class Meeting:
    """Where the agents of several nodes meet."""

    endpoint: Endpoint
    name: str
    """Of this attempt at the run."""
    place: int
    """Of this node: 0 for the first one, which has rank 0."""

    @property
    def address(self) -> str:
        """That of this node, as torchrun has to know it."""
        return f"{LATER_NODE}{self.place:06}" if self.place else self.endpoint.host


def run_ranks(
    folder: RunFolder,
    attempt: Attempt,
    *,
    forked: bool,
    meeting: Meeting | None = None,
    has_copy: bool = False,
) -> Mapping[int, ProcessFailure]:
    """Start the ranks of this host, forked from this process or as programs of their own, and wait for their end.

    `has_copy`: whether `folder` is a copy of that of rank 0. Returns the failures by rank. Raises `MeetingBroken`
    where the agents of several nodes lose each other.
    """
    gpus = tuple(gpu.uuid for gpu in attempt.assigned)
    options = msgspec.json.encode(RankOptions(agent=os.getpid(), gpus=gpus, has_copy=has_copy)).decode()
    with tempfile.TemporaryDirectory(prefix="workbench-agent-") as logs:
        config = LaunchConfig(
            min_nodes=attempt.nodes,
            max_nodes=attempt.nodes,
            nproc_per_node=attempt.processes // attempt.nodes,
            rdzv_backend="c10d",
            max_restarts=0,
            monitor_interval=MONITOR_SECONDS,
            start_method="fork" if forked else "spawn",
            logs_specs=DefaultLogsSpecs(log_dir=logs),
            run_id=f"{folder.id}-{attempt.attempt}" if meeting is None else meeting.name,
            rdzv_endpoint=f"{LOOPBACK}:0" if meeting is None else str(meeting.endpoint),
            local_addr=LOOPBACK if meeting is None else meeting.address,
            # The first of several nodes has the store before the agents meet in it.
            rdzv_configs={} if meeting is None else {"is_host": "false", "join_timeout": MEETING_SECONDS},
        )
        try:
            if forked:
                elastic_launch(config, run_forked)(str(folder.path), options, os.dup(0))
            else:
                command = ("-P", "-m", RANK, str(folder.path), options)
                elastic_launch(config, sys.executable)(*command)
        except ChildFailedError as error:
            return dict(error.failures)
        except (RendezvousError, RuntimeError) as error:
            if meeting is None:
                raise
            raise MeetingBroken(str(error)) from error
    return {}


class MeetingBroken(Exception):
    """The elastic agents of several nodes have lost each other; the ranks of this host have ended."""


def kill_ranks() -> None:
    """Kill all ranks of this agent."""
    for pid in descendants(os.getpid()):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
