"""CSV files with a step or an epoch in each row: Lightning, Ultralytics, timm, Keras, and others alike."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from workbench.logs.columns import MIN_DATE, MISSING, Role, is_axis, is_number, role, wall_seconds
from workbench.logs.line_log import LineLog
from workbench.logs.log import NoticeKind
from workbench.logs.series import as_step
from workbench.logs.source import LogFormat, LogSource

DELIMITERS = ",;\t"
SETTINGS_FILES = {
    LogFormat.LIGHTNING: "hparams.yaml",
    LogFormat.ULTRALYTICS: "args.yaml",
    LogFormat.TIMM: "args.yaml",
}


@dataclass(frozen=True, slots=True)
class TableHeader:
    """The columns of a table."""

    names: tuple[str, ...]
    delimiter: str

    @property
    def has_axis(self) -> bool:
        """Whether a column holds steps or epochs."""
        return any(map(is_axis, self.names))

    def split(self, line: str) -> list[str]:
        """The cells of a row. Raises `csv.Error`."""
        if '"' in line:
            return next(csv.reader([line], delimiter=self.delimiter), [])
        return line.split(self.delimiter)

    def index(self, wanted: Role) -> int | None:
        """The first column with a role."""
        return next((index for index, name in enumerate(self.names) if role(name) is wanted), None)


def parse_header(line: str) -> TableHeader:
    """The header in the first line of a table. Raises `csv.Error`."""
    delimiter = max(DELIMITERS, key=line.count)
    names = TableHeader((), delimiter).split(line.removeprefix("\ufeff"))
    return TableHeader(tuple(name.strip() for name in names), delimiter)


class TableLog(LineLog):
    """The metrics in a CSV file, and the settings in the YAML file beside it."""

    def __init__(self, source: LogSource) -> None:
        super().__init__(source)
        self._header: TableHeader | None = None
        self._axes: tuple[int | None, int | None] = (None, None)
        self._wall_time: int | None = None
        self._time: int | None = None
        """The column that is a wall time if it holds dates, which its first cell shows."""
        self._metrics: list[tuple[int, str]] = []

    def _read(self) -> Iterator[None]:
        if self.source.format in SETTINGS_FILES:
            self._read_settings(self.source.path.parent / SETTINGS_FILES[self.source.format])
        yield from super()._read()

    def _reset(self) -> None:
        super()._reset()
        self._header = None

    def _read_line(self, line: str) -> None:
        try:
            valid = self._read_header(line) or self._read_row(line)
        except csv.Error:
            valid = False
        if not valid:
            self._notice(NoticeKind.INVALID_LINE)

    def _read_header(self, line: str) -> bool:
        """Read the first line, or another header: a training that was resumed appends its own."""
        if self._header is not None and is_number(line[:1]):
            return False
        header = parse_header(line)
        if self._header is not None and (not header.has_axis or any(map(is_number, header.names))):
            return False
        self._use_header(header)
        return True

    def _use_header(self, header: TableHeader) -> None:
        self._header = header
        self._axes = header.index(Role.STEP), header.index(Role.EPOCH)
        self._use_wall_time(header.index(Role.WALL_TIME))
        self._time = header.index(Role.TIME) if self._wall_time is None else None

    def _use_wall_time(self, column: int | None) -> None:
        """Take a column as the wall time; all that are no axis either are metrics."""
        assert self._header is not None
        self._wall_time, names = column, enumerate(self._header.names)
        self._metrics = [(i, name) for i, name in names if name and i not in {*self._axes, column}]

    def _read_row(self, line: str) -> bool:
        """Add the points in a row; whether it fits the header, and its step and epoch are numbers or missing."""
        assert self._header is not None
        cells = self._header.split(line)
        if len(cells) != len(self._header.names):
            return False
        if self._time is not None:
            column, self._time = self._time, None
            if wall_seconds(cells[column]) > MIN_DATE:
                self._use_wall_time(column)
        try:
            step, epoch = (_axis_value(cells, index) for index in self._axes)
        except ValueError:
            return False
        wall_time = math.nan if self._wall_time is None else wall_seconds(cells[self._wall_time])
        row_step = as_step(epoch if math.isnan(step) else step)
        for index, name in self._metrics:
            try:
                value = float(cells[index])
            except ValueError:
                if name in self.series and cells[index].strip() not in MISSING:
                    self._notice(NoticeKind.INVALID_VALUE)
            else:
                self._add_point(name, row_step, value, wall_time, epoch)
        return True


def _axis_value(cells: Sequence[str], index: int | None) -> float:
    """The number in a cell; NaN if there is none. Raises `ValueError` for text."""
    if index is None or cells[index].strip() in MISSING:
        return math.nan
    return float(cells[index])
