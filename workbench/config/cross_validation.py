"""The fold of a cross-validation that an experiment holds out."""

from __future__ import annotations

from workbench.config.training_settings import TrainingSettings
from workbench.core.errors import UserError
from workbench.datasets.fold_choice import FoldChoice


def chosen_fold(train: TrainingSettings) -> FoldChoice | None:
    """The fold that a run holds out, of several runs the first; `None` without cross-validation."""
    if not train.folds:
        return None
    return FoldChoice(count=train.folds, held_out=max(1, train.fold), seed=train.fold_seed)


def check_folds(train: TrainingSettings) -> None:
    """Raise `UserError` for folds that do not exist."""
    if train.folds == 1:
        raise UserError("train.folds can't be 1: one part is held out, and at least one is left to train on")
    if train.fold > train.folds:
        raise UserError(
            f"train.fold={train.fold}, but there are {train.folds} folds"
            if train.folds
            else f"train.fold={train.fold} needs train.folds, the number of folds"
        )


def check_one_run(train: TrainingSettings) -> None:
    """Raise `UserError` for settings that mean a run for each fold."""
    if train.folds and not train.fold:
        raise UserError(
            f"train.folds={train.folds} is a run for each fold, which train starts as a group: choose one with "
            f"train.fold=1 to {train.folds}"
        )
