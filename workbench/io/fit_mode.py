"""How images are fitted to the shape of a model's inputs. Imports no Pillow, for the catalog and the records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from workbench.io.record_codec import Record

Fit = Literal["crop", "pad", "stretch"]
"""`crop`: the center of the image; `pad`: all of it, with black borders; `stretch`: all of it, distorted."""
Interpolation = Literal["bilinear", "bicubic"]
_CROP_WORTH_SAYING = 0.7
"""Photographs of 4:3 lose a quarter, as in any introduction; a larger loss is reported."""


class CenterCrop(Record, frozen=True, kw_only=True):
    """The evaluation of a published network: an image is resized, then its center is cropped."""

    side: int
    """Height and width of the crop: of an input."""
    resize: int
    """The shorter side of the image before the crop."""
    interpolation: Interpolation = "bilinear"
    enlarges: bool = False
    """Whether smaller images are enlarged to it, as weights that were trained with this size expect."""

    @property
    def share(self) -> float:
        """The part of the shorter side that is seen, 0..1."""
        return self.side / self.resize

    def scaled(self, side: int) -> CenterCrop:
        """The same crop for inputs of another side."""
        if side == self.side:
            return self
        return CenterCrop(
            side=side,
            resize=max(side, round(self.resize * side / self.side)),
            interpolation=self.interpolation,
            enlarges=self.enlarges,
        )


def visible_fraction(
    size: tuple[int, int], width: int, height: int, fit: Fit = "crop", crop: CenterCrop | None = None
) -> float:
    """The part of an image of `size` (width, height) that is left once it is fitted, 0..1."""
    if fit != "crop" or width != height:
        return 1.0
    return min(size) / max(size) * (1.0 if crop is None else crop.share**2)


def describe_fit(
    size: tuple[int, int],
    width: int,
    height: int,
    fit: Fit = "crop",
    crop: CenterCrop | None = None,
    *,
    advise: bool = True,
) -> str:
    """`33 % of a 300×100 image is seen (its center square)`; empty if all of it is seen undistorted.

    `advise`: with the setting that shows all of it. Of a square image, a center crop leaves most, which is not said.
    """
    fraction = visible_fraction(size, width, height, fit, crop)
    if fraction < 1:
        if crop is not None and size[0] == size[1]:
            return ""
        advice = "; data.fit=pad or stretch shows all of it" if advise else ""
        which = "its center square" if crop is None else "center crop"
        return f"{100 * fraction:.0f} % of a {size[0]}×{size[1]} image is seen ({which}){advice}"
    if size[0] * height == size[1] * width:
        return ""
    if fit == "pad":
        return f"a {size[0]}×{size[1]} image is padded with black to {width}×{height}"
    return f"a {size[0]}×{size[1]} image is stretched to {width}×{height}"


def squareness(sizes: Sequence[tuple[int, int]]) -> float:
    """The mean of shorter by longer side, 0..1."""
    return sum(min(size) / max(size) for size in sizes) / len(sizes)


def describe_crops(
    mean: float, longest: tuple[int, int], fit: Fit, crop: CenterCrop | None, *, is_stored_whole: bool = False
) -> tuple[str, ...]:
    """A line on what is lost of images by cropping, where that is much; else none.

    `mean`: their `squareness`; `longest`: the size of the one farthest from a square; `is_stored_whole`: training
    images are, and may be cropped anywhere.
    """
    least = visible_fraction(longest, 1, 1)
    if fit != "crop" or (mean >= _CROP_WORTH_SAYING and least >= _CROP_WORTH_SAYING / 2):
        return ()
    share = 1.0 if crop is None else crop.share**2
    where = " in evaluation" if is_stored_whole else ""
    return (
        f"center crop{where}: {100 * mean * share:.0f} % of an image is seen on average, "
        f"{100 * least * share:.0f} % of a {longest[0]}×{longest[1]} image; data.fit=pad or stretch shows all of it",
    )
