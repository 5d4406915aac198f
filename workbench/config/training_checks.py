"""Training settings that exclude each other."""

from __future__ import annotations

from workbench.config.training_settings import TrainingSettings
from workbench.core.errors import UserError


def check_training(train: TrainingSettings) -> None:
    """Raise `UserError` for settings that can't be used together."""
    if train.ema and train.swa:
        raise UserError("train.ema and train.swa are two averages of the weights: set one of them to 0")
    if train.fsdp and train.swa:
        raise UserError(
            "train.swa can't compute batch norm statistics of a sharded model (train.fsdp): use train.ema"
        )
    if train.fsdp and train.optimizer == "muon":
        raise UserError("train.optimizer=muon needs whole matrices, which train.fsdp divides: use adamw")
