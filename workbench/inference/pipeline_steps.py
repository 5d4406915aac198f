"""Describes each step from an image to its prediction, with the shape, dtype and memory of its result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from workbench.datasets.input_record import InputRecord
from workbench.inference.classifier import Classifier, ImageTransform
from workbench.inference.image_pipeline import PipelineStage, RunTransform
from workbench.inference.results import PipelineStep
from workbench.models.outputs import OutputKind
from workbench.models.preprocessing import Preprocessing

_OUTPUTS = {
    OutputKind.LOGITS: ("logits", "softmax(logits, 1)"),
    OutputKind.PROBABILITIES: ("", "model(batch)"),
    OutputKind.LOG_PROBABILITIES: ("log-probabilities", "exp(log_probabilities)"),
    OutputKind.SIGMOID: ("sigmoid outputs", "outputs / outputs.sum(1)"),
}
"""The name of the outputs of a model (empty: they are the probabilities), and how probabilities are made of them."""

Value = Image.Image | np.ndarray[Any, Any] | Tensor


def classifier_steps(classifier: Classifier, image: Image.Image) -> tuple[list[PipelineStep], Tensor]:
    """All steps from an open image to its probabilities, and the probabilities (float32 [classes] on the CPU)."""
    stages, batch = _inputs(classifier.transform, image, classifier.device)
    logits = classifier.logits(batch)
    probabilities = classifier.probabilities(logits)
    name, code = _OUTPUTS[classifier.output_kind]
    if name:
        stages.append(PipelineStage(name, "model(batch)", logits))
    stages.append(PipelineStage("probabilities", code, probabilities))
    return [describe_stage(stages, position) for position in range(len(stages))], probabilities[0]


def dataset_steps(
    image: Image.Image,
    preprocessing: Preprocessing | None = None,
    device: torch.device | None = None,
    record: InputRecord | None = None,
    before: Sequence[PipelineStage] = (),
) -> list[PipelineStep]:
    """All steps from an open image of a dataset to the input of a model with this preprocessing.

    `record`: the inputs of the dataset; `None`: pixels. `before`: the stages that have made the image. Raises
    `UserError` where it does not tell the steps.
    """
    shape = (1 if image.mode in {"1", "L"} else 3, image.height, image.width)
    images = RunTransform(shape, preprocessing or Preprocessing(), record or InputRecord()).for_samples()
    stages, _ = _inputs(images, image, device or torch.device("cpu"))
    if before:
        stages = [*before, *stages[1:]]
    return [describe_stage(stages, position) for position in range(len(stages))]


def _inputs(
    images: ImageTransform, image: Image.Image, device: torch.device
) -> tuple[list[PipelineStage], Tensor]:
    """The stages up to the input of the model (and its flattened view, as a dense layer sees it), and that input."""
    stages = list(images.stages(image, device))
    batch = stages[-1].value
    assert isinstance(batch, Tensor)
    # Shown for every model: a view costs nothing.
    stages.append(PipelineStage("flattened", ".view(1, -1)", batch.flatten(1)))
    return stages, batch


def describe_stage(stages: list[PipelineStage], position: int) -> PipelineStep:
    """The stage at `position` with the properties of its result, including whose memory it uses."""
    stage = stages[position]
    value = stage.value
    low, high = _range(value)
    memory = _memory(stages, position)
    return PipelineStep(
        name=stage.name,
        code=stage.code,
        kind="tensor" if isinstance(value, Tensor) else "array" if isinstance(value, np.ndarray) else "image",
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


def _memory(stages: list[PipelineStage], position: int) -> str:
    value = stages[position].value
    if isinstance(value, Image.Image):
        return "Pillow's"
    if isinstance(value, np.ndarray):
        return "NumPy's"
    start = value.untyped_storage().data_ptr()
    previous = [stage.value for stage in stages[:position]]
    if any(isinstance(other, np.ndarray) and other.ctypes.data == start for other in previous):
        return "shared with NumPy"
    last = previous[-1]
    if isinstance(last, Tensor) and last.untyped_storage().data_ptr() == start:
        return "a view"
    return "its own" if value.device == torch.device("cpu") else f"its own, on {value.device}"
