"""The images that a script, or another program, has logged for a run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import msgspec

from workbench.runs.reader import RunView
from workbench.runs.run_folder import RunFolder

_FILE_NAME = re.compile(r"step-(\d+)\.png")


class LoggedImage(msgspec.Struct, frozen=True):
    """An image, and where it is: a file, or `size` bytes at `offset` of one."""

    step: int
    name: str
    path: Path
    offset: int = 0
    size: int | None = None


def has_logged_images(view: RunView) -> bool:
    """Whether a run has logged any image; reads at most two folders."""
    return bool(view.logged_images) or next(_saved_images(view.folder), None) is not None


def list_logged_images(view: RunView) -> list[LoggedImage]:
    """The images that a run has logged, the newest first; those of a step by name. Raises `OSError`."""
    found = list(_saved_images(view.folder))
    for name, references in list(view.logged_images.items()):
        found += [LoggedImage(one.step, name, one.path, one.offset, one.size) for one in list(references)]
    return sorted(found, key=lambda image: (-image.step, image.name))


def _saved_images(folder: RunFolder) -> Iterator[LoggedImage]:
    """The images in the folder of a run."""
    try:
        names = sorted(folder.images.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return
    for place in filter(Path.is_dir, names):
        for path in place.iterdir():
            if match := _FILE_NAME.fullmatch(path.name):
                yield LoggedImage(int(match[1]), unquote(place.name), path)
