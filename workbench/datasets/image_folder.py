"""Datasets of the user's own images: one folder per class, listed without opening any image."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from workbench.core.progress import CancelCheck, Cancelled, never_cancelled
from workbench.datasets.dataset import Dataset, stratified_split
from workbench.datasets.image_cache import ImageListing, ListedImage, load_listing
from workbench.datasets.image_folder_layout import find_split_folders, list_class_names, validate_class_counts
from workbench.datasets.load_request import LoadRequest
from workbench.io.image_extensions import has_image_extension


@dataclass
class FolderScan:
    """The content of a folder of classes: the classes in order, images by split, and files that were skipped."""

    classes: tuple[str, ...] = ()
    splits: dict[str, list[ListedImage]] = field(default_factory=dict)
    skipped_files: list[tuple[str, str]] = field(default_factory=list)

    def counts(self) -> dict[str, list[int]]:
        """The number of images of each class, by split (`all` if the folder has no splits of its own)."""
        counted = {split: Counter(item.label for item in items) for split, items in self.splits.items()}
        return {
            split: [labels[label] for label in range(len(self.classes))] for split, labels in counted.items()
        }


def load(request: LoadRequest) -> Dataset:
    """The images below `folder:PATH`, decoded once. Raises `UserError` if there are too few to train on."""
    root = Path(request.info.name.removeprefix("folder:"))
    scan = scan_folder(root, request.cancelled)
    if "all" in scan.splits:
        items = scan.splits.pop("all")
        options = request.options
        labels = [item.label for item in items]
        train, test = stratified_split(labels, options.test, options.seed, "folder test")
        scan.splits = {"train": [items[i] for i in train], "test": [items[i] for i in test]}
    listing = ImageListing(root, scan.classes, scan.splits, tuple(scan.skipped_files))
    return load_listing(listing, request)


def scan_folder(root: Path, cancelled: CancelCheck = never_cancelled) -> FolderScan:
    """Classes and images below `root`: a folder for each class, or such folders in `train/`, `val/` and `test/`.

    Images are found by their extensions, at any depth. Links that lead outside `root` and files that are not regular
    files are skipped, with the reason. Raises `UserError`: not a folder, no classes, only one class, an empty class,
    fewer than two images in a class.
    """
    scan = FolderScan()
    folders = find_split_folders(root)
    scan.classes = names = list_class_names(folders, root)
    real = root.resolve()
    for split, folder in folders.items():
        scan.splits[split] = []
        for label, name in enumerate(names):
            for path in _iter_class_images(folder / name, real, scan, cancelled):
                item = listed_image(path, label, root, real)
                if isinstance(item, ListedImage):
                    scan.splits[split].append(item)
                else:
                    scan.skipped_files.append((str(path), item))
    validate_class_counts(scan.classes, scan.counts(), root, scan.skipped_files)
    return scan


def _iter_class_images(
    folder: Path, real_root: Path, scan: FolderScan, cancelled: CancelCheck
) -> Iterator[Path]:
    """Files below `folder` with an image extension, in the order of their names."""
    if not folder.is_dir():
        return
    if not folder.resolve().is_relative_to(real_root):
        scan.skipped_files.append((str(folder), "a link to a path outside the folder"))
        return
    for path, folders, files in os.walk(folder, onerror=lambda error: _skip_unreadable(error, scan)):
        if cancelled():
            raise Cancelled
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in list(folders):
            # os.walk does not follow linked folders; a link within the dataset would only repeat its images.
            if (Path(path) / name).is_symlink():
                scan.skipped_files.append((str(Path(path) / name), "a link to a folder"))
        for name in sorted(files):
            if has_image_extension(name):
                yield Path(path) / name


def _skip_unreadable(error: OSError, scan: FolderScan) -> None:
    scan.skipped_files.append((str(error.filename), f"can't be read: {error.strerror}"))


def listed_image(path: Path, label: int, root: Path, real_root: Path) -> ListedImage | str:
    """A file as part of a listing of `root` (`real_root`: with its links resolved), or why it is skipped."""
    try:
        if path.is_symlink() and not path.resolve(strict=True).is_relative_to(real_root):
            return "a link to a path outside the folder"
        status = path.stat()
    except FileNotFoundError:
        return "a broken link" if path.is_symlink() else "missing"
    except (OSError, RuntimeError) as error:
        return f"can't be read: {getattr(error, 'strerror', None) or error}"
    if not stat.S_ISREG(status.st_mode):
        return "not a regular file"
    if not status.st_size:
        return "empty"
    return ListedImage(str(path.relative_to(root)), label, status.st_size, status.st_mtime_ns)
