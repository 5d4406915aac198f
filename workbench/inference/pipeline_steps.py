"""What becomes of a picture on its way to an answer: each step, and what it is in tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from workbench.inference.classifier import Classifier, Pictures
from workbench.inference.image_pipeline import RunPictures, Stage
from workbench.inference.results import PipelineStep
from workbench.models.preprocessing import Preprocessing

Value = Image.Image | np.ndarray[Any, Any] | Tensor


def steps_of(classifier: Classifier, image: Image.Image) -> tuple[list[PipelineStep], Tensor]:
    """Every step from an open picture to its probabilities, and these (float32 [classes] on the CPU)."""
    stages, batch = _inputs(classifier.pictures, image, classifier.device)
    logits = classifier.logits(batch)
    probabilities = classifier.probabilities(logits)
    if probabilities is not logits:  # a network may end in softmax
        stages.append(Stage("logits", "model(batch)", logits))
    code = "model(batch)" if probabilities is logits else "softmax(logits, 1)"
    stages.append(Stage("probabilities", code, probabilities))
    return [step(stages, position) for position in range(len(stages))], probabilities[0]


def steps_of_data(
    image: Image.Image, preprocessing: Preprocessing | None = None, device: torch.device | None = None
) -> list[PipelineStep]:
    """Every step from an open picture to what a model would be given, as a dataset of such pictures has it."""
    shape = (1 if image.mode in {"1", "L"} else 3, image.height, image.width)
    pictures = RunPictures(shape, preprocessing or Preprocessing())
    stages, _ = _inputs(pictures, image, device or torch.device("cpu"))
    return [step(stages, position) for position in range(len(stages))]


def _inputs(pictures: Pictures, image: Image.Image, device: torch.device) -> tuple[list[Stage], Tensor]:
    """The steps up to a model's input, this input, and how a dense layer sees it."""
    stages = list(pictures.stages(image, device))
    batch = stages[-1].value
    assert isinstance(batch, Tensor)
    # A view costs nothing, whatever the model makes of it.
    stages.append(Stage("flattened", ".view(1, -1)", batch.flatten(1)))
    return stages, batch


def step(stages: list[Stage], position: int) -> PipelineStep:
    """What the step at `position` gives, and whose memory it uses."""
    stage = stages[position]
    value = stage.value
    low, high = _range(value)
    memory = _memory(stages, position)
    return PipelineStep(
        name=stage.name,
        code=stage.code,
        kind="tensor"
        if isinstance(value, Tensor)
        else "array"
        if isinstance(value, np.ndarray)
        else "picture",
        shape=value.size if isinstance(value, Image.Image) else tuple(value.shape),
        dtype=value.mode if isinstance(value, Image.Image) else str(value.dtype).removeprefix("torch."),
        low=low,
        high=high,
        device=str(value.device) if isinstance(value, Tensor) else "cpu",
        memory=memory,
        shares_numpy=memory in {"NumPy's", "shared with NumPy"},
    )


def _range(value: Value) -> tuple[float, float]:
    if isinstance(value, Tensor):
        return float(value.min()), float(value.max())
    array = np.asarray(value)
    return float(array.min()), float(array.max())


def _memory(stages: list[Stage], position: int) -> str:
    value = stages[position].value
    if isinstance(value, Image.Image):
        return "Pillow's"
    if isinstance(value, np.ndarray):
        return "NumPy's"
    start = value.untyped_storage().data_ptr()
    before = [stage.value for stage in stages[:position]]
    if any(isinstance(other, np.ndarray) and other.ctypes.data == start for other in before):
        return "shared with NumPy"
    last = before[-1]
    if isinstance(last, Tensor) and last.untyped_storage().data_ptr() == start:
        return "a view"
    return "its own" if value.device == torch.device("cpu") else f"its own, on {value.device}"
