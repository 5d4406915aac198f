"""The agent of a node that joins the run of another host: it finds that run, runs its ranks, and ends as the run does.

What it does is recorded in a folder of its own, `$WORKBENCH_HOME/nodes/…`. Its ranks read the run's folder where both
hosts share it; else they have copies of the files that they need, in `run/` below that folder.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from workbench.core import paths
from workbench.core.errors import UserError
from workbench.core.progress import Progress
from workbench.core.text import format_duration
from workbench.io.atomic_files import write_bytes
from workbench.launcher.placement import endpoint_of
from workbench.runs.enums import Cause, Ending, NodeEvent, Phase
from workbench.runs.journal import Attempt, NodeChange, attempts_of, read_journal
from workbench.runs.jsonl import LineWriter
from workbench.runs.locks import WRITER, RunLock, holder_pid
from workbench.runs.nodes import Placement, read_placement
from workbench.runs.records import Exit
from workbench.runs.requests import LOST_NODE_EXIT_CODE, StopReason
from workbench.runs.run_folder import RunFolder
from workbench.system.host import host_name
from workbench.system.network import Endpoint, address_towards, is_answering, resolve
from workbench.worker.agent import import_for_forks
from workbench.worker.agent_end import exit_codes, recorded_failure, write_end
from workbench.worker.agent_wait import Waiting, waiting
from workbench.worker.attempt_end import log
from workbench.worker.context import make_context
from workbench.worker.elastic import Meeting, MeetingBroken, run_ranks
from workbench.worker.node_channel import (
    BEAT,
    JOINS,
    OFFER,
    REFUSALS,
    START,
    Beat,
    Channel,
    ChannelClosed,
    Join,
    Offer,
    RanksEnd,
    Refusal,
    Start,
    Verdict,
    item,
)
from workbench.worker.node_check import difference
from workbench.worker.node_link import BEAT_SECONDS, NodeLink
from workbench.worker.node_network import use_interface_towards
from workbench.worker.node_usage import NodeSampler

COPY = "run"
"""The folder of copies."""


def run(folder: RunFolder, attempt: Attempt, *, forked: bool) -> int:
    """Be a node of the run in one of its attempts; returns the exit code of a worker."""
    lock = RunLock(folder.lock)
    if not lock.acquire(WRITER):
        log(f"another process is already writing {folder.path}")
        return 1
    return _Node(folder, attempt).run(forked=forked)


@dataclass(frozen=True)
class _Found:
    """The run that this node joins."""

    channel: Channel
    offer: Offer
    place: int
    """Of this node among all that have come."""


class _Ended(Exception):
    """This node is done before its ranks have started."""

    def __init__(self, status: Ending, reason: StopReason) -> None:
        super().__init__(reason.text)
        self.status, self.reason = status, reason


def remove_copies(nodes: Path) -> None:
    """Remove the copies of checkpoints in the folders of nodes that nobody holds: they were killed."""
    for path in nodes.glob(f"*/{COPY}/checkpoints"):
        with contextlib.suppress(OSError):  # a file system without locks
            if holder_pid(RunFolder(path.parent.parent).lock, WRITER) is None:
                shutil.rmtree(path, ignore_errors=True)


class _Node:
    def __init__(self, folder: RunFolder, attempt: Attempt) -> None:
        self._folder, self._attempt = folder, attempt
        self._placement: Placement = read_placement(folder)
        self._endpoint: Endpoint = endpoint_of(self._placement)
        self._context = make_context(folder, attempt.attempt, time.monotonic())
        self._sampler = NodeSampler([gpu.uuid for gpu in attempt.assigned])
        self._copy = RunFolder(folder.path / COPY)
        self._address = ""
        self._deadline = time.monotonic() + self._placement.timeout

    def run(self, *, forked: bool) -> int:
        """Find the run, take part, and record how that ended."""
        remove_copies(self._folder.path.parent)
        try:
            first = resolve(self._endpoint.host)[0]
            use_interface_towards(first)
            self._address = address_towards(first)
            with waiting(self._context) as wait:
                import_for_forks(forked)
                found = self._join(wait)
                self._show(f"trains {found.offer.run} of {found.offer.host}")
                verdict = self._train(found, forked=forked)
                if verdict is not None and verdict.suspended:
                    self._wait_for_continuation(wait, found.offer)
        except _Ended as ended:
            return self._end(ended.status, ended.reason)
        except UserError as error:
            return self._end(Ending.FAILED, StopReason(Cause.INVALID_INPUT, f"--rdzv: {error}"))
        except ChannelClosed:
            verdict = None
        if verdict is None:
            log(f"the run at {self._endpoint} does not answer any more")
            change = NodeChange(event=NodeEvent.LOST, host=self._endpoint.host, attempt=self._attempt.attempt)
            self._context.journal.append(change)
        if verdict is None or verdict.end is None:
            return LOST_NODE_EXIT_CODE
        end = verdict.end
        return self._end(end.status, StopReason(end.cause or Cause.ERROR, end.reason or ""))

    def _end(self, status: Ending, reason: StopReason) -> int:
        end = Exit(
            status=status, attempt=self._attempt.attempt, cause=reason.cause, reason=reason.text or None,
            time=time.time(),
        )  # fmt: skip
        write_end(self._folder, self._attempt, end)
        shutil.rmtree(self._copy.checkpoints, ignore_errors=True)
        return int(status is Ending.FAILED)

    def _show(self, text: str) -> None:
        self._context.heartbeat.update(phase=Phase.TRAINING)
        self._context.heartbeat.report_progress(Progress(text))

    def _join(self, wait: Waiting) -> _Found:
        """Wait for the run at the address, and until all its nodes are there. Raises `_Ended`."""
        while True:
            with contextlib.suppress(ChannelClosed):
                if (found := self._try_to_join(wait)) is not None:
                    return found
            wait.show(f"waiting for the run at {self._endpoint}")
            self._pause(wait)

    def _pause(self, wait: Waiting, *, limited: bool = True) -> None:
        """Wait a moment. Raises `_Ended` where this node has to end."""
        if (reason := wait.pause()) is not None:
            raise _Ended(Ending.STOPPED, reason)
        if limited and time.monotonic() >= self._deadline:
            limit = format_duration(self._placement.timeout)
            text = f"no run has started at {self._endpoint} within {limit}"
            raise _Ended(Ending.FAILED, StopReason(Cause.MISSING_NODE, text))

    def _try_to_join(self, wait: Waiting) -> _Found | None:
        """Join the run, if there is one that waits for nodes. Raises `_Ended`, `ChannelClosed`."""
        try:
            if not is_answering(self._endpoint):
                return None
        except UserError:  # it was reachable when this node was started
            return None
        channel = Channel.connect(self._endpoint)
        offer = channel.get(OFFER, Offer)
        if offer is None or self._has_taken_part(offer):
            return None
        if text := difference(self._folder, self._attempt, offer):
            channel.append(REFUSALS, Refusal(host=host_name(), reason=text))
            raise _Ended(Ending.FAILED, StopReason(Cause.INVALID_INPUT, f"not joined: {text}"))
        if channel.get(START, Start) is not None:
            return None
        place = channel.append(JOINS, Join(host=host_name(), address=self._address))
        count = 0
        while (start := channel.get(START, Start)) is None:
            channel.put(item(BEAT, place), Beat(count=(count := count + 1), usage=self._sampler.sample()))
            wait.show(f"waiting for the other nodes of {offer.run}")
            beat_due = time.monotonic() + BEAT_SECONDS
            while time.monotonic() < beat_due and channel.get(START, Start) is None:
                self._pause(wait, limited=False)
        if place not in start.members:
            text = f"{offer.run} on {offer.host} has its {offer.attempt.nodes} nodes already"
            raise _Ended(Ending.FAILED, StopReason(Cause.INVALID_INPUT, f"not joined: {text}"))
        return _Found(channel, offer, place)

    def _has_taken_part(self, offer: Offer) -> bool:
        """Whether this node has been in that attempt already, whose end it has seen."""
        own = attempts_of(read_journal(self._copy.journal))
        return bool(own) and own[-1] == offer.attempt

    def _run_folder(self, offer: Offer) -> RunFolder:
        """The folder from which the ranks read: that of the run where it is shared, else copies."""
        shared = RunFolder(paths.runs() / offer.run)
        self._write_copy(offer)
        is_shared = attempts_of(read_journal(shared.journal))[-1:] == [offer.attempt]
        return shared if is_shared else self._copy

    def _write_copy(self, offer: Offer) -> None:
        self._copy.path.mkdir(mode=0o700, exist_ok=True)
        write_bytes(self._copy.experiment, offer.experiment.encode())
        self._copy.journal.unlink(missing_ok=True)
        lines = LineWriter(self._copy.journal)
        lines.write(*offer.attempts)
        lines.close()

    def _train(self, found: _Found, *, forked: bool) -> Verdict | None:
        """Run the ranks to their end; returns how the attempt ended, `None` where the first node is lost."""
        folder, offer = self._run_folder(found.offer), found.offer
        own = replace(offer.attempt, gpus=self._attempt.gpus, gpu=self._attempt.gpu)
        link = NodeLink(found.channel, found.place, self._sampler, self._context.requests.stop_requested)
        link.start()
        codes: dict[int, int] = {}
        meeting = Meeting(self._endpoint, f"{offer.run}-{offer.attempt.attempt}", found.place)
        try:
            has_copy = folder == self._copy
            codes = exit_codes(run_ranks(folder, own, forked=forked, meeting=meeting, has_copy=has_copy))
        except MeetingBroken as error:
            log(f"the nodes have lost each other: {error}")
        return link.report(RanksEnd(codes=codes, failure=recorded_failure(folder, offer.attempt)))

    def _wait_for_continuation(self, wait: Waiting, offer: Offer) -> None:
        """Wait while the run is paused without a process, for as long as that takes. Raises `_Ended`."""
        self._context.enter_phase(Phase.WAITING_FOR_NODES)
        wait.show(f"{offer.run} is paused: waiting until it continues")
        has_gone = False
        while True:
            self._pause(wait, limited=False)
            is_there = False
            with contextlib.suppress(UserError):
                is_there = is_answering(self._endpoint)
            if is_there and has_gone:
                return
            has_gone = has_gone or not is_there
