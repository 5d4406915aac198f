"""The content of a run's checkpoints, and which one is used: one rule for resuming, classifying and exporting.

A checkpoint is a dictionary of tensors and plain values that `torch.load(weights_only=True)` reads. Its keys are
`CheckpointContent`'s; those that newer versions added may be missing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NotRequired, TypedDict

import msgspec

from workbench.core.errors import BadInput
from workbench.core.settings_schema import Choice
from workbench.engine.state_content import TrainingContent
from workbench.models.preprocessing import Preprocessing
from workbench.runs.records import PreprocessingRecord


class Circumstances(TypedDict):
    """What the bits of the result depend on beside the state. Earlier versions kept fewer of them."""

    threads: int
    channels_last: NotRequired[bool]
    batch_size: int
    device: str
    processor: NotRequired[str]
    torch: NotRequired[str]


class RunContent(Circumstances):
    """What a checkpoint holds beside the state: what is needed to use its weights elsewhere."""

    fingerprint: str
    report_every: int
    """Steps that a row of metrics covers."""
    spec: dict[str, Any]
    """JSON values of a `ModelSpec`."""


class WallContent(TypedDict):
    """When the checkpoint was made, and the length of `metrics.jsonl` then."""

    time: float
    metrics_offset: int


class Moment(TrainingContent, RunContent):
    """All of a checkpoint but when it was made."""


class CheckpointContent(Moment):
    """All of a checkpoint."""

    wall: WallContent


class ModelSpec(msgspec.Struct, frozen=True, kw_only=True):
    """The model of a checkpoint, as far as it is needed to build it and to feed it."""

    model: Choice
    shape: tuple[int, ...]
    """Of one raw input."""
    classes: tuple[str, ...]
    """Empty for a regression."""
    task: str = "classification"
    preprocessing: Preprocessing

    def to_json(self) -> dict[str, Any]:
        """JSON values; `from_json` reads them back."""
        return {
            "model": self.model.to_dict(),
            "shape": list(self.shape),
            "classes": list(self.classes),
            "task": self.task,
            "preprocessing": self.preprocessing.to_dict(),
        }

    @classmethod
    def from_json(cls, values: object) -> ModelSpec:
        """What `to_json` made. Raises `BadInput` with what is wrong with it."""
        try:
            found = msgspec.convert(values, _SpecJson)
        except msgspec.ValidationError as error:
            raise BadInput(f"the model's description is damaged: {error}") from None
        name = found.model.get("name")
        if not isinstance(name, str):
            raise BadInput("the model's description is damaged: the model has no name")
        options = {key: value for key, value in found.model.items() if key != "name"}
        preprocessing = found.preprocessing
        return cls(
            model=Choice(name, options),
            shape=found.shape,
            classes=found.classes,
            task=found.task,
            preprocessing=Preprocessing(
                preprocessing.size, preprocessing.channels, preprocessing.mean, preprocessing.std
            ),
        )


class _SpecJson(msgspec.Struct):
    model: dict[str, Any]
    """The model's name among its options, as in TOML."""
    shape: tuple[int, ...]
    classes: tuple[str, ...]
    preprocessing: PreprocessingRecord
    task: str = "classification"


Check = Callable[[CheckpointContent], None]
"""Raises `BadInput` for a content that can't be used."""
