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


_CHANCE = Parameter("chance", 1, 0, 1, 0.1)

TRANSFORMS = (
    Transform("rotation", "rotated by up to so many degrees", Parameter("degrees", 45, 0, 180, 5)),
    Transform("hflip", "flipped left to right", _CHANCE),
    Transform("vflip", "flipped top to bottom", _CHANCE),
    Transform("crop", "shifted, padded with black", Parameter("% of the side", 15, 0, 50, 5)),
    Transform(
        "resized-crop", "a random part, enlarged to full size", Parameter("% of the area, at least", 30, 5, 100, 5)
    ),
    Transform("color-jitter", "brightness, contrast, saturation, hue", Parameter("strength", 0.4, 0, 1, 0.1)),
    Transform("affine", "rotated, sheared, shifted, scaled", Parameter("degrees", 15, 0, 90, 5)),
    Transform("perspective", "perspective distortion", Parameter("distortion", 0.5, 0, 1, 0.1)),
    Transform("blur", "Gaussian blur", Parameter("deviation in pixels", 1, 0.2, 10, 0.2)),
    Transform("erasing", "a black rectangle", Parameter("% of the area, at most", 20, 5, 80, 5)),
    Transform("grayscale", "without color", _CHANCE),
    Transform("auto-contrast", "stretched to the full range", _CHANCE),
    Transform("rand-augment", "two random operations out of 14", Parameter("magnitude", 9, 0, 30, 1)),
    Transform("normalize", "(x - mean) / std of the dataset; displayed unchanged", None),
)  # fmt: skip

TRANSFORMS_BY_NAME = {transform.name: transform for transform in TRANSFORMS}
