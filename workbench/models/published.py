"""The libraries of published architectures, torchvision and timm, behind one interface."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from torch import nn

from workbench.models import timm_models, torchvision_models
from workbench.models.catalog import ModelInfo
from workbench.models.loaded_weights import LoadedWeights
from workbench.models.pretrained_weights import WeightsRequest


class ModelLibrary(Protocol):
    """A module of this package with the functions that a library of architectures needs."""

    def build(
        self, info: ModelInfo, outputs: int, *, size: int | None = None, pretrained: bool = False
    ) -> nn.Module:
        """An architecture with `outputs` outputs and randomly initialized weights, for images of `size` × `size`.

        `pretrained`: weights of a pretrained model will be loaded. Raises `UserError` for an unsupported size.
        """

    def build_pretrained(
        self, info: ModelInfo, outputs: int, size: int | None, request: WeightsRequest
    ) -> tuple[nn.Module, LoadedWeights]:
        """An architecture with its published weights or those in a file, and what was loaded. Raises `UserError`."""

    def head_of(self, info: ModelInfo, module: nn.Module) -> tuple[str, ...]:
        """The names of the layers that compute the outputs."""

    def normalization(self, info: ModelInfo) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation per channel that the published weights were trained with."""

    def output_count(self, info: ModelInfo, file: Path) -> int | None:
        """The number of outputs of weights in a file; `None` where this is unknown."""

    def published_transforms(self, info: ModelInfo) -> Any:
        """The transforms of the published evaluation: from a PIL image (RGB) to [3, H, W]."""

    def published_classes(self, info: ModelInfo) -> tuple[str, ...]:
        """The class names of the published weights, by index. Raises `UserError` if they have none."""


def library(info: ModelInfo) -> ModelLibrary:
    """The library of a published architecture."""
    return timm_models if info.kind == "timm" else torchvision_models
