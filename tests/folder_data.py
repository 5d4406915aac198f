"""Little folders of images for tests."""

from __future__ import annotations

from pathlib import Path

from PIL import Image


def draw_images(folder: Path, count: int = 3, size: tuple[int, int] = (8, 8)) -> Path:
    """`count` images in a folder, different from those of folders with names of other lengths."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        Image.new("RGB", size, (i * 3 % 256, 7, 20 * len(folder.name) % 256)).save(folder / f"{i}.png")
    return folder


def draw_classes(folder: Path, size: tuple[int, int] = (8, 8), **counts: int) -> Path:
    """A folder of classes, each with its number of images."""
    for name, count in counts.items():
        draw_images(folder / name, count, size)
    return folder
