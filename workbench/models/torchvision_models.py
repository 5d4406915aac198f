"""Classification architectures of torchvision: built for a number of classes, and loaded with published weights."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from workbench.core.errors import UserError
from workbench.core.paths import expand_user_path
from workbench.core.progress import CancelCheck, ProgressCallback, ignore_progress, never_cancelled
from workbench.core.settings_schema import Options, Section
from workbench.core.text import one_line
from workbench.io import torch_files
from workbench.models import catalog
from workbench.models.pretrained_weights import ensure_weights

_AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")
"""Auxiliary heads of GoogLeNet and Inception v3, which are used during their original training only."""


@dataclass(frozen=True)
class WeightsLoading:
    """Whether and how pretrained weights are loaded: with which progress callback and cancellation."""

    enabled: bool = True
    """False for a model whose weights come from a checkpoint."""
    progress: ProgressCallback = ignore_progress
    cancelled: CancelCheck = never_cancelled


def torchvision_models() -> Any:
    """The module `torchvision.models`, imported on first use (five seconds)."""
    return importlib.import_module("torchvision").models


def build(name: str, outputs: int, *, size: int | None = None, pretrained: bool = False) -> nn.Module:
    """An architecture with `outputs` outputs and randomly initialized weights, for images of `size` × `size`.

    `pretrained`: published weights will be loaded (Inception and GoogLeNet then transform their inputs as in their
    original training). Raises `UserError` for an unsupported size.
    """
    builder = torchvision_models().get_model_builder(name)
    try:
        module: nn.Module = builder(
            weights=None, num_classes=outputs, **_special_arguments(name, size, pretrained)
        )
    except ValueError as error:
        raise UserError(f"{name} does not support images of {size}×{size}: {one_line(error)}") from None
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


def load_published(
    module: nn.Module,
    name: str,
    file: str = "",
    *,
    head: Sequence[str] = (),
    loading: WeightsLoading | None = None,
) -> tuple[str, ...]:
    """Load published weights, or those in a local `file`, into `module`, except its `head`.

    Returns warnings for the user. Raises `UserError` if they are not available or do not fit.
    """
    loading = loading or WeightsLoading()
    path = expand_user_path(file) if file else ensure_weights(name, loading.progress, loading.cancelled)
    state = adapt_state_dict(torch_files.load_state_dict(path), module)
    return torch_files.load_into(module, state, str(path), head)


def adapt_state_dict(state: Mapping[str, Tensor], module: nn.Module) -> dict[str, Tensor]:
    """Published weights with the names, and for the image size, of `module`."""
    renamed = {_current_name(key): value for key, value in state.items() if not key.startswith(_AUXILIARY)}
    position = "encoder.pos_embedding"
    expected = dict(module.named_parameters()).get(position)
    published = renamed.get(position)
    if expected is None or published is None or expected.shape == published.shape:
        return renamed
    transformer = torchvision_models().vision_transformer
    size, patch = getattr(module, "image_size", 0), getattr(module, "patch_size", 1)
    resized: dict[str, Tensor] = transformer.interpolate_embeddings(size, patch, renamed)
    return resized


def _current_name(key: str) -> str:
    """The current name (`denselayer1.norm1.weight`) of a DenseNet key of 2017 (`denselayer1.norm.1.weight`)."""
    pattern = r"(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\.(?:weight|bias|running_mean|running_var))$"
    return re.sub(pattern, r"\1\2", key)


def published_transforms(name: str) -> Any:
    """The transforms of the published evaluation: from a PIL image (RGB) to [3, H, W]."""
    return torchvision_models().get_model_weights(name).DEFAULT.transforms()


def published_classes(name: str) -> tuple[str, ...]:
    """The class names of the published weights, by index."""
    return tuple(torchvision_models().get_model_weights(name).DEFAULT.meta["categories"])


def normalization(name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel that the published weights were trained with."""
    transforms = published_transforms(name)
    return tuple(transforms.mean), tuple(transforms.std)


def build_for_experiment(
    info: catalog.ModelInfo, outputs: int, options: Section, size: int | None, loading: WeightsLoading
) -> tuple[nn.Module, bool, tuple[str, ...]]:
    """The module of an experiment, whether it is pretrained, and warnings for the user."""
    file = str(options.get("weights", ""))
    pretrained = bool(options.get("pretrained", True) or file)
    module = build(info.name, outputs, size=size, pretrained=pretrained)
    if not pretrained or not loading.enabled:
        return module, pretrained, ()
    head = head_names(module)
    notices = load_published(module, info.name, file, head=head, loading=loading)
    return module, True, notices


def head_names(module: nn.Module) -> tuple[str, ...]:
    """The name of the last dense or convolutional layer, which is the head in all architectures of torchvision."""
    kinds = (nn.Linear, nn.Conv2d)
    names = [name for name, layer in module.named_modules() if isinstance(layer, kinds) and name]
    return (names[-1],) if names else ()
