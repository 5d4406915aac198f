"""The formats of logs, and where a log is."""

from __future__ import annotations

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
