"""Classification architectures of torchvision: built for a number of classes, and loaded with published weights."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
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
from workbench.models.loaded_weights import POSITIONS, LoadedWeights
from workbench.models.pretrained_weights import ensure_weights
from workbench.models.weights_file import head_names, read_matching_weights


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
) -> LoadedWeights:
    """Load published weights, or those in a local `file`, into `module`, except its `head`; returns what was loaded.

    Raises `UserError` if they are not available or do not fit.
    """
    loading = loading or WeightsLoading()
    path = expand_user_path(file) if file else ensure_weights(name, loading.progress, loading.cancelled)
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
) -> tuple[nn.Module, bool, LoadedWeights | None, tuple[str, ...]]:
    """The module of an experiment, whether it is pretrained, what was loaded, and notices for the user."""
    file = str(options.get("weights", ""))
    pretrained = bool(options.get("pretrained", True) or file)
    module = build(info.name, outputs, size=size, pretrained=pretrained)
    if not pretrained or not loading.enabled:
        return module, pretrained, None, ()
    head = head_names(module)
    loaded = load_published(module, info.name, file, head=head, loading=loading)
    return module, True, loaded, ((loaded.describe(),) if file else ())
