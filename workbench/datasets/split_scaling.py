"""Whether the splits of a custom dataset are scaled alike: a model is useless for inputs of another scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from workbench.datasets.image_transform import (
    as_input,
    compose_transforms,
    describe_step,
    flatten_transforms,
    range_of,
    recorded_steps,
)
from workbench.datasets.input_record import TransformStep, is_image_shape

_SCALING = {"ToTensor", "PILToTensor", "ToImage", "ToPureTensor", "ConvertImageDtype", "ToDtype", "Normalize",
            "ImageClassification"}  # fmt: skip
"""The transforms of torchvision that decide the scale of an input; all others crop, resize and augment."""
_GRAYS = (0, 255)
_TOLERANCE = 1e-3
_SAMPLES = 500
_OVERSHOOT_SHARE = 0.01
"""Resizing tensors may leave so many values slightly outside of 0 to 1."""
_OUTSIDE_SHARE = 0.1
"""Images whose share of values outside of 0 to 1 is larger are not on that scale; noise as augmentation is less."""
_SPREAD_RATIO = 10.0


def scaling_difference(
    train: Tensor, other: Tensor, train_transforms: Sequence[Any], other_transforms: Sequence[Any], split: str
) -> str:
    """How the inputs of a split are scaled otherwise than those of training, in one line; empty if they are not.

    By torchvision's transforms of the datasets, apart from augmentation, and by the values of the inputs.
    """
    difference = _transform_difference(train, train_transforms, other_transforms, split)
    if not difference and _are_on_other_scales(train, other):
        difference = f"{_values(train)} in train, {_values(other)} in {split}"
    if not difference:
        return ""
    return (
        f"training and {split} {'images' if is_image_shape(train.shape[1:]) else 'inputs'} are scaled differently "
        f"({difference}): scale them alike, or the {split} results mean little"
    )


def _transform_difference(train: Tensor, ours: Sequence[Any], others: Sequence[Any], split: str) -> str:
    if not ours or not others or not is_image_shape(train.shape[1:]):
        return ""
    ours, others = _scaling_parts(ours), _scaling_parts(others)
    mode = "L" if train.shape[1] == 1 else "RGB"
    values, other_values = _scaled_grays(ours, mode), _scaled_grays(others, mode)
    if values is None or other_values is None:
        return ""
    if values.shape == other_values.shape and torch.allclose(values, other_values, rtol=0, atol=_TOLERANCE):
        return ""
    return _describe(recorded_steps(ours) or (), recorded_steps(others) or (), split)


def _scaling_parts(transforms: Sequence[Any]) -> list[Any]:
    return [part for part in flatten_transforms(transforms) if type(part).__name__ in _SCALING]


def _scaled_grays(parts: Sequence[Any], mode: str) -> Tensor | None:
    """What transforms make of a black and a white image, by channel; `None` where they can't be applied alone."""
    scale = compose_transforms(parts)
    try:
        images = [
            Image.new(mode, (8, 8), level if mode == "L" else (level, level, level)) for level in _GRAYS
        ]
        return torch.stack([as_input(scale(image)).double().mean((1, 2)) for image in images])
    except Exception:  # a transform may expect what another one before it makes
        return None


def _describe(ours: Sequence[TransformStep], others: Sequence[TransformStep], split: str) -> str:
    parts = [
        *_only_in(ours, others, "train"),
        *_only_in(others, ours, split),
    ]
    return ", ".join(parts) or "their transforms are in another order"


def _only_in(steps: Sequence[TransformStep], others: Sequence[TransformStep], split: str) -> list[str]:
    """`Normalize only in train`; where both have one with other arguments, those arguments."""
    names = {step.name for step in others}
    return [
        f"{describe_step(step)} in {split}" if step.name in names else f"{step.name} only in {split}"
        for step in steps
        if step not in others
    ]


def _are_on_other_scales(train: Tensor, other: Tensor) -> bool:
    """Whether the values of two splits can't come from the same scale."""
    if (train.dtype == torch.uint8) != (other.dtype == torch.uint8):
        return True
    if train.dtype == torch.uint8 or train.shape[1:] != other.shape[1:]:
        return False
    ours, others = (split[:: max(1, len(split) // _SAMPLES)].double() for split in (train, other))
    if is_image_shape(train.shape[1:]):
        shares = [float(((values < -0.01) | (values > 1.01)).double().mean()) for values in (ours, others)]
        return min(shares) < _OVERSHOOT_SHARE and max(shares) > _OUTSIDE_SHARE
    spreads = sorted(float(values.std()) if values.numel() > 1 else 0.0 for values in (ours, others))
    return spreads[0] > 0 and spreads[1] > _SPREAD_RATIO * spreads[0]


def _values(inputs: Tensor) -> str:
    low, high = range_of(inputs)
    return f"{str(inputs.dtype).removeprefix('torch.')} from {low:.4g} to {high:.4g}"
