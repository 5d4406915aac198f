"""Runs of several processes for tests, and their processes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from workbench.config.experiment import Experiment, experiment_from_dict
from workbench.launcher import launch
from workbench.runs import locks
from workbench.runs.run_folder import RunFolder
from workbench.system.process_tree import descendants
from workbench.system.processes import command_line, start_ticks

LIMIT = 120.0


def experiment(
    model: dict[str, Any] | None = None, seed: int = 7, data: str = "digits", **settings: Any
) -> Experiment:
    """A training in two processes with a thread each, with the given settings."""
    content = {
        "name": "together",
        "seed": seed,
        "data": {"name": data},
        "model": model or {"name": "mlp", "widths": [32], "dropout": 0.2},
        "train": {"threads": 1, "device": "cpu", "processes": 2} | settings,
    }
    return experiment_from_dict(content)


def start(model: dict[str, Any] | None = None, **settings: Any) -> RunFolder:
    """Start such a run."""
    return launch.start_run(experiment(model, **settings), "test")


def supervisor(folder: RunFolder) -> int:
    """The pid of the process that holds the run."""
    pid = locks.holder_pid(folder.lock, locks.SUPERVISOR)
    assert pid is not None
    return pid


def processes(folder: RunFolder) -> list[int]:
    """The pids of all processes of a run: the supervisor, the agent, and the ranks in their order."""
    return [supervisor(folder), agent(folder), *ranks(folder)]


def agent(folder: RunFolder) -> int:
    """The pid of the elastic agent."""
    (pid,) = _with_module(folder, "workbench.worker.agent")
    return pid


def ranks(folder: RunFolder) -> list[int]:
    """The pids of the ranks, in their order."""
    found = {command_line(pid)[-1]: pid for pid in _with_module(folder, "workbench.worker.rank")}
    return [pid for _, pid in sorted(found.items())]


def _with_module(folder: RunFolder, module: str) -> list[int]:
    return [pid for pid in descendants(supervisor(folder)) if module in command_line(pid)]


def wait_for(seen: Callable[[], Any], folder: RunFolder) -> None:
    """Wait until `seen()` is true."""
    end = time.monotonic() + LIMIT
    while not seen():
        assert time.monotonic() < end, folder.log.read_text()
        time.sleep(0.01)


def all_gone(pids: list[int]) -> bool:
    """Whether all these processes have ended."""
    return all(start_ticks(pid) is None for pid in pids)
