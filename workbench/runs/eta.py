"""The ETA of a run: the remaining seconds that its worker estimates (`worker.heartbeat`)."""

from __future__ import annotations

from workbench.runs.records import Heartbeat

MAX_ETA = 1e9
"""In seconds: a longer estimate is a damaged value."""


def eta(heartbeat: Heartbeat) -> float | None:
    """The worker's estimate of the seconds to the last step; `None` without one."""
    seconds = heartbeat.eta
    return seconds if seconds is not None and 0 <= seconds < MAX_ETA else None
