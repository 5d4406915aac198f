"""Reading a run while other processes write it: complete lines only, a bounded amount per call."""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

from workbench.config.experiment import Experiment, read_experiment
from workbench.core.settings_schema import SettingValue
from workbench.io.atomic_files import read_json
from workbench.io.record_codec import decode, read_record
from workbench.io.regular_files import open_regular_descriptor
from workbench.logs.references import Reference
from workbench.logs.series import Series
from workbench.runs.external_log import ExternalLog
from workbench.runs.journal import (
    Attempt,
    JournalLine,
    RefusedResume,
    attempts_of,
    without_refused_settings,
)
from workbench.runs.metrics import EpochRow, EvaluationRow, LogRow, MetricLine, StepRow, Wall
from workbench.runs.nodes import SINGLE_NODE, Nodes, Placement
from workbench.runs.queue_state import Waiting, pending_overrides, read_waiting
from workbench.runs.records import Exit, Heartbeat, Manifest, Notes, Setup
from workbench.runs.run_folder import RunFolder
from workbench.runs.run_logs import FoundLogs, RunLogs, open_logs
from workbench.runs.script import Script, ScriptConfig, read_description
from workbench.runs.slurm_job import SlurmJob, read_job, unrecorded_end
from workbench.runs.status import Status, status_of, unknown_reason

MAX_LINE_BYTES = 1 << 20
READ_BUDGET = 4 << 20
MAX_SAMPLED_ROWS = 2000
THROUGHPUT, TIME = "samples_per_second", "time"
"""The values under `wall` that become columns."""

T = TypeVar("T")


