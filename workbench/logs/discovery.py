"""Which logs a file or folder holds, by a look at names and first lines."""

from __future__ import annotations

import csv
import os
from collections import deque
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from workbench.logs.columns import begin_with_axis
from workbench.logs.event_log import EVENT_FILE_MARK
from workbench.logs.json_values import decode_json
from workbench.logs.source import LogFormat, LogSource
from workbench.logs.table_log import TableHeader, parse_header
from workbench.logs.trainer_state_log import CHECKPOINT_PREFIX, STATE_FILE

MAX_ENTRIES = 20_000
MAX_DEPTH = 8
MAX_OPENED_FILES = 1000
FIRST_LINE_BYTES = 1 << 16
TABLE_SUFFIXES = frozenset({".csv", ".tsv", ".log", ".txt"})
JSON_LINES_SUFFIXES = frozenset({".jsonl", ".ndjson", ".json", ".log", ".txt"})


def find_logs(path: Path) -> list[LogSource]:
    """The logs in a file or folder, by path.

    Of a folder, at most `MAX_ENTRIES` names in `MAX_DEPTH` levels are looked at, the upper levels first. Hidden
    folders and links to folders are left out. What can't be read counts as empty.
    """
    if path.is_file():
        format = _format_by_name(path) or _format_by_content(path)
        return [] if format is None else [LogSource(path, format)]
    found: set[LogSource] = set()
    opened_files = 0
    for file in _files(path):
        format = _format_by_name(file)
        if (
            format is None
            and file.suffix in TABLE_SUFFIXES | JSON_LINES_SUFFIXES
            and opened_files < MAX_OPENED_FILES
        ):
            opened_files += 1
            format = _format_by_content(file)
        if format is not None:
            found.add(LogSource(_log_path(file, format, path), format))
    return sorted(found)


def _files(root: Path) -> Iterator[Path]:
    """The files in a folder, level by level and in the order of their names."""
    folders = deque([(root, 0)])
    entries_left = MAX_ENTRIES
    while folders and entries_left > 0:
        folder, depth = folders.popleft()
        try:
            with os.scandir(folder) as entries:
                listed = sorted(islice(entries, entries_left), key=lambda entry: entry.name)
        except OSError:
            continue
        entries_left -= len(listed)
        for entry in listed:
            if entry.is_file():
                yield Path(entry.path)
            elif depth < MAX_DEPTH and not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False):
                folders.append((Path(entry.path), depth + 1))


def _log_path(file: Path, format: LogFormat, root: Path) -> Path:
    """The file, or the folder of the log that it belongs to."""
    if (
        format is LogFormat.HUGGING_FACE
        and file.parent.name.startswith(CHECKPOINT_PREFIX)
        and file.parent != root
    ):
        return file.parent.parent
    return file.parent if format in {LogFormat.TENSORBOARD, LogFormat.HUGGING_FACE} else file


def _format_by_name(file: Path) -> LogFormat | None:
    if EVENT_FILE_MARK in file.name:
        return LogFormat.TENSORBOARD
    if file.name == STATE_FILE:
        return LogFormat.HUGGING_FACE
    return LogFormat.WANDB if file.suffix == ".wandb" else None


def _format_by_content(file: Path) -> LogFormat | None:
    """The format of a text file, by its first line."""
    try:
        with file.open("rb") as opened:
            line = opened.readline(FIRST_LINE_BYTES).decode("utf-8", "replace").strip()
    except OSError:
        return None
    if line.startswith("{"):
        return LogFormat.JSONL if file.suffix in JSON_LINES_SUFFIXES and _begins_with_axis(line) else None
    if file.suffix not in TABLE_SUFFIXES:
        return None
    try:
        return _table_format(file, parse_header(line))
    except csv.Error:
        return None


def _begins_with_axis(line: str) -> bool:
    """Whether a line is a JSON object whose first key is a step or an epoch."""
    try:
        record = decode_json(line)
    except ValueError:
        return False
    return isinstance(record, dict) and begin_with_axis(record)


def _table_format(file: Path, header: TableHeader) -> LogFormat | None:
    """Who wrote a table, by its name, its columns and the files beside it."""
    names = header.names
    if file.name == "metrics.csv" and {"step", "epoch"} <= set(names):
        return LogFormat.LIGHTNING
    if len(names) < 2 or not begin_with_axis(names):
        return None
    has_settings = file.with_name("args.yaml").is_file()
    if file.name == "results.csv" and (has_settings or "train/box_loss" in names):
        return LogFormat.ULTRALYTICS
    if file.name == "summary.csv" and (has_settings or "eval_top1" in names):
        return LogFormat.TIMM
    metrics = [name for name in names[1:] if not name.startswith("val_")]
    if names[0] == "epoch" and "loss" in metrics and metrics == sorted(metrics):
        return LogFormat.KERAS
    return LogFormat.CSV
