"""The one place that opens pictures, with one rule for training, classifying and showing them.

Upright by EXIF; the first frame of what moves; alpha dropped; palette, CMYK and the like converted; 16-bit and
float scaled to 8 bits. What is too large, damaged or no picture is refused with one line, before it is decoded
where the header tells.
"""

from __future__ import annotations

import io
import os
import stat
import warnings
from pathlib import Path
from typing import BinaryIO, Literal

from PIL import Image

from workbench.core.errors import BadInput
from workbench.core.text import one_line

MAX_PIXELS = 100_000_000
"""Larger pictures are refused: decoded they would take 0.4 GB and more."""

# MPO (phones) is opened as JPEG. No EPS, PDF or WMF: Pillow hands them to other programs. No TGA: it has no
# signature, any text may be one.
FORMATS = (
    "PNG", "JPEG", "GIF", "BMP", "DIB", "WEBP", "AVIF", "TIFF", "PPM", "ICO", "JPEG2000", "PCX", "SGI", "QOI",
)  # fmt: skip

_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Pillow checks sizes inside some formats again while it decodes; both of its answers become ours.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", module=r"PIL\.")


def open_picture(source: Path | bytes) -> Image.Image:
    """The picture in a file (or in `source` itself), decoded and upright, in its own mode.

    Raises `BadInput` with one line that names the file: missing, no regular file, empty, no picture, too
    large, damaged.
    """
    if isinstance(source, bytes):
        return _decode(io.BytesIO(source), "the picture")
    with open_regular(source) as file:
        return _decode(file, str(source))


def picture_size(source: Path) -> tuple[int, int]:
    """Width and height as the header says them, not decoded and not turned. Raises `BadInput`."""
    with open_regular(source) as file:
        return _open_header(file, str(source)).size


def open_regular(path: Path) -> BinaryIO:
    """A file opened for reading, if it is a regular one: a pipe or a device can't make us wait. Raises `BadInput`."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise BadInput(f"{path} can't be read: {reason}") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise BadInput(f"{path} is no file (a folder, pipe or device)")
    return os.fdopen(descriptor, "rb")


def convert(image: Image.Image, mode: Literal["RGB", "L"]) -> Image.Image:
    """`image` as 8-bit RGB or grey. Grey is ITU-R 601 luma; alpha is dropped, not blended.

    16-bit values (modes `I;16` and `I`) are scaled by 255/65535; floats are taken as 0 to 1, or as 0 to 255
    where one is larger than 1. Raises `BadInput` for modes that have no conversion.
    """
    if image.mode in {"I", "F"} or image.mode.startswith("I;16"):
        image = _eight_bits(image)
    if image.mode in {"P", "PA"} and "transparency" in image.info:
        image = image.convert("RGBA")
    if image.mode == mode:
        return image
    try:
        return image.convert(mode)
    except ValueError:
        raise BadInput(f"a picture of mode {image.mode} can't be made {mode}: save it as RGB") from None


def fit_square(image: Image.Image, size: int) -> Image.Image:
    """The middle of `image` (RGB or L) as `size` × `size`: the shorter side becomes `size`, then it is cut.

    Antialiased bilinear. Only what stays is computed, so a strip of 1×20000 costs no more than a square.
    """
    width, height = image.size
    side = min(width, height)
    if width == height == size:
        return image
    left, top = (width - side) / 2, (height - side) / 2
    box = (left, top, left + side, top + side)
    return image.resize((size, size), Image.Resampling.BILINEAR, box=box)


def _decode(file: BinaryIO, name: str) -> Image.Image:
    image = _open_header(file, name)
    try:
        image.load()
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise BadInput(_too_large(name)) from None
    except MemoryError:
        raise BadInput(f"{name} doesn't fit into memory: scale it down") from None
    except Exception as error:
        # Pillow's decoders raise nearly anything for damaged data (OSError, SyntaxError, struct.error, ...).
        raise BadInput(f"{name} is damaged or cut short: {one_line(error, 120)}") from None
    return _upright(image)


def _open_header(file: BinaryIO, name: str) -> Image.Image:
    try:
        image = Image.open(file, formats=FORMATS)
    except Image.UnidentifiedImageError:
        file.seek(0)
        empty = not file.read(1)
        raise BadInput(f"{name} is {'empty' if empty else 'no picture in a format that is known'}") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise BadInput(_too_large(name)) from None
    except Exception as error:
        raise BadInput(f"{name} is no sound picture: {one_line(error, 120)}") from None
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise BadInput(_too_large(name, f"{width}×{height}"))
    if not width * height:
        raise BadInput(f"{name} is a picture without pixels")
    return image


def _too_large(name: str, size: str = "its size") -> str:
    return f"{name} is too large: {size} is over {MAX_PIXELS // 1_000_000} megapixels; scale it down"


def _upright(image: Image.Image) -> Image.Image:
    try:
        turn = _UPRIGHT.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:
        turn = None  # damaged EXIF says nothing; the picture itself is good
    return image if turn is None else image.transpose(turn)


def _eight_bits(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        extrema = image.getextrema()
        highest = extrema[1] if isinstance(extrema[1], float) else 255.0
        scale = 255.0 if highest <= 1 else 1.0
    else:
        image, scale = image.convert("I").convert("F"), 255 / 65535
    # Pillow cuts floats off towards zero and clips to 0..255: half a step more makes that rounding.
    return image.point(lambda value: value * scale + 0.5).convert("L")
