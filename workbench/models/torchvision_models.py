"""Classification architectures of torchvision: built for a number of classes, and loaded with published weights."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from workbench.core.errors import UserError
from workbench.core.settings_schema import Options
from workbench.core.text import one_line
from workbench.io import torch_files
from workbench.models import catalog, weights_check
from workbench.models.loaded_weights import POSITIONS, LoadedWeights
from workbench.models.pretrained_weights import WeightsRequest
from workbench.models.weights_file import head_names, read_matching_weights

IMAGENET_CLASSES = 1000


def torchvision_models() -> Any:
    """The module `torchvision.models`, imported on first use (five seconds)."""
    return importlib.import_module("torchvision").models


def build(
    info: catalog.ModelInfo, outputs: int, *, size: int | None = None, pretrained: bool = False
) -> nn.Module:
    """An architecture with `outputs` outputs and randomly initialized weights, for images of `size` × `size`.

    `pretrained`: published weights will be loaded (Inception and GoogLeNet then transform their inputs as in their
    original training). Raises `UserError` for an unsupported size.
    """
    builder = torchvision_models().get_model_builder(info.name)
    try:
        module: nn.Module = builder(
            weights=None, num_classes=outputs, **_special_arguments(info.name, size, pretrained)
        )
    except ValueError as error:
        raise UserError(f"{info.name} does not support images of {size}×{size}: {one_line(error)}") from None
    return module


def _special_arguments(name: str, size: int | None, pretrained: bool) -> Options:
    """Arguments that only some architectures take."""
    if name in {"googlenet", "inception_v3"}:
        # Their slow initialization is needed for training from scratch only.
        return {"aux_logits": False, "transform_input": pretrained, "init_weights": not pretrained}
    if size and name.startswith("vit_"):
        return {"image_size": size}
    if size and name.startswith("maxvit"):
        return {"input_size": (size, size)}
    return {}


def build_pretrained(
    info: catalog.ModelInfo, outputs: int, size: int | None, request: WeightsRequest
) -> tuple[nn.Module, LoadedWeights]:
    """An architecture with its published weights or those in a file, and what was loaded.

    Its head is newly initialized unless `request.with_head`. Raises `UserError` if weights are not available or do not
    fit.
    """
    module = build(info, outputs, size=size, pretrained=True)
    return module, load_published(module, info, request)


def load_published(module: nn.Module, info: catalog.ModelInfo, request: WeightsRequest) -> LoadedWeights:
    """Load the published weights of an architecture, or those in a file, into `module`; returns what was loaded.

    Raises `UserError` if they are not available or do not fit.
    """
    path, head = request.path_for(info), () if request.with_head else head_names(module)
    match, tensors = read_matching_weights(module, path)
    torch_files.load_into(module, resize_positions(tensors, module), str(path), head)
    return match.loaded(torch_files.shapes_of(module.state_dict()), head, str(path))


def resize_positions(state: dict[str, Tensor], module: nn.Module) -> dict[str, Tensor]:
    """The weights of a vision transformer with position embeddings for the image size of `module`."""
    expected = dict(module.named_parameters()).get(POSITIONS)
    published = state.get(POSITIONS)
    if expected is None or published is None or expected.shape == published.shape:
        return state
    transformer = torchvision_models().vision_transformer
    size, patch = getattr(module, "image_size", 0), getattr(module, "patch_size", 1)
    resized: dict[str, Tensor] = transformer.interpolate_embeddings(size, patch, state)
    return resized


def published_transforms(info: catalog.ModelInfo) -> Any:
    """The transforms of the published evaluation: from a PIL image (RGB) to [3, H, W]."""
    return torchvision_models().get_model_weights(info.name).DEFAULT.transforms()


def published_classes(info: catalog.ModelInfo) -> tuple[str, ...]:
    """The class names of the published weights, by index: ImageNet's, of whatever architecture."""
    return tuple(torchvision_models().get_model_weights("resnet18").DEFAULT.meta["categories"])


def normalization(info: catalog.ModelInfo) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel that the published weights were trained with."""
    transforms = published_transforms(info)
    return tuple(transforms.mean), tuple(transforms.std)


def head_of(info: catalog.ModelInfo, module: nn.Module) -> tuple[str, ...]:
    """The name of the layer that computes the outputs."""
    return head_names(module)


def output_count(info: catalog.ModelInfo, file: Path) -> int | None:
    """The number of outputs of weights of this architecture in a file; `None` where this is unknown."""
    return weights_check.output_count(info.name, file)
