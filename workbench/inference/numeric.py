"""New examples that are numbers, answered by a run that learned from numbers: `classify --run line-regression 0.25`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from workbench.core.errors import BadInput
from workbench.inference.results import NumericResult, Prediction
from workbench.inference.run_checkpoint import build_from_spec, load_run_checkpoint
from workbench.io.torch_files import load_into
from workbench.models.outputs import probabilities, top_k
from workbench.worker.checkpoint_content import ModelSpec

PICTURE = 3
"""Dimensions of a picture: channels, height, width."""


def takes_values(run: Path) -> bool:
    """Whether a run learned from numbers rather than from pictures. Raises `BadInput` without a checkpoint."""
    return len(ModelSpec.from_json(load_run_checkpoint(run)[0]["spec"]).shape) != PICTURE


def predict_values(run: Path, texts: Sequence[str], k: int) -> list[NumericResult]:
    """The result for each of `texts` (numbers with commas between them), with at most `k` classes.

    A text that can't be read has an error. Raises `BadInput` where the run's checkpoint can't be used.
    """
    content, _ = load_run_checkpoint(run)
    spec = ModelSpec.from_json(content["spec"])
    module = build_from_spec(spec)
    load_into(module, content["model"], f"{run.name}'s checkpoint")
    module.eval()
    results = []
    for text in texts:
        try:
            example = _example(text, spec.shape)
        except BadInput as error:
            results.append(NumericResult(text, str(error)))
            continue
        with torch.inference_mode():
            outputs = module(spec.preprocessing(example)).float()
        if spec.task == "regression":
            results.append(NumericResult(text, None, values=tuple(outputs.flatten().tolist())))
        else:
            top = _predictions(probabilities(module, outputs), spec.classes, k)
            results.append(NumericResult(text, None, top))
    return results


def _example(text: str, shape: Sequence[int]) -> Tensor:
    """float32 [1, *shape] of numbers with commas between them."""
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = [math.nan]
    if not all(map(math.isfinite, values)) or len(values) != math.prod(shape):
        count = math.prod(shape)
        raise BadInput(
            f"'{text}' can't be answered: this run takes {count} number{'' if count == 1 else 's'}, as in "
            f"{','.join(['0.5'] * min(4, count))}"
        )
    return torch.tensor(values).reshape(1, *shape)


def _predictions(chances: Tensor, classes: Sequence[str], k: int) -> tuple[Prediction, ...]:
    """The `k` likeliest classes of probabilities [1, classes]."""
    values, indices = top_k(chances, k)
    pairs = zip(indices[0].tolist(), values[0].tolist(), strict=True)
    return tuple(Prediction(index, classes[index], value) for index, value in pairs)
