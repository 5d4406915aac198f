"""Datasets of the user's own files, as `folder:PATH`: their prefixes, and how a path says which it is."""

from __future__ import annotations

import glob
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from workbench.core.errors import UserError
from workbench.core.paths import expand_user_path, is_file, is_folder

_RANGE = re.compile(r"\{([0-9]+)\.\.([0-9]+)\}")
_MAX_SHARDS = 100_000


@dataclass(frozen=True)
class FileSource:
    """A kind of such datasets."""

    kind: str
    """`csv`, of which the prefix is `csv:`."""
    argument: str
    """What the prefix is followed by, as help texts call it."""
    example: str
    """A path."""
    title: str
    """Before the path."""
    expected: str
    """What the path has to be, behind "expects"."""
    exists: Callable[[Path], bool] = is_file
    """Whether such a dataset is at a path."""
    suffixes: tuple[str, ...] = ()
    """Endings of a path without a prefix that is a dataset of this kind, in lower case."""
    is_folder: bool = False
    """Whether the path is a folder."""

    @property
    def prefix(self) -> str:
        """What the name of such a dataset begins with."""
        return f"{self.kind}:"

    def path(self, name: str) -> Path:
        """The absolute path in the name of such a dataset."""
        return expand_user_path(name.removeprefix(self.prefix)).absolute()

    def is_there(self, name: str) -> bool:
        """Whether the folder or the file of such a dataset exists."""
        return self.exists(self.path(name))

    def check(self, name: str) -> None:
        """Raise `UserError` where the folder or the file is missing."""
        if not self.is_there(name):
            what = "folder" if self.is_folder else "file"
            raise UserError(
                f"{what} not found: {self.path(name)} ({self.prefix}{self.argument} expects {self.expected})"
            )

    def absolute_name(self, name: str) -> str:
        """The name with an absolute path: a worker may start elsewhere. Raises `UserError` without a path."""
        if not name.removeprefix(self.prefix):
            raise UserError(f"{self.prefix} needs a path, for example {self.prefix}{self.example}")
        return f"{self.prefix}{self.path(name)}"


def expand_shards(pattern: Path) -> list[Path]:
    """The files of a pattern with `*`, `?`, `[…]` and `{0000..0009}`, sorted; those that exist.

    Raises `UserError` for a range of too many files.
    """
    text = str(pattern)
    if is_file(pattern):
        return [pattern]
    patterns = [text]
    while match := _RANGE.search(patterns[0]):
        first, last = match.groups()
        if int(last) - int(first) >= _MAX_SHARDS // len(patterns):
            raise UserError(f"{text} stands for more than {_MAX_SHARDS:,} files")
        numbers = [str(number).zfill(len(first)) for number in range(int(first), int(last) + 1)]
        patterns = [_RANGE.sub(number, one, count=1) for one in patterns for number in numbers]
        if not patterns:
            return []
    found = {name for one in patterns for name in _matches(one)}
    return [Path(name) for name in sorted(found) if is_file(Path(name))]


def _matches(pattern: str) -> list[str]:
    if not glob.has_magic(pattern):
        return [pattern]
    # Unlike `Path.glob` it takes an absolute pattern.
    return glob.glob(pattern)  # noqa: PTH207


def _has_shards(pattern: Path) -> bool:
    return bool(expand_shards(pattern))


def find_parquet(path: Path) -> list[Path]:
    """The files at a path: itself, or those in a folder at any depth, sorted."""
    if is_file(path):
        return [path]
    return sorted(file for file in path.rglob("*.parquet") if is_file(file)) if is_folder(path) else []


def _has_parquet(path: Path) -> bool:
    return bool(find_parquet(path))


FOLDER = FileSource(
    "folder", "PATH", "./pets", "images in", "one subfolder per class", is_folder, is_folder=True
)
CSV = FileSource(
    "csv", "FILE", "./labels.csv", "images listed in", "a table of image paths and classes",
    suffixes=(".csv", ".tsv"),
)  # fmt: skip
NPZ = FileSource(
    "npz", "FILE", "./digits.npz", "arrays in", "arrays of images and labels", suffixes=(".npz",)
)
TAR = FileSource(
    "tar", "PATTERN", "'./train-{0000..0009}.tar'", "images in", "shards of images and classes", _has_shards,
    suffixes=(".tar", ".tar.gz", ".tgz"),
)  # fmt: skip
PARQUET = FileSource(
    "parquet", "PATH", "./data", "images in", "a file, or a folder of them, with images and classes", _has_parquet,
    suffixes=(".parquet",),
)  # fmt: skip
SOURCES = (FOLDER, CSV, NPZ, TAR, PARQUET)
LISTED_KINDS = frozenset({"folder", "csv"})
"""Those of image files, which are listed before a run starts."""
PREFIXES = tuple(source.prefix for source in SOURCES)
SUFFIXES = tuple(suffix for source in SOURCES for suffix in source.suffixes)


def find_source(name: str) -> FileSource | None:
    """The kind of a dataset of files by its prefix, or by the ending of a path without one; `None` for others."""
    by_prefix = (source for source in SOURCES if name.startswith(source.prefix))
    by_suffix = (source for source in SOURCES if name.lower().endswith(source.suffixes))
    return next(by_prefix, None) or next(by_suffix, None)


def is_listed(name: str) -> bool:
    """Whether a dataset consists of image files that are listed before a run starts."""
    source = find_source(name)
    return source is not None and source.kind in LISTED_KINDS
