"""The preprocessing of raw inputs for a model; stored in checkpoints, so that it is the same wherever a model runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from workbench.datasets.grayscale import LUMA, luma_weights


class Preprocessing:
    """Maps raw inputs to model inputs; a plain value that compares equal if its settings are equal.

    Images (uint8 [N, C, H, W]) are scaled to 0..1, resized to `size` (bilinear, antialiased), converted to `channels`
    (grayscale is repeated, RGB becomes grayscale by ITU-R BT.601) and normalized by `mean` and `std` (of inputs scaled
    to 0..1, one value per channel; () for none). Float images keep their scale: only `size` and `channels` apply to
    them. Other inputs are unchanged.
    """

    def __init__(
        self,
        size: int | Sequence[int] | None = None,
        channels: int | None = None,
        mean: Sequence[float] = (),
        std: Sequence[float] = (),
    ) -> None:
        self.size = (size, size) if isinstance(size, int) else None if size is None else (size[0], size[1])
        self.channels = channels
        self.mean = tuple(float(value) for value in mean)
        self.std = tuple(float(value) for value in std)
        self._affine: dict[tuple[int, torch.device], tuple[Tensor, Tensor]] = {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Preprocessing) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash((self.size, self.channels, self.mean, self.std))

    def __repr__(self) -> str:
        return f"Preprocessing({', '.join(f'{k}={v}' for k, v in self.to_dict().items())})"

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON values for `from_dict`."""
        size = list(self.size) if self.size else None
        return {"size": size, "channels": self.channels, "mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Preprocessing:
        """The preprocessing that `to_dict` described."""
        return cls(
            values.get("size"), values.get("channels"), values.get("mean") or (), values.get("std") or ()
        )

    def at_side(self, side: int) -> Preprocessing:
        """The same preprocessing to images of another side."""
        return Preprocessing(side, self.channels, self.mean, self.std)

    def output_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The shape of one model input, for a raw input of `shape` (both without the batch dimension)."""
        if len(shape) != 3:
            return tuple(shape)
        return (self.channels or shape[0], *(self.size or shape[1:]))

    def __call__(self, inputs: Tensor, device: torch.device | str = "cpu") -> Tensor:
        """Model inputs, float32 on `device`, from a batch of raw inputs."""
        x = inputs.to(device, non_blocking=True)
        if x.dtype == torch.uint8:
            return self.prepare_scaled(scale_to_unit(x))
        return self._shape(x) if x.ndim == 4 else x

    def prepare_scaled(self, x: Tensor) -> Tensor:
        """The steps after scaling: model inputs from float images in 0..1 [N, C, H, W], augmented or not."""
        return self._normalize(self._shape(x)) if x.ndim == 4 else x

    def _shape(self, x: Tensor) -> Tensor:
        # Resize the smaller number of channels: convert to grayscale before, to RGB after.
        if self.channels == 1 and x.shape[1] == 3:
            x = to_grayscale(x)
        if self.size and x.shape[2:] != self.size:
            x = self._resize(x)
        if self.channels == 3 and x.shape[1] == 1:
            x = x.expand(-1, 3, -1, -1)
        return x

    def _resize(self, x: Tensor) -> Tensor:
        assert self.size is not None
        return functional.interpolate(x, self.size, mode="bilinear", align_corners=False, antialias=True)

    def _normalize(self, x: Tensor) -> Tensor:
        if not self.mean:
            return x.contiguous()
        key = (x.shape[1], x.device)
        if key not in self._affine:
            self._affine[key] = self._mean_and_std(x.shape[1], x.device)
        mean, std = self._affine[key]
        return (x - mean) / std

    def _mean_and_std(self, channels: int, device: torch.device) -> tuple[Tensor, Tensor]:
        mean, std = _match_channels(self.mean, channels), _match_channels(self.std, channels)
        return tuple(torch.tensor(v, device=device).view(1, -1, 1, 1) for v in (mean, std))  # type: ignore[return-value]


def scale_to_unit(x: Tensor) -> Tensor:
    """uint8 0..255 as float32 0..1."""
    return x.float().div_(255)


def to_grayscale(x: Tensor) -> Tensor:
    """Grayscale images [N, 1, H, W] from RGB images [N, 3, H, W]."""
    return (x * luma_weights(x.device).to(x.dtype)).sum(1, keepdim=True)


def _match_channels(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    """Per-channel values for another number of channels: repeated for RGB, weighted by luma for grayscale."""
    if len(values) == 1:
        return values * channels
    if channels == 1 and len(values) == 3:
        return (sum(value * weight for value, weight in zip(values, LUMA, strict=True)),)
    return values
