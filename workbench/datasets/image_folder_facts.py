"""What a run will use of a folder of images, as a record and as lines of text, before anything is decoded.

Imports no torch: commands, the launcher and the screen show it before a run starts.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from workbench.core.settings_schema import Section
from workbench.core.text import plural, sanitize
from workbench.datasets.catalog import FolderOptions
from workbench.datasets.dataset_facts import SkippedFile, SkippedFiles, drawn_count
from workbench.datasets.dataset_scan import dataset_scan
from workbench.datasets.fold_choice import FoldChoice
from workbench.datasets.image_folder_layout import ALL
from workbench.datasets.image_scan import ImageScan
from workbench.datasets.image_sizes import ImageSizes

_MAX_NAMES = 12
_MAX_LEFT_OUT = 6
_MAX_REASONS = 3


class FolderFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a folder of images, or a table of them, contains."""

    root: str
    """The folder with the classes or splits (the named one, or one inside it), or the table."""
    classes: tuple[str, ...]
    folders: dict[str, str]
    """The folder of each split below `root`, or what the table calls it; that of `test` is missing if the test split is
    drawn from `train`."""
    counts: dict[str, tuple[int, ...]]
    """Images of each class by split, before a validation split is drawn from `train`."""
    sizes: ImageSizes | None
    skipped: SkippedFiles
    left_out: tuple[SkippedFile, ...]
    """Folders and loose images that belong to no class."""
    other_files: dict[str, int]
    """Number of files that are not images, by extension."""
    remarks: tuple[str, ...]
    """What is not obvious about the choice of classes and splits, one sentence each."""
    table: str = ""
    """The name of the table; empty for a folder of classes."""
    columns: dict[str, str] = {}
    """The columns of the table by what they are: `image`, `label`, `split`, `group`, `fold`."""
    groups: int = 0
    """Groups of images of which each is in one split only; 0 where there are none."""
    fold: str = ""
    """`fold 2 of 5`: the part of the training images that is the test split, of which the counts are estimates; empty
    without cross-validation.
    """

    @property
    def totals(self) -> dict[str, int]:
        """Images by split."""
        return {split: sum(counts) for split, counts in self.counts.items()}


def folder_facts(name: str, options: Section, fold: FoldChoice | None = None) -> FolderFacts | None:
    """The facts of a dataset `folder:PATH` or `csv:FILE`; `None` for other datasets. Raises `UserError`.

    Lists the files, once per process while it does not change, and reads the headers of a few images.
    """
    scan = dataset_scan(name, options)
    if scan is None:
        return None
    default = FolderOptions()
    test, seed = float(options.get("test", default.test)), int(options.get("seed", default.seed))
    return facts_of_scan(scan, test, seed, fold)


def facts_of_scan(scan: ImageScan, test: float, seed: int = 0, fold: FoldChoice | None = None) -> FolderFacts:
    """The facts of a scan; `test`: the fraction of each class that is the test split if there is no other, drawn by
    `seed`; `fold`: the fold of a cross-validation that is the test split instead, of which the counts are estimates.
    """
    counts = {split: tuple(values) for split, values in scan.counts().items()}
    folders = dict(scan.split_folders)
    if ALL in counts:
        every = counts.pop(ALL)
        if fold is not None:
            drawn = (0,) * len(every)
        elif scan.groups:
            labels = Counter(item.label for item in scan.divided(test, seed)["test"])
            drawn = tuple(labels[label] for label in range(len(scan.classes)))
        else:
            drawn = tuple(drawn_count(count, test) for count in every)
        counts = {"train": tuple(a - b for a, b in zip(every, drawn, strict=True)), "test": drawn}
        folders = {"train": folders[ALL]}
    if fold is not None:
        fold.check(max(counts["train"]), scan.groups, str(scan.root / scan.table))
        held_out = tuple(map(fold.share, counts["train"]))
        train = tuple(a - b for a, b in zip(counts["train"], held_out, strict=True))
        counts |= {"train": train, "test": held_out}
    return FolderFacts(
        root=str(scan.root),
        classes=scan.classes,
        folders=folders,
        counts=counts,
        sizes=scan.sizes,
        skipped=SkippedFiles.of(scan.skipped_files),
        left_out=tuple(SkippedFile(*item) for item in scan.left_out),
        other_files=dict(scan.other_files),
        remarks=tuple(scan.remarks),
        table=scan.table,
        columns=dict(scan.columns),
        groups=scan.groups,
        fold="" if fold is None else fold.text,
    )


def describe_folder(facts: FolderFacts) -> Iterator[str]:
    """Lines of text: classes, splits, other files, then the warnings."""
    yield from folder_contents(facts)
    yield from folder_warnings(facts)


