"""Images whose names say their classes: `cat_01.jpg`, `dog_07.jpg` in one folder. Imports no torch."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from workbench.core.errors import UserError
from workbench.core.paths import is_folder
from workbench.core.progress import CancelCheck, never_cancelled
from workbench.core.text import plural, sanitize
from workbench.datasets.catalog import FolderOptions
from workbench.datasets.class_folders import natural_order, same_names
from workbench.datasets.image_folder_layout import ALL
from workbench.datasets.image_scan import ImageScan, ListedImage, check_counts, check_groups, complete_splits
from workbench.datasets.split_names import UNLABELED, find_split_names
from workbench.io.image_files import ImageFile, read_tree

_LABEL, _GROUP = "label", "group"
_PLACEHOLDER = re.compile(r"\\\{(label|group)\\\}")


def scan_names(
    root: Path,
    options: FolderOptions,
    cancelled: CancelCheck = never_cancelled,
    recorded_classes: Sequence[str] = (),
) -> ImageScan:
    """The images below `root` by the classes in their names, see `parse_pattern`; others are skipped.

    Folders directly in `root` that are called like splits are splits. Raises `UserError` with one line, `Cancelled`.
    """
    if not is_folder(root):
        raise UserError(f"{root} is not a folder: folder:PATH needs one with images")
    pattern = parse_pattern(options.pattern)
    tree = read_tree(root, follow_all=options.links == "all", cancelled=cancelled)
    scan = ImageScan(
        root,
        skipped_files=tree.all_skipped(),
        other_files=tree.all_others(),
        folder_times={folder.path: folder.modified_ns for folder in tree.walk()},
    )
    kinds = {name: split.split for name, split in find_split_names(f.name for f in tree.folders).items()}
    splits = kinds if "train" in kinds.values() else {}
    found: list[tuple[str, ImageFile, str, str]] = []
    for image in tree.all_images():
        path = Path(image.path).relative_to(root).as_posix()
        folder = path.partition("/")[0] if "/" in path else ""
        split = (splits.get(folder) if splits else ALL) or ""
        match = pattern.search(path)
        if match is None or not match[_label_group(pattern)]:
            scan.skipped_files.append(
                (image.path, f"its name does not match {sanitize(options.pattern, 40)}")
            )
        elif split in {"", UNLABELED}:
            scan.skipped_files.append(
                (image.path, "beside the splits" if not split else "an image to predict")
            )
        else:
            label = unicodedata.normalize("NFC", match[_label_group(pattern)])
            group = match[_GROUP] if _GROUP in pattern.groupindex else ""
            found.append((split, image, label, group or ""))
            scan.split_folders.setdefault(split, folder if splits else ".")
    _add_images(scan, found, recorded_classes, options, has_groups=_GROUP in pattern.groupindex)
    return scan


def parse_pattern(text: str) -> re.Pattern[str]:
    r"""The regular expression of `data.pattern`, which is searched in the path of an image below its folder.

    With `{label}` or without parentheses it is of another form: `{label}` and `{group}` stand for some characters of a
    name, `*` for any, `?` for one; it matches the end of the path from the beginning of a name. Raises `UserError`.

    >>> parse_pattern("{label}_*.jpg").search("pets/cat_01.jpg")["label"]
    'cat'
    """
    expression = text
    if "{label}" in text or "(" not in text:
        escaped = re.escape(text).replace(r"\*", "[^/]*").replace(r"\?", "[^/]")
        named = _PLACEHOLDER.sub(r"(?P<\1>[^/]+?)", escaped)
        expression = f"(?:^|/){named}$"
    try:
        pattern = re.compile(expression)
    except re.error as error:
        raise UserError(f"data.pattern={sanitize(text)} is no regular expression: {error}") from None
    if pattern.groups == (_GROUP in pattern.groupindex):  # none but that
        raise UserError(
            f"data.pattern={sanitize(text)} does not say where the class is: {{label}}_*.jpg, or a regular expression "
            "with a group, ^([a-z]+)_"
        )
    return pattern


def _label_group(pattern: re.Pattern[str]) -> str | int:
    """The group of the class: the one called `label`, else the first that is not `group`."""
    if _LABEL in pattern.groupindex:
        return _LABEL
    return next(n for n in range(1, pattern.groups + 1) if n != pattern.groupindex.get(_GROUP))


def _add_images(
    scan: ImageScan,
    found: Sequence[tuple[str, ImageFile, str, str]],
    recorded: Sequence[str],
    options: FolderOptions,
    *,
    has_groups: bool,
) -> None:
    """Put the images into their splits. Raises `UserError` if they can't be trained on."""
    names = {label for _, _, label, _ in found}
    if len(names) < 2:
        has = f"has only one class ({names.pop()!r})" if names else "matches no image"
        raise UserError(
            f"data.pattern={sanitize(options.pattern)} {has} in {scan.root}: classification needs at least two"
        )
    scan.classes = tuple(recorded) if same_names(names, recorded) else tuple(natural_order(names))
    labels = {unicodedata.normalize("NFC", name): label for label, name in enumerate(scan.classes)}
    keys = dict.fromkeys(group or image.path for _, image, _, group in found)
    groups = {key: number for number, key in enumerate(keys, 1)}
    scan.groups = len(groups) if has_groups else 0
    for split, image, label, group in found:
        path = _relative(scan, image)
        number = groups[group or image.path] if has_groups else 0
        scan.splits.setdefault(split, []).append(
            ListedImage(path, labels[label], image.size, image.modified_ns, number)
        )
    complete_splits(scan)
    unused = sum(1 for _, reason in scan.skipped_files if reason.startswith("its name"))
    if unused:
        scan.remarks.append(f"{plural(unused, 'image')} whose name does not match data.pattern left out")
    check_groups(scan, {_relative(scan, image): group for _, image, _, group in found})
    check_counts(scan)


def _relative(scan: ImageScan, image: ImageFile) -> str:
    """The path of an image below the root of its scan."""
    return Path(image.path).relative_to(scan.root).as_posix()
