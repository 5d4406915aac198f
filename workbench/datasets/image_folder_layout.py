"""The layout of image folders: a folder for each class, optionally below a folder for each split."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path

from workbench.core.errors import UserError
from workbench.core.paths import is_folder
from workbench.io.image_extensions import iter_images

SPLITS = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
"""Accepted names of the folders of splits, in any case."""
MIN_IMAGES_PER_CLASS = 2
"""One image for training and one for the test."""


def validate_image_folder(dataset: str) -> None:
    """Raise `UserError` if `folder:PATH` has too few classes or images, judged by file names alone.

    Fast for folders of any size; gives the same messages as the worker, which examines each file later.
    """
    if not dataset.startswith("folder:"):
        return
    root = Path(dataset.removeprefix("folder:"))
    folders = find_split_folders(root)
    classes = list_class_names(folders, root)
    counts = {
        split: [sum(1 for _ in islice(iter_images(folder / name), MIN_IMAGES_PER_CLASS)) for name in classes]
        for split, folder in folders.items()
    }
    validate_class_counts(classes, counts, root)


def find_split_folders(root: Path) -> dict[str, Path]:
    """The folders of splits below `root`, or `root` itself as `all` if there is no `train/`. Raises `UserError`."""
    if not is_folder(root):
        raise UserError(f"{root} is not a folder: folder:PATH needs one with a folder for each class")
    known = {name for names in SPLITS.values() for name in names}
    # A folder named train that has images but no folders is a class (of vehicles, perhaps).
    folders = {
        path.name.lower(): path
        for path in _subfolders(root)
        if path.name.lower() in known and _subfolders(path)
    }
    found = {
        split: folders[name] for split, names in SPLITS.items() for name in reversed(names) if name in folders
    }
    if "train" not in found and found:
        other = next(iter(found.values())).name
        raise UserError(f"{root} has {other}/ but no train/: put the training images into {root / 'train'}")
    if not found:
        return {"all": root}
    if "test" not in found:
        if "validation" not in found:
            return {"all": found["train"]}
        # With train/ and val/ only, val/ is the held-out data and serves as the test split.
        found["test"] = found.pop("validation")
    return found


def list_class_names(folders: Mapping[str, Path], root: Path) -> tuple[str, ...]:
    """The names of the class folders in all splits, sorted. Raises `UserError` if there are none."""
    names = {path.name for folder in folders.values() for path in _subfolders(folder)}
    if not names:
        raise UserError(f"{root} has no class folders: put the images of each class into a folder of its own")
    return tuple(sorted(names))


def validate_class_counts(
    classes: Sequence[str],
    counts: Mapping[str, Sequence[int]],
    root: Path,
    skipped_files: Sequence[tuple[str, str]] = (),
) -> None:
    """Raise `UserError` if these numbers of images per class, by split, are too few to train and test on.

    `skipped_files`: (path, reason) of files that were not counted.
    """
    training = counts.get("all") or counts["train"]
    for name, count in zip(classes, training, strict=True):
        if not count:
            cause = next((f"; {reason}: {path}" for path, reason in skipped_files if f"/{name}" in path), "")
            raise UserError(
                f"the class folder {name!r} in {root} has no training images{cause}; add some "
                "(.png, .jpg, .webp, ...) or remove the folder"
            )
    if len(classes) < 2:
        raise UserError(f"{root} has only one class ({classes[0]!r}): classification needs at least two")
    if "all" in counts:
        for name, count in zip(classes, training, strict=True):
            if count < 2:
                raise UserError(
                    f"the class {name!r} in {root} has only one image: training and test need one each"
                )
    for split in ("validation", "test"):
        if split in counts and not sum(counts[split]):
            raise UserError(f"the {split} folder in {root} has no images: add some or remove the folder")


def _subfolders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return sorted(Path(entry.path) for entry in entries if _is_subfolder(entry))
    except OSError as error:
        raise UserError(f"{folder} can't be read: {error.strerror}") from None


def _is_subfolder(entry: os.DirEntry[str]) -> bool:
    linked = entry.is_symlink() and is_folder(Path(entry.path))
    return (linked or entry.is_dir(follow_symlinks=False)) and not entry.name.startswith(".")
