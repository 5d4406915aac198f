"""All runs: listing, lookup, removal. The index is a cache that may be deleted."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from workbench.config.experiment import Experiment, read_experiment
from workbench.core import paths
from workbench.core.errors import UserError
from workbench.core.settings_schema import SettingValue
from workbench.io.atomic_files import write_bytes
from workbench.io.record_codec import read_record
from workbench.io.regular_files import read_regular_file
from workbench.runs import trash
from workbench.runs.enums import Cause, Phase
from workbench.runs.eta import eta
from workbench.runs.flat_settings import flat_settings
from workbench.runs.jsonl import read_last_lines
from workbench.runs.lookup import resolve_run_id
from workbench.runs.metric_series import newest_values
from workbench.runs.metrics import MetricLine
from workbench.runs.records import Best, Exit, Heartbeat, Latest, Notes
from workbench.runs.run_folder import RunFolder
from workbench.runs.run_report import read_result
from workbench.runs.scores import Score, latest_test_score, logged_score, order_scores, test_score
from workbench.runs.script import ScriptConfig, read_script
from workbench.runs.status import Status, describe_holder, may_be_live, status_of, unknown_reason

INDEX_FILE = "index.json"


class RunSummary(msgspec.Struct, frozen=True, gc=False):
    """One row of the list of runs."""

    id: str
    name: str
    status: Status
    dataset: str = ""
    model: str = ""
    epoch: int = 0
    epochs_total: int = 0
    step: int = 0
    steps_total: int = 0
    phase: Phase | None = None
    """The current phase of a live run."""
    best: float | None = None
    """Best value of the monitored metric on validation data."""
    best_epoch: int | None = None
    monitor: str = ""
    """The monitored metric, which selects the best epoch."""
    test: dict[str, float | None] | None = None
    """Test metrics of the result of an ended run, as in `RunReport`; `None` until they are measured."""
    latest_test: Score | None = None
    """Newest test figure of a run without validation data, which has no best epoch."""
    device: str = ""
    eta: float | None = None
    """Estimated seconds to the last step of a live run."""
    reason: str = ""
    cause: Cause | None = None
    """Why the newest attempt ended."""
    logged: Score | None = None
    """The newest value that a script has logged."""
    command: str = ""
    """The command of a script; such a run has no dataset and no model."""
    group: str = ""
    tags: tuple[str, ...] = ()
    """The user's tags."""
    settings: dict[str, SettingValue] = {}
    """The settings of a training by full name, or what a script reports of its settings."""
    metrics: dict[str, float] = {}
    """The newest value of each metric, by name as in `metric_series`."""
    created: float = 0.0
    """Unix seconds."""
    changed: int = 0
    """Modification time of the folder in nanoseconds."""

    @property
    def test_score(self) -> Score | None:
        """The test result; the newest test figure of a run that has no validation data and no result yet."""
        return test_score(self.test, self.monitor) or self.latest_test

    @property
    def best_score(self) -> Score | None:
        """The best epoch by the monitored metric, on validation data."""
        return None if self.best is None else Score("validation", self.monitor, self.best, self.best_epoch)

    @property
    def scores(self) -> tuple[Score, ...]:
        """The test result, then the best epoch, as far as they are known."""
        return order_scores(self.test_score, self.best_score, self.logged)


class _Index(msgspec.Struct):
    v: Literal[6] = 6
    """An index of another version is rebuilt."""
    runs: dict[str, RunSummary] = {}


