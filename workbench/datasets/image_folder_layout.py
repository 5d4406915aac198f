"""The layout of image folders: which folders are classes, which are splits, and which are neither.

Works on a `FolderTree`, so that every rule sees all of the folder. Raises `UserError` for layouts that can't be trained
on, with one line that names the folder and what to do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from workbench.core.errors import UserError
from workbench.core.text import plural
from workbench.datasets.split_names import (
    NATURAL_CLASS_WORDS,
    UNLABELED,
    SplitName,
    find_split_names,
    parse_split_name,
)
from workbench.io.image_files import FolderTree

ALL = "all"
"""The only split of a folder without folders of splits."""
_OUTPUT_REASON = "named like the output of a trainer: rename it to use it as a class"
_MAX_DESCENT = 8
_OUTPUT_FOLDERS = frozenset(
    {
        "checkpoint", "checkpoints", "exp", "lightning_logs", "log", "logs", "mlruns", "models", "output",
        "outputs", "result", "results", "runs", "saved_models", "tensorboard", "wandb", "weights",
    }
)  # fmt: skip
"""Folders that trainers leave; empty ones are not classes without images."""
_NO_CLASS_NAMES = _OUTPUT_FOLDERS - {"exp", "log", "logs", "models", "weights"}
"""Those that are not classes beside two others even with images in them: `logs` may be of wood."""


@dataclass
class FolderLayout:
    """The folders of classes by split, and what was left out."""

    root: FolderTree
    """The folder that has the classes or splits: the given one, or one inside it."""
    splits: dict[str, FolderTree] = field(default_factory=dict)
    """The folder of each split (`ALL` without splits), in which the classes are."""
    classes: dict[str, list[FolderTree]] = field(default_factory=dict)
    """The folders of classes, by split."""
    left_out: list[tuple[str, str]] = field(default_factory=list)
    """Folders and loose images that are part of no class: path and reason."""
    remarks: list[str] = field(default_factory=list)
    """What is not obvious about the choice of splits, one sentence each."""


def find_layout(tree: FolderTree) -> FolderLayout:
    """The layout of a folder. Raises `UserError`."""
    layout = FolderLayout(tree)
    for _ in range(_MAX_DESCENT):
        found = _split_folders(layout)
        if found:
            _use_splits(layout, found)
            break
        inner = _only_folder(layout.root)
        if inner is None:
            _use_splits_inside_classes(layout)
            break
        _leave_out_others(layout, inner)
        layout.root = inner
    for split, folder in layout.splits.items():
        layout.classes[split] = _class_folders(layout, folder)
    if not any(layout.classes.values()):
        raise UserError(_no_classes_message(layout.root))
    return layout


def _no_classes_message(root: FolderTree) -> str:
    return f"{root.path} has no class folders: put the images of each class into a folder of its own"


def _only_folder(root: FolderTree) -> FolderTree | None:
    """The only subfolder with images if its own subfolders have images too; images beside it prevent that."""
    _refuse_outside(root.folders)
    outputs = _output_folders(root)
    with_content = [f for f in root.folders if f not in outputs and (f.has_images or f.all_skipped())]
    may_be_classes = [f for f in root.folders if f not in with_content + outputs and not _has_only_others(f)]
    if root.images or len(with_content) != 1 or may_be_classes:
        return None
    inner = with_content[0]
    return inner if any(folder.has_images for folder in inner.folders) else None


def _refuse_outside(folders: Iterable[FolderTree]) -> None:
    for folder in folders:
        if folder.outside:
            target = Path(folder.path).resolve()
            raise UserError(
                f"{folder.path} is a link to {target}, outside the folder of the dataset: follow such links with "
                "--set data.links=all, or remove it"
            )


def _leave_out_others(layout: FolderLayout, inner: FolderTree) -> None:
    """Note the folders beside the only one with images."""
    layout.left_out += [
        (f.path, _OUTPUT_REASON if f.has_images else "a folder without images") for f in layout.root.folders
        if f is not inner and (f.has_images or f.all_others())
    ]  # fmt: skip


# Splits


def _split_folders(layout: FolderLayout) -> dict[str, tuple[FolderTree, SplitName]]:
    """The subfolders that are splits with classes, by path; raises `UserError` if they are splits without classes."""
    root = layout.root
    names = find_split_names(folder.name for folder in root.folders)
    named = [(folder, names[folder.name]) for folder in root.folders if folder.name in names]
    _refuse_outside(folder for folder, _ in named)
    with_classes = {folder.path: (folder, name) for folder, name in named if _class_level(folder).folders}
    if not any(name.split == "train" for _, name in with_classes.values()):
        _check_no_train(layout, named, with_classes)
        return {}
    for folder, name in named:
        if folder.path not in with_classes:
            count = sum(1 for _ in folder.all_images())
            reason = f"{plural(count, 'image')} without class folders" if count else "empty"
            layout.left_out.append((folder.path, f"{_SPLIT_TEXT[name.split]}, {reason}"))
    return with_classes


_SPLIT_TEXT = {
    "train": "training split",
    "validation": "validation split",
    "test": "test split",
    UNLABELED: "images to predict",
}


def _check_no_train(
    layout: FolderLayout,
    named: Sequence[tuple[FolderTree, SplitName]],
    with_classes: dict[str, tuple[FolderTree, SplitName]],
) -> None:
    """Raise `UserError` where folders are splits but there is no training split with classes.

    A single flat folder with such a name may be a class.
    """
    root = layout.root
    flat = [folder for folder, _ in named if folder.path not in with_classes and folder.has_images]
    labeled = [folder for folder, name in with_classes.values() if name.split != UNLABELED]
    if labeled:
        loose = next((folder for folder, name in named if name.split == "train" and folder in flat), None)
        if loose:
            raise UserError(
                f"{loose.path} has no class folders: put the training images of each class into a folder of its own"
            )
        raise UserError(
            f"{root.path} has {labeled[0].name}/ but no train/: put the training images into {root.path}/train"
        )
    others = [folder for folder in root.folders if folder.has_images and folder not in flat]
    kinds = {name.split for folder, name in named if folder in flat}
    if flat and (len(kinds) > 1 or not others):
        raise UserError(
            f"{root.path}: {' and '.join(f'{folder.name}/' for folder in flat)} have the names of splits but no class "
            "folders: put the images of each class into a folder of its own inside them (labels in a table: "
            "csv:FILE)"
        )


def _class_level(folder: FolderTree) -> FolderTree:
    """The folder that has the classes of a split: `folder`, or the one inside it (`train/train`)."""
    for _ in range(_MAX_DESCENT):
        inner = [f for f in folder.folders if f.has_images or f.all_skipped()]
        if folder.images or len(inner) != 1:
            break
        if parse_split_name(inner[0].name) is None and inner[0].name.lower() != folder.name.lower():
            break
        folder = inner[0]
    return folder


def _use_splits(layout: FolderLayout, found: dict[str, tuple[FolderTree, SplitName]]) -> None:
    """Assign the folders to splits, and note the folders beside them."""
    by_split: dict[str, list[tuple[FolderTree, SplitName]]] = {}
    for folder, name in found.values():
        by_split.setdefault(name.split, []).append((folder, name))
    evaluation = [part for part in by_split.get("validation", ()) if part[1].is_evaluation]
    if len(by_split.get("validation", ())) == 2 and len(evaluation) == 1 and "test" not in by_split:
        by_split["validation"].remove(evaluation[0])
        by_split["test"] = evaluation
    for folder, _ in by_split.pop(UNLABELED, ()):
        layout.left_out.append((folder.path, _SPLIT_TEXT[UNLABELED]))
    for split, parts in by_split.items():
        if len(parts) > 1:
            names = " and ".join(f"{folder.name}/" for folder, _ in parts)
            raise UserError(
                f"{layout.root.path}: both {names} have the name of the {_SPLIT_TEXT[split]}: put their images into "
                "one folder, or move one away"
            )
        layout.splits[split] = _class_level(parts[0][0])
    known = {path for path, _ in layout.left_out} | set(found)
    layout.left_out += [
        (folder.path, "beside the splits") for folder in layout.root.folders
        if folder.path not in known and (folder.has_images or folder.all_others())
    ]  # fmt: skip
    _complete_splits(layout)


def _complete_splits(layout: FolderLayout) -> None:
    """Without a test split, the validation split serves as one; without both, the training split is divided."""
    splits = layout.splits
    if "test" not in splits and "validation" in splits:
        layout.remarks.append(f"{Path(splits['validation'].path).name}/ serves as the test split")
        splits["test"] = splits.pop("validation")
    elif "test" not in splits:
        splits[ALL] = splits.pop("train")
    layout.splits = {
        split: splits[split] for split in (ALL, "train", "validation", "test") if split in splits
    }


def _use_splits_inside_classes(layout: FolderLayout) -> None:
    """Use splits in the class folders (`cat/train`, `cat/test`) if all of them have the same; else there are none."""
    root = layout.root
    flat = _flat_split_folders(root)
    inside = {f.path: _splits_inside(f) for f in root.folders if f.has_images and f not in flat}
    first = next((splits for splits in inside.values() if splits), None)
    if first is None:
        layout.splits = {ALL: root}
        return
    for path, splits in inside.items():
        if splits.keys() != first.keys():
            raise UserError(_different_splits_message(root, inside, path))
    if "train" not in first:
        raise UserError(f"{root.path}: the class folders have {_listed(first)} but no train/ inside")
    # The same images in the usual order: a folder for each split, with the classes in it.
    others = [folder for folder in root.folders if folder.path not in inside]
    if root.images:
        layout.left_out.append((root.path, f"{plural(len(root.images), 'image')} in no class folder"))
    layout.root = FolderTree(root.path)
    found: dict[str, tuple[FolderTree, SplitName]] = {}
    for split, (folder, name) in first.items():
        classes = [FolderTree(path, folders=[splits[split][0]]) for path, splits in inside.items()]
        path = str(Path(root.path) / "CLASS" / folder.name)
        found[path] = FolderTree(path, folders=classes + (others if split == "train" else [])), name
    _use_splits(layout, found)


def _splits_inside(folder: FolderTree) -> dict[str, tuple[FolderTree, SplitName]]:
    """The subfolders of a class folder by split, if they are at least two splits and nothing else; else empty."""
    parts = [part for part in folder.folders if part.has_images]
    names = find_split_names(part.name for part in parts)
    splits = {names[part.name].split: (part, names[part.name]) for part in parts if part.name in names}
    return splits if len(splits) == len(parts) > 1 and not folder.images else {}


def _different_splits_message(
    root: FolderTree, inside: dict[str, dict[str, tuple[FolderTree, SplitName]]], other: str
) -> str:
    """What is wrong where only some class folders have these splits, and the layouts that work."""
    path, splits = next((path, splits) for path, splits in inside.items() if splits)
    has = f"has only {_listed(inside[other])}" if inside[other] else "has not"
    first, second, part = Path(path).name, Path(other).name, next(iter(splits.values()))[0].name
    return (
        f"{root.path}: {first}/ has {_listed(splits)} inside, {second}/ {has}: put the same splits into every class "
        f"folder ({first}/{part}, {second}/{part}), or the classes into those of the splits ({part}/{first}, "
        f"{part}/{second})"
    )


def _listed(splits: dict[str, tuple[FolderTree, SplitName]]) -> str:
    return " and ".join(f"{folder.name}/" for folder, _ in splits.values())


# Classes


def _class_folders(layout: FolderLayout, parent: FolderTree) -> list[FolderTree]:
    """The subfolders of a split that are classes; the others are noted."""
    _refuse_outside(parent.folders)
    if parent.images:
        layout.left_out.append((parent.path, f"{plural(len(parent.images), 'image')} in no class folder"))
    flat_splits, outputs = _flat_split_folders(parent), _output_folders(parent)
    classes = []
    for folder in parent.folders:
        if folder in flat_splits:
            count = sum(1 for _ in folder.all_images())
            layout.left_out.append(
                (folder.path, f"{plural(count, 'image')} without class folders, named like a split: rename it to use "
                              "it as a class")
            )  # fmt: skip
        elif folder in outputs:
            layout.left_out.append((folder.path, _OUTPUT_REASON))
        elif folder.has_images or folder.all_skipped():
            classes.append(folder)
        else:
            layout.left_out.append((folder.path, "a folder without images"))
    if remark := _same_folders_remark(classes):
        layout.remarks.append(remark)
    return classes


def _same_folders_remark(classes: Sequence[FolderTree]) -> str:
    """A remark on classes that all have the same folders inside, which may be the classes; else empty."""
    inside = [{f.name.lower() for f in folder.folders if f.has_images} for folder in classes]
    common = sorted(set.intersection(*inside)) if inside else []
    if len(classes) < 2 or len(common) < 2 or any(folder.images for folder in classes):
        return ""
    outer, inner = (
        ", ".join(f"{name}/" for name in names[:4]) for names in ([f.name for f in classes], common)
    )
    return (
        f"{outer} have the same folders inside ({inner}), which are not told apart: if those are the classes, use one "
        f"of the outer folders ({classes[0].path}), or call them train and test"
    )


def _output_folders(parent: FolderTree) -> list[FolderTree]:
    """Folders with images that a trainer has left beside the data: `runs/` beside `cat/` and `dog/`.

    They are not classes; the only one beside the classes in another folder is left out, too.
    """
    outputs = [f for f in parent.folders if f.has_images and f.name.lower() in _NO_CLASS_NAMES]
    others = [f for f in parent.folders if f.has_images and f not in outputs]
    has_classes = len(others) > 1 or any(len([i for i in f.folders if i.has_images]) > 1 for f in others)
    return outputs if has_classes else []


def _flat_split_folders(parent: FolderTree) -> list[FolderTree]:
    """Folders beside classes that are named like a split, `test/` beside `cat/` and `dog/`: not a class.

    A natural name of a class stays one: `car/` and `train/`.
    """
    flat = [
        folder for folder in parent.folders
        if (name := parse_split_name(folder.name)) and not name.rest and folder.name.lower() not in NATURAL_CLASS_WORDS
    ]  # fmt: skip
    others = [folder for folder in parent.folders if folder.has_images and folder not in flat]
    return flat if others else []


def _has_only_others(folder: FolderTree) -> bool:
    """Whether a folder without images is certainly not a class: it has other files, or is the output of a trainer."""
    return bool(folder.all_others()) or folder.name.lower() in _OUTPUT_FOLDERS


# Counts


def validate_class_counts(classes: Sequence[str], counts: dict[str, list[int]], layout: FolderLayout) -> None:
    """Raise `UserError` if these numbers of images per class, by split, are too few to train and test on."""
    root, training = layout.root.path, counts.get(ALL) or counts["train"]
    for name, count in zip(classes, training, strict=True):
        if not count:
            raise UserError(_empty_class_message(name, layout))
    if len(classes) < 2:
        remark = f" (left out: {layout.left_out[0][0]})" if layout.left_out else ""
        raise UserError(
            f"{root} has only one class ({classes[0]!r}): classification needs at least two{remark}"
        )
    if ALL in counts:
        for name, count in zip(classes, training, strict=True):
            if count < 2:
                raise UserError(
                    f"the class {name!r} in {root} has only one image, and training and test need one each: add an "
                    "image, remove the folder, or put test images into a folder test/ of their own"
                )
    for split in ("validation", "test"):
        if split in counts and not sum(counts[split]):
            raise UserError(f"the {split} folder in {root} has no images: add some or remove the folder")


def _empty_class_message(name: str, layout: FolderLayout) -> str:
    by_split = {
        split: folder
        for split, folders in layout.classes.items()
        for folder in folders
        if folder.name == name
    }
    training = by_split.get("train") or by_split.get(ALL)
    if training is None:
        other, folder = next(iter(by_split.items()))
        missing = Path(layout.splits["train"].path) / name
        return (
            f"the class {name!r} has a folder of {other} images ({folder.path}) but no training images: put some into "
            f"{missing}, or remove that folder"
        )
    skipped = training.all_skipped()
    cause = f"; {skipped[0][0]} is {skipped[0][1]}" if skipped else ""
    return (
        f"the class folder {training.path} has no images that can be trained on{cause}; add some "
        "(.png, .jpg, .webp, ...) or remove the folder"
    )
