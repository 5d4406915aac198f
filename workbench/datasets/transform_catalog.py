"""Common image transforms, each with its main parameter: a constant table that is read without torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Parameter:
    """The adjustable parameter of a transform."""

    label: str
    default: float
    low: float
    high: float
    step: float

    def stepped(self, value: float, steps: int) -> float:
        """`value` moved by `steps` steps, within the limits."""
        return min(self.high, max(self.low, round(value + steps * self.step, 6)))


@dataclass(frozen=True)
class Transform:
    """One row of the table; `workbench.datasets.preview` builds torchvision's transform from it."""

    name: str
    title: str
    parameter: Parameter | None


NOISE_INDEX = -1
"""The index that stands for an image of random noise: it shows what a transform does without any content."""

_PROBABILITY = Parameter("probability", 1, 0, 1, 0.1)

TRANSFORMS = (
    Transform("rotation", "random rotation", Parameter("degrees, at most", 45, 0, 180, 5)),
    Transform("hflip", "horizontal flip", _PROBABILITY),
    Transform("vflip", "vertical flip", _PROBABILITY),
    Transform("crop", "random shift, padded with black", Parameter("% of the side, at most", 15, 0, 50, 5)),
    Transform(
        "resized-crop", "random crop, resized to the full size", Parameter("% of the area, at least", 30, 5, 100, 5)
    ),
    Transform("color-jitter", "random brightness, contrast, saturation and hue",
              Parameter("strength", 0.4, 0, 1, 0.1)),
    Transform("affine", "random rotation, shear, shift and scale", Parameter("degrees, at most", 15, 0, 90, 5)),
    Transform("perspective", "random perspective", Parameter("distortion", 0.5, 0, 1, 0.1)),
    Transform("blur", "Gaussian blur", Parameter("standard deviation in pixels", 1, 0.2, 10, 0.2)),
    Transform("erasing", "random black rectangle", Parameter("% of the area, at most", 20, 5, 80, 5)),
    Transform("grayscale", "conversion to grayscale", _PROBABILITY),
    Transform("auto-contrast", "contrast stretched to the full range", _PROBABILITY),
    Transform("rand-augment", "RandAugment: two random operations out of 14", Parameter("magnitude", 9, 0, 30, 1)),
    Transform("normalize", "(x - mean) / std of the dataset; displayed unchanged", None),
)  # fmt: skip

TRANSFORMS_BY_NAME = {transform.name: transform for transform in TRANSFORMS}
