"""`trainer_state.json` of Hugging Face's Trainer, which is written again as a whole with every checkpoint."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from workbench.io.record_codec import encode_json
from workbench.logs.columns import Row
from workbench.logs.config_files import flatten
from workbench.logs.json_values import decode_json
from workbench.logs.log import Log, NoticeKind
from workbench.logs.source import LogSource

STATE_FILE = "trainer_state.json"
CHECKPOINT_PREFIX = "checkpoint-"
MAX_FILE_BYTES = 64 << 20
ROWS_PER_SLICE = 1000
_SETTINGS = frozenset({
    "eval_steps", "logging_steps", "max_steps", "num_train_epochs", "save_steps", "train_batch_size",
})  # fmt: skip


def newest_state_file(path: Path) -> Path | None:
    """The state file written last, in a folder or in its checkpoints; the one of the latest step within a second."""
    if not path.is_dir():
        return path
    folders = [path, *path.glob(f"{CHECKPOINT_PREFIX}*")]
    files = [folder / STATE_FILE for folder in folders if (folder / STATE_FILE).is_file()]
    return max(files, key=lambda file: (int(file.stat().st_mtime), _step_of(file)), default=None)


def _step_of(file: Path) -> float:
    """The step in the name of a checkpoint; infinity for the file that the end of a training writes."""
    step = file.parent.name.removeprefix(CHECKPOINT_PREFIX)
    return int(step) if step.isdecimal() else math.inf


class TrainerStateLog(Log):
    """The rows of `log_history` in the newest state file; if it continues the last one, only the new ones."""

    def __init__(self, source: LogSource) -> None:
        super().__init__(source)
        self._read_state: tuple[Path, int, int] | None = None
        self._rows = 0
        self._digest = _digest([])

    def _read(self) -> Iterator[None]:
        file = newest_state_file(self.source.path)
        if file is None:
            return
        status = file.stat()
        state = file, status.st_size, status.st_mtime_ns
        if state == self._read_state:
            return
        content = self._content(file, status.st_size)
        if content is None:
            return
        history = content.get("log_history")
        yield from self._read_history(history if isinstance(history, list) else [])
        fields = flatten({key: value for key, value in content.items() if key != "log_history"})
        self._add_config({name: value for name, value in fields.items() if name in _SETTINGS})
        self._add_summary({name: value for name, value in fields.items() if name not in _SETTINGS})
        self._read_state = state

    def _content(self, file: Path, size: int) -> Mapping[str, object] | None:
        """The state in a file; `None` if it is being written, damaged or too large."""
        try:
            content = decode_json(file.read_bytes()) if size <= MAX_FILE_BYTES else None
        except ValueError:
            content = None
        if not isinstance(content, dict):
            self._notice(NoticeKind.UNREADABLE_FILE)
            return None
        return content

    def _read_history(self, history: Sequence[object]) -> Iterator[None]:
        if _digest(history[: self._rows]) != self._digest:
            self._reset()
        for row in history[self._rows :]:
            self._rows += 1
            if isinstance(row, dict):
                self._add_row(Row.of(row))
            else:
                self._notice(NoticeKind.DAMAGED_RECORD)
            if self._rows % ROWS_PER_SLICE == 0:
                yield
        self._digest = _digest(history)

    def _reset(self) -> None:
        super()._reset()
        self._rows = 0
        self._digest = _digest([])


def _digest(rows: Sequence[object]) -> bytes:
    return hashlib.blake2b(encode_json(rows)).digest()
