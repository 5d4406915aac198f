"""Files with a JSON object in each line, whose first key is a step or an epoch."""

from __future__ import annotations

from workbench.logs.columns import Row
from workbench.logs.json_values import decode_json
from workbench.logs.line_log import LineLog
from workbench.logs.log import NoticeKind


class JsonlLog(LineLog):
    """The metrics in a file of JSON lines."""

    def _read_line(self, line: str) -> None:
        try:
            record = decode_json(line)
        except ValueError:
            record = None
        if isinstance(record, dict):
            self._add_row(Row.of(record))
        else:
            self._notice(NoticeKind.INVALID_LINE)
