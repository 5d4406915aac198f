"""The settings of augmentations that have some. Imports no torch, for the settings and the screen."""

from __future__ import annotations

import msgspec


class AugmentationOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How strong augmentations are."""

    crop_scale: float = 0.08
    """The least part of an image's area in a random-resized crop."""
    crop_ratio: float = 1.333
    """The greatest width / height, and height / width, of a random-resized crop."""
    rotate_degrees: float = 15.0
    """The greatest angle of `rotate`, either way."""
    jitter: float = 0.4
    """`colour`: brightness, contrast and saturation are scaled by 1 plus or minus up to this."""
    jitter_hue: float = 0.0
    """`colour`: the hue is shifted by up to this part of the circle, either way."""
    erase_chance: float = 0.5
    """The part of the images that `erase` changes."""
    rand_ops: int = 2
    """Operations that `rand-augment` applies to each image."""
    rand_magnitude: int = 9
    """Their magnitude, 0 to 30."""
