"""The model of a run: its checkpoint, and the module built from the description in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
import torch
from torch import nn

from workbench.config.experiment import read_experiment
from workbench.core.errors import UserError
from workbench.core.user_code import is_user_code
from workbench.datasets.image_transform import tell_input
from workbench.datasets.input_record import InputKind, InputRecord, is_image_shape
from workbench.engine.state_content import result_weights
from workbench.io.record_codec import read_record
from workbench.io.torch_files import load_into
from workbench.models.factory import build_model
from workbench.models.outputs import (
    OutputKind,
    detect_output_kind,
    set_output_kind,
    set_training_output_kind,
)
from workbench.runs.external_log import ExternalLog
from workbench.runs.records import Setup
from workbench.runs.run_folder import RunFolder
from workbench.runs.script import Script, read_description
from workbench.worker.checkpoint_content import CheckpointContent, ModelSpec
from workbench.worker.checkpoint_reader import NoReadableCheckpoint, select_checkpoint


@dataclass(frozen=True)
class RunModel:
    """A checkpoint of a run with its module, whose weights are loaded."""

    content: CheckpointContent
    spec: ModelSpec
    module: nn.Module
    notices: tuple[str, ...]
    """Warnings for the user."""

    @property
    def input(self) -> InputRecord:
        """The raw inputs of the model."""
        assert self.spec.input is not None
        return self.spec.input


def load_run_model(run: Path, which: Literal["best", "last"] = "best", *, raw: bool = False) -> RunModel:
    """The best or newest readable checkpoint of a run, as a module. `raw` as below. Raises `UserError`."""
    content, notices = load_run_checkpoint(run, which, raw=raw)
    spec = read_spec(run, content)
    module = build_from_spec(spec)
    load_into(module, content["model"], f"{run.name}'s checkpoint")
    return RunModel(content, spec, module, notices)


def load_run_checkpoint(
    run: Path, which: Literal["best", "last"] = "best", *, raw: bool = False
) -> tuple[CheckpointContent, tuple[str, ...]]:
    """The content of the best (if none is marked best, the newest) or newest readable checkpoint of a run, and notices.

    Its `model` are the averaged weights where the run averages them (`train.ema`, `train.swa`), unless `raw`. Raises
    `UserError` if there is none, or if it was not written by a run.
    """
    try:
        loaded = select_checkpoint(RunFolder(run), which, _check_model)
    except NoReadableCheckpoint as error:
        raise UserError(f"{run.name} has no readable checkpoint: {error}") from None
    if loaded is None:
        if isinstance(read_description(RunFolder(run).experiment), Script | ExternalLog):
            raise UserError(f"{run.name} is not a training of workbench: there is no model of it to load")
        raise UserError(
            f"{run.name} has no checkpoint yet: one is written every minute and at the end of every epoch"
        )
    content = loaded.content
    return content if raw else {**content, "model": result_weights(content)}, loaded.notices


def _check_model(content: CheckpointContent) -> None:
    """Raise `UserError` for content without weights or without the description of the model."""
    if not isinstance(content.get("model"), dict):
        raise UserError("the checkpoint has no model weights")
    ModelSpec.from_json(content.get("spec"))


def read_spec(run: Path, content: CheckpointContent) -> ModelSpec:
    """The spec in a checkpoint; that of version 0.1.0 is completed by what the run recorded elsewhere."""
    spec = ModelSpec.from_json(content["spec"])
    if spec.input is not None:
        return spec
    return msgspec.structs.replace(spec, input=recorded_input(run, spec.shape))


def recorded_input(run: Path, shape: tuple[int, ...]) -> InputRecord:
    """The raw inputs by `setup.json`; in version 0.1.0 only images with a mean were uint8 for sure."""
    setup = read_record(RunFolder(run).setup, Setup)
    if setup is not None and setup.input is not None:
        return setup.input
    if not is_image_shape(shape):
        return InputRecord(kind=InputKind.VALUES, dtype="float32")
    experiment = read_experiment(RunFolder(run).experiment)
    name = experiment.data.name if experiment is not None else ""
    if is_user_code(name) and setup is not None and not setup.mean:
        return InputRecord(kind=InputKind.UNKNOWN, dtype="float32", code=name)
    return InputRecord(code=name if is_user_code(name) else "")


def image_input(run_model: RunModel) -> InputRecord:
    """How images become inputs of the run's model. Raises `UserError` where that is not known."""
    return tell_input(run_model.input, run_model.spec.shape)


def exported_spec(run: Path, content: CheckpointContent) -> ModelSpec:
    """The spec for a file of weights. Raises `UserError` where inputs are of an unknown kind."""
    spec = read_spec(run, content)
    assert spec.input is not None
    return msgspec.structs.replace(spec, input=tell_input(spec.input, spec.shape))


def build_from_spec(spec: ModelSpec) -> nn.Module:
    """Build the module that a checkpoint describes, without its weights. Raises `UserError`."""
    outputs = len(spec.classes) or spec.targets
    built = build_model(spec.model, shape=spec.shape, outputs=outputs, task=spec.task, load=False)
    kind = spec.outputs
    if kind is None and is_user_code(spec.model.name) and spec.task == "classification":
        example = torch.rand(2, *spec.preprocessing.output_shape(spec.shape))
        kind = _detected(built.module, example)
    if kind is not None:
        set_output_kind(built.module, kind)
    if spec.training_outputs is not None:
        set_training_output_kind(built.module, spec.training_outputs)
    return built.module


def _detected(module: nn.Module, example: torch.Tensor) -> OutputKind | None:
    try:
        return detect_output_kind(module, example)
    except Exception:
        return None  # the user sees the error of the prediction itself
