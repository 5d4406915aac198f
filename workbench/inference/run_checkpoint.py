"""The model of a run: its checkpoint, and the module built from the description in it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from torch import nn

from workbench.core.errors import UserError
from workbench.models.factory import build_model
from workbench.runs.run_folder import RunFolder
from workbench.worker.checkpoint_content import CheckpointContent, ModelSpec
from workbench.worker.checkpoint_reader import NoReadableCheckpoint, select_checkpoint


def load_run_checkpoint(
    run: Path, which: Literal["best", "last"] = "best"
) -> tuple[CheckpointContent, tuple[str, ...]]:
    """The content of the best (if none is marked best, the newest) or newest readable checkpoint of a run, and notices.

    Raises `UserError` if there is none, or if it was not written by a run.
    """
    try:
        loaded = select_checkpoint(RunFolder(run), which, _check_model)
    except NoReadableCheckpoint as error:
        raise UserError(f"{run.name} has no readable checkpoint: {error}") from None
    if loaded is None:
        raise UserError(
            f"{run.name} has no checkpoint yet: one is written every minute and at the end of every epoch"
        )
    return loaded.content, loaded.notices


def _check_model(content: CheckpointContent) -> None:
    """Raise `UserError` for content without weights or without the description of the model."""
    if not isinstance(content.get("model"), dict):
        raise UserError("the checkpoint has no model weights")
    ModelSpec.from_json(content.get("spec"))


def build_from_spec(spec: ModelSpec) -> nn.Module:
    """Build the module that a checkpoint describes, without its weights. Raises `UserError`."""
    outputs = len(spec.classes) or 1
    return build_model(spec.model, shape=spec.shape, outputs=outputs, task=spec.task, load=False).module
