"""What models can be chosen: a frozen table, read without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from workbench.errors import BadInput, nearest


class NoOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """For models that have nothing to adjust."""


class MlpOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `mlp`."""

    widths: Annotated[tuple[int, ...], Meta(description="units of each hidden layer")] = (128,)
    dropout: Annotated[float, Meta(ge=0, lt=1, description="part of the units dropped in training")] = 0.2


class TorchvisionOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of torchvision's architectures."""

    pretrained: Annotated[bool, Meta(description="start from ImageNet weights")] = True
    weights: Annotated[str, Meta(description="a local file of weights to start from")] = ""


@dataclass(frozen=True)
class ModelInfo:
    """One row of the catalogue."""

    name: str
    title: str
    factory: str = ""
    """`module:function` that makes it, imported by the worker only."""
    tasks: tuple[str, ...] = ("classification",)
    pictures_only: bool = True
    input_size: int | None = None
    """Height and width it wants, `None` where it takes any."""
    parameters: int | None = None
    options: type[msgspec.Struct] | None = NoOptions
    """`None`: somebody's own code, options pass through unchecked."""
    train: Mapping[str, Any] = field(default_factory=dict)
    """Train settings that suit it."""

    def train_defaults(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Train settings that suit it with these options."""
        return dict(self.train)


CATALOGUE: tuple[ModelInfo, ...] = (
    ModelInfo("mlp", "dense layers with ReLU and dropout", "workbench.models.mlp:Mlp",
              ("classification", "regression"), pictures_only=False, options=MlpOptions,
              train={"optimizer": "adam", "lr": 1e-3}),
)  # fmt: skip


def find(name: str) -> ModelInfo:
    """The row of a model by name or `./file.py:Class`. Raises `BadInput`."""
    if ".py:" in name:
        return ModelInfo(name, f"your own {name}", tasks=("classification", "regression"), pictures_only=False,
                         options=None)  # fmt: skip
    for info in CATALOGUE:
        if info.name == name:
            return info
    raise BadInput(
        f"there is no model '{name}'{nearest(name, [i.name for i in CATALOGUE])}; 'workbench models' lists them"
    )
