"""The content of a run's checkpoints.

A checkpoint is a dictionary of tensors and plain values that `torch.load(weights_only=True)` reads. Its keys are those
of `CheckpointContent`; keys that newer versions added may be missing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, NotRequired, TypedDict

import msgspec

from workbench.core.errors import UserError
from workbench.core.settings_schema import Choice
from workbench.datasets.input_record import InputRecord
from workbench.datasets.load_request import RecordedData
from workbench.engine.state_content import TrainingContent
from workbench.models.outputs import OutputKind
from workbench.models.preprocessing import Preprocessing
from workbench.runs.records import PreprocessingRecord


class ExecutionEnvironment(TypedDict):
    """What an exact result depends on beside the training state. Earlier versions stored fewer of these."""

    threads: int
    channels_last: NotRequired[bool]
    batch_size: int
    device: str
    processor: NotRequired[str]
    torch: NotRequired[str]
    processes: NotRequired[int]
    """The number of processes that train together; `batch_size` is that of all of them."""
    fsdp: NotRequired[bool]
    """Whether the model is sharded over them (`train.fsdp`); the checkpoint has all of it."""


class RunContent(ExecutionEnvironment):
    """The part of a checkpoint beside the training state: the environment, and how to use the weights elsewhere."""

    fingerprint: str
    log_every: int
    """Steps per row of metrics."""
    spec: dict[str, Any]
    """JSON values of a `ModelSpec`."""


def recorded_data(content: RunContent) -> RecordedData:
    """What a checkpoint says about the dataset of its run. Raises `UserError` where its description is damaged."""
    spec = ModelSpec.from_json(content.get("spec"))
    return RecordedData(spec.classes, spec.shape, str(content.get("fingerprint") or ""), spec.input)


class MetricsPlace(NamedTuple):
    """How far the metrics are: the length of `metrics.jsonl` (bytes), and the seconds of the row under way."""

    offset: int
    row_seconds: float | None = 0.0
    """`None` where they are not known."""


class WallContent(TypedDict):
    """When the checkpoint was made (Unix seconds), and the `MetricsPlace` then."""

    time: float
    metrics_offset: int
    row_seconds: NotRequired[float | None]


class CheckpointPayload(TrainingContent, RunContent):
    """The content of a checkpoint without its time."""


class CheckpointContent(CheckpointPayload):
    """The content of a checkpoint."""

    wall: WallContent


class ModelSpec(msgspec.Struct, frozen=True, kw_only=True):
    """The model of a checkpoint: what is needed to build it and to preprocess its inputs."""

    model: Choice
    shape: tuple[int, ...]
    """The shape of one raw input, without the batch dimension."""
    classes: tuple[str, ...]
    """Empty for a regression."""
    task: str = "classification"
    preprocessing: Preprocessing
    input: InputRecord | None = None
    """The raw inputs, and how images become such; `None` in checkpoints of version 0.1.0."""
    outputs: OutputKind | None = None
    """What the outputs of a classifier are; `None` in checkpoints of version 0.1.0."""
    training_outputs: OutputKind | None = None
    """What they are in training mode; `None`: the same."""
    targets: int = 1
    """The number of outputs of a regression."""

    def to_json(self) -> dict[str, Any]:
        """JSON values; `from_json` reads them back."""
        added = {
            **({} if self.input is None else {"input": msgspec.to_builtins(self.input)}),
            **({} if self.outputs is None else {"outputs": str(self.outputs)}),
            **(
                {}
                if self.training_outputs in {None, self.outputs}
                else {"training_outputs": str(self.training_outputs)}
            ),
            **({} if self.targets == 1 else {"targets": self.targets}),
        }
        return {
            "model": self.model.to_dict(),
            "shape": list(self.shape),
            "classes": list(self.classes),
            "task": self.task,
            "preprocessing": self.preprocessing.to_dict(),
            **added,
        }

    @classmethod
    def from_json(cls, values: object) -> ModelSpec:
        """The spec that `to_json` encoded. Raises `UserError` with the reason where it is damaged."""
        try:
            spec = msgspec.convert(values, _SpecJson)
        except (
            ValueError
        ) as error:  # UnicodeEncodeError is one, too: half a surrogate pair in place of a number
            raise UserError(f"the model's description is damaged: {error}") from None
        name = spec.model.get("name")
        if not isinstance(name, str):
            raise UserError("the model's description is damaged: the model has no name")
        options = {key: value for key, value in spec.model.items() if key != "name"}
        preprocessing = spec.preprocessing
        return cls(
            model=Choice(name, options),
            shape=spec.shape,
            classes=spec.classes,
            task=spec.task,
            preprocessing=Preprocessing(
                preprocessing.size, preprocessing.channels, preprocessing.mean, preprocessing.std
            ),
            input=spec.input,
            outputs=spec.outputs,
            training_outputs=spec.training_outputs,
            targets=spec.targets,
        )


class _SpecJson(msgspec.Struct):
    model: dict[str, Any]
    """The model's name among its options, as in TOML."""
    shape: tuple[int, ...]
    classes: tuple[str, ...]
    preprocessing: PreprocessingRecord
    task: str = "classification"
    input: InputRecord | None = None
    outputs: OutputKind | None = None
    training_outputs: OutputKind | None = None
    targets: int = 1


ContentCheck = Callable[[CheckpointContent], None]
"""Raises `UserError` for content that can't be used."""
