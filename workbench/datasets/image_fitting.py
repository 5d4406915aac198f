"""How image files become stored pixels: of the size of a model's inputs, or larger, to be cropped in training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from workbench.core.errors import UserError
from workbench.datasets.image_sizes import StoredSides
from workbench.io.fit_mode import CenterCrop, Fit
from workbench.io.image_fit import fit_image
from workbench.io.images import FULL_SIZE, convert_mode, open_image

Mode = Literal["RGB", "L"]


class StoredImage(NamedTuple):
    """The pixels of an image, channels first, and its original width / height."""

    pixels: bytes
    aspect: float


@dataclass(frozen=True)
class Fitting:
    """What is stored of an image: a square of `side` pixels.

    `is_whole`: all of it stretched to the square, to be cropped in its own shape later, and JPEG files decoded at a
    fraction of their size where that is large enough.
    """

    side: int
    mode: Mode
    fit: Fit = "crop"
    crop: CenterCrop | None = None
    is_whole: bool = False

    @property
    def channels(self) -> int:
        """Of a stored image."""
        return 3 if self.mode == "RGB" else 1

    @property
    def image_bytes(self) -> int:
        """Of a stored image."""
        return self.channels * self.side**2

    @property
    def key(self) -> str:
        """What the pixels depend on beside the file."""
        key = f"{self.side} {self.mode} {self.fit}"
        if self.is_whole:
            return f"{key} whole"
        crop = self.crop
        return key if crop is None else f"{key} {crop.resize} {crop.interpolation}"

    def read(self, path: Path) -> StoredImage | str:
        """The image in a file; or the reason why it can't be read, without its path."""
        try:
            opened = open_image(path, self.side if self.is_whole else None)
            image = convert_mode(opened, self.mode)
            fit: Fit = "stretch" if self.is_whole and self.fit == "crop" else self.fit
            fitted = fit_image(image, self.side, self.side, fit, self.crop)
        except UserError as error:
            return str(error).removeprefix(f"{path} ").removeprefix("is ")
        pixels = np.asarray(fitted).reshape(self.side, self.side, self.channels)
        width, height = opened.info[FULL_SIZE]
        return StoredImage(pixels.transpose(2, 0, 1).tobytes(), round(width / height, 6))


class Fittings(NamedTuple):
    """What is stored of training images, and of those that are evaluated."""

    training: Fitting
    evaluation: Fitting

    @property
    def keeps_shape(self) -> bool:
        """Whether training images are cropped in their own shape, not in that of the stored square."""
        return self.training.is_whole and self.training.fit == "crop"


def make_fittings(sides: StoredSides, mode: Mode, fit: Fit) -> Fittings:
    """The fittings for these sides; the center crop is of use only for images that are cropped."""
    evaluation = Fitting(sides.side, mode, fit, sides.crop if fit == "crop" else None)
    if sides.store is None:
        return Fittings(evaluation, evaluation)
    return Fittings(Fitting(sides.store, mode, fit, is_whole=True), evaluation)