def folder_contents(facts: FolderFacts) -> Iterator[str]:
    """Lines about classes, splits and files that are not images."""
    yield f"{plural(len(facts.classes), 'class')}: {list_names(facts.classes)}"
    yield f"splits: {', '.join(_describe_split(facts, split) for split in facts.counts)}"
    if facts.columns:
        yield f"columns of {sanitize(facts.table, 40)}: {_describe_columns(facts.columns)}"
    if facts.other_files:
        kinds = Counter(facts.other_files).most_common(_MAX_NAMES)
        listed = ", ".join(f"{count:,} {sanitize(kind, 16)}" for kind, count in kinds)
        yield f"ignored, not images: {listed}"


def folder_warnings(facts: FolderFacts) -> Iterator[str]:
    """Lines about what is left out or skipped, and what is not obvious about classes and splits; often none."""
    if facts.left_out:
        shown = [_describe_left_out(one, facts) for one in facts.left_out[:_MAX_LEFT_OUT]]
        yield f"left out: {_with_rest(shown, len(facts.left_out))}"
    if facts.skipped.count:
        yield f"skipped: {describe_skipped(facts.skipped)}"
    for remark in facts.remarks:
        yield sanitize(remark)


def describe_resizing(
    sizes: ImageSizes | None, shape: Sequence[int], input_shape: Sequence[int], store: int | None = None
) -> list[str]:
    """A line on whether images are resized, from what to what; none if no image can be read.

    `shape`: of a stored image, `input_shape`: of an input of the model; both (channels, height, width). `store`: the
    side of the squares that training images are stored as, if that is another one.
    """
    if sizes is None:
        return []
    steps = [sizes.describe()]
    for _, height, width in (shape, input_shape):
        if (step := f"{width}×{height}") != steps[-1]:
            steps.append(step)
    if store is not None:
        steps[-1] += f" (for training stored as {store}×{store} and cropped)"
    return [f"images: {steps[0]}, not resized" if len(steps) == 1 else f"images resized: {' → '.join(steps)}"]


def list_names(names: Sequence[str]) -> str:
    """The first names, and how many more there are; names that could be taken for two, or another, are in quotes."""
    shown = [repr(text) if "," in text or text != text.strip() else text
             for text in (sanitize(name, 24) for name in names[:_MAX_NAMES])]  # fmt: skip
    return _with_rest(shown, len(names))


def _describe_left_out(one: SkippedFile, facts: FolderFacts) -> str:
    """`empty (a folder without images)`; `1 image in no class folder` for the folder of the dataset itself."""
    path = relative_path(one.path, facts)
    return one.reason if path == "." else f"{path} ({one.reason})"


def _with_rest(shown: Sequence[str], count: int) -> str:
    return ", ".join(shown) + (f" and {count - len(shown):,} more" if count > len(shown) else "")


def _describe_split(facts: FolderFacts, split: str) -> str:
    folder = facts.folders.get(split)
    if facts.fold and split == "test":
        own = f" instead of {sanitize(folder, 40)}/" if folder and not facts.table else ""
        return f"test about {facts.totals[split]:,} ({facts.fold}{own})"
    if folder is None:
        origin = "drawn by groups" if facts.groups else "drawn from each class of train"
    elif facts.table:
        origin = f"{sanitize(facts.columns['split'], 24)} {sanitize(folder, 40)}" if folder else "all rows"
    else:
        origin = "the folder itself" if folder == "." else f"{sanitize(folder, 40)}/"
    about = "about " if facts.fold and split == "train" else ""
    return f"{split} {about}{facts.totals[split]:,} ({origin})"


def _describe_columns(columns: Mapping[str, str]) -> str:
    """`file (image), breed (label)`."""
    return ", ".join(f"{sanitize(name, 24)} ({what})" for what, name in columns.items())


def relative_path(path: str, facts: FolderFacts) -> str:
    """The path of a file relative to the folder, shortened."""
    relative = os.path.relpath(path, facts.root)
    return sanitize(path if relative.startswith("..") else relative, 60)


def describe_skipped(skipped: SkippedFiles) -> str:
    """`3 files: 2 × in HEIC format, which can't be read here …; 1 × empty (first: cat/x.heic)`."""
    reasons = Counter(one.reason for one in skipped.files).most_common()
    shown = [f"{count:,} × {sanitize(reason, 80)}" for reason, count in reasons[:_MAX_REASONS]]
    more = f" and {plural(len(reasons) - _MAX_REASONS, 'more reason')}" if len(reasons) > _MAX_REASONS else ""
    first = sanitize("/".join(Path(skipped.files[0].path).parts[-2:]), 60) if skipped.files else ""
    return f"{plural(skipped.count, 'file')}: {'; '.join(shown)}{more} (first: {first})"
