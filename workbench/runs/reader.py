"""Reads a run that others write: whole lines only, a bounded amount per call, the same for live and old runs."""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

from workbench.config.experiment import Experiment, read_experiment
from workbench.io.record_codec import decode, read_record
from workbench.runs.journal import Attempt, JournalLine, attempts_of
from workbench.runs.metrics import EpochRow, EvaluationRow, MetricLine, MetricRow, StepRow, Wall
from workbench.runs.records import Exit, Heartbeat, Notes, Setup
from workbench.runs.run_folder import RunFolder
from workbench.runs.status import Status, status_of

LONGEST_LINE = 1 << 20
SAMPLED_ABOVE = 4 << 20
SAMPLES = 2000
RATE = "samples_per_second"
"""The one figure of a row's `wall` that is kept as a column."""


T = TypeVar("T")


class JsonlReader(Generic[T]):
    """Follows a file of JSON lines: keeps its descriptor and an offset, and skips and counts what it can't read."""

    def __init__(self, path: Path, type: Any) -> None:
        self._path, self._type = path, type
        self._descriptor: int | None = None
        self._inode = 0
        self._skipping = False
        self.offset = 0
        self.skipped = 0

    def read(self, budget: int = SAMPLED_ABOVE) -> tuple[list[T], bool]:
        """The records added since the last call, up to about `budget` bytes, and whether to start afresh.

        The second value is true where the file was replaced or cut: what was read before no longer counts.
        """
        fresh = self._reopen()
        if self._descriptor is None:
            return [], fresh
        data = os.pread(self._descriptor, max(budget, LONGEST_LINE + 1), self.offset)
        end = data.rfind(b"\n") + 1
        if end == 0:
            self._pass_over(len(data))
            return [], fresh
        self.offset += end
        return self._records(data[:end]), fresh

    def sample(self, places: int) -> list[T]:
        """About `places` whole records spread evenly over the file; the offset does not move."""
        self._reopen()
        if self._descriptor is None:
            return []
        size = os.fstat(self._descriptor).st_size
        found: list[T] = []
        for place in range(places):
            data = os.pread(self._descriptor, 2048, size * place // places)
            first = data.find(b"\n")
            last = data.find(b"\n", first + 1)
            if 0 <= first < last and (record := decode(data[first + 1 : last], self._type)) is not None:
                found.append(record)
        return found

    @property
    def behind(self) -> int:
        """Bytes that lie ahead of the offset."""
        return 0 if self._descriptor is None else os.fstat(self._descriptor).st_size - self.offset

    def close(self) -> None:
        """Close the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _reopen(self) -> bool:
        """Open the file if it is new, replaced or cut; whether it was."""
        try:
            found = self._path.stat()
        except OSError:
            return False
        if self._descriptor is not None and found.st_ino == self._inode and found.st_size >= self.offset:
            return False
        fresh = self._descriptor is not None
        self.close()
        try:
            self._descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return fresh
        self._inode, self.offset, self._skipping = found.st_ino, 0, False
        return fresh

    def _pass_over(self, length: int) -> None:
        """A line longer than any of ours: leave it behind, and its end too when that comes."""
        if length > LONGEST_LINE:
            self.offset += length
            self._skipping = True

    def _records(self, data: bytes) -> list[T]:
        lines = data.split(b"\n")[:-1]
        if self._skipping:
            lines, self._skipping = lines[1:], False
            self.skipped += 1
        records: list[T] = []
        for line in lines:
            record = decode(line, self._type) if len(line) <= LONGEST_LINE else None
            if record is None:
                self.skipped += 1 if line else 0
            else:
                records.append(record)
        return records


@dataclass
class MetricColumns:
    """Metrics by step, a column each, in the order of the steps; a value that is missing is NaN."""

    step: array[float] = field(default_factory=lambda: array("d"))
    values: dict[str, array[float]] = field(default_factory=dict)

    def add(self, row: StepRow) -> None:
        """Append the metrics of a row."""
        rate = row.wall.samples_per_second
        known = (("epoch", row.epoch), ("count", row.count), ("loss", row.loss), ("accuracy", row.accuracy),
                 ("lr", row.lr), (RATE, rate))  # fmt: skip
        for name, value in known:
            if value is not None:
                if name not in self.values:
                    self.values[name] = array("d", [float("nan")] * len(self.step))
                self.values[name].append(value)
        self.step.append(row.step)
        for column in self.values.values():
            if len(column) < len(self.step):
                column.append(float("nan"))

    def column(self, name: str) -> array[float]:
        """One column; empty where no row had it."""
        return self.values.get(name) or array("d")

    def __len__(self) -> int:
        return len(self.step)


@dataclass
class RunView:
    """What is known of a run at one moment. `version` moves whenever anything else here does."""

    folder: RunFolder
    status: Status = Status.UNKNOWN
    experiment: Experiment | None = None
    """As it was started; `None` where its file is missing or damaged."""
    setup: Setup | None = None
    steps: MetricColumns = field(default_factory=MetricColumns)
    """Columns `loss`, `accuracy`, `lr`, `count`, ... of the training steps."""
    sampled: MetricColumns | None = None
    """Of a long record that is not read to its end yet: evenly spaced rows of the whole."""
    epochs: list[EpochRow] = field(default_factory=list)
    evaluations: list[EvaluationRow] = field(default_factory=list)
    journal: list[JournalLine] = field(default_factory=list)
    heartbeat: Heartbeat = field(default_factory=Heartbeat)
    exit: Exit | None = None
    notes: Notes = field(default_factory=Notes)
    last_wall: Wall = field(default_factory=Wall)
    """Of the newest step row: throughput."""
    skipped: int = 0
    """Lines that could not be read."""
    version: int = 0

    @property
    def name(self) -> str:
        """What a person calls it."""
        return self.notes.name or (self.experiment.name if self.experiment else "") or self.folder.id

    @property
    def attempts(self) -> list[Attempt]:
        """The starts of this run, oldest first."""
        return attempts_of(self.journal)

    @property
    def curve(self) -> MetricColumns:
        """The training steps as far as they are read, or the evenly spaced rows while that goes on."""
        return self.sampled if self.sampled is not None else self.steps

    def of_split(self, split: str) -> list[EvaluationRow]:
        """Evaluation rows of a split, by step."""
        return [row for row in self.evaluations if row.split == split]


class RunReader:
    """Keeps a `RunView` up to date with a run's folder, reading only what is new."""

    def __init__(self, folder: RunFolder) -> None:
        self.view = RunView(folder)
        self._moved = True
        self._metrics: JsonlReader[MetricLine] = JsonlReader(folder.metrics, MetricLine)
        self._journal: JsonlReader[JournalLine] = JsonlReader(folder.journal, JournalLine)
        self._stamps: dict[str, int] = {}

    def poll(self, budget: int = SAMPLED_ABOVE) -> RunView:
        """The view after reading up to about `budget` bytes more. Call again while `behind`."""
        view = self.view
        changed = self._poll_files()
        changed |= self._poll_journal()
        changed |= self._poll_metrics(budget)
        status = status_of(view.folder, view.attempts)
        if changed or status is not view.status:
            view.status = status
            view.version += 1
        return view

    def read_all(self) -> RunView:
        """The view with all that is there now."""
        view = self.poll()
        while self.behind:
            view = self.poll()
        return view

    @property
    def behind(self) -> bool:
        """Whether another poll would find more: a torn last line never becomes whole in an ended run."""
        return self._moved and self._metrics.behind > 0

    def close(self) -> None:
        """Close what is open."""
        self._metrics.close()
        self._journal.close()

    def _poll_files(self) -> bool:
        folder, view = self.view.folder, self.view
        before = (view.experiment, view.setup, view.heartbeat, view.exit, view.notes)
        view.experiment = self._newer(folder.experiment, read_experiment) or view.experiment
        view.setup = self._newer(folder.setup, partial(read_record, type=Setup)) or view.setup
        view.heartbeat = self._newer(folder.heartbeat, partial(read_record, type=Heartbeat)) or view.heartbeat
        view.exit = self._newer(folder.exit, partial(read_record, type=Exit)) or view.exit
        view.notes = self._newer(folder.notes, partial(read_record, type=Notes)) or view.notes
        return before != (view.experiment, view.setup, view.heartbeat, view.exit, view.notes)

    def _newer(self, path: Path, read: Callable[[Path], T | None]) -> T | None:
        """The record in a file that is another one than at the last look, once it can be read; else `None`."""
        try:
            found = path.stat()
        except OSError:
            return None
        stamp = found.st_mtime_ns ^ found.st_ino
        if self._stamps.get(path.name) == stamp or (record := read(path)) is None:
            return None
        self._stamps[path.name] = stamp
        return record

    def _poll_journal(self) -> bool:
        records, fresh = self._journal.read()
        if fresh:
            self.view.journal.clear()
        self.view.journal.extend(records)
        return bool(records) or fresh

    def _poll_metrics(self, budget: int) -> bool:
        view, reader = self.view, self._metrics
        before = reader.offset
        first = before == 0
        records, fresh = reader.read(budget)
        self._moved = fresh or reader.offset != before
        if fresh:
            view.steps, view.sampled = MetricColumns(), None
            view.epochs.clear()
            view.evaluations.clear()
        for record in records:
            self._take(record)
        if first and reader.behind > budget:
            view.sampled = MetricColumns()
            for record in reader.sample(SAMPLES):
                if isinstance(record, StepRow):
                    view.sampled.add(record)
        elif view.sampled is not None and reader.behind == 0:
            view.sampled = None
        view.skipped = reader.skipped + self._journal.skipped
        return bool(records) or fresh

    def _take(self, row: MetricRow) -> None:
        match row:
            case StepRow():
                self.view.steps.add(row)
                self.view.last_wall = row.wall
            case EpochRow():
                self.view.epochs.append(row)
            case EvaluationRow():
                self.view.evaluations.append(row)
