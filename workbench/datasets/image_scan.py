"""The images of a dataset as they are listed, without decoding them. Imports no torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from workbench.core.errors import UserError
from workbench.core.text import plural, sanitize
from workbench.datasets.drawing import draw_split
from workbench.datasets.image_folder_layout import ALL
from workbench.datasets.image_sizes import ImageSizes, measure_sizes


@dataclass(frozen=True, slots=True)
class ListedImage:
    """One image of a listing: its path below the root, its class, and the facts that identify its content."""

    path: str
    label: int
    size: int
    modified_ns: int
    """Modification time, in nanoseconds."""
    group: int = 0
    """The number of its group (a patient, a scene); 0 for all where there are no groups."""
    fold: int = 0
    """The fold that it is given in, from 1 on; 0 for none."""


@dataclass
class ImageScan:
    """The images of a folder of classes, or of a table."""

    root: Path
    """The folder that contains the classes or splits (the given one, or one inside it), or the table."""
    classes: tuple[str, ...] = ()
    """In the order of their labels."""
    splits: dict[str, list[ListedImage]] = field(default_factory=dict)
    """The images by split (`all` if the folder has no splits of its own)."""
    split_folders: dict[str, str] = field(default_factory=dict)
    """The folder of each split, below `root` (`.` is `root` itself), or what the table calls it (empty: all rows)."""
    skipped_files: list[tuple[str, str]] = field(default_factory=list)
    """Images and links that are not used: path and reason."""
    left_out: list[tuple[str, str]] = field(default_factory=list)
    """Folders, and loose images, that belong to no class: path and reason."""
    other_files: Counter[str] = field(default_factory=Counter)
    """Number of files that are not images, by extension."""
    remarks: list[str] = field(default_factory=list)
    """What is not obvious about the choice of classes and splits, one sentence each."""
    folder_times: dict[str, int] = field(default_factory=dict)
    """Modification times (nanoseconds) of all folders, or the table, that were read."""
    table: str = ""
    """The name of the table that lists the images; empty for a folder of classes."""
    columns: dict[str, str] = field(default_factory=dict)
    """The columns of the table by what they are: `image`, `label`, `split`, `group`, `fold`."""
    groups: int = 0
    """The number of groups of the images; 0 where they are in none."""
    folds: int = 0
    """The number of folds that the images are in; 0 where they are in none."""

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

    def divided(self, fraction: float, seed: int, *, whole: bool = False) -> dict[str, list[ListedImage]]:
        """The images by split, with a test split of `fraction` drawn from all of them where there is none.

        `whole`: it stays empty, for a cross-validation.
        """
        splits = dict(self.splits)
        if ALL in splits and whole:
            splits |= {"train": splits.pop(ALL), "test": []}
        elif ALL in splits:
            items = splits.pop(ALL)
            groups = [item.group for item in items] if self.groups else None
            labels = [item.label for item in items]
            train, test = draw_split(labels, groups, fraction, seed, "folder test")
            splits |= {"train": [items[i] for i in train], "test": [items[i] for i in test]}
        return splits

    @property
    def group_source(self) -> str:
        """` of column 'patient'`, of a table."""
        return f" of column {self.columns['group']!r}" if "group" in self.columns else ""

    @property
    def without_groups(self) -> str:
        """The setting without which there are no groups."""
        return "data.group=none" if self.table else "a data.pattern without {group}"


def complete_splits(scan: ImageScan) -> None:
    """Without a test split, the validation split serves as one; without both, the training split is divided."""
    splits = scan.splits
    if ALL not in splits and "train" not in splits:
        raise UserError(
            f"{scan.root / scan.table}: no image of the training split can be used; {_reasons(scan)}"
        )
    if "test" not in splits and "validation" in splits:
        scan.remarks.append(f"{scan.split_folders['validation']} serves as the test split")
        splits["test"] = splits.pop("validation")
        scan.split_folders["test"] = scan.split_folders.pop("validation")
    elif "test" not in splits and "train" in splits:
        splits[ALL] = splits.pop("train")
        scan.split_folders[ALL] = scan.split_folders.pop("train")
    scan.splits = {name: splits[name] for name in (ALL, "train", "validation", "test") if name in splits}


def check_groups(scan: ImageScan, names: Mapping[str, str]) -> None:
    """Raise `UserError` where the splits of the data itself divide a group; `names`: that of each path."""
    if not scan.groups:
        return
    where: dict[int, set[str]] = {}
    for split, items in scan.splits.items():
        for item in items:
            where.setdefault(item.group, set()).add(split)
    divided = [group for group, found in where.items() if len(found) > 1]
    if divided:
        by_number = {item.group: names[item.path] for items in scan.splits.values() for item in items}
        first, splits = sanitize(by_number[divided[0]], 40), " and ".join(sorted(where[divided[0]]))
        raise UserError(
            f"{scan.root / scan.table}: {plural(len(divided), 'group')}{scan.group_source} "
            f"{'is' if len(divided) == 1 else 'are'} in more than one split (first: {first} is in {splits}); "
            f"{scan.without_groups} ignores them"
        )
    if len(where) < 2:
        raise UserError(
            f"{scan.root / scan.table}: all images are in one group{scan.group_source}, which can't be divided; "
            f"{scan.without_groups} ignores it"
        )


def check_counts(scan: ImageScan) -> None:
    """Raise `UserError` if a class has too few images to train and test on."""
    path, counts = scan.root / scan.table, scan.counts()
    training = counts.get(ALL) or counts["train"]
    for name, count in zip(scan.classes, training, strict=True):
        if not count:
            raise UserError(f"the class {name!r} in {path} has no training images: add some, or leave it out")
        if count < 2 and ALL in counts:
            raise UserError(
                f"the class {name!r} in {path} has only one image, and training and test need one each: add one, or "
                "leave it out"
            )


def _reasons(scan: ImageScan) -> str:
    common = Counter(reason for _, reason in scan.skipped_files).most_common(1)
    return f"most are skipped: {common[0][0]}" if common else "it has no rows"
