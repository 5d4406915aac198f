"""How a folder of pictures is laid out: a folder for each class, in folders of splits or not. No picture is opened."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path

from workbench.core.errors import BadInput
from workbench.core.paths import is_folder
from workbench.io.image_extensions import images_below

SPLITS = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
"""What the folders of splits are called (in any case)."""
ENOUGH = 2
"""Pictures of a class that are looked for: one to train on, one to test with."""


def check_choice(dataset: str) -> None:
    """Raise `BadInput` for `folder:PATH` where there is nothing to learn, as far as names tell.

    Quick, however much is there; with the words of the worker, which then looks at each file.
    """
    if not dataset.startswith("folder:"):
        return
    root = Path(dataset.removeprefix("folder:"))
    folders = split_folders(root)
    classes = class_names(folders, root)
    counts = {
        split: [sum(1 for _ in islice(images_below(folder / name), ENOUGH)) for name in classes]
        for split, folder in folders.items()
    }
    check_counts(classes, counts, root)


def split_folders(root: Path) -> dict[str, Path]:
    """The folders of splits below `root`, or `root` itself as `all` where there is no `train/`. Raises `BadInput`."""
    if not is_folder(root):
        raise BadInput(f"{root} is no folder: folder:PATH takes one that holds a folder for each class")
    known = {name for names in SPLITS.values() for name in names}
    # A folder called train that holds pictures and no folders is a class: one of vehicles, perhaps.
    here = {
        path.name.lower(): path
        for path in _subfolders(root)
        if path.name.lower() in known and _subfolders(path)
    }
    found = {split: here[name] for split, names in SPLITS.items() for name in reversed(names) if name in here}
    if "train" not in found and found:
        other = next(iter(found.values())).name
        raise BadInput(f"{root} has {other}/ but no train/: put the training pictures into {root / 'train'}")
    if not found:
        return {"all": root}
    if "test" not in found:
        if "validation" not in found:
            return {"all": found["train"]}
        # A root of train/ and val/ only: what they call validation is the data that is not trained on.
        found["test"] = found.pop("validation")
    return found


def class_names(folders: Mapping[str, Path], root: Path) -> tuple[str, ...]:
    """The classes in the folders of splits, by name. Raises `BadInput` where there are none."""
    names = {path.name for folder in folders.values() for path in _subfolders(folder)}
    if not names:
        raise BadInput(
            f"{root} has no folders in it: put the pictures of each class into a folder of its own"
        )
    return tuple(sorted(names))


def check_counts(
    classes: Sequence[str],
    counts: Mapping[str, Sequence[int]],
    root: Path,
    set_aside: Sequence[tuple[str, str]] = (),
) -> None:
    """Raise `BadInput` where so many pictures of each class, by split, are nothing to learn from.

    `set_aside`: what was left out, and why.
    """
    training = counts.get("all") or counts["train"]
    for name, count in zip(classes, training, strict=True):
        if not count:
            why = next((f"; {reason}: {path}" for path, reason in set_aside if f"/{name}" in path), "")
            raise BadInput(
                f"the class folder {name!r} in {root} has no pictures to train on{why}; put some into it "
                "(.png, .jpg, .webp, ...), or remove it"
            )
    if len(classes) < 2:
        raise BadInput(f"{root} has one class only ({classes[0]!r}): there is nothing to tell apart")
    if "all" in counts:
        for name, count in zip(classes, training, strict=True):
            if count < 2:
                raise BadInput(
                    f"the class {name!r} in {root} has one picture: training and test need one each"
                )
    for split in ("validation", "test"):
        if split in counts and not sum(counts[split]):
            raise BadInput(f"the {split} folder in {root} has no pictures: put some into it, or remove it")


def _subfolders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as found:
            return sorted(Path(entry.path) for entry in found if _is_subfolder(entry))
    except OSError as error:
        raise BadInput(f"{folder} can't be read: {error.strerror}") from None


def _is_subfolder(entry: os.DirEntry[str]) -> bool:
    linked = entry.is_symlink() and is_folder(Path(entry.path))
    return (linked or entry.is_dir(follow_symlinks=False)) and not entry.name.startswith(".")
