"""Architectures of timm (extra `timm`): built for a number of classes, and loaded with its pretrained weights.

Weights go through this application's own download and its own reader of weights files, never through timm's.
"""

from __future__ import annotations

import importlib
import math
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from workbench.core.errors import UserError
from workbench.core.settings_schema import Options
from workbench.core.text import one_line
from workbench.io import torch_files
from workbench.io.weight_shapes import read_weight_shapes
from workbench.models import torchvision_models
from workbench.models.catalog import TIMM_PREFIX, ModelInfo, check_installed
from workbench.models.loaded_weights import LoadedWeights, match_weights
from workbench.models.pretrained_weights import WeightsRequest

_HEADLESS = -1
"""A number of classes that no weights have: timm then leaves out their head."""


def _timm(module: str = "") -> Any:
    """The package, or one of its modules, imported on first use. Raises `UserError` where it is not installed."""
    check_installed(TIMM_PREFIX)
    return importlib.import_module(f"timm{module}")


def build(info: ModelInfo, outputs: int, *, size: int | None = None, pretrained: bool = False) -> nn.Module:
    """An architecture with `outputs` outputs and randomly initialized weights, for images of `size` × `size`.

    Raises `UserError` for an unsupported size.
    """
    return _create(info, outputs, size)


def build_pretrained(
    info: ModelInfo, outputs: int, size: int | None, request: WeightsRequest
) -> tuple[nn.Module, LoadedWeights]:
    """An architecture with its published weights or those in a file, and what was loaded.

    Its head is newly initialized unless `request.with_head`. timm adapts the weights of other versions and position
    embeddings for other sizes. Raises `UserError` if weights are not available or do not fit.
    """
    path = request.path_for(info)
    tables = torch_files.load_weight_tables(path)
    with torch.device("meta"):
        shell = _create(info, outputs, size)
    expected = torch_files.shapes_of(shell.state_dict())
    shapes = {entry: torch_files.shapes_of(table) for entry, table in tables.items()}
    match = match_weights(shapes, expected, str(path))
    tensors = {inner: tables[match.entry][original] for inner, original in match.names.items()}
    torch_files.check_values(shell, tensors, str(path))
    head = () if request.with_head else _head_names(info)
    classes = outputs if request.with_head else _HEADLESS
    try:
        module = _create(info, outputs, size, state_dict=tensors, num_classes=classes, custom_load=False)
    except RuntimeError as error:
        raise UserError(f"the weights in {path} do not fit {info.name}: {one_line(error)}") from None
    return module, match.loaded(expected, head, str(path))


def _create(info: ModelInfo, outputs: int, size: int | None, **overlay: object) -> nn.Module:
    """A module of timm; with `overlay`, fields of its configuration, the weights in them are loaded."""
    create = partial(
        _timm().create_model,
        info.name.removeprefix(TIMM_PREFIX),
        pretrained=bool(overlay),
        pretrained_cfg_overlay=overlay or None,
        num_classes=outputs,
    )
    resized: Options = {"img_size": size} if size not in {None, info.input_size} else {}
    try:
        try:
            module: nn.Module = create(**resized)
        except TypeError:
            module = create()  # an architecture for images of any size, which has no such argument
    except (AssertionError, ValueError) as error:
        raise UserError(f"{info.name} does not support images of {size}×{size}: {one_line(error)}") from None
    return module


def _configuration(info: ModelInfo) -> Any:
    """timm's record of a model's weights."""
    return _timm(".models").get_pretrained_cfg(info.name.removeprefix(TIMM_PREFIX))


def _head_names(info: ModelInfo) -> tuple[str, ...]:
    names = _configuration(info).classifier
    return (names,) if isinstance(names, str) else tuple(names or ())


def head_of(info: ModelInfo, module: nn.Module) -> tuple[str, ...]:
    """The names of the layers that compute the outputs; two of distilled transformers."""
    return _head_names(info)


def normalization(info: ModelInfo) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel that the published weights were trained with."""
    config = _configuration(info)
    return tuple(config.mean), tuple(config.std)


def output_count(info: ModelInfo, file: Path) -> int | None:
    """The number of outputs of weights of this architecture in a file; `None` where it has no head of it."""
    heads = [f"{name}.weight" for name in _head_names(info)]
    counts = [
        shape[0]
        for shapes in read_weight_shapes(file).values()
        for name, shape in shapes.items()
        if any(f".{name}".endswith(f".{head}") for head in heads)
    ]
    return counts[0] if counts else None


def published_transforms(info: ModelInfo) -> Any:
    """The transforms of the published evaluation: from a PIL image (RGB) to [3, H, W].

    They are torchvision's preset with timm's values where it has one for them.
    """
    data = _timm(".data")
    config = data.resolve_data_config({}, pretrained_cfg=_configuration(info).to_dict())
    if config["crop_mode"] == "border":
        return data.create_transform(**config)
    side = config["input_size"][-1]
    resized = math.floor(side / config["crop_pct"])
    presets = importlib.import_module("torchvision.transforms._presets")
    preset = presets.ImageClassification(
        crop_size=side,
        resize_size=resized,
        mean=config["mean"],
        std=config["std"],
        interpolation=importlib.import_module("torchvision").transforms.InterpolationMode(
            config["interpolation"]
        ),
    )
    if config["crop_mode"] == "squash":
        preset.resize_size = [resized, resized]
    return preset


def published_classes(info: ModelInfo) -> tuple[str, ...]:
    """The class names of the published weights, by index. Raises `UserError` for weights that do not classify."""
    if not info.classes:
        raise UserError(
            f"the weights of {info.name} compute features and no classes: train it first (workbench train)"
        )
    if info.classes == torchvision_models.IMAGENET_CLASSES:
        return torchvision_models.published_classes(info)
    data = _timm(".data")
    names = data.ImageNetInfo(data.infer_imagenet_subset(_configuration(info).to_dict()))
    return tuple(names.index_to_description(index) for index in range(info.classes))
