"""Options that datasets share: how images become squares, and how splits are drawn."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from workbench.io.fit_mode import Fit

SplitSeed = Annotated[
    int, Meta(ge=0, le=2**63 - 1, description="seed of the split, independent of the seed of the experiment")
]

ImageSide = Annotated[
    Literal["auto"] | Annotated[int, Meta(ge=1, le=2048)],
    Meta(
        description="images are resized and cropped to this square; auto: the input size of the model, never enlarged"
    ),
]


ImageFit = Annotated[
    Fit,
    Meta(
        description="images that are not square: crop takes the center square, pad adds black borders, stretch distorts"
    ),
]


StoredSide = Annotated[
    Literal["auto"] | Annotated[int, Meta(ge=1, le=4096)],
    Meta(
        description="training images are stored as squares of this side, whole, and cropped on the device; auto: 1.15 "
        "times the input of networks that take 96 pixels and more, never enlarged; else the input"
    ),
]
