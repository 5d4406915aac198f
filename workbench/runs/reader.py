"""Reads a run that others write: whole lines only, a bounded amount per call, the same for live and old runs."""

from __future__ import annotations

import os
from array import array
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.io.atomic import read_json
from workbench.runs.layout import RunFolder
from workbench.runs.records import attempts_of, decode, number
from workbench.runs.status import Status, status_of

LONGEST_LINE = 1 << 20
SAMPLED_ABOVE = 4 << 20
SAMPLES = 2000
RATE = "samples_per_second"
"""The one figure of a row's `wall` that is kept as a column."""


class LineReader:
    """Follows a file of JSON lines: keeps its descriptor and an offset, and skips and counts what it can't read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None
        self._inode = 0
        self._skipping = False
        self.offset = 0
        self.skipped = 0

    def read(self, budget: int = SAMPLED_ABOVE) -> tuple[list[dict[str, Any]], bool]:
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

    def sample(self, places: int) -> list[dict[str, Any]]:
        """About `places` whole records spread evenly over the file; the offset does not move."""
        self._reopen()
        if self._descriptor is None:
            return []
        size, found = os.fstat(self._descriptor).st_size, []
        for place in range(places):
            data = os.pread(self._descriptor, 2048, size * place // places)
            first = data.find(b"\n")
            last = data.find(b"\n", first + 1)
            if 0 <= first < last and (record := decode(data[first + 1 : last])) is not None:
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

    def _records(self, data: bytes) -> list[dict[str, Any]]:
        lines = data.split(b"\n")[:-1]
        if self._skipping:
            lines, self._skipping = lines[1:], False
            self.skipped += 1
        records = []
        for line in lines:
            record = decode(line) if len(line) <= LONGEST_LINE else None
            if record is None:
                self.skipped += 1 if line else 0
            else:
                records.append(record)
        return records


@dataclass
class Columns:
    """Figures by step, a column each, in the order of the steps; a figure that is missing is NaN."""

    step: array[float] = field(default_factory=lambda: array("d"))
    values: dict[str, array[float]] = field(default_factory=dict)

    def add(self, record: dict[str, Any]) -> None:
        """Append the figures of a record that carries a `step`."""
        step = number(record.get("step"))
        if step is None:
            return
        wall = record.get("wall")
        rate = {RATE: wall.get(RATE)} if isinstance(wall, dict) else {}
        for name, value in {**record, **rate}.items():
            if name not in {"v", "step", "kind", "split"} and (figure := number(value)) is not None:
                if name not in self.values:
                    self.values[name] = array("d", [float("nan")] * len(self.step))
                self.values[name].append(figure)
        self.step.append(step)
        for column in self.values.values():
            if len(column) < len(self.step):
                column.append(float("nan"))

    def column(self, name: str) -> array[float]:
        """One column; empty where no record had it."""
        return self.values.get(name) or array("d")

    def __len__(self) -> int:
        return len(self.step)


@dataclass
class RunView:
    """What is known of a run at one moment. `version` moves whenever anything else here does."""

    folder: RunFolder
    status: Status = Status.UNKNOWN
    experiment: dict[str, Any] = field(default_factory=dict)
    setup: dict[str, Any] | None = None
    steps: Columns = field(default_factory=Columns)
    """Columns `loss`, `accuracy`, `lr`, `count`, ... of the training steps."""
    sampled: Columns | None = None
    """Of a long record that is not read to its end yet: evenly spaced rows of the whole."""
    epochs: list[dict[str, Any]] = field(default_factory=list)
    evaluations: list[dict[str, Any]] = field(default_factory=list)
    journal: list[dict[str, Any]] = field(default_factory=list)
    heartbeat: dict[str, Any] = field(default_factory=dict)
    exit: dict[str, Any] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    last_wall: dict[str, Any] = field(default_factory=dict)
    """`wall` of the newest step row: throughput."""
    skipped: int = 0
    version: int = 0

    @property
    def name(self) -> str:
        """What a person calls it."""
        return str(self.notes.get("name") or self.experiment.get("name") or self.folder.id)

    @property
    def attempts(self) -> list[dict[str, Any]]:
        """The starts of this run, oldest first."""
        return attempts_of(self.journal)

    @property
    def curve(self) -> Columns:
        """The training steps as far as they are read, or the evenly spaced rows while that goes on."""
        return self.sampled if self.sampled is not None else self.steps

    def of_split(self, split: str) -> list[dict[str, Any]]:
        """Evaluation rows of a split, by step."""
        return [row for row in self.evaluations if row.get("split") == split]


class RunReader:
    """Keeps a `RunView` up to date with a run's folder, reading only what is new."""

    def __init__(self, folder: RunFolder) -> None:
        self.view = RunView(folder)
        self._moved = True
        self._metrics = LineReader(folder.metrics)
        self._journal = LineReader(folder.journal)
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
        changed = False
        for name, path in (
            ("experiment", folder.experiment),
            ("setup", folder.setup),
            ("heartbeat", folder.heartbeat),
            ("exit", folder.exit),
            ("notes", folder.notes),
        ):
            try:
                found = path.stat()
                stamp = found.st_mtime_ns ^ found.st_ino
            except OSError:
                continue
            if self._stamps.get(name) == stamp or (record := read_json(path)) is None:
                continue
            self._stamps[name] = stamp
            setattr(view, name, record)
            changed = True
        return changed

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
            view.steps, view.sampled = Columns(), None
            view.epochs.clear()
            view.evaluations.clear()
        for record in records:
            self._take(record)
        if first and reader.behind > budget:
            view.sampled = Columns()
            for record in reader.sample(SAMPLES):
                if record.get("kind") == "step":
                    view.sampled.add(record)
        elif view.sampled is not None and reader.behind == 0:
            view.sampled = None
        view.skipped = reader.skipped + self._journal.skipped
        return bool(records) or fresh

    def _take(self, record: dict[str, Any]) -> None:
        match record.get("kind"):
            case "step":
                self.view.steps.add(record)
                self.view.last_wall = record.get("wall") or {}
            case "epoch":
                self.view.epochs.append(record)
            case "evaluation":
                self.view.evaluations.append(record)
