"""The formats of logs, where a log is, and when it was last written."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class LogFormat(StrEnum):
    """Who wrote a log."""

    TENSORBOARD = "tensorboard"
    LIGHTNING = "lightning"
    HUGGING_FACE = "hugging-face"
    ULTRALYTICS = "ultralytics"
    TIMM = "timm"
    WANDB = "wandb"
    KERAS = "keras"
    CSV = "csv"
    JSONL = "jsonl"


@dataclass(frozen=True, slots=True, order=True)
class LogSource:
    """One log: a file, or the folder of its files (`TENSORBOARD`, `HUGGING_FACE`)."""

    path: Path
    format: LogFormat


def stamp_logs(paths: Sequence[Path]) -> tuple[int, int]:
    """When any of these logs was last written, in nanoseconds, and their size; zeros where they are gone."""
    modified = size = 0
    for path in paths:
        for file in _files_of(path):
            try:
                status = file.stat()
            except OSError:
                continue
            modified, size = max(modified, status.st_mtime_ns), size + status.st_size
    return modified, size


def _files_of(path: Path) -> list[Path]:
    """The files of a log; a folder's other files may change without it, but seldom do."""
    try:
        with os.scandir(path) as entries:
            return [Path(entry.path) for entry in entries if entry.is_file()]
    except OSError:
        return [path]
