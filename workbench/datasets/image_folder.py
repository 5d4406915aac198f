"""Your own pictures: one folder per class, found without opening a single one."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from workbench.core.progress import Cancelled, Interrupted, never
from workbench.datasets.dataset import Data, part
from workbench.datasets.image_cache import Item, Listing, decode
from workbench.datasets.image_folder_layout import check_counts, class_names, split_folders
from workbench.datasets.load_request import Request
from workbench.io.image_extensions import is_picture


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
    scan = Scan()
    folders = split_folders(root)
    scan.classes = names = class_names(folders, root)
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
    check_counts(scan.classes, scan.counts(), root, scan.set_aside)
    return scan


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
            if is_picture(name):
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
