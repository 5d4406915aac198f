"""Your own pictures: one folder per class, found without opening a single one."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from workbench.datasets.data import Data, part
from workbench.datasets.request import Request
from workbench.datasets.streaming import Item, Listing, decode
from workbench.errors import BadInput
from workbench.io.pictures import ENDINGS
from workbench.io.progress import Cancelled, Interrupted, never

SPLITS = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
"""What the folders of splits are called (in any case)."""


@dataclass
class Scan:
    """What a folder of classes holds: the classes in order, pictures by split, and what was set aside."""

    classes: tuple[str, ...] = ()
    splits: dict[str, list[Item]] = field(default_factory=dict)
    set_aside: list[tuple[str, str]] = field(default_factory=list)

    def counts(self) -> dict[str, list[int]]:
        """Pictures of each class, by split (`all` where the folder has no splits of its own)."""
        return {
            split: [sum(item.label == label for item in items) for label in range(len(self.classes))]
            for split, items in self.splits.items()
        }


def load(request: Request) -> Data:
    """The pictures below `folder:PATH`, decoded once. Raises `BadInput` where there is nothing to learn."""
    root = Path(request.info.name.removeprefix("folder:"))
    scan = scan_folder(root, request.cancelled)
    if "all" in scan.splits:
        items = scan.splits.pop("all")
        options = request.options
        kept, taken = part([item.label for item in items], options.test, options.seed, "folder test")
        scan.splits = {"train": [items[i] for i in kept], "test": [items[i] for i in taken]}
    listing = Listing(root, scan.classes, scan.splits, tuple(scan.set_aside))
    return decode(listing, request)


def scan_folder(root: Path, cancelled: Cancelled = never) -> Scan:
    """Classes and pictures below `root`, which has a folder for each class, or such folders in `train/`,
    `val/` (or `valid/`) and `test/`.

    Pictures are found by their endings, at any depth. Links that lead out of `root` and what is no file are
    set aside with their reason. Raises `BadInput`: no folder, no classes, one class, an empty class, fewer than
    two pictures in a class.
    """
    if not root.is_dir():
        raise BadInput(f"{root} is no folder: folder:PATH takes one that holds a folder for each class")
    scan = Scan()
    folders = _split_folders(root)
    names = sorted({name for folder in folders.values() for name in _class_folders(folder)})
    if not names:
        raise BadInput(
            f"{root} has no folders in it: put the pictures of each class into a folder of its own"
        )
    scan.classes = tuple(names)
    real = root.resolve()
    for split, folder in folders.items():
        scan.splits[split] = []
        for label, name in enumerate(names):
            for path in _pictures(folder / name, real, scan, cancelled):
                item = item_of(path, label, root, real)
                if isinstance(item, Item):
                    scan.splits[split].append(item)
                else:
                    scan.set_aside.append((str(path), item))
    _check(scan, root)
    return scan


def _split_folders(root: Path) -> dict[str, Path]:
    """The folders of splits below `root`, or `root` itself as `all` where there is no `train/`."""
    # A folder called train that holds pictures and no folders is a class: one of vehicles, perhaps.
    here = {path.name.lower(): path for path in _subfolders(root) if _subfolders(path)}
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


def _subfolders(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError as error:
        raise BadInput(f"{folder} can't be read: {error.strerror}") from None


def _class_folders(folder: Path) -> list[str]:
    return [path.name for path in _subfolders(folder)]


def _pictures(folder: Path, real_root: Path, scan: Scan, cancelled: Cancelled) -> Iterator[Path]:
    """Files below `folder` with a picture's ending, in the order of their names."""
    if not folder.is_dir():
        return
    if not folder.resolve().is_relative_to(real_root):
        scan.set_aside.append((str(folder), "a link that leads out of the folder"))
        return
    for path, folders, files in os.walk(folder, onerror=lambda error: _unread(error, scan)):
        if cancelled():
            raise Interrupted
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in list(folders):
            # os.walk does not enter linked folders; one that stays inside would only repeat its pictures.
            if (Path(path) / name).is_symlink():
                scan.set_aside.append((str(Path(path) / name), "a link to a folder"))
        for name in sorted(files):
            if name.lower().endswith(ENDINGS) and not name.startswith("."):
                yield Path(path) / name


def _unread(error: OSError, scan: Scan) -> None:
    scan.set_aside.append((str(error.filename), f"can't be read: {error.strerror}"))


def item_of(path: Path, label: int, root: Path, real_root: Path) -> Item | str:
    """A file as an item of a listing of `root` (`real_root`: its links resolved); or why it can't be one."""
    try:
        if path.is_symlink() and not path.resolve(strict=True).is_relative_to(real_root):
            return "a link that leads out of the folder"
        facts = path.stat()
    except FileNotFoundError:
        return "a link that leads nowhere" if path.is_symlink() else "not there"
    except (OSError, RuntimeError) as error:
        return f"can't be read: {getattr(error, 'strerror', None) or error}"
    if not stat.S_ISREG(facts.st_mode):
        return "no file"
    if not facts.st_size:
        return "empty"
    return Item(str(path.relative_to(root)), label, facts.st_size, facts.st_mtime_ns)


def _check(scan: Scan, root: Path) -> None:
    counts = scan.counts()
    training = counts.get("all") or counts["train"]
    for name, count in zip(scan.classes, training, strict=True):
        if not count:
            why = next((f"; {reason}: {path}" for path, reason in scan.set_aside if f"/{name}" in path), "")
            raise BadInput(
                f"the class folder {name!r} in {root} has no pictures to train on{why}; put some into it "
                "(.png, .jpg, .webp, ...), or remove it"
            )
    if len(scan.classes) < 2:
        raise BadInput(f"{root} has one class only ({scan.classes[0]!r}): there is nothing to tell apart")
    if "all" in counts:
        for name, count in zip(scan.classes, training, strict=True):
            if count < 2:
                raise BadInput(
                    f"the class {name!r} in {root} has one picture: training and test need one each"
                )
    for split in ("validation", "test"):
        if split in counts and not sum(counts[split]):
            raise BadInput(f"the {split} folder in {root} has no pictures: put some into it, or remove it")
