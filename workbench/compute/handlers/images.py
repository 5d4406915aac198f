"""Images opened for the screen: one that is too large or damaged ends this process at most, never the screen.

Imports no torch: an image can be shown long before a model is loaded.
"""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from workbench.compute.protocol import OpenedImage, OpenImage
from workbench.compute.protocol_records import ImageFacts
from workbench.compute.task import Task
from workbench.core.errors import BadInput
from workbench.core.paths import given
from workbench.io.download import fetch_picture
from workbench.io.images import convert, open_picture

LARGEST = 512
"""Pixels of a side: a terminal shows fewer."""
NO_IMAGE = "no image is named: give a path or a URL"


def open_image(request: OpenImage, task: Task) -> OpenedImage:
    """Open the image, or download it first. Raises `BadInput` or `Interrupted`."""
    source = request.path
    if not source:
        raise BadInput(NO_IMAGE)
    path: Path = fetch_picture(source, task.progress, task.cancelled) if "://" in source else given(source)
    image = open_picture(path)
    return OpenedImage(path=str(path.absolute()), png=png(image, LARGEST), source=facts(image))


def facts(image: Image.Image) -> ImageFacts:
    """Its size and mode."""
    return ImageFacts(image.width, image.height, image.mode)


def png(image: Image.Image, side: int, resampling: Image.Resampling = Image.Resampling.BILINEAR) -> bytes:
    """The image within `side` pixels, as a PNG."""
    side = max(1, min(side, LARGEST))
    if image.mode in {"RGB", "L"}:  # whole blocks are averaged first, which is much faster for photographs
        image = image.reduce(max(1, max(image.size) // (4 * side)))
    image = convert(image, "L" if image.mode == "L" else "RGB")
    if max(image.size) > side:
        image = image.copy()
        image.thumbnail((side, side), resampling)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