class JsonlReader(Generic[T]):
    """Follows a growing file of JSON lines; invalid lines are skipped and counted."""

    def __init__(self, path: Path, type: Any) -> None:
        self._path, self._type = path, type
        self._descriptor: int | None = None
        self._inode = 0
        self._skipping = False
        self.offset = 0
        self.skipped_lines = 0

    def read(self, budget: int = READ_BUDGET) -> tuple[list[T], bool]:
        """The records added since the last call, up to about `budget` bytes, and whether the file was replaced.

        If it was replaced or truncated, records read before are obsolete.
        """
        replaced = self._reopen()
        if self._descriptor is None:
            return [], replaced
        data = os.pread(self._descriptor, max(budget, MAX_LINE_BYTES + 1), self.offset)
        end = data.rfind(b"\n") + 1
        if end == 0:
            self._skip_long_line(len(data))
            return [], replaced
        self.offset += end
        return self._parse(data[:end]), replaced

    def sample(self, count: int) -> list[T]:
        """About `count` records spread evenly over the file; the offset does not move."""
        self._reopen()
        if self._descriptor is None:
            return []
        size = os.fstat(self._descriptor).st_size
        records: list[T] = []
        for position in range(count):
            data = os.pread(self._descriptor, 2048, size * position // count)
            first = data.find(b"\n")
            last = data.find(b"\n", first + 1)
            if 0 <= first < last and (record := decode(data[first + 1 : last], self._type)) is not None:
                records.append(record)
        return records

    @property
    def unread_bytes(self) -> int:
        """Bytes after the offset."""
        return 0 if self._descriptor is None else os.fstat(self._descriptor).st_size - self.offset

    def close(self) -> None:
        """Close the file; the next read opens it again, from its start."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _reopen(self) -> bool:
        """Open the file if it is new, replaced or truncated; whether an open one was replaced or truncated."""
        try:
            status = self._path.stat()
        except OSError:
            return False
        if self._descriptor is not None and status.st_ino == self._inode and status.st_size >= self.offset:
            return False
        replaced = self._descriptor is not None
        self.close()
        try:
            self._descriptor = open_regular_descriptor(self._path)
        except OSError:
            return replaced
        self._inode, self.offset, self._skipping = status.st_ino, 0, False
        return replaced

    def _skip_long_line(self, length: int) -> None:
        """Skip the start of a line that is longer than any valid one; its end is skipped once it is read."""
        if length > MAX_LINE_BYTES:
            self.offset += length
            self._skipping = True

    def _parse(self, data: bytes) -> list[T]:
        lines = data.split(b"\n")[:-1]
        if self._skipping:
            lines, self._skipping = lines[1:], False
            self.skipped_lines += 1
        records: list[T] = []
        for line in lines:
            record = decode(line, self._type) if len(line) <= MAX_LINE_BYTES else None
            if record is None:
                self.skipped_lines += 1 if line else 0
            else:
                records.append(record)
        return records


@dataclass
class MetricColumns:
    """Metrics in columns, ordered by step; missing values are NaN."""

    step: array[float] = field(default_factory=lambda: array("d"))
    values: dict[str, array[float]] = field(default_factory=dict)

    def add(self, row: StepRow) -> None:
        """Append the metrics of a row."""
        columns = (("epoch", row.epoch), ("count", row.count), ("loss", row.loss), ("accuracy", row.accuracy),
                   ("lr", row.lr), ("grad_norm", row.grad_norm), ("update_ratio", row.update_ratio),
                   (THROUGHPUT, row.wall.samples_per_second),
                   (TIME, row.wall.time or None))  # fmt: skip
        for name, value in columns:
            if value is not None:
                if name not in self.values:
                    self.values[name] = array("d", [float("nan")] * len(self.step))
                self.values[name].append(value)
        self.step.append(row.step)
        for column in self.values.values():
            if len(column) < len(self.step):
                column.append(float("nan"))

    def column(self, name: str) -> array[float]:
        """One column; empty where no row has a value."""
        return self.values.get(name) or array("d")

    def __len__(self) -> int:
        return len(self.step)


@dataclass
class RunView:
    """The state of a run at one moment. `version` increases whenever anything else changes."""

    folder: RunFolder
    status: Status = Status.UNKNOWN
    unknown_reason: str = ""
    """Why the status is unknown, in one line."""
    slurm_end: str = ""
    """How its Slurm job ended, where the run has not recorded its end itself."""
    waiting: Waiting | None = None
    """What a queued run waits for."""
    slurm_job: SlurmJob | None = None
    """The Slurm job that it was last submitted as."""
    pending_overrides: dict[str, SettingValue] = field(default_factory=dict)
    """Settings by full name that a queued run will start with instead of those of its record."""
    experiment: Experiment | None = None
    """The experiment as started, with its dataset where it is now; `None` for a script or an external log, and where
    its file is missing or damaged.
    """
    script: Script | None = None
    """The command, for a run of a script."""
    external: ExternalLog | None = None
    """The logs, for a run that another program logs."""
    config: ScriptConfig = field(default_factory=ScriptConfig)
    logged: dict[str, Series] = field(default_factory=dict)
    """What a script has logged, by name."""
    logged_step: int = 0
    """The highest step that it has logged."""
    logged_images: dict[str, list[Reference[bytes]]] = field(default_factory=dict)
    """The images in the logs of other programs, by name."""
    has_saved_images: bool = False
    """Whether its script has logged images, which are in its folder."""
    log_notices: tuple[str, ...] = ()
    """What in the logs of other programs could not be read as it was, for people."""
    setup: Setup | None = None
    steps: MetricColumns = field(default_factory=MetricColumns)
    """Columns `loss`, `accuracy`, `lr`, `count`, ... of the training steps."""
    sampled: MetricColumns | None = None
    """Evenly spaced rows of a long record that is not read completely yet."""
    epochs: list[EpochRow] = field(default_factory=list)
    evaluations: list[EvaluationRow] = field(default_factory=list)
    journal: list[JournalLine] = field(default_factory=list)
    heartbeat: Heartbeat = field(default_factory=Heartbeat)
    exit: Exit | None = None
    placement: Placement = SINGLE_NODE
    """On how many nodes it trains, and where they meet."""
    nodes: Nodes = field(default_factory=Nodes)
    """Which of them are there."""
    notes: Notes = field(default_factory=Notes)
    last_wall: Wall = field(default_factory=Wall)
    """`wall` of the newest step row: its throughput."""
    skipped_lines: int = 0
    """Number of invalid lines."""
    unreadable_files: tuple[str, ...] = ()
    """Names of damaged JSON files; without `exit.json`: the status of such a run is `unknown`, with a reason."""
    version: int = 0

    @property
    def name(self) -> str:
        """The name in the notes, else the name of the experiment or the script, else the run id."""
        description = self.experiment or self.script or self.external
        return self.notes.name or (description.name if description else "") or self.folder.id

    @property
    def is_training(self) -> bool:
        """Whether it is a training of our own, which has epochs; a script and an external log may have none."""
        return self.script is None and self.external is None

    @property
    def attempts(self) -> list[Attempt]:
        """The attempts of this run, oldest first."""
        return attempts_of(self.journal)

    @property
    def curve(self) -> MetricColumns:
        """The training steps read so far, or evenly spaced rows until all are read."""
        return self.sampled if self.sampled is not None else self.steps

    @property
    def has_images(self) -> bool:
        """Whether images were logged for it."""
        return self.has_saved_images or bool(self.logged_images)

    def evaluations_of(self, split: str) -> list[EvaluationRow]:
        """The evaluations of a split, by step."""
        return [row for row in self.evaluations if row.split == split]


class RunReader:
    """Keeps a `RunView` up to date with the folder of a run, reading only what is new."""

    def __init__(self, folder: RunFolder) -> None:
        self.view = RunView(folder)
        self._advanced = True
        self._logs: RunLogs | None = None
        self._own_config = ScriptConfig()
        self._metrics: JsonlReader[MetricLine] = JsonlReader(folder.metrics, MetricLine)
        self._journal: JsonlReader[JournalLine] = JsonlReader(folder.journal, JournalLine)
        self._stamps: dict[str, int] = {}
        self._unreadable: set[str] = set()

    def poll(self, budget: int = READ_BUDGET) -> RunView:
        """The view after reading up to about `budget` more bytes of metrics. Call it again while `has_unread`."""
        view = self.view
        changed = self._poll_files()
        changed |= self._poll_journal()
        changed |= self._poll_metrics(budget)
        changed |= self._poll_logs()
        status = status_of(view.folder, view.attempts)
        changed |= self._poll_queue(status)
        if changed or status is not view.status:
            view.status = status
            view.unknown_reason = unknown_reason(view.folder) if status is Status.UNKNOWN else ""
            view.slurm_end = unrecorded_end(view.folder, view.exit) if status.ended else ""
            view.version += 1
        return view

    def _poll_queue(self, status: Status) -> bool:
        view, waits = self.view, status is Status.QUEUED
        before = view.waiting, view.pending_overrides, view.slurm_job
        view.waiting, view.slurm_job = read_waiting(view.folder) if waits else None, read_job(view.folder)
        view.pending_overrides = pending_overrides(view.folder) if waits else {}
        return before != (view.waiting, view.pending_overrides, view.slurm_job)

    def read_all(self) -> RunView:
        """The view after reading everything."""
        view = self.poll()
        while self.has_unread:
            view = self.poll()
        return view

    @property
    def has_unread(self) -> bool:
        """Whether another poll would read more. A torn last line does not count: it may never be completed."""
        logs = self._logs
        return (self._advanced and self._metrics.unread_bytes > 0) or (logs is not None and logs.pending)

    @property
    def external_series(self) -> dict[str, Series]:
        """What was read of logs that other programs write, by name."""
        return {} if self._logs is None else self._logs.series

    def close(self) -> None:
        """Close all open files."""
        self._metrics.close()
        self._journal.close()

    def _poll_files(self) -> bool:
        folder, view = self.view.folder, self.view
        before = self._contents()
        match self._newer(folder.experiment, read_description):
            case Experiment() as experiment:
                view.experiment = experiment
            case Script() as script:
                view.script = script
            case ExternalLog() as external:
                view.external = external
        config = self._newer(folder.config, partial(read_record, type=ScriptConfig))
        if config is not None:
            self._own_config = config
            self._merge_config()
        if self._newer(folder.data_location, read_json):
            view.experiment = read_experiment(folder.experiment) or view.experiment
        view.setup = self._newer(folder.setup, partial(read_record, type=Setup)) or view.setup
        view.heartbeat = self._newer(folder.heartbeat, partial(read_record, type=Heartbeat)) or view.heartbeat
        view.exit = self._newer(folder.exit, partial(read_record, type=Exit)) or view.exit
        view.notes = self._newer(folder.notes, partial(read_record, type=Notes)) or view.notes
        view.placement = self._newer(folder.placement, partial(read_record, type=Placement)) or view.placement
        view.nodes = self._newer(folder.nodes, partial(read_record, type=Nodes)) or view.nodes
        self._newer(folder.manifest, partial(read_record, type=Manifest))  # only whether it is readable
        view.unreadable_files = tuple(sorted(self._unreadable - {folder.exit.name}))
        view.has_saved_images = view.script is not None and folder.images.is_dir()
        return before != self._contents()

    def _contents(self) -> tuple[object, ...]:
        view = self.view
        return (
            view.experiment, view.script, view.external, view.config, view.setup, view.heartbeat, view.exit, view.notes,
            view.placement, view.nodes,
            view.unreadable_files, view.has_saved_images,
        )  # fmt: skip

    def _newer(self, path: Path, read: Callable[[Path], T | None]) -> T | None:
        """The record in a file that changed since it was last read; `None` where it did not, or is not readable."""
        self._unreadable.discard(path.name)
        try:
            status = path.stat()
        except OSError:
            return None
        stamp = status.st_mtime_ns ^ status.st_ino
        if self._stamps.get(path.name) == stamp:
            return None
        if (record := read(path)) is None:
            self._unreadable.add(path.name)
            return None
        self._stamps[path.name] = stamp
        return record

    def _poll_journal(self) -> bool:
        records, replaced = self._journal.read()
        if replaced:
            self.view.journal.clear()
        self.view.journal.extend(records)
        if any(isinstance(record, RefusedResume) for record in records):
            self.view.journal[:] = without_refused_settings(self.view.journal)
        return bool(records) or replaced

    def _poll_metrics(self, budget: int) -> bool:
        view, reader = self.view, self._metrics
        before = reader.offset
        first = before == 0
        records, replaced = reader.read(budget)
        self._advanced = replaced or reader.offset != before
        if replaced:
            view.steps, view.sampled = MetricColumns(), None
            view.epochs.clear()
            view.evaluations.clear()
            view.logged.clear()
            view.logged_step = 0
        for record in records:
            self._add_row(record)
        if first and reader.unread_bytes > budget:
            view.sampled = MetricColumns()
            for record in reader.sample(MAX_SAMPLED_ROWS):
                if isinstance(record, StepRow):
                    view.sampled.add(record)
        elif view.sampled is not None and reader.unread_bytes == 0:
            view.sampled = None
        view.skipped_lines = reader.skipped_lines + self._journal.skipped_lines
        return bool(records) or replaced

    def _poll_logs(self) -> bool:
        """Read what other programs log; of a script it stands beside what it logs with `workbench.log`."""
        view = self.view
        if view.is_training:
            return False
        found = self._newer(view.folder.found_logs, partial(read_record, type=FoundLogs))
        if self._logs is None or found is not None:
            self._logs = open_logs(view.external, view.script, found)
        if self._logs is None or not self._logs.poll():
            return False
        found_series = self._logs.series
        # Of a log that was rewritten, metrics may be gone.
        view.logged = found_series if view.external else {**view.logged, **found_series}
        steps = [series.steps[-1] for series in found_series.values() if len(series)]
        view.logged_step = max([0 if view.external else view.logged_step, *steps])
        view.logged_images, view.log_notices = self._logs.images, self._logs.notices
        self._merge_config()
        return True

    def _merge_config(self) -> None:
        """Settings and results: those in logs, and those that the script itself has reported."""
        own, logs = self._own_config, self._logs
        if logs is not None:
            own = ScriptConfig(config={**logs.config, **own.config}, summary={**logs.summary, **own.summary})
        self.view.config = own

    def _add_row(self, row: MetricLine) -> None:
        match row:
            case StepRow():
                self.view.steps.add(row)
                self.view.last_wall = row.wall
            case EpochRow():
                self.view.epochs.append(row)
            case EvaluationRow():
                self.view.evaluations.append(row)
            case LogRow():
                self.view.logged_step = max(self.view.logged_step, row.step)
                for name, value in row.values.items():
                    if (series := self.view.logged.get(name)) is None:
                        series = self.view.logged[name] = Series()
                    series.append(row.step, value, row.wall.time)


def read_view(folder: RunFolder) -> RunView:
    """Everything that a run has recorded until now. Raises `OSError`."""
    reader = RunReader(folder)
    try:
        return reader.read_all()
    finally:
        reader.close()
