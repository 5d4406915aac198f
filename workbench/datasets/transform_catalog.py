"""The transforms of pictures that people use, each with its main parameter: a frozen table, read without torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Parameter:
    """What can be adjusted of a transform."""

    label: str
    default: float
    low: float
    high: float
    step: float

    def moved(self, value: float, steps: int) -> float:
        """`value` some steps on, within the limits."""
        return min(self.high, max(self.low, round(value + steps * self.step, 6)))


@dataclass(frozen=True)
class Transform:
    """One row of the table; `workbench.datasets.preview` makes torchvision's transform of it."""

    name: str
    title: str
    parameter: Parameter | None


_CHANCE = Parameter("chance", 1, 0, 1, 0.1)

TRANSFORMS = (
    Transform("rotation", "turned by up to so many degrees", Parameter("degrees", 45, 0, 180, 5)),
    Transform("hflip", "left and right swapped", _CHANCE),
    Transform("vflip", "top and bottom swapped", _CHANCE),
    Transform("crop", "shifted; what comes in is black", Parameter("% of the side", 15, 0, 50, 5)),
    Transform(
        "resized-crop", "a part, as large as the whole", Parameter("% of the area, at least", 30, 5, 100, 5)
    ),
    Transform("colour-jitter", "brightness, contrast, saturation, hue", Parameter("strength", 0.4, 0, 1, 0.1)),
    Transform("affine", "turned, sheared, shifted, scaled", Parameter("degrees", 15, 0, 90, 5)),
    Transform("perspective", "seen from another side", Parameter("distortion", 0.5, 0, 1, 0.1)),
    Transform("blur", "Gaussian blur", Parameter("deviation in pixels", 1, 0.2, 10, 0.2)),
    Transform("erasing", "a rectangle of black", Parameter("% of the area, at most", 20, 5, 80, 5)),
    Transform("grey", "without colours", _CHANCE),
    Transform("auto-contrast", "from black to white", _CHANCE),
    Transform("rand-augment", "two changes drawn from fourteen", Parameter("magnitude", 9, 0, 30, 1)),
    Transform("normalise", "the dataset's mean taken away, by its deviation; drawn as it was", None),
)  # fmt: skip

BY_NAME = {transform.name: transform for transform in TRANSFORMS}
