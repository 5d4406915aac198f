"""One rule for opening images, whatever they are."""

from __future__ import annotations

import io
import os
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image

from workbench.core.errors import UserError
from workbench.io.fit_mode import describe_fit
from workbench.io.image_fit import crop_to_square, fit_image
from workbench.io.images import (
    convert_mode,
    describe_conversion,
    header_changes,
    image_size,
    open_image,
)


def encoded(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png_header(width, height):
    """A PNG whose header claims this size, and nothing else."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


@pytest.mark.filterwarnings("ignore:Image size")  # as outside of pytest, where a warning ends nothing
@pytest.mark.parametrize("side", [11_000, 14_000, 20_000])
def test_too_many_pixels_are_refused_from_the_header(tmp_path, side):
    path = tmp_path / "huge.png"
    path.write_bytes(png_header(side, side))
    with pytest.raises(UserError, match=r"huge\.png is too large") as error:
        open_image(path)
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_an_image_is_named(tmp_path):
    text = tmp_path / "text.png"
    text.write_text("no image")
    empty = tmp_path / "empty.png"
    empty.touch()
    cut = tmp_path / "cut.jpg"
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    cut.write_bytes(encoded(noise, "JPEG")[:2000])
    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)
    cases = {
        text: "not an image in a supported format",
        empty: "is empty",
        cut: "damaged or truncated",
        pipe: "is not a regular file",
        tmp_path: "is not a regular file",
    }
    for path, words in {**cases, tmp_path / "none.png": "No such file"}.items():
        with pytest.raises(UserError, match=words) as error:
            open_image(path)
        assert str(path) in str(error.value)
        assert "\n" not in str(error.value)


def test_other_programs_are_never_asked():
    with pytest.raises(UserError, match="not an image in a supported format"):
        open_image(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n")


def test_exif_turns_it_upright():
    image = Image.new("RGB", (40, 20), "red")
    image.paste("blue", (0, 0, 20, 20))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: the left becomes the top
    upright = open_image(encoded(image, "PNG", exif=exif))
    assert upright.size == (20, 40)
    assert upright.getpixel((10, 5)) == (0, 0, 255)
    assert upright.getpixel((10, 35)) == (255, 0, 0)


@pytest.mark.parametrize(("orientation", "blue"), [(1, "left"), (2, "right"), (3, "right"), (4, "left"),
                                                  (5, "top"), (6, "top"), (7, "bottom"), (8, "bottom")])  # fmt: skip
def test_every_orientation_is_known(orientation, blue):
    image = Image.new("RGB", (20, 20), "red")
    image.paste("blue", (0, 0, 10, 20))
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = open_image(encoded(image, "PNG", exif=exif))
    place = {"left": (2, 10), "right": (17, 10), "top": (10, 2), "bottom": (10, 17)}[blue]
    assert upright.getpixel(place) == (0, 0, 255)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")  # pytest undoes our own filter
def test_damaged_exif_does_not_spoil_an_image():
    jpeg = encoded(Image.new("RGB", (8, 8), "red"), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert open_image(jpeg).size == (8, 8)


def test_transparency_is_blended_with_white_and_palettes_and_cmyk_become_rgb():
    drawing = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    drawing.putpixel((1, 1), (0, 0, 0, 255))
    drawing.putpixel((2, 2), (200, 100, 50, 127))
    for encoded_image in (
        encoded(drawing, "PNG"),
        encoded(drawing.rotate(0), "WEBP", lossless=True, exact=True),
    ):
        image = convert_mode(open_image(encoded_image), "RGB")
        assert [image.getpixel((i, i)) for i in range(3)] == [(255, 255, 255), (0, 0, 0), (228, 178, 153)]
    assert convert_mode(open_image(encoded(drawing.convert("LA"), "PNG")), "L").getpixel((0, 0)) == 255
    opaque = Image.new("RGBA", (4, 4), (200, 100, 50, 255))
    assert convert_mode(open_image(encoded(opaque, "PNG")), "RGB").getpixel((0, 0)) == (200, 100, 50)
    palette = Image.new("RGB", (4, 4), (10, 200, 30)).quantize(4)
    assert convert_mode(open_image(encoded(palette, "PNG")), "RGB").getpixel((0, 0)) == (10, 200, 30)
    clear = open_image(encoded(palette, "PNG", transparency=b"\0\xff"))
    assert convert_mode(clear, "RGB").getpixel((0, 0)) == (255, 255, 255)
    cmyk = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    r, g, b = convert_mode(open_image(encoded(cmyk, "JPEG")), "RGB").getpixel((4, 4))
    assert r > 240 and g < 15 and b < 15


def test_grayscale_is_luma():
    assert convert_mode(Image.new("RGB", (1, 1), (255, 0, 0)), "L").getpixel((0, 0)) == 76
    assert convert_mode(Image.new("L", (1, 1), 77), "RGB").getpixel((0, 0)) == (77, 77, 77)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_sixteen_bits_are_scaled_by_the_bits_in_use(mode):
    for highest in (255, 4095):
        values = np.array([[0, highest // 2, highest]], np.uint16)
        grayscale = np.asarray(convert_mode(open_image(encoded(Image.fromarray(values), "PNG")), mode))
        assert grayscale.reshape(3, -1)[:, 0].tolist() == [0, 127, 255]
    values = np.array([[0, 257, 32896, 65535]], np.uint16)
    image = open_image(encoded(Image.fromarray(values), "PNG"))
    assert image.mode.startswith("I")
    grayscale = np.asarray(convert_mode(image, mode)).reshape(4, -1)[:, 0]
    assert grayscale.tolist() == [0, 1, 128, 255]


@pytest.mark.parametrize(
    ("values", "grayscale"), [([0.0, 0.5, 1.0], [0, 128, 255]), ([0.0, 100.0, 300.0], [0, 100, 255])]
)
def test_floats_are_scaled(values, grayscale):
    image = open_image(encoded(Image.fromarray(np.array([values], np.float32)), "TIFF"))
    assert np.asarray(convert_mode(image, "L"))[0].tolist() == grayscale


def test_the_first_frame_of_what_moves():
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
    moving = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert convert_mode(open_image(moving), "RGB").getpixel((0, 0)) == (255, 0, 0)


@pytest.mark.parametrize("size", [(1, 1), (1, 20000), (20000, 1), (3, 5000)])
def test_extreme_images_fit_without_much_memory(size):
    image = convert_mode(open_image(encoded(Image.new("RGB", size, (9, 8, 7)), "PNG")), "RGB")
    tracemalloc.start()
    fitted = crop_to_square(image, 224)
    assert tracemalloc.get_traced_memory()[1] < 50_000_000
    tracemalloc.stop()
    assert fitted.size == (224, 224)
    assert fitted.getpixel((112, 112)) == (9, 8, 7)


def test_fit_square_is_resizing_and_cutting_the_middle():
    values = np.random.default_rng(0).integers(0, 255, (120, 90, 3), np.uint8)
    image = Image.fromarray(values)
    whole = image.resize((30, 40), Image.Resampling.BILINEAR).crop((0, 5, 30, 35))
    assert np.abs(np.asarray(crop_to_square(image, 30), int) - np.asarray(whole, int)).max() <= 1


def test_the_size_is_read_without_decoding(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(png_header(640, 480))
    assert image_size(path) == (640, 480)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM", "ICO", "PCX", "SGI"])
def test_usual_formats_open(kind):
    image = convert_mode(open_image(encoded(Image.new("RGB", (16, 16), (250, 250, 250)), kind)), "RGB")
    assert image.size == (16, 16)
    assert min(image.getpixel((8, 8))) > 240


def test_changes_to_pixels_are_reported(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    twelve_bits = Image.fromarray(np.array([[0, 4095]], np.uint16))
    two = [Image.new("L", (4, 4), level) for level in (0, 255)]
    samples = {
        "plain.png": (Image.new("RGB", (6, 4)), {}, ()),
        "clear.png": (Image.new("RGBA", (6, 4)), {}, ("transparency blended with white",)),
        "deep.png": (twelve_bits, {}, ("16-bit values up to 4095 scaled to the range 0 to 255",)),
        "print.jpg": (Image.new("CMYK", (6, 4)), {}, ("CMYK converted without a color profile",)),
        "turned.jpg": (Image.new("RGB", (6, 4)), {"exif": exif}, ("rotated by its EXIF orientation",)),
        "moves.gif": (
            two[0],
            {"save_all": True, "append_images": two[1:]},
            ("only the first frame is used",),
        ),
    }
    for name, (image, options, expected) in samples.items():
        image.save(tmp_path / name, **options)
        size, changes = header_changes(tmp_path / name, "RGB")
        assert changes == expected == describe_conversion(open_image(tmp_path / name), "RGB")
        assert size == (image.size[::-1] if name == "turned.jpg" else image.size)


@pytest.mark.parametrize(("fit", "expected"), [("crop", [50, 50]), ("pad", [0, 50]), ("stretch", [100, 50])])
def test_images_of_another_shape_are_cropped_padded_or_stretched(fit, expected):
    image = Image.new("L", (300, 100), 50)
    image.paste(100, (0, 0, 90, 100))
    fitted = np.asarray(fit_image(image, 30, 30, fit))
    assert [int(fitted[y, x]) for y, x in ((0, 15), (15, 15))] == [0 if fit == "pad" else 50, 50]
    assert int(fitted[0, 0]) == expected[0]
    assert ("33 % of a 300×100 image is seen" in describe_fit(image.size, 30, 30, fit)) == (fit == "crop")
    assert describe_fit((60, 60), 30, 30, fit) == ""
