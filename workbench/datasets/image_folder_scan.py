"""What a folder of images contains: classes, splits, counts, skipped files. Lists files without decoding images.

Imports no torch, so that the launcher and the screen say what a run will use before it starts.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

from workbench.core.errors import UserError
from workbench.core.paths import is_folder
from workbench.core.progress import CancelCheck, never_cancelled
from workbench.core.settings_schema import Section
from workbench.core.text import plural
from workbench.datasets.class_folders import ClassFolders, group_classes, in_recorded_order
from workbench.datasets.image_folder_layout import ALL, FolderLayout, find_layout, validate_class_counts
from workbench.datasets.image_sizes import ImageSizes, measure_sizes
from workbench.io.image_files import OUTSIDE_REASON, read_tree

PREFIX = "folder:"
Links = Literal["inside", "all"]
_CACHED_SCANS = 4


@dataclass(frozen=True, slots=True)
class ListedImage:
    """One image of a listing: its path below the root, its class, and the facts that identify its content."""

    path: str
    label: int
    size: int
    modified_ns: int
    """Modification time, in nanoseconds."""


@dataclass
class FolderScan:
    """The content of a folder of classes."""

    root: Path
    """The folder that contains the classes or splits: the given one, or one inside it."""
    classes: tuple[str, ...] = ()
    """In the order of their labels."""
    splits: dict[str, list[ListedImage]] = field(default_factory=dict)
    """The images by split (`all` if the folder has no splits of its own)."""
    split_folders: dict[str, str] = field(default_factory=dict)
    """The folder of each split, below `root`; `.` is `root` itself."""
    skipped_files: list[tuple[str, str]] = field(default_factory=list)
    """Images and links that are not used: path and reason."""
    left_out: list[tuple[str, str]] = field(default_factory=list)
    """Folders, and loose images, that belong to no class: path and reason."""
    other_files: Counter[str] = field(default_factory=Counter)
    """Number of files that are not images, by extension."""
    remarks: list[str] = field(default_factory=list)
    """What is not obvious about the choice of classes and splits, one sentence each."""
    folder_times: dict[str, int] = field(default_factory=dict)
    """Modification times (nanoseconds) of all folders that were listed."""

    @cached_property
    def sizes(self) -> ImageSizes | None:
        """The sizes of the training images, measured on a few of them."""
        items = self.splits.get("train") or self.splits.get(ALL, [])
        return measure_sizes(self.root, [item.path for item in items])

    def counts(self) -> dict[str, list[int]]:
        """The number of images of each class, by split."""
        counts = {split: [0] * len(self.classes) for split in self.splits}
        for split, items in self.splits.items():
            for item in items:
                counts[split][item.label] += 1
        return counts


def scan_folder(
    root: Path,
    cancelled: CancelCheck = never_cancelled,
    links: Links = "inside",
    recorded_classes: Sequence[str] = (),
) -> FolderScan:
    """Classes and images below `root`: a folder for each class, or such folders in those of splits.

    Images are found at any depth. `links`: whether links to other places than `root` are followed. `recorded_classes`:
    the order of classes in a run, which is kept if the folder has the same classes. Raises `UserError` with one line
    for a folder that can't be trained on, `Cancelled`.
    """
    if not is_folder(root):
        raise UserError(f"{root} is not a folder: folder:PATH needs one with a folder for each class")
    tree = read_tree(root, follow_all=links == "all", cancelled=cancelled)
    layout = find_layout(tree)
    classes, remarks = group_classes(layout.classes)
    classes = _trainable(classes, layout)
    classes = in_recorded_order(classes, recorded_classes) or classes
    base = Path(layout.root.path)
    scan = FolderScan(
        base,
        tuple(one.name for one in classes),
        split_folders={split: os.path.relpath(folder.path, base) for split, folder in layout.splits.items()},
        skipped_files=tree.all_skipped(),
        left_out=layout.left_out,
        other_files=tree.all_others(),
        remarks=layout.remarks + remarks,
        folder_times={folder.path: folder.modified_ns for folder in tree.walk()},
    )
    for split in layout.splits:
        scan.splits[split] = _listed(classes, split, base)
    if base != root:
        scan.remarks.insert(0, f"classes are in {base}")
    _check_links(scan, root)
    validate_class_counts(scan.classes, scan.counts(), layout)
    return scan


def _trainable(classes: Sequence[ClassFolders], layout: FolderLayout) -> list[ClassFolders]:
    """`classes` without those that have no image and no folder in the training split: they are noted."""
    training = ALL if ALL in layout.splits else "train"
    kept = []
    for one in classes:
        folders = [folder for parts in one.folders.values() for folder in parts]
        if training in one.folders or any(folder.has_images for folder in folders):
            kept.append(one)
        else:
            layout.left_out += [(folder.path, "a folder without images") for folder in folders]
    return kept


def _listed(classes: Sequence[ClassFolders], split: str, base: Path) -> list[ListedImage]:
    start = len(str(base).rstrip(os.sep)) + 1
    return [
        ListedImage(image.path[start:], label, image.size, image.modified_ns)
        for label, one in enumerate(classes)
        for folder in one.folders.get(split, ())
        for image in folder.all_images()
    ]


def _check_links(scan: FolderScan, root: Path) -> None:
    """Say how links to other places can be followed; raise `UserError` if a class consists of such links."""
    outside = [path for path, reason in scan.skipped_files if reason == OUTSIDE_REASON]
    if not outside:
        return
    way_out = (
        f"{plural(len(outside), 'link')} to places outside of {root} not followed (first: {outside[0]}): follow them "
        "with --set data.links=all"
    )
    counts = scan.counts()
    if not all(sum(counts[split][label] for split in counts) for label in range(len(scan.classes))):
        raise UserError(way_out)
    scan.remarks.append(way_out)


# The folder of an experiment


_scans: dict[tuple[str, str], FolderScan] = {}


def dataset_scan(name: str, options: Section) -> FolderScan | None:
    """The scan of a dataset `folder:PATH`, `None` for other datasets. Raises `UserError`.

    The last few scans of this process are kept while no folder in them has changed.
    """
    if not name.startswith(PREFIX):
        return None
    root, links = Path(name.removeprefix(PREFIX)), _links(options)
    known = _scans.pop((str(root), links), None)
    if known is None or not _is_current(known):
        known = scan_folder(root, links=links)
    _scans[str(root), links] = known
    while len(_scans) > _CACHED_SCANS:
        del _scans[next(iter(_scans))]
    return known


def _links(options: Section) -> Links:
    return "all" if options.get("links") == "all" else "inside"


def _is_current(scan: FolderScan) -> bool:
    try:
        return all(Path(path).stat().st_mtime_ns == time for path, time in scan.folder_times.items())
    except OSError:
        return False
