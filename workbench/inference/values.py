"""New examples that are numbers, answered by a run that learned from numbers: `classify --run line-regression 0.25`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from workbench.errors import BadInput
from workbench.inference.classifier import build_from_spec, load_run_checkpoint
from workbench.io.weights import load_into
from workbench.models.outputs import probabilities

PICTURE = 3
"""Dimensions of a picture: channels, height, width."""


def takes_values(run: Path) -> bool:
    """Whether a run learned from numbers rather than from pictures. Raises `BadInput` without a checkpoint."""
    return len(load_run_checkpoint(run)[0]["spec"]["shape"]) != PICTURE


def answers(run: Path, texts: Sequence[str], k: int) -> list[dict[str, Any]]:
    """An answer to each of `texts` (numbers with commas between them), in the form of `classify --json`.

    Of a regression `top` is empty and `values` are what it says; of classes, `values` is missing. What can't be
    read is answered with an `error`. Raises `BadInput` where the run's checkpoint can't be used.
    """
    content, _ = load_run_checkpoint(run)
    spec = content["spec"]
    module, preprocessing = build_from_spec(spec)
    load_into(module, content["model"], f"{run.name}'s checkpoint")
    module.eval()
    found: list[dict[str, Any]] = []
    for text in texts:
        try:
            example = _example(text, spec["shape"])
        except BadInput as error:
            found.append({"path": text, "error": str(error), "top": []})
            continue
        with torch.inference_mode():
            outputs = module(preprocessing(example)).float()
        if spec.get("task") == "regression":
            said = outputs.flatten().tolist()
            found.append({"path": text, "error": None, "top": [], "values": said})
        else:
            top = _top(probabilities(module, outputs)[0], spec["classes"], k)
            found.append({"path": text, "error": None, "top": top})
    return found


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


def _top(chances: Tensor, classes: Sequence[str], k: int) -> list[dict[str, Any]]:
    values, indices = chances.topk(min(k, len(classes)))
    pairs = zip(indices.tolist(), values.tolist(), strict=True)
    return [{"index": index, "label": classes[index], "probability": value} for index, value in pairs]
