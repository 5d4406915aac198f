"""The plan: the record that the planning process returns to its client."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from workbench.core.text import sanitize
from workbench.io.record_codec import Record
from workbench.planning.batch_sizes import BatchSizes
from workbench.planning.lr_curve import LrCurve

RESULT_FILE = "plan.json"
"""The file with the `PlanResult` that the process writes to its folder."""


class Proposal(msgspec.Struct, frozen=True):
    """A setting with which the same number of epochs takes less time, as measured."""

    key: str
    value: str
    factor: float
    """The speedup: samples per second relative to the plan's settings."""
    samples_per_second: float
    seconds: float
    """Estimated duration of the whole run."""
    side_effect: str = msgspec.field(name="says")
    """How the setting changes the training itself. Its key is the one that scripts know from `plan --json`."""

    @property
    def assignment(self) -> str:
        """The setting in the form of `--set`."""
        return f"{self.key}={self.value}"


class Plan(msgspec.Struct, frozen=True):
    """The resources that a run will need, in bytes and seconds."""

    device: str
    device_name: str
    threads: int
    precision: str
    batch_size: int
    execution: dict[str, str]
    """How it is computed, and why: `data` (resident or streamed) and `step`."""
    steps_total: int
    step_seconds: float
    samples_per_second: float
    seconds: dict[str, float]
    """`load`, `train`, `evaluate` and `total`, without early stopping."""
    cpu_wait: float
    """The share of the measured time, from 0 to 1, in which the training waited for a processor that other processes
    used. The times of the plan are those without these waits.
    """
    shares: dict[str, float]
    """Shares of a step's time, from 0 to 1: `data`, `model` (forward and backward), `optimizer`, `record` (metrics)."""
    memory: dict[str, int | None]
    """Peak and free memory: `process` and `process_free`, `device` and `device_free` (`None` without a GPU)."""
    disk: dict[str, int | None]
    """`checkpoint` (one), `total` (the maximum size of the run's folder) and `free`."""
    proposals: tuple[Proposal, ...] = ()
    """Sorted by speedup, the fastest first."""
    tried: tuple[str, ...] = ()
    """All settings that were tried, in the form of `--set`."""
    notices: tuple[str, ...] = ()

    @property
    def fits(self) -> bool:
        """Whether the run's folder fits on its disk."""
        free = self.disk["free"]
        return free is None or (self.disk["total"] or 0) < free


BUSY = 0.05
"""The share of waits from which a plan says that the machine was busy."""


def describe_cpu_wait(share: float) -> str:
    """What the waits for a processor mean for the estimated time; empty where there were hardly any."""
    if share < BUSY:
        return ""
    return (
        f"other processes used the processors: the steps waited for one {100 * share:.0f} % of the time, which is left "
        "out of the estimates; while that goes on, a run takes longer"
    )


class Measurement(StrEnum):
    """What the planning process measures."""

    PLAN = "plan"
    LEARNING_RATES = "lr-find"
    BATCH_SIZES = "batch-find"


class PlanResult(Record, frozen=True, kw_only=True):
    """What was measured, or the error that prevented it."""

    plan: Plan | None = None
    lr_curve: LrCurve | None = None
    batch_sizes: BatchSizes | None = None
    error: str | None = None
    """One line of text."""
    invalid_input: bool = False
    """Whether the experiment itself is invalid."""


def describe_shares(plan: Plan) -> str:
    """`data 4 %, forward and backward 71 %, …` of a step's time."""
    labels = {"model": "forward and backward", "record": "metrics"}
    return ", ".join(f"{labels.get(name, name)} {100 * part:.0f} %" for name, part in plan.shares.items())


def describe_proposal(proposal: Proposal) -> str:
    """`batch_size 256 is 2.1× faster an epoch: …`."""
    setting = proposal.key.partition(".")[2]
    return f"{setting} {sanitize(proposal.value)} is {proposal.factor:.1f}× faster an epoch: {proposal.side_effect}"
