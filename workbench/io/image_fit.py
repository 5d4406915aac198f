"""Fits images of any shape to the shape of a model's inputs."""

from __future__ import annotations

from PIL import Image

from workbench.io.fit_mode import CenterCrop, Fit

_MAX_RESIZED_PIXELS = 32_000_000
_RESAMPLING = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def fit_image(
    image: Image.Image, width: int, height: int, fit: Fit = "crop", crop: CenterCrop | None = None
) -> Image.Image:
    """`image` (RGB or L) as `width` × `height`: bilinear, antialiased; with a `crop`, as that says.

    Inputs that are not square never crop: datasets with such inputs were not cropped by this function.
    """
    if crop is not None and fit == "crop" and width == height:
        return resize_and_crop(image, crop)
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


def resize_and_crop(image: Image.Image, crop: CenterCrop) -> Image.Image:
    """What torchvision's `Resize` and `CenterCrop` make of `image` (RGB or L), to the bit.

    All of the image is resized, as there: a box of it gives slightly other values, by rounding. It is only used for
    strips that would fill hundreds of megabytes.
    """
    width, height = image.size
    if width <= height:
        resized = crop.resize, int(crop.resize * height / width)
    else:
        resized = int(crop.resize * width / height), crop.resize
    left, top = (round((side - crop.side) / 2.0) for side in resized)
    right, bottom = left + crop.side, top + crop.side
    how = _RESAMPLING[crop.interpolation]
    if resized[0] * resized[1] > _MAX_RESIZED_PIXELS:
        x, y = width / resized[0], height / resized[1]
        return image.resize((crop.side, crop.side), how, box=(left * x, top * y, right * x, bottom * y))
    if resized != image.size:
        image = image.resize(resized, how)
    return image.crop((left, top, right, bottom))


def middle_of_strip(image: Image.Image, max_ratio: int) -> Image.Image:
    """The middle of an image whose sides differ by more than `max_ratio`; other images as they are."""
    width, height = image.size
    side = max_ratio * min(width, height)
    if max(width, height) <= side:
        return image
    left, top = max(0, (width - side) // 2), max(0, (height - side) // 2)
    return image.crop((left, top, min(width, left + side), min(height, top + side)))


def _pad(image: Image.Image, width: int, height: int) -> Image.Image:
    factor = min(width / image.width, height / image.height)
    inner = max(1, round(image.width * factor)), max(1, round(image.height * factor))
    padded = Image.new(image.mode, (width, height))
    resized = image.resize(inner, Image.Resampling.BILINEAR)
    padded.paste(resized, ((width - inner[0]) // 2, (height - inner[1]) // 2))
    return padded
