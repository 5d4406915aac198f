"""Opens images, with one rule for training, classification and display.

The EXIF orientation is applied; of animations the first frame is taken; alpha is dropped; palette, CMYK and other
modes are converted; 16-bit and float values are scaled to 8 bits. Files that are too large, damaged or not images
are rejected, before decoding if the header suffices.
"""

from __future__ import annotations

import io
import os
import stat
import warnings
from pathlib import Path
from typing import BinaryIO, Literal

from PIL import Image, UnidentifiedImageError

from workbench.core.errors import UserError
from workbench.core.text import one_line
from workbench.io.image_files import NOT_AN_IMAGE, SNIFFED_BYTES, sniff_format, unreadable_reason

MAX_PIXELS = 100_000_000
"""Larger images are rejected: decoded they would take 0.4 GB and more."""

# MPO (phones) is opened as JPEG. Not EPS, PDF or WMF: Pillow runs other programs for them. Not TGA: it has no
# signature, so that any text may pass for one.
FORMATS = (
    "PNG", "JPEG", "GIF", "BMP", "DIB", "WEBP", "AVIF", "TIFF", "PPM", "ICO", "JPEG2000", "PCX", "SGI", "QOI",
)  # fmt: skip

_ORIENTATION_TAG = 0x0112
_TRANSPOSE_BY_ORIENTATION = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Pillow checks sizes inside some formats again while it decodes; both results become `UserError` here.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", module=r"PIL\.")


def open_image(source: Path | bytes) -> Image.Image:
    """The image in a file (or in the bytes `source`), decoded and upright, in its own mode.

    Raises `UserError` with one line that names the file: missing, not a regular file, empty, not an image, too
    large, damaged.
    """
    if isinstance(source, bytes):
        return _decode_image(io.BytesIO(source), "the image")
    with open_regular_file(source) as file:
        return _decode_image(file, str(source))


def image_size(source: Path) -> tuple[int, int]:
    """Width and height from the header, before decoding and without the EXIF orientation. Raises `UserError`."""
    with open_regular_file(source) as file:
        return _open_header(file, str(source)).size


def open_regular_file(path: Path) -> BinaryIO:
    """Open a regular file for reading; never blocks on a pipe or a device. Raises `UserError` for those."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UserError(f"{path} can't be read: {reason}") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UserError(f"{path} is not a regular file (a folder, pipe or device)")
    return os.fdopen(descriptor, "rb")


def convert_mode(image: Image.Image, mode: Literal["RGB", "L"]) -> Image.Image:
    """`image` as 8-bit RGB or grayscale (ITU-R 601 luma). Alpha is dropped, not blended.

    16-bit values (modes `I;16` and `I`) are scaled by 255/65535; floats are taken as 0..1, or as 0..255 if any is
    larger than 1. Raises `UserError` for modes without a conversion.
    """
    if image.mode in {"I", "F"} or image.mode.startswith("I;16"):
        image = _to_8_bit(image)
    if image.mode in {"P", "PA"} and "transparency" in image.info:
        image = image.convert("RGBA")
    if image.mode == mode:
        return image
    try:
        return image.convert(mode)
    except ValueError:
        raise UserError(f"can't convert an image of mode {image.mode} to {mode}: save it as RGB") from None


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


def _decode_image(file: BinaryIO, name: str) -> Image.Image:
    image = _open_header(file, name)
    try:
        image.load()
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise UserError(_too_large_message(name)) from None
    except MemoryError:
        raise UserError(f"{name} does not fit into memory: scale it down") from None
    except Exception as error:
        # Pillow's decoders raise nearly anything for damaged data (OSError, SyntaxError, struct.error, ...).
        raise UserError(f"{name} is damaged or truncated: {one_line(error, 120)}") from None
    return _apply_exif_orientation(image)


def _open_header(file: BinaryIO, name: str) -> Image.Image:
    try:
        image = Image.open(file, formats=FORMATS)
    except UnidentifiedImageError:
        file.seek(0)
        start = file.read(SNIFFED_BYTES)
        if (format_name := sniff_format(start)) not in {"", NOT_AN_IMAGE}:
            reason = unreadable_reason(format_name)
            raise UserError(f"{name} is in another format than its name says: {reason}") from None
        raise UserError(f"{name} is {'not an image in a supported format' if start else 'empty'}") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise UserError(_too_large_message(name)) from None
    except Exception as error:
        raise UserError(f"{name} is not a valid image: {one_line(error, 120)}") from None
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise UserError(_too_large_message(name, f"{width}×{height}"))
    if not width * height:
        raise UserError(f"{name} is an image without pixels")
    return image


def _too_large_message(name: str, size: str = "its size") -> str:
    return f"{name} is too large: {size} exceeds {MAX_PIXELS // 1_000_000} megapixels; scale it down"


def _apply_exif_orientation(image: Image.Image) -> Image.Image:
    try:
        transpose = _TRANSPOSE_BY_ORIENTATION.get(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:
        transpose = None  # the EXIF data is damaged, the image itself is valid
    return image if transpose is None else image.transpose(transpose)


def _to_8_bit(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        extrema = image.getextrema()
        highest = extrema[1] if isinstance(extrema[1], float) else 255.0
        scale = 255.0 if highest <= 1 else 1.0
    else:
        image, scale = image.convert("I").convert("F"), 255 / 65535
    # Pillow truncates floats and clips them to 0..255: adding 0.5 makes that rounding.
    return image.point(lambda value: value * scale + 0.5).convert("L")
