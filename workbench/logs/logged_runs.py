"""The runs in a folder of logs: one for each subfolder with logs, as TensorBoard and Lightning lay them out."""

from __future__ import annotations

import os
import stat
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from workbench.core.errors import UserError
from workbench.logs.discovery import find_logs
from workbench.logs.event_log import EVENT_FILE_MARK
from workbench.logs.open_log import open_log
from workbench.logs.source import LogFormat, LogSource, stamp_logs

CHECK_SECONDS = 0.05
"""How long a log is read to see whether there is something in it."""
_FOLDER_FORMATS = {
    LogFormat.TENSORBOARD, LogFormat.LIGHTNING, LogFormat.HUGGING_FACE, LogFormat.ULTRALYTICS, LogFormat.TIMM,
}  # fmt: skip
"""Formats of programs that give each run a folder: all such logs of a folder belong to one run."""
_COMMON_STEMS = {
    "log",
    "logs",
    "metrics",
    "results",
    "summary",
    "history",
    "progress",
    "training",
    "train_log",
}
"""Names of files that say nothing about the run."""
_LOGGER_FOLDERS = {"lightning_logs", "tb_logs", "runs", "wandb"}
"""Folders that loggers create between an experiment and its runs: they are left out of the runs' names."""
_KNOWN = (
    "TensorBoard, W&B, Lightning, Hugging Face, Ultralytics, timm, Keras, CSV or JSON lines by step or epoch"
)


@dataclass(frozen=True, slots=True)
class LoggedRun:
    """A run that another program logs, or has logged."""

    name: str
    sources: tuple[LogSource, ...]

    @property
    def modified(self) -> float:
        """When it was last written, Unix seconds."""
        return stamp_logs([source.path for source in self.sources])[0] / 1e9


def find_logged_runs(path: Path) -> list[LoggedRun]:
    """The runs in a file or folder, by name. Raises `UserError` where there is none, and says why."""
    _check_readable(path)
    runs = sorted(_runs(path, find_logs(path)), key=lambda run: run.name)
    if not runs:
        raise UserError(f"{path}: no log found ({_KNOWN})")
    _check_content(path, runs)
    return runs


def _check_readable(path: Path) -> None:
    """Raise `UserError` if a file or folder is not there, can't be read or is empty."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            with os.scandir(path) as entries:
                empty = next(entries, None) is None
        elif stat.S_ISREG(mode):
            with path.open("rb") as file:
                empty = not file.read(1)
        else:
            raise UserError(f"{path} is neither a file nor a folder")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file or folder") from None
    except OSError as error:
        raise UserError(f"{path} can't be read: {error.strerror}") from None
    if empty:
        raise UserError(f"{path} is empty: there is no log in it")


def _check_content(path: Path, runs: Sequence[LoggedRun]) -> None:
    """Raise `UserError` if nothing in any of the logs can be read. A log without content so far is no error."""
    notices: list[str] = []
    for source in (source for run in runs for source in run.sources):
        log = open_log(source)
        log.poll(CHECK_SECONDS)
        has_content = log.pending or log.series or log.images or log.texts or log.config
        if has_content or not (log.notices or log.is_garbled):
            return
        notices += log.notice_lines or ["no record that is complete"]
    raise UserError(f"{path}: nothing in it can be read ({', '.join(dict.fromkeys(notices))})")


def _runs(root: Path, sources: Sequence[LogSource]) -> Iterator[LoggedRun]:
    by_folder: defaultdict[Path, list[LogSource]] = defaultdict(list)
    for source in sources:
        by_folder[source.path if source.path.is_dir() else source.path.parent].append(source)
    for folder, found in by_folder.items():
        of_folder = [source for source in found if source.format in _FOLDER_FORMATS]
        others = [source for source in found if source.format not in _FOLDER_FORMATS]
        if of_folder:
            yield LoggedRun(_folder_name(root, folder), tuple(of_folder))
        for source in others:
            name = _folder_name(root, folder)
            if len(found) > 1 or folder == _base(root):
                name = _file_name(source.path, name, inside=folder != _base(root))
            yield LoggedRun(name, (source,))


def _base(root: Path) -> Path:
    return root if root.is_dir() else root.parent


def _folder_name(root: Path, folder: Path) -> str:
    """The way from the root to a folder; of the root itself its own name."""
    base = _base(root)
    if folder == base:
        return base.resolve().name or "logs"
    parts = folder.relative_to(base).parts
    return "/".join([part for part in parts if part not in _LOGGER_FOLDERS] or parts)


def _file_name(file: Path, folder_name: str, *, inside: bool) -> str:
    """The name of one of several logs of a folder, or of a log in the root itself."""
    stem = file.stem
    if not inside:
        return folder_name if stem.lower() in _COMMON_STEMS or EVENT_FILE_MARK in file.name else stem
    return f"{folder_name}/{stem}"