@dataclass
class Store:
    """The runs in the folder `root`."""

    root: Path

    @classmethod
    def default(cls) -> Store:
        """The store in `$WORKBENCH_HOME`."""
        return cls(paths.runs())

    @property
    def home(self) -> Path:
        """The parent folder of `root`."""
        return self.root.parent

    @property
    def trash(self) -> Path:
        """The folder that `remove` moves runs to."""
        return self.home / paths.trash().name

    def folder(self, run_id: str) -> RunFolder:
        """The folder of a run by its id; it may not exist."""
        return RunFolder(self.root / run_id)

    def list_runs(self) -> list[RunSummary]:
        """All runs, newest first. Ended runs with an unchanged folder come from the index."""
        known, rows, stale = self._index().runs, [], False
        for entry in self._entries():
            try:
                changed = entry.stat().st_mtime_ns
            except FileNotFoundError:
                continue  # it was removed a moment ago
            row = known.get(entry.name)
            if row is None or row.changed != changed:
                row = summarize_run(RunFolder(Path(entry.path)), changed)
                stale |= not row.status.live and row.status is not Status.UNKNOWN
            rows.append(row)
        if stale or len(known) > len(rows):
            self._save_index(rows)
        return sorted(rows, key=lambda row: row.id, reverse=True)

    def find(self, query: str) -> RunFolder:
        """The run that `query` names: `last`, an id, a name (its newest run) or a prefix. Raises `UserError`."""
        ids = sorted((entry.name for entry in self._entries()), reverse=True)
        if not ids:
            raise UserError(f"no runs in {self.root} (start one: workbench train digits-mlp)")
        if query == "last":
            return RunFolder(self.root / ids[0])
        if query in ids:
            return RunFolder(self.root / query)
        known = [(row.id, row.name) for row in self.list_runs()]
        return RunFolder(self.root / resolve_run_id(query, known, "'workbench runs' lists them"))

    def remove(self, folder: RunFolder, *, now: bool = False) -> Path | None:
        """Move an ended run to the trash and return its path there, or delete it (`now`). Raises `UserError`."""
        status = status_of(folder)
        if status.live:
            raise UserError(f"{folder.id} is {status}: stop it first (workbench stop {folder.id})")
        if may_be_live(folder):
            raise UserError(
                f"{folder.id} may still be running ({describe_holder(folder)}): check there; if it is not, delete "
                f"its folder {folder.path}"
            )
        target = trash.move_to_trash(folder, self.trash)
        if not now:
            return target
        shutil.rmtree(
            target
        )  # deleted in the trash: an interrupted deletion leaves no partial run in the list
        return None

    def restore(self, query: str) -> RunFolder:
        """Restore a run from the trash: `last`, an id, a name or a prefix. Raises `UserError`."""
        return trash.restore_run(query, self.trash, self.root)

    def _entries(self) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(self.root) as entries:
                return [e for e in entries if e.is_dir(follow_symlinks=False) and not e.name.startswith(".")]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise UserError(f"the runs in {self.root} can't be read: {error.strerror}") from None

    def _index(self) -> _Index:
        try:
            return msgspec.json.decode(read_regular_file(self.root / INDEX_FILE), type=_Index)
        except (OSError, msgspec.MsgspecError):
            return _Index()

    def _save_index(self, rows: list[RunSummary]) -> None:
        ended = {row.id: row for row in rows if not row.status.live and row.status is not Status.UNKNOWN}
        try:
            write_bytes(self.root / INDEX_FILE, msgspec.json.encode(_Index(runs=ended)), durable=False)
        except OSError:
            return  # only a cache: without it the next listing reads the folders again


def summarize_run(folder: RunFolder, changed: int) -> RunSummary:
    """The row of one run, from its small files; damaged runs have a row too."""
    experiment = read_experiment(folder.experiment)
    script = None if experiment else read_script(folder.experiment)
    described = experiment or script
    beat = read_record(folder.heartbeat, Heartbeat) or Heartbeat()
    ended, notes = read_record(folder.exit, Exit), read_record(folder.notes, Notes) or Notes()
    status, best = status_of(folder), beat.best
    newest = newest_values(read_last_lines(folder.metrics, MetricLine))
    return RunSummary(
        id=folder.id,
        name=notes.name or (described.name if described else "") or folder.id,
        status=status,
        dataset=experiment.data.name if experiment else "",
        model=experiment.model.name if experiment else "",
        epoch=beat.epoch,
        epochs_total=beat.epochs_total or (experiment.train.epochs if experiment else 0),
        step=beat.step,
        steps_total=beat.steps_total or 0,
        phase=beat.phase if status.live else None,
        best=best.value if best else None,
        test=None if status.live else read_result(folder),
        latest_test=None if best else latest_test_score(beat.latest),
        best_epoch=best.epoch if best else None,
        monitor=_monitor(best, beat.latest, experiment),
        device=beat.device,
        eta=eta(beat) if status.live else None,
        reason=_end_reason(folder, status, ended),
        cause=ended.cause if ended and not status.live else None,
        logged=logged_score(newest) if script else None,
        command=script.command_line if script else "",
        group=notes.group,
        tags=notes.tags,
        settings=flat_settings(experiment) if experiment else _script_settings(folder),
        metrics=newest,
        created=_created_at(folder),
        changed=changed,
    )


def _script_settings(folder: RunFolder) -> dict[str, SettingValue]:
    return {**(read_record(folder.config, ScriptConfig) or ScriptConfig()).config}


def _monitor(best: Best | None, latest: Latest | None, experiment: Experiment | None) -> str:
    """The monitored metric: of a regression the loss, whatever the experiment says."""
    if best is not None:
        return best.metric
    if latest is not None and latest.loss is not None and latest.accuracy is None:
        return "loss"
    return experiment.train.monitor if experiment else ""


def _end_reason(folder: RunFolder, status: Status, ended: Exit | None) -> str:
    """Why the newest attempt ended; empty for a live run, and for a crash, which each view describes itself."""
    if status is Status.UNKNOWN:
        return unknown_reason(folder)
    return "" if ended is None or status.live or status is Status.CRASHED else ended.reason or ""


def _created_at(folder: RunFolder) -> float:
    try:
        return folder.experiment.stat().st_mtime
    except OSError:
        return 0.0
