"""Targets of a custom dataset: class indices and names from whatever labels there are, or numbers for a regression."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from workbench.core.errors import UserError, did_you_mean
from workbench.datasets.catalog import Task
from workbench.datasets.class_folders import natural_order

Targets = Tensor | Sequence[str]
"""Numbers, or class names."""

_MANY_CLASSES = 50
"""More classes than this must have at least two samples on average; else the labels are numbers to predict."""
_SHOWN = 3


@dataclass(frozen=True)
class ResolvedTargets:
    """Targets by split: int64 [N] class indices, or float32 [N, ...] for a regression; and notices for the user."""

    task: Task
    classes: tuple[str, ...]
    targets: Mapping[str, Tensor]
    notices: tuple[str, ...] = ()


def resolve_targets(
    targets: Mapping[str, Targets], task: Task | None, names: Any, where: str
) -> ResolvedTargets:
    """The task, the class names and the targets of all splits.

    `names`: class names in order, or by label; `None` if there are none. Raises `UserError`, with `where` in front.
    """
    texts = [split for split, values in targets.items() if not isinstance(values, Tensor)]
    if texts:
        return _from_texts(targets, task, names, where)
    tensors = {split: _checked(values, f"{where}: {split}") for split, values in targets.items()}  # type: ignore[arg-type]
    if task != "regression" and all(map(_is_one_hot, tensors.values())):
        names = [str(index) for index in range(tensors["train"].shape[1])] if names is None else names
        tensors = {split: values.argmax(1) for split, values in tensors.items()}
        return _classes(tensors, names, where, ("one-hot targets are used as class indices",))
    notices: tuple[str, ...] = ()
    if task is None:
        task = "regression" if tensors["train"].is_floating_point() else "classification"
        if task == "regression" and names is not None and all(map(_are_whole, tensors.values())):
            task, notices = (
                "classification",
                ("whole numbers stored as floats are used as labels of the classes",),
            )
        if task == "regression" and any(_is_distribution(values) for values in tensors.values()):
            raise UserError(
                f"{where}: each target is a row of numbers that sum to 1: return class indices (y.argmax(1)), or a "
                "dict with task='regression'"
            )
    if task == "regression":
        return _numbers(tensors)
    integers = {split: _to_integers(values, f"{where}: {split}") for split, values in tensors.items()}
    return _classes(integers, names, where, notices)


def read_texts(values: Any, where: str) -> list[str] | None:
    """Labels that are texts (or bytes), one per sample; `None` where none of them is one.

    Raises `UserError` where some samples have no label (`None`, NaN): a class called "None" would be learned.
    """
    if isinstance(values, np.ndarray):
        labels = values.ravel().tolist() if values.dtype.kind in "USO" and values.size == len(values) else []
    else:  # not np.asarray, which would make a text of NaN
        labels = list(values)
    if not any(isinstance(label, (str, bytes)) for label in labels):
        return None
    missing = [index for index, label in enumerate(labels) if label is None or isinstance(label, float)]
    if missing:
        raise UserError(
            f"{where} has no label ({labels[missing[0]]}) for {len(missing):,} of {len(labels):,} samples "
            f"(the first is sample {missing[0]}): drop them, or give them one"
        )
    return [label.decode(errors="replace") if isinstance(label, bytes) else str(label) for label in labels]


def signed(values: Tensor) -> Tensor:
    """`values` as int64 if they are of an unsigned type that torch hardly supports."""
    return values.to(torch.int64) if values.dtype in {torch.uint16, torch.uint32, torch.uint64} else values


def _checked(values: Tensor, where: str) -> Tensor:
    if not len(values):
        raise UserError(f"{where} is empty: every split needs at least one sample")
    values = signed(values)
    if values.is_complex():
        raise UserError(f"{where} has complex targets; they must be class indices or real numbers")
    check_finite(values, where, "targets")
    return values.to(torch.int64) if values.dtype == torch.bool else values


def check_finite(values: Tensor, where: str, what: str) -> None:
    """Raise `UserError` where a sample has NaN or infinite values."""
    if not values.is_floating_point():
        return
    bad = (~torch.isfinite(values.reshape(len(values), -1))).any(1).nonzero().flatten().tolist()
    if bad:
        raise UserError(
            f"{where} has NaN or infinite values in the {what} of {len(bad):,} of {len(values):,} samples "
            f"(the first is sample {bad[0]}): replace or drop them"
        )


def _is_one_hot(values: Tensor) -> bool:
    """Whether each row has one 1 and zeros."""
    if values.ndim != 2 or values.shape[1] < 2:
        return False
    return bool(((values == 0) | (values == 1)).all() and (values.sum(1) == 1).all())


def _are_whole(values: Tensor) -> bool:
    """Whether there is one number per sample, and all of them are whole."""
    return values.numel() == len(values) and bool((values == values.round()).all())


def _is_distribution(values: Tensor) -> bool:
    if values.ndim != 2 or values.shape[1] < 2:
        return False
    return bool((values >= 0).all() and ((values.sum(1) - 1).abs() < 1e-4).all())


def _numbers(tensors: Mapping[str, Tensor]) -> ResolvedTargets:
    """The targets of a regression. A single number per sample becomes a column like the output of a model."""
    train = tensors["train"]
    notices = []
    if train.is_floating_point() and _are_whole(train):
        notices.append(
            "targets are whole numbers stored as floats: trained as a regression (return integers or class names for "
            "classes)"
        )
    columns = {
        split: values.to(torch.float32).unsqueeze(1) if values.ndim == 1 else values.to(torch.float32)
        for split, values in tensors.items()
    }
    return ResolvedTargets("regression", (), columns, tuple(notices))


def _to_integers(values: Tensor, where: str) -> Tensor:
    if values.ndim == 2 and values.shape[1] == 1:
        values = values.squeeze(1)
    whole = not values.is_floating_point() or bool((values == values.round()).all())
    if values.ndim == 2 and whole:
        raise UserError(
            f"{where} has {values.shape[1]} labels per sample; one class per sample is supported: return class indices"
        )
    if values.ndim != 1 or not whole:
        raise UserError(
            f"{where} has targets of {values.dtype} and shape {tuple(values.shape)}; class targets must be integers, "
            "one per sample (for a regression return a dict with task='regression')"
        )
    return values.to(torch.int64)


def _from_texts(targets: Mapping[str, Targets], task: Task | None, names: Any, where: str) -> ResolvedTargets:
    if task == "regression" or any(isinstance(values, Tensor) for values in targets.values()):
        raise UserError(f"{where}: some targets are texts and some are numbers; use one kind")
    found = natural_order({label for values in targets.values() for label in values})
    classes = tuple(found) if names is None else _name_tuple(names, where)
    indices = {label: index for index, label in enumerate(classes)}
    unknown = next((label for label in found if label not in indices), None)
    if unknown is not None:
        raise UserError(
            f"{where}: the label {unknown!r} is not among the classes{did_you_mean(unknown, classes)}"
        )
    resolved = {
        split: torch.tensor([indices[label] for label in values], dtype=torch.int64)
        for split, values in targets.items()
    }
    return ResolvedTargets("classification", classes, resolved)


def _classes(
    tensors: Mapping[str, Tensor], names: Any, where: str, notices: tuple[str, ...] = ()
) -> ResolvedTargets:
    """Class indices from 0 on, from integer labels of any values, with the names of the classes."""
    labels: list[int] = torch.cat([values.unique() for values in tensors.values()]).unique().tolist()
    values, classes = _label_values(labels, names, where)
    if names is None:
        _check_number_of_classes(labels, len(tensors["train"]), where)
    if values != list(range(len(values))):
        notices = (*notices, f"labels {_listed(values)} are used as class indices 0 to {len(values) - 1}")
        if values[0] < 0 and 0 in values:
            notices = (
                *notices,
                f"label {values[0]} is a class of its own: drop its samples if it marks missing labels",
            )
        order = torch.tensor(values)
        tensors = {split: torch.searchsorted(order, labels) for split, labels in tensors.items()}
    return ResolvedTargets("classification", classes, tensors, notices)


def _label_values(labels: list[int], names: Any, where: str) -> tuple[list[int], tuple[str, ...]]:
    """The label of each class, ascending, and the names of the classes."""
    if names is None:
        return labels, tuple(map(str, labels))
    names = _by_label(names, where)
    if isinstance(names, Mapping) and all(isinstance(key, (int, np.integer)) for key in names):
        values = sorted(int(key) for key in names)
        missing = next((label for label in labels if label not in values), None)
        if missing is not None:
            raise UserError(f"{where}: label {missing} has no class name")
        return values, tuple(str(names[value]) for value in values)
    classes = _name_tuple(names, where)
    count = len(classes)
    if labels[0] >= 0 and labels[-1] < count:
        return list(range(count)), classes
    if len(labels) == count:
        return labels, classes
    if labels[0] >= 1 and labels[-1] == count:
        return list(range(1, count + 1)), classes
    raise UserError(
        f"{where}: there are {count} class names, but labels {_listed(labels)} ({len(labels)} different ones)"
    )


def _by_label(names: Any, where: str) -> Any:
    """A mapping from names to labels, as torchvision's `class_to_idx`, turned around; anything else unchanged."""
    if not isinstance(names, Mapping) or not all(_is_label(label) for label in names.values()):
        return names
    turned = {int(label): name for name, label in names.items()}
    if len(turned) < len(names):
        raise UserError(f"{where}: classes has two names for the same label")
    return turned


