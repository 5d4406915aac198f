"""All runs: listing, lookup, removal. The index is a cache that may be deleted."""

from __future__ import annotations

import math
import os
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import msgspec

from workbench.config.experiment import Experiment
from workbench.core import paths
from workbench.core.errors import UserError
from workbench.core.settings_schema import SettingValue
from workbench.io.atomic_files import write_bytes
from workbench.io.record_codec import read_record
from workbench.io.regular_files import read_regular_file
from workbench.runs import trash
from workbench.runs.attempts import total_seconds
from workbench.runs.enums import Cause, Phase
from workbench.runs.eta import eta
from workbench.runs.external_log import ExternalLog, stamp_text
from workbench.runs.flat_settings import flat_settings
from workbench.runs.journal import attempts_of, read_starts_and_ends
from workbench.runs.jsonl import read_last_lines
from workbench.runs.log_digests import LogDigest, LogDigests
from workbench.runs.lookup import resolve_run_id
from workbench.runs.metric_ranges import MetricRange
from workbench.runs.metric_series import newest_values
from workbench.runs.metrics import MetricLine
from workbench.runs.opened_logs import OpenedLogs
from workbench.runs.queue_state import WaitReason, read_waiting
from workbench.runs.records import Best, Exit, Heartbeat, Latest, Notes, Setup
from workbench.runs.run_folder import RunFolder
from workbench.runs.run_logs import FoundLogs
from workbench.runs.run_report import last_result
from workbench.runs.scores import Score, latest_test_score, logged_score, order_scores, test_score
from workbench.runs.script import Script, ScriptConfig, read_description
from workbench.runs.slurm_job import leave_queue, read_job, unrecorded_end
from workbench.runs.status import Status, describe_holder, may_be_live, status_of, unknown_reason

INDEX_FILE = "index.json"
SETTLED_NANOSECONDS = 60 * 10**9
"""A log that has not changed for so long is kept in the index; others would write it again and again."""


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
    test_count: int = 0
    """Samples of the fold that a cross-validation holds out; 0 for other runs."""
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
    logs: tuple[str, ...] = ()
    """The logs of a run that another program logs; such a run has no dataset and no model either."""
    format: str = ""
    """The format of the first of these logs."""
    log_stamp: str = ""
    """What changes whenever these logs do; empty while they are not read to their end."""
    opened: bool = False
    """Whether the run is only shown, and not in the list of runs."""
    group: str = ""
    tags: tuple[str, ...] = ()
    """The user's tags."""
    settings: dict[str, SettingValue] = {}
    """The settings of a training by full name, or what a script reports of its settings."""
    metrics: dict[str, float] = {}
    """The newest value of each metric, by name as in `metric_series`."""
    ranges: dict[str, MetricRange] | msgspec.UnsetType = msgspec.UNSET
    """The range of each metric, where `MetricRanges` has filled them in."""
    host: str = ""
    """Where the newest attempt was started."""
    seconds: float = 0.0
    """Wall time of all attempts; of the log of another program the time from its first value to its newest."""
    notes: str = ""
    """The user's notes."""
    created: float = 0.0
    """Unix seconds."""
    changed: int = 0
    """Modification time of the folder in nanoseconds."""
    position: int | None = None
    """The position of a queued run, from 1."""
    slurm_job: str = ""
    """The Slurm job that it was last submitted as."""
    slurm_reason: str = ""
    """What a run that waits in Slurm waits for, as Slurm calls it."""
    held: bool = False
    """Whether a queued run starts only after its release."""
    waits_for: str | None = None
    """What a queued run waits for, for people."""

    @property
    def test_score(self) -> Score | None:
        """The test result; the newest test figure of a run that has no validation data and no result yet."""
        return test_score(self.test, self.monitor) or self.latest_test or self._logged_on("test")

    @property
    def best_score(self) -> Score | None:
        """The best epoch by the monitored metric, on validation data; of a script its newest value there."""
        if self.best is None:
            return self._logged_on("validation")
        return Score("validation", self.monitor, self.best, self.best_epoch)

    @property
    def newest_score(self) -> Score | None:
        """The newest value of a script or a log, where that is neither a test nor a validation figure."""
        known = self.test_score is not None or self.best_score is not None
        return None if known else self.logged

    @property
    def scores(self) -> tuple[Score, ...]:
        """The test result, then the best epoch, as far as they are known."""
        return order_scores(self.test_score, self.best_score, self.logged)

    @property
    def is_training(self) -> bool:
        """Whether it is a training of our own, neither a script nor the log of another program."""
        return not self.command and not self.logs

    def _logged_on(self, split: str) -> Score | None:
        return self.logged if self.logged is not None and self.logged.split == split else None


