"""Opens images for the screen, in this process, so that a corrupt image can't crash the screen.

Imports no torch, so that an image is shown before torch is loaded.
"""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from workbench.compute.protocol import OpenImage
from workbench.compute.protocol_records import ImageFacts
from workbench.compute.protocol_responses import OpenedImage
from workbench.compute.task import Task
from workbench.core.errors import UserError
from workbench.core.paths import expand_user_path
from workbench.io.download import download_image
from workbench.io.images import convert_mode, open_image
from workbench.io.regular_files import open_regular_file

MAX_SIDE = 512
"""Maximum pixels of an image's longer side: a terminal shows fewer."""
MAX_ENCODED_BYTES = 256 << 20
NO_IMAGE_ERROR = "no image: enter a path or URL"


def open_for_display(request: OpenImage, task: Task) -> OpenedImage:
    """Open the image, downloading a URL first. Raises `UserError` or `Cancelled`."""
    source = request.path
    if not source:
        raise UserError(NO_IMAGE_ERROR)
    path: Path = (
        download_image(source, task.progress, task.cancelled) if "://" in source else expand_user_path(source)
    )
    image = open_image(path if request.size is None else _read_part(path, request.offset, request.size))
    return OpenedImage(path=str(path.absolute()), png=png(image, MAX_SIDE), source=facts(image))


def _read_part(path: Path, offset: int, size: int) -> bytes:
    """The bytes of an image inside a file, as in a TensorBoard log. Raises `UserError`."""
    with open_regular_file(path) as file:
        file.seek(offset)
        return file.read(min(size, MAX_ENCODED_BYTES))


def facts(image: Image.Image) -> ImageFacts:
    """The size and mode of an image."""
    return ImageFacts(image.width, image.height, image.mode)


def png(image: Image.Image, side: int) -> bytes:
    """The image as a PNG, scaled down to at most `side` pixels (1..`MAX_SIDE`) on its longer side."""
    side = max(1, min(side, MAX_SIDE))
    if image.mode in {"RGB", "L"}:  # averaging whole blocks first is much faster for photographs
        image = image.reduce(max(1, max(image.size) // (4 * side)))
    image = convert_mode(image, "L" if image.mode == "L" else "RGB")
    if max(image.size) > side:
        image = image.copy()
        image.thumbnail((side, side), Image.Resampling.BILINEAR)
    return encode_png(image)


def encode_png(image: Image.Image) -> bytes:
    """The image as a PNG, with all of its pixels."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
