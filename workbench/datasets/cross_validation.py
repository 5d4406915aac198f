"""Cross-validation: the division of the training data into folds, of which one is held out as the test data.

Folds are those of scikit-learn: stratified by class, and where samples have groups, no group is in two folds.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from workbench.core.errors import UserError
from workbench.core.text import plural
from workbench.datasets.dataset import Dataset, Split
from workbench.datasets.drawing import derived_seed
from workbench.datasets.fold_choice import FoldChoice


def hold_out_fold(data: Dataset, choice: FoldChoice | None, name: str) -> Dataset:
    """`data` with one fold of its training split as the test split, and the others as the training split.

    The training split has all samples of a dataset without a test split of its own; one of its own is not used. Without
    `choice` `data` is returned unchanged. Raises `UserError` where the samples can't be divided into so many folds.
    """
    if choice is None:
        return data
    whole = data.train
    held_out = fold_positions(whole, choice, name, stratified=data.task == "classification")
    rest = np.setdiff1d(np.arange(len(whole)), held_out)
    test = replace((data.as_evaluated or whole.take)(held_out.tolist()), positions=torch.from_numpy(held_out))
    notice = (
        f"cross-validation: {choice.text} is held out as the test data, {len(held_out):,} of "
        f"{plural(len(whole), 'sample')}"
    )
    if len(data.test):
        notice += f"; the test split of the dataset itself ({plural(len(data.test), 'sample')}) is not used"
    return replace(
        data,
        train=whole.take(rest.tolist()),
        test=test,
        notices=(*data.notices, notice),
        as_evaluated=_as_evaluated(data, rest),
    )


def _as_evaluated(data: Dataset, rest: np.ndarray) -> Callable[[Sequence[int]], Split] | None:
    """`Dataset.as_evaluated` of the samples at `rest`."""
    make = data.as_evaluated
    return None if make is None else lambda indices: make(rest[list(indices)].tolist())


def fold_positions(whole: Split, choice: FoldChoice, name: str, *, stratified: bool = True) -> np.ndarray:
    """int64: the indices of the samples of `whole` that are held out, ascending. Raises `UserError`."""
    if whole.folds is not None:
        return _given_fold(whole.folds, choice, name)
    folds = _divide(whole.targets, whole.groups, choice, name, stratified=stratified)
    for number, positions in enumerate(folds, 1):
        if not len(positions):
            raise UserError(
                f"train.folds={choice.count}: fold {number} of {name} would have no samples, because groups are not "
                "divided: fewer folds"
            )
    return np.sort(folds[choice.held_out - 1])


def _given_fold(folds: Tensor, choice: FoldChoice, name: str) -> np.ndarray:
    """The fold that the dataset itself numbers. Raises `UserError`."""
    if without := int((folds == 0).sum()):
        raise UserError(
            f"train.folds: {plural(without, 'sample')} of {name} "
            f"{'is' if without == 1 else 'are'} in no fold; data.fold=none draws the folds"
        )
    count = int(folds.max())
    if count != choice.count:
        raise UserError(
            f"train.folds={choice.count}, but {name} is divided into {plural(count, 'fold')}: set it to {count}, or "
            "draw the folds with data.fold=none"
        )
    found: np.ndarray = np.flatnonzero(folds.numpy() == choice.held_out)
    if not len(found):
        raise UserError(f"train.fold={choice.held_out}: no image of this fold of {name} can be read")
    return found


def _divide(
    targets: Tensor, groups: Tensor | None, choice: FoldChoice, name: str, *, stratified: bool
) -> Sequence[np.ndarray]:
    """The indices of each fold, by the seed of `choice`."""
    from sklearn.model_selection import (  # noqa: PLC0415 - takes a second
        GroupKFold,
        KFold,
        StratifiedGroupKFold,
        StratifiedKFold,
    )

    most, what = len(targets), "samples"
    if stratified:
        most, what = int(torch.bincount(targets).max()), "samples of one class"
    choice.check(most, 0 if groups is None else len(groups.unique()), name, what)
    state = derived_seed(choice.seed, "folds") % 2**32
    if groups is None:
        kind = StratifiedKFold if stratified else KFold
    else:
        kind = StratifiedGroupKFold if stratified else GroupKFold
    splitter = kind(choice.count, shuffle=True, random_state=state)
    labels = targets.numpy() if stratified else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a class with fewer samples than folds is in some of them only
        parts = splitter.split(
            np.zeros(len(targets), np.uint8), labels, None if groups is None else groups.numpy()
        )
        return [held_out for _, held_out in parts]