class _Index(msgspec.Struct):
    v: Literal[10] = 10
    """An index of another version is rebuilt."""
    runs: dict[str, RunSummary] = {}


@dataclass
class Store:
    """The runs in the folder `root`."""

    root: Path
    opened: OpenedLogs | None = None
    """Logs that are shown with the runs, without being in the folder."""
    _digests: LogDigests = field(default_factory=LogDigests, compare=False, repr=False)
    _known: dict[str, RunSummary] | None = field(default=None, compare=False, repr=False)
    """The rows of the last list that are used again until their folder or log changes; before it, the index."""

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
        opened = self.opened
        return RunFolder((opened.root if opened and (opened.root / run_id).exists() else self.root) / run_id)

    @property
    def has_unread_logs(self) -> bool:
        """Whether the last list was complete but for what is still unread of some logs."""
        return self._digests.pending

    def list_runs(self, log_seconds: float = math.inf) -> list[RunSummary]:
        """All runs, newest first. Ended runs with an unchanged folder come from the last list, at first the index.

        Logs of other programs are read for `log_seconds` together; the next list continues there.
        """
        self._digests.start_look(log_seconds)
        if self.opened is not None:
            self.opened.update()
        known = self._index().runs if self._known is None else self._known
        rows, stale = [], False
        for entry in self._entries():
            try:
                changed = entry.stat().st_mtime_ns
            except FileNotFoundError:
                continue  # it was removed a moment ago
            row = known.get(entry.name)
            if row is None or row.changed != changed or (row.logs and row.log_stamp != stamp_text(row.logs)):
                row = summarize_run(RunFolder(Path(entry.path)), changed, self._digests)
                stale |= self._is_settled(row)
            rows.append(row)
        if stale or len(known) > len(rows):
            self._save_index(rows)
        self._known = {row.id: row for row in rows if row.log_stamp or self._is_settled(row)}
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
        if status is Status.QUEUED:
            leave_queue(folder)
            status = status_of(folder)
        if self.opened is not None and folder.path.parent == self.opened.root:
            raise UserError(f"{folder.id} is only shown: it is not in the list of runs")
        if status.live:
            raise UserError(f"{folder.id} is {status}: stop it first (workbench stop {folder.id})")
        if may_be_live(folder):
            raise UserError(
                f"{folder.id} may still be running ({describe_holder(folder)}): check there; if it is not, delete "
                f"its folder {folder.path}"
            )
        target = trash.move_to_trash(folder.path, self.trash)
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
        opened = [] if self.opened is None else _folders_in(self.opened.root)
        return _folders_in(self.root) + opened

    def _index(self) -> _Index:
        try:
            return msgspec.json.decode(read_regular_file(self.root / INDEX_FILE), type=_Index)
        except (OSError, msgspec.MsgspecError):
            return _Index()

    def _save_index(self, rows: list[RunSummary]) -> None:
        ended = {row.id: row for row in rows if self._is_settled(row)}
        try:
            write_bytes(self.root / INDEX_FILE, _encode_index(ended), durable=False)
        except OSError:
            return  # only a cache: without it the next listing reads the folders again

    def _is_settled(self, row: RunSummary) -> bool:
        """Whether the row remains as it is until the folder, or the log of another program, changes."""
        if row.status is Status.LOG:
            modified = int(row.log_stamp.partition(" ")[0] or time.time_ns())
            return modified < time.time_ns() - SETTLED_NANOSECONDS and not row.opened
        unread = self._digests.has_unread(row.id)
        return row.status.ended and row.status is not Status.UNKNOWN and not unread


def _encode_index(rows: dict[str, RunSummary]) -> bytes:
    """The index as JSON, without runs that have names that are not UTF-8: each listing reads their folders."""
    try:
        return msgspec.json.encode(_Index(runs=rows))
    except UnicodeEncodeError:
        return msgspec.json.encode(
            _Index(runs={row_id: row for row_id, row in rows.items() if _is_utf8(row)})
        )


def _is_utf8(row: RunSummary) -> bool:
    try:
        msgspec.json.encode(row)
    except UnicodeEncodeError:
        return False
    return True


