"""What a plan says: the record that passes from the planning process to its owner."""

from __future__ import annotations

import msgspec

from workbench.core.text import safe
from workbench.io.record_codec import Record

ANSWER = "plan.json"
"""The `PlanAnswer` that the process leaves in its folder."""


class Proposal(msgspec.Struct, frozen=True):
    """A setting with which the same number of epochs took less time when it was tried."""

    key: str
    value: str
    factor: float
    """How many times as many examples a second."""
    samples_per_second: float
    seconds: float
    """To the end of the run."""
    says: str
    """What else changes with it."""

    @property
    def assignment(self) -> str:
        """As `--set` takes it."""
        return f"{self.key}={self.value}"


class Plan(msgspec.Struct, frozen=True):
    """What a run will take; bytes and seconds."""

    device: str
    device_name: str
    threads: int
    precision: str
    batch_size: int
    execution: dict[str, str]
    """How it is computed, and why: `data` (resident or streamed), `step`."""
    steps_total: int
    step_seconds: float
    samples_per_second: float
    seconds: dict[str, float]
    """`load`, `train`, `evaluate` and `total`: to the end, where nothing ends it sooner."""
    shares: dict[str, float]
    """Of a step's time, from 0 to 1: `data`, `model` (forward and backward), `optimizer`, `record`."""
    memory: dict[str, int | None]
    """`process` and `process_free`, `device` and `device_free`: the peak and what there is; null: not on a GPU."""
    disk: dict[str, int | None]
    """`checkpoint` (one), `total` (the run's folder at its largest) and `free`."""
    proposals: tuple[Proposal, ...] = ()
    """The fastest first."""
    tried: tuple[str, ...] = ()
    """All settings that were tried, as `--set` takes them."""
    notices: tuple[str, ...] = ()

    @property
    def fits(self) -> bool:
        """Whether the run's folder has room on its disk."""
        free = self.disk["free"]
        return free is None or (self.disk["total"] or 0) < free


class PlanAnswer(Record, frozen=True, kw_only=True):
    """A plan, or why there is none."""

    plan: Plan | None = None
    error: str | None = None
    """One line for people."""
    invalid_input: bool = False
    """Whether the experiment is to blame for the error."""


def where_it_goes(plan: Plan) -> str:
    """`data 4 %, forward and backward 71 %, …` of a step's time."""
    words = {"model": "forward and backward", "record": "metrics"}
    return ", ".join(f"{words.get(name, name)} {100 * part:.0f} %" for name, part in plan.shares.items())


def how_much_faster(proposal: Proposal) -> str:
    """`batch_size 256 is 2.1× faster an epoch: …`."""
    setting = proposal.key.partition(".")[2]
    return f"{setting} {safe(proposal.value)} is {proposal.factor:.1f}× faster an epoch: {proposal.says}"