def _is_label(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _name_tuple(names: Any, where: str) -> tuple[str, ...]:
    """Class names in order; of a mapping of names and labels, in the order of the labels."""
    names = _by_label(names, where)
    if isinstance(names, Mapping):
        names = [names[label] for label in sorted(names)]
    if isinstance(names, str):
        raise UserError(f"{where}: classes must be a list of names, not the text {names!r}")
    try:
        classes = tuple(str(name) for name in names)
    except TypeError:
        raise UserError(f"{where}: classes must be a list of names, not {type(names).__name__}") from None
    if len(set(classes)) < len(classes):
        twice = next(name for name in classes if classes.count(name) > 1)
        raise UserError(f"{where}: two classes have the name {twice!r}")
    return classes


def _check_number_of_classes(labels: Sequence[int], samples: int, where: str) -> None:
    if len(labels) > _MANY_CLASSES and 2 * len(labels) > samples:
        raise UserError(
            f"{where}: targets have {len(labels):,} different values for {samples:,} training samples: for a "
            "regression return floats, for classes return a dict with their names as classes"
        )


def _listed(labels: Sequence[int]) -> str:
    """`1 to 10`, or `0, 10, 20 … 90`."""
    if labels[-1] - labels[0] == len(labels) - 1:
        return f"{labels[0]} to {labels[-1]}"
    head = ", ".join(map(str, labels[:_SHOWN]))
    return f"{head} … {labels[-1]}" if len(labels) > _SHOWN + 1 else ", ".join(map(str, labels))
