"""How an image becomes an input of a dataset: a record of every checkpoint. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from workbench.io.fit_mode import CenterCrop, Fit
from workbench.io.record_codec import Record

IMAGE_CHANNELS = (1, 3)


class InputKind(StrEnum):
    """How an image becomes an input."""

    PIXELS = "pixels"
    """Inputs are uint8 pixels; the preprocessing of the model scales them."""
    AFFINE = "affine"
    """Inputs are float32: pixels times `scale` plus `offset`, per channel."""
    TRANSFORMS = "transforms"
    """Inputs are what torchvision's transforms in `steps` return for an image."""
    CODE = "code"
    """Inputs are what the attribute `preprocess` of the user's function `code` returns for an image."""
    UNKNOWN = "unknown"
    """Inputs are float images, or whole numbers far below 255, and how they were made of images is not known."""
    VALUES = "values"
    """Inputs are not made of images."""


StepArgument = None | bool | int | float | str | tuple[int | float, ...]


class TransformStep(Record, frozen=True, kw_only=True):
    """One of torchvision's transforms: its class in `transforms` (or `transforms.v2`) and its arguments."""

    name: str
    v2: bool = False
    arguments: dict[str, StepArgument] = {}
    """Interpolations and dtypes by name."""


class InputRecord(Record, frozen=True, kw_only=True):
    """The raw inputs of a dataset: their type and range, and how they are made of images."""

    kind: InputKind = InputKind.PIXELS
    dtype: str = "uint8"
    """`uint8` or `float32`."""
    low: float | None = None
    high: float | None = None
    """The range of the training inputs; `None` for pixels."""
    scale: tuple[float, ...] = ()
    offset: tuple[float, ...] = ()
    """Per channel: an input is the pixel (0 to 255) of an image, cropped and resized to its size, times `scale` plus
    `offset`; empty where it is not, and for uint8."""
    steps: tuple[TransformStep, ...] = ()
    code: str = ""
    """`FILE.py:NAME`, the user's function that made the dataset; empty if there is none."""
    fit: Fit = "crop"
    """How images of another shape are fitted to the inputs."""
    crop: CenterCrop | None = None
    """The center crop that makes an input of an image, with `fit` of `crop`; `None`: its center square."""
    store: int | None = None
    """The side of the squares that training images are stored as, to be cropped; `None`: that of the inputs."""
    reason: str = ""
    """Why it is unknown, for people; empty if nothing was found."""

    @property
    def is_affine(self) -> bool:
        """Whether inputs are pixels, scaled or not."""
        return self.dtype == "uint8" or bool(self.scale)


def is_image_shape(shape: Sequence[int]) -> bool:
    """Whether an input of `shape` can be an image: [1 or 3, H, W]."""
    return len(shape) == 3 and shape[0] in IMAGE_CHANNELS


def unknown_input_message(record: InputRecord) -> str:
    """Why images can't become inputs, and how to tell it, in one line."""
    values = "floats" if record.dtype != "uint8" else "whole numbers"
    values += "" if record.low is None else f" from {record.low:.4g} to {record.high:.4g}"
    name = record.code.rpartition(":")[2] or "make"
    found = f" ({record.reason})" if record.reason else ""
    return (
        f"the training inputs are {values}, and how an image becomes one is not known{found}: "
        f"set {name}.preprocess to the function or torchvision transform that makes an input of a PIL image "
        f"(None if inputs are not images) in {record.code.rpartition(':')[0] or 'the file of the dataset'}"
    )
