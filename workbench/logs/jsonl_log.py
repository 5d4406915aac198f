"""Files with a JSON object in each line, whose first key is a step or an epoch."""

from __future__ import annotations

from collections.abc import Iterator

from workbench.logs.columns import Row
from workbench.logs.json_values import decode_json
from workbench.logs.line_reader import LineReader
from workbench.logs.log import Log, NoticeKind
from workbench.logs.source import LogSource


class JsonlLog(Log):
    """The metrics in a file of JSON lines."""

    def __init__(self, source: LogSource) -> None:
        super().__init__(source)
        self._lines = LineReader(source.path)

    def _read(self) -> Iterator[None]:
        for lines in self._lines.read():
            for line in lines:
                self._read_line(line)
            yield

    def _reset(self) -> None:
        super()._reset()
        self._lines.rewind()

    def _read_line(self, line: str) -> None:
        if not line or line.isspace():
            return
        try:
            record = decode_json(line)
        except ValueError:
            record = None
        if isinstance(record, dict):
            self._add_row(Row.of(record))
        else:
            self._notice(NoticeKind.INVALID_LINE)
