"""Opens images, with one rule for training, classification and display.

The EXIF orientation is applied; of animations the first frame is taken; transparent images are put on white; palette,
CMYK and other modes are converted; 16-bit and float values are scaled to 8 bits. Files that are too large, damaged or
not images are rejected, before decoding if the header suffices.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from pathlib import Path
from typing import BinaryIO, Literal

from PIL import Image, ImageFile, UnidentifiedImageError

from workbench.core.errors import UserError
from workbench.core.text import one_line
from workbench.io.image_files import NOT_AN_IMAGE, SNIFFED_BYTES, sniff_format, unreadable_reason
from workbench.io.regular_files import open_regular_file

MAX_PIXELS = 100_000_000
"""Larger images are rejected: decoded they would take 0.4 GB and more."""

MAX_PIXEL_BYTES = 8
"""Of the encoded pixels of formats without compression: four values of 16 bits."""

# MPO (phones) is opened as JPEG. Not EPS, PDF or WMF: Pillow runs other programs for them. Not TGA: it has no
# signature, so that any text may pass for one.
FORMATS = (
    "PNG", "JPEG", "GIF", "BMP", "DIB", "WEBP", "AVIF", "TIFF", "PPM", "ICO", "JPEG2000", "PCX", "SGI", "QOI",
)  # fmt: skip

ANIMATED, ORIENTED = "workbench animated", "workbench oriented"
"""Keys of `Image.info`: whether there are more frames, and whether the EXIF orientation was applied."""
FULL_SIZE = "workbench full size"
"""Key of `Image.info`: upright width and height of the image in its file, of which fewer pixels may be decoded."""
_ANIMATED = {"GIF", "WEBP", "AVIF", "PNG", "TIFF"}
_WIDE_MODES = {"I", "F"}
_ALPHA_MODES = {"RGBA", "LA", "PA", "RGBa", "La"}
_GRAY_MODES = {"1", "L", "LA", "La", "I", "F", "I;16", "I;16B", "I;16L", "I;16N"}

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
_SIDEWAYS = {
    Image.Transpose.TRANSPOSE, Image.Transpose.ROTATE_270, Image.Transpose.TRANSVERSE, Image.Transpose.ROTATE_90,
}  # fmt: skip

# Pillow checks sizes inside some formats again while it decodes; both results become `UserError` here.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", module=r"PIL\.")


def open_image(source: Path | bytes, at_least: int | None = None) -> Image.Image:
    """The image in a file (or in the bytes `source`), decoded and upright, in its own mode.

    `at_least`: the sides that are needed, in pixels: a JPEG file is decoded at 1/2, 1/4 or 1/8 of its size (by its
    DCT coefficients, far faster) where that leaves both sides as long. Raises `UserError` with one line that names the
    file: missing, not a regular file, empty, not an image, too large, damaged.
    """
    if isinstance(source, bytes):
        return _decode_image(io.BytesIO(source), "the image", at_least)
    with open_regular_file(source) as file:
        return _decode_image(file, str(source), at_least)


def image_size(source: Path) -> tuple[int, int]:
    """Width and height from the header, before decoding and without the EXIF orientation. Raises `UserError`."""
    with open_regular_file(source) as file:
        return _open_header(file, str(source)).size


def header_changes(source: Path, mode: Literal["RGB", "L"]) -> tuple[tuple[int, int], tuple[str, ...]]:
    """Upright width and height, and `describe_conversion` of an image file, without decoding it if its values have
    8 bits. Raises `UserError`.
    """
    with open_regular_file(source) as file:
        image: Image.Image = _open_header(file, str(source))
        size, orientation = image.size, _exif_orientation(image)
        if image.mode == "I" or image.mode.startswith("I;16"):
            image = _decode_image(file, str(source))
        elif orientation is not None:
            image.info[ORIENTED] = True
        turned = orientation in _SIDEWAYS
        return (size[::-1] if turned else size), describe_conversion(image, mode)


def convert_mode(image: Image.Image, mode: Literal["RGB", "L"]) -> Image.Image:
    """`image` as 8-bit RGB or grayscale (ITU-R 601 luma). Transparent pixels are blended with white.

    Values of 16 bits (modes `I;16` and `I`) are scaled from the bit depth that they use (8, 12 or 16 bits) to 8 bits;
    floats are taken as 0..1, or as 0..255 if any is larger than 1. Raises `UserError` for modes without a conversion.
    """
    if image.mode in _WIDE_MODES or image.mode.startswith("I;16"):
        image = _to_8_bit(image)
    if image.mode == mode and not has_transparency(image):
        return image
    try:
        if has_transparency(image):
            image = _on_white(image)
        return image.convert(mode)
    except ValueError:
        raise UserError(f"can't convert an image of mode {image.mode} to {mode}: save it as RGB") from None


def has_transparency(image: Image.Image) -> bool:
    """Whether an image has an alpha channel or a transparent color."""
    return image.mode in _ALPHA_MODES or "transparency" in image.info


def used_bits(image: Image.Image) -> int:
    """The bits per value that an image of mode `I` or `I;16` uses: 8, 12 or 16.

    Cameras and scanners of 12 bits store their values in files of 16 bits, unscaled.
    """
    highest = image.convert("I").getextrema()[1]
    return next((bits for bits in (8, 12) if isinstance(highest, (int, float)) and highest < 1 << bits), 16)


def describe_conversion(image: Image.Image, mode: Literal["RGB", "L"]) -> tuple[str, ...]:
    """How the pixels of an opened image change before a model sees them, one line each; empty if they don't."""
    changes = []
    if image.info.get(ANIMATED):
        changes.append("only the first frame is used")
    if image.info.get(ORIENTED):
        changes.append("rotated by its EXIF orientation")
    if has_transparency(image):
        changes.append("transparency blended with white")
    if image.mode == "I" or image.mode.startswith("I;16"):
        bits = used_bits(image)
        changes.append(f"16-bit values up to {(1 << bits) - 1} scaled to the range 0 to 255")
    elif image.mode == "F":
        changes.append("float values scaled to the range 0 to 255")
    elif image.mode in {"CMYK", "YCbCr", "LAB", "HSV"}:
        changes.append(f"{image.mode} converted without a color profile")
    if mode == "L" and image.mode not in _GRAY_MODES:
        changes.append("color converted to gray")
    return tuple(changes)


