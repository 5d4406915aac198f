"""torchvision's classification architectures, their heads fit to the classes, their weights through our own door."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from workbench.core.errors import BadInput
from workbench.core.paths import given
from workbench.core.progress import Cancelled, Report, never, silent
from workbench.io import torch_files
from workbench.models import catalog
from workbench.models.pretrained_weights import ensure_weights

_AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")
"""Side heads of GoogLeNet and Inception v3: they served their first training, nothing here uses them."""


@dataclass(frozen=True)
class Door:
    """How weights come in: whether they do at all (not where a checkpoint's take their place), and who is told."""

    load: bool = True
    progress: Report = silent
    cancelled: Cancelled = never


def torchvision_models() -> Any:
    """`torchvision.models`, imported when it is needed first (five seconds)."""
    return importlib.import_module("torchvision").models


def build(name: str, outputs: int, *, size: int | None = None, pretrained: bool = False) -> nn.Module:
    """An architecture with `outputs` outputs and new weights; `size` is the square its pictures will have.

    `pretrained` says that published weights will be put in (Inception and GoogLeNet then expect inputs as
    those were trained on). Raises `BadInput` for a size that it can't be made for.
    """
    builder = torchvision_models().get_model_builder(name)
    try:
        module: nn.Module = builder(weights=None, num_classes=outputs, **_particular(name, size, pretrained))
    except ValueError as error:
        raise BadInput(f"{name} can't be made for pictures of {size}×{size}: {error}") from None
    return module


def _particular(name: str, size: int | None, pretrained: bool) -> dict[str, Any]:
    """Arguments that only some families take."""
    if name in {"googlenet", "inception_v3"}:
        # Their slow initialisation is for learning from scratch only.
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
    door: Door | None = None,
) -> tuple[str, ...]:
    """Put published weights, or those in a local `file`, into `module`, all but its `head`.

    Returns warnings in words. Raises `BadInput` when they can't be had or don't fit.
    """
    door = door or Door()
    path = given(file) if file else ensure_weights(name, door.progress, door.cancelled)
    state = adapted(torch_files.load_state_dict(path), module)
    return torch_files.load_into(module, state, str(path), head)


def adapted(state: Mapping[str, Tensor], module: nn.Module) -> dict[str, Tensor]:
    """Published weights under the names, and for the picture size, of `module` as it is built today."""
    renamed = {_today(key): value for key, value in state.items() if not key.startswith(_AUXILIARY)}
    position = "encoder.pos_embedding"
    own = dict(module.named_parameters()).get(position)
    given = renamed.get(position)
    if own is None or given is None or own.shape == given.shape:
        return renamed
    transformer = torchvision_models().vision_transformer
    size, patch = getattr(module, "image_size", 0), getattr(module, "patch_size", 1)
    resized: dict[str, Tensor] = transformer.interpolate_embeddings(size, patch, renamed)
    return resized


def _today(key: str) -> str:
    """A DenseNet's key of 2017 (`denselayer1.norm.1.weight`) as it is called today (`denselayer1.norm1.weight`)."""
    pattern = r"(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\.(?:weight|bias|running_mean|running_var))$"
    return re.sub(pattern, r"\1\2", key)


def published_transforms(name: str) -> Any:
    """The preset that the published figures were measured with: a PIL picture (RGB) to [3, H, W]."""
    return torchvision_models().get_model_weights(name).DEFAULT.transforms()


def published_classes(name: str) -> tuple[str, ...]:
    """The class names of the published weights, by index."""
    return tuple(torchvision_models().get_model_weights(name).DEFAULT.meta["categories"])


def normalisation(name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation per channel that the published weights were trained with."""
    transforms = published_transforms(name)
    return tuple(transforms.mean), tuple(transforms.std)


def make(
    info: catalog.ModelInfo, outputs: int, options: Mapping[str, Any], size: int | None, door: Door
) -> tuple[nn.Module, bool, tuple[str, ...]]:
    """The module an experiment asks for, whether it is pretrained, and warnings in words."""
    file = str(options.get("weights", ""))
    pretrained = bool(options.get("pretrained", True) or file)
    module = build(info.name, outputs, size=size, pretrained=pretrained)
    if not pretrained or not door.load:
        return module, pretrained, ()
    head = last_layer(module)
    notices = load_published(module, info.name, file, head=head, door=door)
    return module, True, notices


def last_layer(module: nn.Module) -> tuple[str, ...]:
    """The name of the last dense or convolutional layer: the head, in every architecture of torchvision."""
    kinds = (nn.Linear, nn.Conv2d)
    names = [name for name, layer in module.named_modules() if isinstance(layer, kinds) and name]
    return (names[-1],) if names else ()