def _folders_in(root: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(root) as entries:
            return [e for e in entries if e.is_dir(follow_symlinks=False) and not e.name.startswith(".")]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UserError(f"the runs in {root} can't be read: {error.strerror}") from None


def summarize_run(folder: RunFolder, changed: int, digests: LogDigests) -> RunSummary:
    """The row of one run, from its small files and the logs of other programs; damaged runs have a row too."""
    described = read_description(folder.experiment)
    experiment = described if isinstance(described, Experiment) else None
    external = described if isinstance(described, ExternalLog) else None
    stamp = stamp_text(map(str, external.paths)) if external else ""  # before the logs are read
    digest = _read_digest(folder, described, digests)
    beat = read_record(folder.heartbeat, Heartbeat) or Heartbeat()
    ended, notes = read_record(folder.exit, Exit), read_record(folder.notes, Notes) or Notes()
    status, best = status_of(folder), beat.best
    waiting, job = read_waiting(folder) if status is Status.QUEUED else None, read_job(folder)
    rows: list[MetricLine] = read_last_lines(folder.metrics, MetricLine)
    newest = {**digest.values, **newest_values(rows)}
    journal = read_starts_and_ends(folder.journal)
    attempts = attempts_of(journal)
    return RunSummary(
        id=folder.id,
        name=notes.name or (described.name if described else "") or folder.id,
        status=status,
        dataset=experiment.data.name if experiment else "",
        model=experiment.model.name if experiment else "",
        epoch=beat.epoch,
        epochs_total=beat.epochs_total or (experiment.train.epochs if experiment else 0),
        step=beat.step or digest.step,
        steps_total=beat.steps_total or 0,
        phase=beat.phase if status.live else None,
        best=best.value if best else None,
        test=last_result(rows) if status.ended else None,
        test_count=_held_out_count(folder, experiment),
        latest_test=None if best else latest_test_score(beat.latest),
        best_epoch=best.epoch if best else None,
        monitor=_monitor(best, beat.latest, experiment),
        device=beat.device,
        eta=eta(beat) if status.live else None,
        reason=_end_reason(folder, status, ended),
        cause=ended.cause if ended and status.ended else None,
        logged=None if experiment else logged_score(newest),
        command=described.command_line if isinstance(described, Script) else "",
        logs=tuple(map(str, external.paths)) if external else (),
        format=str(external.format) if external else "",
        log_stamp="" if digests.has_unread(folder.id) else stamp,
        opened=external is not None and external.opened,
        group=notes.group,
        tags=notes.tags,
        settings=flat_settings(experiment) if experiment else {**digest.config, **_script_settings(folder)},
        metrics=newest,
        host=attempts[-1].host if attempts else "",
        seconds=digest.seconds if external else total_seconds(journal, beat).total,
        notes=notes.notes,
        created=(digest.started if external else 0.0) or _created_at(folder, external),
        changed=changed,
        position=(waiting.position or None) if waiting else None,
        slurm_job=job.job if job else "",
        slurm_reason=waiting.slurm_reason if waiting else "",
        held=waiting is not None and waiting.reason is WaitReason.HELD,
        waits_for=waiting.text if waiting else None,
    )


def _held_out_count(folder: RunFolder, experiment: Experiment | None) -> int:
    """The samples of the fold that a run holds out; 0 without cross-validation, where nobody adds them up."""
    if experiment is None or not experiment.train.folds:
        return 0
    setup = read_record(folder.setup, Setup)
    return setup.counts.get("test", 0) if setup else 0


def _script_settings(folder: RunFolder) -> dict[str, SettingValue]:
    return {**(read_record(folder.config, ScriptConfig) or ScriptConfig()).config}


def _read_digest(
    folder: RunFolder, described: Experiment | Script | ExternalLog | None, digests: LogDigests
) -> LogDigest:
    """The logs of another program, or those that a script writes by itself."""
    match described:
        case ExternalLog():
            return digests.of_external(folder, described)
        case Script():
            found = read_record(folder.found_logs, FoundLogs) or FoundLogs()
            if paths := described.logs or found.paths:
                return digests.of_script(folder, paths)
    return LogDigest()


def _monitor(best: Best | None, latest: Latest | None, experiment: Experiment | None) -> str:
    """The monitored metric: of a regression the loss, whatever the experiment says."""
    if best is not None:
        return best.metric
    if latest is not None and latest.loss is not None and latest.accuracy is None:
        return "loss"
    return experiment.train.monitor if experiment else ""


def _end_reason(folder: RunFolder, status: Status, ended: Exit | None) -> str:
    """Why the newest attempt ended; empty for a live run, and for a crash, which each view describes itself.

    Slurm says why it has ended a job.
    """
    if status.ended and (by_slurm := unrecorded_end(folder, ended)):
        return by_slurm
    if status is Status.UNKNOWN:
        return unknown_reason(folder)
    return "" if ended is None or not status.ended or status is Status.CRASHED else ended.reason or ""


def _created_at(folder: RunFolder, external: ExternalLog | None) -> float:
    """When the run was started; when a log without times was last written."""
    try:
        return external.modified if external else folder.experiment.stat().st_mtime
    except OSError:
        return 0.0
