"""What a folder of images contains: classes, splits, counts, skipped files. Lists files without decoding images.

Imports no torch, so that the launcher and the screen say what a run will use before it starts.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from workbench.core.errors import UserError
from workbench.core.paths import is_folder
from workbench.core.progress import CancelCheck, never_cancelled
from workbench.core.text import plural
from workbench.datasets.class_folders import ClassFolders, group_classes, in_recorded_order
from workbench.datasets.image_folder_layout import ALL, FolderLayout, find_layout, validate_class_counts
from workbench.datasets.image_scan import ImageScan, ListedImage
from workbench.io.image_files import OUTSIDE_REASON, read_tree

Links = Literal["inside", "all"]


def scan_folder(
    root: Path,
    cancelled: CancelCheck = never_cancelled,
    links: Links = "inside",
    recorded_classes: Sequence[str] = (),
) -> ImageScan:
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
    scan = ImageScan(
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


def _check_links(scan: ImageScan, root: Path) -> None:
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
