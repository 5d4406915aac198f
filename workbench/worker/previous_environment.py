"""The execution environment of the attempt before, which a later one keeps so that its bits are the same."""

from __future__ import annotations

from dataclasses import dataclass

from workbench.runs.records import Setup


@dataclass(frozen=True)
class PreviousEnvironment:
    """The execution environment of the previous attempt, which a later one keeps."""

    device: str
    threads: int
    channels_last: bool
    log_every: int
    processes: int = 1


def recorded_environment(setup: Setup) -> PreviousEnvironment | None:
    """The execution environment in `setup`; `None` if that is not of a CPU, or incomplete."""
    if setup.device != "cpu" or setup.threads < 1 or setup.log_every < 1:
        return None
    return PreviousEnvironment(
        setup.device, setup.threads, setup.channels_last, setup.log_every, setup.processes
    )
