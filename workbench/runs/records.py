"""What the lines and files of a run say, and how they are written and read.

Every record is a JSON object with a version (`"v"`). Lines of `metrics.jsonl`:

- `step`: means over the `count` steps since the row before (`loss`, `accuracy`), `lr`, placed by `step`;
- `epoch`: means over one epoch's training steps;
- `evaluation`: `split`, `loss`, metrics; `best` where it is the best so far; `final` where it is the run's
  result (the test split with the weights that are kept).

Lines of `journal.jsonl`: `attempt`, `change`, `phase`, `answer`, `notice`, `system`, each with `time`.

- `attempt` (supervisor): its number, overrides, `from_step`, whether it was told to begin again (`from_start`), host,
  boot id, versions, ...;
- `change`: `setting` (`"train.lr"`), `value`, `before`, `step`; replayed on resume; of the worker's own accord
  (`"who": "worker"`) with `why`: `went back`, `out of memory`;
- `phase` (worker): `attempt`, `phase`, `step` where it paused and went on, `seconds` spent so far by the attempt
  (`load`, `train`, `evaluate`, `total`); the first one of `training` also has `device` and `threads`; the last one
  is `ended`;
- `notice`: `text` for a person; with `"exact": false` where the run is no longer exactly an uncut one, and with
  `from_step` where an attempt begins elsewhere than expected (a checkpoint was passed over), and with `"stalled": true`
  where nothing has moved for too long;
- `system` (supervisor): what the worker takes of the machine, see `usage`.

`heartbeat.json`: `attempt`, `counter`, `phase`, `step`, `steps_total`, `epoch` (completed), `epochs_total`,
`progress` (`what`, `done`, `total`, `unit`), `best` (`value`, `epoch`, `metric`), `latest` (`loss`,
`accuracy`), `saved` (whether there is a checkpoint), `eta` in seconds, `device`, `seconds` as above, `time`; written
a last time when the worker ends.

`exit.json`: `status` (`finished`, `stopped`, `failed`), `attempt`, `reason`, `time`.

What depends on time or load stands under `"wall"`. NaN and infinities are strings: JSON has no others.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from workbench.io.atomic import sync_folder

VERSION = 1
ENDED = "ended"
"""The `phase` line that closes an attempt and carries its `seconds`."""
WATCHED = ("workbench", "torch", "torchvision", "numpy")
"""Packages whose versions an `attempt` line has, beside Python's."""

R = TypeVar("R", bound=Mapping[str, Any])
_WORDS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_decode = msgspec.json.Decoder().decode


def epoch_of(evaluation: Mapping[str, Any]) -> Any:
    """The epoch whose weights were measured: of a result it is often an earlier one than the last."""
    return evaluation.get("weights_epoch", evaluation.get("epoch"))


def encode(record: dict[str, Any]) -> bytes:
    """One line of a record, with its newline."""
    return msgspec.json.encode({"v": VERSION, **_spoken(record)}) + b"\n"


def decode(line: bytes) -> dict[str, Any] | None:
    """The record that a line holds; `None` for a line that holds none."""
    try:
        record = _decode(line)
    except (msgspec.MsgspecError, RecursionError):  # brackets nested too deep end in the second
        return None
    return record if isinstance(record, dict) else None


def number(value: Any) -> float | None:
    """A figure of a record as a float (`"NaN"` as NaN); `None` for what is no figure."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return float(value)
    return _WORDS.get(value) if isinstance(value, str) else None


def _spoken(value: Any) -> Any:
    """`value` with non-finite numbers as strings."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {key: _spoken(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_spoken(inner) for inner in value]
    return value


class LineWriter:
    """Appends records to a file, each with one `write()`, so that readers never see half of two."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self.offset = os.fstat(self._descriptor).st_size
        """Bytes written so far: where the next line begins."""
        self._torn = _ends_torn(self._descriptor)
        self.keep_trying: Callable[[Callable[[], None]], None] = _once
        """Calls what it is given; may do so again where the disk has no room."""

    def write(self, record: dict[str, Any]) -> None:
        """Append one line. After a write that the disk cut short, the next line starts on a row of its own."""
        self.keep_trying(partial(self._append, record))

    def _append(self, record: dict[str, Any]) -> None:
        data = (b"\n" if self._torn else b"") + encode(record)
        written = os.write(self._descriptor, data)
        self.offset += written
        self._torn = written < len(data)
        if self._torn:
            raise OSError(28, "No space left on device")

    def sync(self) -> None:
        """Return when all that was written is on the disk."""
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


def _ends_torn(descriptor: int) -> bool:
    size = os.fstat(descriptor).st_size
    return size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"


def _once(work: Callable[[], None]) -> None:
    work()


class Journal(LineWriter):
    """Appends what happened, with the time."""

    def note(self, kind: str, **values: Any) -> None:
        """Append one line of `kind`, on a row of its own even if another writer was killed within its line."""
        self._torn = _ends_torn(self._descriptor)
        self.write({"kind": kind, "time": round(time.time(), 3), **values})


def keep_until(path: Path, offset: int) -> int:
    """Put a copy of the first `offset` bytes in the place of `path` (a new inode, which readers notice).

    Returns how many there were, which can be less.
    """
    temporary = path.with_name(path.name + ".kept")
    with path.open("rb") as old, temporary.open("wb") as new:
        left = offset
        while left > 0 and (chunk := old.read(min(left, 1 << 20))):
            new.write(chunk)
            left -= len(chunk)
        new.flush()
        os.fsync(new.fileno())
    temporary.chmod(0o600)
    temporary.replace(path)
    sync_folder(path.parent)
    return offset - left


def attempts_of(journal: Iterable[R]) -> list[R]:
    """The starts of a run among the records of its journal, oldest first."""
    return [record for record in journal if record.get("kind") == "attempt"]


def read_lines(path: Path) -> list[dict[str, Any]]:
    """All records of a short file (a journal), unreadable lines left out."""
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError:
        return []
    return [record for line in lines if line and (record := decode(line)) is not None]
