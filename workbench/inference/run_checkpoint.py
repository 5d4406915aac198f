"""The model of a run: its checkpoint, and the module built from what that says of it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from torch import nn

from workbench.core.errors import BadInput
from workbench.models.factory import build_model
from workbench.runs.run_folder import RunFolder
from workbench.worker.checkpoint_content import CheckpointContent, ModelSpec
from workbench.worker.checkpoint_reader import NoReadableCheckpoint, select_checkpoint


def load_run_checkpoint(
    run: Path, which: Literal["best", "last"] = "best"
) -> tuple[CheckpointContent, tuple[str, ...]]:
    """The content of a run's best (newest, where none is) or newest checkpoint that is readable, and notices.

    Raises `BadInput` when there is none, or it was not written by a run.
    """
    try:
        loaded = select_checkpoint(RunFolder(run), which, _check_model)
    except NoReadableCheckpoint as error:
        raise BadInput(f"{run.name} has no checkpoint that is whole: {error}") from None
    if loaded is None:
        raise BadInput(
            f"{run.name} has no checkpoint yet: one is written each minute and at each epoch's end"
        )
    return loaded.content, loaded.notices


def _check_model(content: CheckpointContent) -> None:
    """Raise `BadInput` for a content without weights or a model's description."""
    if not isinstance(content.get("model"), dict):
        raise BadInput("a checkpoint lacks the model's weights")
    ModelSpec.from_json(content.get("spec"))


def build_from_spec(spec: ModelSpec) -> nn.Module:
    """The module a checkpoint describes, without its weights. Raises `BadInput`."""
    outputs = len(spec.classes) or 1
    return build_model(spec.model, shape=spec.shape, outputs=outputs, task=spec.task, load=False).module
