"""What names of picture files end in."""

from __future__ import annotations

ENDINGS = (
    ".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".gif", ".bmp", ".dib", ".webp", ".avif", ".tif",
    ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".ico", ".jp2", ".j2k", ".pcx", ".sgi", ".rgb", ".qoi",
)  # fmt: skip
"""In lower case: those of the formats that `io.pictures` opens."""


def is_picture(name: str) -> bool:
    """Whether a file is taken for a picture by its name; hidden ones are not."""
    return name.lower().endswith(ENDINGS) and not name.startswith(".")
