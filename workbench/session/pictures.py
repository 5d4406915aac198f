"""Pictures opened for the screen: what is too large or damaged ends this process, if any, and never the screen.

Imports no torch: a picture is there long before a model is.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from workbench.errors import BadInput
from workbench.io.fetch import fetch_picture
from workbench.io.pictures import convert, open_picture
from workbench.paths import given
from workbench.session.task import Task

REQUESTS = ("picture",)
LARGEST = 512
"""Pixels of a side: a terminal shows fewer."""


def answer(task: Task) -> dict[str, Any]:
    """`path` (or URL) → `png` to show, `path` where the picture lies, `width`, `height` and `mode` of its own."""
    source = str(task.request.get("path") or "")
    if not source:
        raise BadInput("no picture is named: give a path or a URL")
    path: Path = fetch_picture(source, task.progress, task.cancelled) if "://" in source else given(source)
    image = open_picture(path)
    facts: Mapping[str, Any] = {"width": image.width, "height": image.height, "mode": image.mode}
    return {"path": str(path.absolute()), "png": png(image, LARGEST), **facts}


def png(image: Image.Image, side: int, resampling: Image.Resampling = Image.Resampling.BILINEAR) -> str:
    """A picture within `side` pixels, in base64."""
    side = max(1, min(side, LARGEST))
    if image.mode in {"RGB", "L"}:  # whole blocks are averaged first, which is much faster for photographs
        image = image.reduce(max(1, max(image.size) // (4 * side)))
    image = convert(image, "L" if image.mode == "L" else "RGB")
    if max(image.size) > side:
        image = image.copy()
        image.thumbnail((side, side), resampling)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()
