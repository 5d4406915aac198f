"""What inference answers with, as plain records. Imports no torch, so that the screen can read them."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType


class Prediction(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One class for one input."""

    index: int
    label: str
    probability: float
    """0..1."""
    logit: float | None = None
    """The model's output before softmax, where it is known; left out of JSON where it is not."""


class PipelineStep(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One step between an image file and the model's output, and the value that it gives."""

    name: str
    code: str
    """The line of Python that does it."""
    kind: Literal["picture", "array", "tensor"]
    """Of Pillow, NumPy or torch."""
    shape: tuple[int, ...]
    """(width, height) of a Pillow image, else the shape of the array or tensor."""
    dtype: str
    """The mode of a Pillow image, else the dtype without `torch.`."""
    low: float
    """The lowest value, in the step's own units."""
    high: float
    device: str
    memory: str
    """Whose memory it uses: `Pillow's`, `NumPy's`, `shared with NumPy`, `a view` (of the step before), `its own`."""
    shares_numpy: bool
    """Whether a write to it changes a NumPy array."""


class ImageResult(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The answer for one path or URL, as `workbench classify --json` prints it."""

    path: str
    error: str | None
    """Why there is no answer, in one line."""
    top: tuple[Prediction, ...] = ()
    """The likeliest class first; empty after an error."""
    steps: tuple[PipelineStep, ...] | UnsetType = UNSET
    """Only where they were asked for."""


class NumericResult(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The answer for one input of numbers, as `workbench classify --json` prints it."""

    path: str
    """The input as it was typed."""
    error: str | None
    """Why there is no answer, in one line."""
    top: tuple[Prediction, ...] = ()
    """Of a classification, the likeliest class first; empty for a regression or after an error."""
    values: tuple[float, ...] | UnsetType = UNSET
    """Of a regression: the model's outputs."""