def _decode_image(file: BinaryIO, name: str, at_least: int | None = None) -> Image.Image:
    image = _open_header(file, name)
    full_size = image.size
    if at_least is not None:
        image.draft(None, (at_least, at_least))
    # Pillow copies what it has of a row with every block that it reads of it: a row of millions of pixels took seconds.
    image.decodermaxblock = max(image.decodermaxblock, image.width * MAX_PIXEL_BYTES)
    try:
        image.load()
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise UserError(_too_large_message(name)) from None
    except MemoryError:
        raise UserError(f"{name} does not fit into memory: scale it down") from None
    except Exception as error:
        # Pillow's decoders raise nearly anything for damaged data (OSError, SyntaxError, struct.error, ...).
        raise UserError(f"{name} is damaged or truncated: {one_line(error, 120)}") from None
    oriented = _apply_exif_orientation(image)
    turned = oriented.size != image.size
    oriented.info[FULL_SIZE] = full_size[::-1] if turned else full_size
    return oriented


def _open_header(file: BinaryIO, name: str) -> ImageFile.ImageFile:
    try:
        image = Image.open(file, formats=FORMATS)
    except UnidentifiedImageError:
        file.seek(0)
        start = file.read(SNIFFED_BYTES)
        if (format_name := sniff_format(start)) not in {"", NOT_AN_IMAGE}:
            raise UserError(f"{name} is {unreadable_reason(format_name)}") from None
        raise UserError(f"{name} is {'not an image in a supported format' if start else 'empty'}") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise UserError(_too_large_message(name)) from None
    except Exception as error:
        raise UserError(f"{name} is not a valid image: {one_line(error, 120)}") from None
    if image.format in _ANIMATED:
        with contextlib.suppress(Exception):  # a damaged second frame is of no concern
            image.info[ANIMATED] = getattr(image, "is_animated", False)
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise UserError(_too_large_message(name, f"{width}×{height}"))
    if not width * height:
        raise UserError(f"{name} is an image without pixels")
    return image


def _too_large_message(name: str, size: str = "its size") -> str:
    return f"{name} is too large: {size} exceeds {MAX_PIXELS // 1_000_000} megapixels; scale it down"


def _apply_exif_orientation(image: Image.Image) -> Image.Image:
    transpose = _exif_orientation(image)
    if transpose is None:
        return image
    oriented = image.transpose(transpose)
    oriented.info[ORIENTED] = True
    return oriented


def _exif_orientation(image: Image.Image) -> Image.Transpose | None:
    try:
        return _TRANSPOSE_BY_ORIENTATION.get(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:
        return None  # the EXIF data is damaged, the image itself is valid


def _to_8_bit(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        extrema = image.getextrema()
        highest = extrema[1] if isinstance(extrema[1], float) else 255.0
        scale = 255.0 if highest <= 1 else 1.0
    else:
        scale = 255 / ((1 << used_bits(image)) - 1)
        image = image.convert("I").convert("F")
    # Pillow truncates floats and clips them to 0..255: adding 0.5 makes that rounding.
    return image.point(lambda value: value * scale + 0.5).convert("L")


def _on_white(image: Image.Image) -> Image.Image:
    """A transparent image on a white background, RGB."""
    rgba = image.convert("LA" if image.mode == "La" else "RGBA").convert("RGBA")
    if rgba.getchannel("A").getextrema() == (255, 255):
        return rgba.convert("RGB")
    white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, rgba).convert("RGB")
