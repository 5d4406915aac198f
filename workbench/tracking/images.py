"""Images that a script logs: PNG files in the run's folder, by name and step."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from PIL import Image

from workbench.core.errors import UserError
from workbench.runs.run_folder import RunFolder

CHANNELS = {1, 3, 4}


def save_image(folder: RunFolder, name: str, image: Any, step: int) -> Path:
    """Write an image to `images/NAME/step-N.png`. Raises `UserError` for what is no image, and `OSError`."""
    path = folder.images / quote(name, safe=" ") / f"step-{step}.png"
    picture = _to_pillow(image)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    picture.save(path, "PNG")
    return path


def _to_pillow(image: Any) -> Image.Image:
    if isinstance(image, Image.Image):
        return image if image.mode in {"L", "RGB", "RGBA", "1", "P", "I;16"} else image.convert("RGB")
    if isinstance(image, str | Path):
        with Image.open(image) as opened:
            opened.load()
            return opened.convert("RGB") if opened.mode not in {"L", "RGB", "RGBA"} else opened
    pixels = image.detach().cpu().numpy() if hasattr(image, "detach") else np.asarray(image)
    if pixels.ndim == 3 and pixels.shape[0] in CHANNELS and pixels.shape[-1] not in CHANNELS:
        pixels = pixels.transpose(1, 2, 0)
    if pixels.ndim == 3 and pixels.shape[-1] == 1:
        pixels = pixels[..., 0]
    if (
        pixels.ndim not in {2, 3}
        or not pixels.size
        or (pixels.ndim == 3 and pixels.shape[-1] not in CHANNELS)
    ):
        raise UserError(f"an image of shape {tuple(pixels.shape)} is neither grey nor colored")
    if pixels.dtype.kind == "f":  # values from 0 to 1
        pixels = np.nan_to_num(pixels).clip(0, 1) * 255
    return Image.fromarray(pixels.round().clip(0, 255).astype(np.uint8))
