"""A plan: what a run will take, measured by a few real steps in a process of its own, and what would be faster.

No run is made, nothing is downloaded, and nothing but caches (decoded pictures, timings of threads) is left behind.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Self

import msgspec

from workbench.datasets import catalogue as datasets
from workbench.errors import BadInput, RunFailed
from workbench.experiment import Experiment
from workbench.io.atomic import write_json
from workbench.io.progress import Interrupted, Report
from workbench.models import catalogue as models
from workbench.recipes import how_to_fetch
from workbench.record_codec import Record, read_record
from workbench.runs import launch
from workbench.runs.layout import RunFolder
from workbench.runs.processes import python
from workbench.runs.records import Heartbeat
from workbench.text import safe, size

ANSWER = "plan.json"
"""The `PlanAnswer` that the process leaves in its folder."""
POLL_SECONDS = 0.1


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


class Planning:
    """The process that makes one plan; a context manager that ends it and removes what it worked in."""

    def __init__(self, experiment: Experiment) -> None:
        launch.check_device(experiment.train.device)
        experiment, self._notices = without_downloads(experiment)
        self._folder = RunFolder(Path(tempfile.mkdtemp(prefix="workbench-plan-")))
        write_json(self._folder.experiment, experiment.to_dict())
        with self._folder.log.open("ab") as log:
            self._process = subprocess.Popen(
                python("workbench.training.plan", str(self._folder.path)),
                stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()
        self._process.wait()
        if self._process.stdin:
            self._process.stdin.close()
        shutil.rmtree(self._folder.path, ignore_errors=True)

    def cancel(self) -> None:
        """End the process; whoever waits for the plan gets `Interrupted`. May be called from any thread."""
        self._process.kill()

    def wait(self, progress: Report) -> Plan:
        """The plan. Raises `BadInput`, `RunFailed` (it would fail in training too) or `Interrupted`."""
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(POLL_SECONDS)
            self._tell(progress)
            if self._process.returncode is not None:
                return self._answer()

    def _tell(self, progress: Report) -> None:
        beat = read_record(self._folder.heartbeat, Heartbeat)
        if beat is not None and beat.progress is not None:
            progress(beat.progress)

    def _answer(self) -> Plan:
        answer = read_record(self._folder.path / ANSWER, PlanAnswer) or PlanAnswer()
        if answer.plan is not None:
            plan = answer.plan
            return msgspec.structs.replace(plan, notices=(*self._notices, *plan.notices))
        if answer.error is not None:
            raise (BadInput if answer.invalid_input else RunFailed)(answer.error)
        if self._process.returncode == -9:
            raise Interrupted
        raise RunFailed(f"no plan was made: {self._last_words() or f'exit {self._process.returncode}'}")

    def _last_words(self) -> str:
        with contextlib.suppress(OSError):
            lines = self._folder.log.read_text(errors="replace").splitlines()
            return next((line.strip()[:200] for line in reversed(lines) if line.strip()), "")
        return ""


def without_downloads(experiment: Experiment) -> tuple[Experiment, tuple[str, ...]]:
    """The experiment as it can be tried with what is on this machine, and what that leaves out, in words.

    Raises `BadInput` where the dataset is not here: the message names what brings it.
    """
    about = datasets.describe(experiment.data.name, experiment.data.options)
    if not about.here:
        how = how_to_fetch(experiment.data.name, experiment.recipe or "")
        raise BadInput(f"{about.name} is not here ({size(about.download)}): {how}")
    info, options = models.find(experiment.model.name), experiment.model.options
    if not options.get("pretrained") or options.get("weights") or info.weights_here():
        return experiment, ()
    changed = msgspec.structs.replace(experiment.model, options={**options, "pretrained": False})
    missing = f"the weights of {info.name} are still to be downloaded ({size(info.weights_bytes)})"
    return msgspec.structs.replace(experiment, model=changed), (f"{missing}: random ones were tried",)


def where_it_goes(plan: Plan) -> str:
    """`data 4 %, forward and backward 71 %, …` of a step's time."""
    words = {"model": "forward and backward", "record": "metrics"}
    return ", ".join(f"{words.get(name, name)} {100 * part:.0f} %" for name, part in plan.shares.items())


def how_much_faster(proposal: Proposal) -> str:
    """`batch_size 256 is 2.1× faster an epoch: …`."""
    setting = proposal.key.partition(".")[2]
    return f"{setting} {safe(proposal.value)} is {proposal.factor:.1f}× faster an epoch: {proposal.says}"
