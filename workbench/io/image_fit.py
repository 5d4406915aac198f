"""Fits images of any shape to the shape of a model's inputs."""

from __future__ import annotations

from PIL import Image

from workbench.io.fit_mode import Fit


def fit_image(image: Image.Image, width: int, height: int, fit: Fit = "crop") -> Image.Image:
    """`image` (RGB or L) as `width` × `height`: bilinear, antialiased.

    Inputs that are not square never crop: datasets with such inputs were not cropped by this function.
    """
    if image.size == (width, height):
        return image
    if fit == "pad":
        return _pad(image, width, height)
    if fit == "stretch" or width != height:
        return image.resize((width, height), Image.Resampling.BILINEAR)
    return crop_to_square(image, width)


def crop_to_square(image: Image.Image, size: int) -> Image.Image:
    """The center square of `image` (RGB or L), resized to `size` × `size` (bilinear, antialiased).

    Only the pixels of the square are computed, so a strip of 1×20000 costs no more than a square.
    """
    width, height = image.size
    side = min(width, height)
    if width == height == size:
        return image
    left, top = (width - side) / 2, (height - side) / 2
    box = (left, top, left + side, top + side)
    return image.resize((size, size), Image.Resampling.BILINEAR, box=box)


def visible_fraction(size: tuple[int, int], width: int, height: int, fit: Fit = "crop") -> float:
    """The part of an image of `size` (width, height) that is left once it is fitted, 0..1."""
    if fit != "crop" or width != height:
        return 1.0
    return min(size) / max(size)


def describe_fit(
    size: tuple[int, int], width: int, height: int, fit: Fit = "crop", *, advise: bool = True
) -> str:
    """`33 % of a 300×100 image is seen (its center square)`; empty if all of it is seen undistorted.

    `advise`: with the setting that shows all of it.
    """
    fraction = visible_fraction(size, width, height, fit)
    if fraction < 1:
        advice = "; data.fit=pad or stretch shows all of it" if advise else ""
        return f"{100 * fraction:.0f} % of a {size[0]}×{size[1]} image is seen (its center square){advice}"
    if size[0] * height == size[1] * width:
        return ""
    if fit == "pad":
        return f"a {size[0]}×{size[1]} image is padded with black to {width}×{height}"
    return f"a {size[0]}×{size[1]} image is stretched to {width}×{height}"


def _pad(image: Image.Image, width: int, height: int) -> Image.Image:
    factor = min(width / image.width, height / image.height)
    inner = max(1, round(image.width * factor)), max(1, round(image.height * factor))
    padded = Image.new(image.mode, (width, height))
    resized = image.resize(inner, Image.Resampling.BILINEAR)
    padded.paste(resized, ((width - inner[0]) // 2, (height - inner[1]) // 2))
    return padded
