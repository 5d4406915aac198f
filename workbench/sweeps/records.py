"""The records of a sweep's folder, `$WORKBENCH_HOME/sweeps/NAME/`.

| file | writer | content |
|---|---|---|
| `sweep.json` | who starts, extends or resumes the sweep | `SweepDefinition` |
| `journal.log` | workers | Optuna's storage: all trials, with the id of each one's run |
| `summary.json` | workers | `SweepSummary`: what of it the screen and the commands show, who need no Optuna for that |
| `stop` | who stops the sweep; removed by a resume | the workers end while it exists |
| `lock` | workers | locked bytes: who works, and on which trial (`sweep_folder`) |
| `worker.log` | workers | their output |
| `slurm.sh` | who submits workers to Slurm; the user | the batch script of a worker |
| `slurm-JOB.json` | who submits them; who sees their end | `slurm_jobs.SlurmWorkers` |
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from workbench.config.recipes import RecipeContent
from workbench.io.record_codec import Record
from workbench.sweeps.space import ParamValue, Space, parse_space

MAX_TRIALS, MAX_WORKERS = 100_000, 64


class SamplerName(StrEnum):
    """How the values of the next trial are chosen."""

    TPE = "tpe"
    RANDOM = "random"
    GRID = "grid"
    CMAES = "cmaes"


class PrunerName(StrEnum):
    """Which trials are stopped early."""

    MEDIAN = "median"
    HYPERBAND = "hyperband"
    NONE = "none"


class TrialState(StrEnum):
    """The state of a trial."""

    WAITING = "waiting"
    RUNNING = "running"
    INTERRUPTED = "interrupted"
    """It has not ended, and nobody works on it now: a resume continues it."""
    FINISHED = "finished"
    PRUNED = "pruned"
    FAILED = "failed"

    @property
    def ended(self) -> bool:
        """Whether nothing more happens to the trial."""
        return self in {TrialState.FINISHED, TrialState.PRUNED, TrialState.FAILED}


class SweepStatus(StrEnum):
    """The status of a sweep, derived from its trials, its locks and whether it was stopped; never stored."""

    RUNNING = "running"
    QUEUED = "queued"
    """Its workers wait in Slurm, and none works."""
    STOPPING = "stopping"
    FINISHED = "finished"
    """All trials have ended."""
    STOPPED = "stopped"
    FAILED = "failed"
    """The metric is in no run, or Optuna's storage can't be read."""
    INTERRUPTED = "interrupted"
    """Its workers were killed, or their host has restarted."""

    @property
    def live(self) -> bool:
        """Whether somebody works on the sweep, or will."""
        return self in {SweepStatus.RUNNING, SweepStatus.QUEUED, SweepStatus.STOPPING}


class SweepDefinition(Record, frozen=True, kw_only=True):
    """`sweep.json`: what is searched."""

    name: str
    content: RecipeContent
    """The experiment before defaults, as a recipe."""
    params: tuple[tuple[str, str], ...]
    """Settings by full name, each with the text of its space."""
    baseline: dict[str, ParamValue] = {}
    """The experiment's own values, as far as they are in the spaces: those of the first trial. Empty for a grid."""
    trials: Annotated[int, Meta(ge=1, le=MAX_TRIALS)]
    workers: Annotated[int, Meta(ge=1, le=MAX_WORKERS)] = 1
    sampler: SamplerName = SamplerName.TPE
    pruner: PrunerName = PrunerName.MEDIAN
    metric: str = "validation/accuracy"
    """A metric of the runs, by its name in `metric_series`."""
    minimize: bool = False
    best_epoch: bool = True
    """Whether the value of a trial is that of its best epoch, else that of its last."""
    epochs: int = 1
    """Of the experiment; what Hyperband divides."""
    seed: int = 0
    created: float = 0.0
    """Unix seconds."""
    directory: str = ""
    """The working directory in which relative paths of the experiment are valid."""

    @property
    def spaces(self) -> dict[str, Space]:
        """The values of each setting, by its full name."""
        return {key: parse_space(key, text) for key, text in self.params}


class TrialSummary(Record, frozen=True, kw_only=True):
    """One trial."""

    number: int
    run: str = ""
    """The id of its run; empty before it starts."""
    params: dict[str, ParamValue] = {}
    value: float | None = None
    """The metric: the result of a finished trial, the newest value of others."""
    state: TrialState = TrialState.WAITING
    reason: str = ""
    """Why it was pruned or has failed, for people."""
    epoch: int = 0
    """The epoch of the newest value."""


class SweepSummary(Record, frozen=True, kw_only=True):
    """`summary.json`: the trials and what is learned from them."""

    trials: tuple[TrialSummary, ...] = ()
    """By number."""
    best: int | None = None
    """The number of the best finished trial."""
    importances: dict[str, float] = {}
    """How much of the variation of the metric each setting explains, most first; fractions that add up to 1."""

    @property
    def best_trial(self) -> TrialSummary | None:
        """The best finished trial."""
        return None if self.best is None else next((t for t in self.trials if t.number == self.best), None)

    @property
    def ended(self) -> int:
        """The number of ended trials."""
        return sum(trial.state.ended for trial in self.trials)


class StopRecord(Record, frozen=True, kw_only=True):
    """`stop`: the sweep was stopped."""

    time: float = 0.0
    error: str = ""
    """Why it can't go on, if it was not the user who stopped it."""
