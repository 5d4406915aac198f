"""Which arrays of an `.npz` file are the images and labels of which split. Imports no numpy: the screen reads it."""

from __future__ import annotations

import ast
import lzma
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from workbench.core.errors import UserError
from workbench.core.text import sanitize
from workbench.datasets.file_options import NpzOptions
from workbench.io.regular_files import open_regular_file

_INPUT_NAMES = ("x", "images", "image", "data", "features", "inputs", "imgs", "arr_0")
_TARGET_NAMES = ("y", "labels", "label", "targets", "target", "classes", "class", "arr_1")
_SPLIT_NAMES = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation"),
    "test": ("test",),
}
_GROUP_NAMES = ("groups", "group", "patients", "patient")
_CLASS_NAMES = ("class_names", "label_names", "names", "classes")
_MAX_HEADER = 65_536
_SHOWN = 8
DAMAGE = (
    OSError, EOFError, ValueError, SyntaxError, TypeError, KeyError, MemoryError, RuntimeError, struct.error,
    zipfile.BadZipFile, zlib.error, lzma.LZMAError,
)  # fmt: skip
"""What damaged archives and headers raise."""


@dataclass(frozen=True)
class NpzArrays:
    """The names of the arrays by split, and of those beside them; empty for none."""

    splits: Mapping[str, tuple[str, str]]
    """Inputs and targets by split; only `train` where the test split is drawn from it."""
    groups: str = ""
    class_names: str = ""


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of the arrays in a file by name, from their headers. Raises `UserError`."""
    try:
        with open_regular_file(path) as file, zipfile.ZipFile(file) as archive:
            names = [name for name in archive.namelist() if name.endswith(".npy")]
            shapes = {}
            for name in names:
                with archive.open(name) as member:
                    shapes[name.removesuffix(".npy")] = _shape(member)  # type: ignore[arg-type]
            return shapes
    except DAMAGE as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path} is no valid .npz file: {error}") from None


def _shape(member: BinaryIO) -> tuple[int, ...]:
    """The shape in the header of an `.npy` file (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html)."""
    start = member.read(8)
    if start[:6] != b"\x93NUMPY":
        raise ValueError("an array has no header")
    (length,) = struct.unpack("<H", member.read(2)) if start[6] == 1 else struct.unpack("<I", member.read(4))
    header = ast.literal_eval(member.read(min(length, _MAX_HEADER)).decode("utf-8"))
    shape = header["shape"]
    if not isinstance(shape, tuple) or not all(isinstance(side, int) and side >= 0 for side in shape):
        raise ValueError("the header of an array is damaged")
    return shape


def find_arrays(path: Path, shapes: Mapping[str, Sequence[int]], options: NpzOptions) -> NpzArrays:
    """The arrays that are used. Raises `UserError` with one line that lists the arrays of the file."""
    listed = ", ".join(
        f"{sanitize(name, 24)} {tuple(shape)}" for name, shape in list(shapes.items())[:_SHOWN]
    )
    for key in ("image", "label", "group"):
        wanted = getattr(options, key)
        if wanted and wanted not in shapes:
            raise UserError(
                f"data.{key}: {path} has no array {sanitize(wanted)!r}; it has {listed or 'none'}"
            )
    by_lower = {name.lower(): name for name in reversed(list(shapes))}
    splits = {}
    if not options.image:
        for split, words in _SPLIT_NAMES.items():
            inputs = _of_split(by_lower, _INPUT_NAMES, words)
            targets = options.label or _of_split(by_lower, _TARGET_NAMES, words)
            if inputs and targets:
                splits[split] = (inputs, targets)
    if "train" not in splits:
        inputs = options.image or _first(by_lower, _INPUT_NAMES)
        targets = options.label or _first(by_lower, _TARGET_NAMES)
        if not inputs or not targets or inputs == targets:
            raise UserError(
                f"{path}: which arrays are images and labels? It has {listed or 'none'}; call them x and y (or "
                "x_train, y_train, x_test, y_test), or name them with --set data.image=NAME --set data.label=NAME"
            )
        splits = {"train": (inputs, targets)}
    if "test" not in splits and "validation" in splits:
        splits["test"] = splits.pop("validation")
    used = {name for pair in splits.values() for name in pair}
    class_names = next(
        (by_lower[name] for name in _CLASS_NAMES if name in by_lower and by_lower[name] not in used), ""
    )
    if options.group and len(splits) > 1:
        raise UserError(f"data.group: {path} has a test split of its own, so its groups are divided already")
    groups = options.group or ("" if len(splits) > 1 else _first(by_lower, _GROUP_NAMES))
    return NpzArrays(splits, groups, class_names)


def _of_split(by_lower: Mapping[str, str], names: Sequence[str], words: Sequence[str]) -> str:
    """`x_train`, `train_images`, `xtrain`; empty for none."""
    forms = [
        form for name in names for word in words for form in (f"{name}_{word}", f"{word}_{name}", name + word)
    ]
    return _first(by_lower, forms)


def _first(by_lower: Mapping[str, str], names: Sequence[str]) -> str:
    return next((by_lower[name] for name in names if name in by_lower), "")


@dataclass(frozen=True)
class NpzFacts:
    """What is known of a file without reading its arrays."""

    counts: Mapping[str, int]
    """Samples by split, before a test split is drawn."""
    shape: tuple[int, ...]
    """Of one input, as stored."""

    def split_counts(self, test: float) -> tuple[int, int]:
        """Training and test samples, after the fraction `test` is drawn where there is no test split."""
        train = self.counts["train"]
        if "test" in self.counts:
            return train, self.counts["test"]
        return train - round(test * train), round(test * train)


def npz_facts(path: Path, options: NpzOptions) -> NpzFacts | None:
    """The facts of a file; `None` if it can't be read."""
    try:
        status = path.stat()
        return _facts(path, options, status.st_mtime_ns, status.st_size)
    except (*DAMAGE, UserError):
        return None


@lru_cache(16)
def _facts(path: Path, options: NpzOptions, _modified: int, _size: int) -> NpzFacts:
    shapes = read_shapes(path)
    found = find_arrays(path, shapes, options).splits
    counts = {split: (shapes[inputs] or (0,))[0] for split, (inputs, _) in found.items()}
    return NpzFacts(counts, shapes[found["train"][0]][1:])
