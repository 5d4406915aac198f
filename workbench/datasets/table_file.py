"""Tables in text files: CSV with commas, semicolons or tabs, with or without names of columns. Imports no torch."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from workbench.core.errors import UserError, did_you_mean
from workbench.core.text import plural, sanitize
from workbench.io.regular_files import open_regular_file

_SEPARATORS = (",", ";", "\t")
_SAMPLED_ROWS = 20
_MAX_BYTES = 2_000_000_000
_MAX_LISTED = 12
NO_COLUMN = "none"
"""In place of the name of a column: there is none."""


@dataclass(frozen=True)
class Table:
    """The rows of a table; empty lines are left out."""

    path: Path
    rows: Sequence[Sequence[str]]
    lines: Sequence[int]
    """The line of the file in which each row ends."""
    header: Sequence[str] = ()
    """The names of the columns; empty where the table has none."""
    modified_ns: int = 0

    @property
    def name(self) -> str:
        """The name of the file."""
        return self.path.name

    @property
    def width(self) -> int:
        """The number of columns."""
        return len(self.header) or max(map(len, self.rows), default=0)

    def column_name(self, column: int) -> str:
        """The name of a column, or its number."""
        return self.header[column] if self.header else f"column {column + 1}"

    def column(self, wanted: str, setting: str) -> int:
        """The column that a setting calls by its name or its number. Raises `UserError`."""
        exact = [i for i, name in enumerate(self.header) if name == wanted]
        found = exact or [i for i, name in enumerate(self.header) if name.casefold() == wanted.casefold()]
        if len(found) > 1:
            raise UserError(
                f"{self.path} has {len(found)} columns {sanitize(wanted)!r}: give each its own name"
            )
        if found:
            return found[0]
        if wanted.isascii() and wanted.isdigit() and 1 <= int(wanted) <= self.width:
            return int(wanted) - 1
        raise UserError(
            f"{setting}: {self.path} has no column {sanitize(wanted)!r}{did_you_mean(wanted, self.header)}; "
            f"{self.describe_columns()}"
        )

    def describe_columns(self) -> str:
        """`its columns are id, breed`, or `it has 3 columns without names`."""
        if not self.header:
            return f"it has {plural(self.width, 'column')} without names, which are called 1 to {self.width}"
        names = ", ".join(sanitize(name, 24) for name in self.header[:_MAX_LISTED])
        more = len(self.header) - _MAX_LISTED
        return f"its columns are {names}" + (f" and {more} more" if more > 0 else "")

    def cell(self, row: int, column: int) -> str | None:
        """A cell without surrounding spaces; `None` where the row is shorter."""
        cells = self.rows[row]
        return cells[column].strip() if column < len(cells) else None

    def sample(self, column: int, count: int) -> list[str]:
        """At most `count` cells of a column with content, evenly spaced."""
        step = max(1, len(self.rows) // count)
        cells = [self.cell(row, column) for row in range(0, len(self.rows), step)]
        return [cell for cell in cells if cell][:count]

    def with_header(self) -> Table:
        """The table with the first row as the names of its columns."""
        return replace(
            self,
            header=tuple(cell.strip() for cell in self.rows[0]),
            rows=self.rows[1:],
            lines=self.lines[1:],
        )


def read_table(path: Path) -> Table:
    """A table, without names of columns. Raises `UserError` with one line for what is none."""
    with open_regular_file(path) as file:
        content = file.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise UserError(f"{path} is larger than {_MAX_BYTES // 10**9} GB: divide it")
    text = _decode(content, path)
    separator = _separator(text)
    rows, lines = [], []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        for cells in reader:
            if any(map(str.strip, cells)):
                rows.append(cells)
                lines.append(reader.line_num)
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}: {error}; it is no valid table") from None
    if not rows:
        raise UserError(f"{path} has no rows")
    return Table(path, rows, lines, modified_ns=path.stat().st_mtime_ns)


def _decode(content: bytes, path: Path) -> str:
    encoding: Literal["utf-16", "utf-8-sig"] = "utf-8-sig"
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}, line {line}: not UTF-8: save the table in UTF-8") from None
    if "\0" in text:
        raise UserError(f"{path} is no table of text: it has NUL characters")
    return text


def _separator(text: str) -> str:
    """The separator by which the first rows have the most columns, all of them."""

    def width(separator: str) -> int:
        reader = csv.reader(io.StringIO(text[:1_000_000], newline=""), delimiter=separator)
        widths = []
        try:
            for cells in reader:
                if cells:
                    widths.append(len(cells))
                if len(widths) == _SAMPLED_ROWS:
                    break
        except csv.Error:
            pass
        return min(widths, default=0)

    return max(_SEPARATORS, key=width)
