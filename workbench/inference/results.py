"""Results of inference as plain records. Does not import torch, so that the UI can read them."""

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
    """The output of the model before the softmax; omitted from JSON if unknown."""


class PipelineStep(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One step between an image file and the output of the model, and its result."""

    name: str
    code: str
    """A line of Python that does it."""
    kind: Literal["image", "array", "tensor"]
    """The type of the result: a Pillow image, a NumPy array or a torch tensor."""
    shape: tuple[int, ...]
    """(width, height) of a Pillow image, else the shape of the array or tensor."""
    dtype: str
    """The mode of a Pillow image, else the dtype without `torch.`."""
    low: float
    """The lowest value, in the units of the result."""
    high: float
    device: str
    memory: str
    """Whose memory it uses: `Pillow's`, `NumPy's`, `shared with NumPy`, `a view` (of the previous step), `its own`."""
    shares_numpy: bool
    """Whether writing to it changes a NumPy array."""


class ImageResult(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The prediction for one path or URL, as `workbench classify --json` prints it."""

    path: str
    error: str | None
    """Why there is no prediction, in one line."""
    top: tuple[Prediction, ...] = ()
    """The most probable class first; empty after an error."""
    steps: tuple[PipelineStep, ...] | UnsetType = UNSET
    """Present only if requested."""


class NumericResult(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The prediction for one numeric input, as `workbench classify --json` prints it."""

    path: str
    """The input as it was typed."""
    error: str | None
    """Why there is no prediction, in one line."""
    top: tuple[Prediction, ...] = ()
    """Of a classification, the most probable class first; empty for a regression or after an error."""
    values: tuple[float, ...] | UnsetType = UNSET
    """The outputs of a regression."""
