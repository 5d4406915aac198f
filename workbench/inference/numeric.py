"""Predictions for numeric inputs with a run that was trained on numbers: `classify --run line-regression 0.25`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from workbench.core.errors import UserError
from workbench.core.text import plural
from workbench.core.user_code import user_code_errors
from workbench.inference.results import NumericResult, Prediction
from workbench.inference.run_checkpoint import load_run_checkpoint, load_run_model
from workbench.models.outputs import probabilities
from workbench.models.top_k import top_k
from workbench.worker.checkpoint_content import ModelSpec

IMAGE_DIMENSIONS = 3
"""Dimensions of an image: channels, height, width."""


def takes_numbers(run: Path) -> bool:
    """Whether a run was trained on numbers rather than images. Raises `UserError` without a readable checkpoint."""
    return len(ModelSpec.from_json(load_run_checkpoint(run)[0]["spec"]).shape) != IMAGE_DIMENSIONS


def predict_numbers(run: Path, texts: Sequence[str], k: int) -> list[NumericResult]:
    """The prediction for each of `texts` (comma-separated numbers), with at most `k` classes.

    The result of an invalid text has an error. Raises `UserError` if the checkpoint of the run can't be used.
    """
    model = load_run_model(run)
    spec, module = model.spec, model.module
    module.eval()
    results = []
    for text in texts:
        try:
            inputs = _parse_inputs(text, spec.shape)
        except UserError as error:
            results.append(NumericResult(text, str(error)))
            continue
        with torch.inference_mode(), user_code_errors(spec.model.name):
            outputs = module(spec.preprocessing(inputs)).float()
        if spec.task == "regression":
            results.append(NumericResult(text, None, values=tuple(outputs.flatten().tolist())))
        else:
            top = _predictions(probabilities(module, outputs), spec.classes, k)
            results.append(NumericResult(text, None, top))
    return results


def _parse_inputs(text: str, shape: Sequence[int]) -> Tensor:
    """float32 [1, *shape] from comma-separated numbers. Raises `UserError`."""
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = [math.nan]
    if not all(map(math.isfinite, values)) or len(values) != math.prod(shape):
        count = math.prod(shape)
        raise UserError(
            f"invalid input '{text}': this run takes {plural(count, 'number')}, for example "
            f"{','.join(['0.5'] * min(4, count))}"
        )
    return torch.tensor(values).reshape(1, *shape)


def _predictions(scores: Tensor, classes: Sequence[str], k: int) -> tuple[Prediction, ...]:
    """The `k` most probable classes from probabilities [1, classes]."""
    values, indices = top_k(scores, k)
    pairs = zip(indices[0].tolist(), values[0].tolist(), strict=True)
    return tuple(Prediction(index, classes[index], value) for index, value in pairs)
