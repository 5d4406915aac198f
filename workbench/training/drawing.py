"""What there is to draw of a model whose examples are no pictures: a line through points, regions between them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from workbench.training.evaluate import Evaluation, evaluation_mode
from workbench.training.source import Source

POINTS = 300
"""Examples that are drawn at most: more than a terminal has room for."""
COLUMNS, ROWS = 60, 30
"""Places at which the regions of classes are asked for."""
MARGIN = 0.05


def drawing(
    module: nn.Module, source: Source, evaluation: Evaluation, before: dict[str, Any] | None
) -> dict[str, Any] | None:
    """What `evaluations/step-N-SPLIT.json` says under `draw`, or `None` for examples that have no such picture.

    One number to one number: `line`, with `x`, `y` (what is true) and `said` (the model), by ascending x.
    Two numbers to classes: `regions`, with `x`, `y`, `label` of points, and `cells`, the likeliest class at
    `columns` × `rows` places, row by row from the lowest, evenly over `x_range` and `y_range`.
    `before` is the drawing of step 0, of which `said` or `cells` are repeated as `before`.
    """
    shape = tuple(source.inputs.shape[1:])
    targets = evaluation.records.dtype.names or ()
    if shape == (1,) and "target" in targets and evaluation.records["target"].shape[1] == 1:
        return {**_line(source, evaluation), "before": (before or {}).get("said")}
    if shape == (2,) and "label" in targets:
        return {**_regions(module, source), "before": (before or {}).get("cells")}
    return None


def _evenly(count: int) -> Tensor:
    """Indices of at most `POINTS` of so many examples, evenly spaced."""
    return torch.linspace(0, count - 1, min(count, POINTS)).round().long()


def _line(source: Source, evaluation: Evaluation) -> dict[str, Any]:
    x = source.inputs[:, 0].float().cpu()
    order = x.argsort()[_evenly(len(x))]
    records = evaluation.records[order.numpy()]
    return {
        "kind": "line",
        "x": _short(x[order]),
        "y": _short(torch.from_numpy(records["target"][:, 0].copy())),
        "said": _short(torch.from_numpy(records["output"][:, 0].copy())),
    }


def _regions(module: nn.Module, source: Source) -> dict[str, Any]:
    chosen = _evenly(len(source))
    points = source.inputs.float().cpu()
    low, high = points.amin(0), points.amax(0)
    low, high = low - MARGIN * (high - low), high + MARGIN * (high - low)
    xs, ys = (torch.linspace(float(low[i]), float(high[i]), n) for i, n in ((0, COLUMNS), (1, ROWS)))
    grid = torch.stack([xs.repeat(ROWS), ys.repeat_interleave(COLUMNS)], 1)
    with evaluation_mode(module):
        cells = module(source.ready(grid.to(source.device))).argmax(1)
    return {
        "kind": "regions",
        "x": _short(points[chosen, 0]),
        "y": _short(points[chosen, 1]),
        "label": source.targets.cpu()[chosen].tolist(),
        "x_range": _short(xs[[0, -1]]),
        "y_range": _short(ys[[0, -1]]),
        "columns": COLUMNS,
        "rows": ROWS,
        "cells": cells.tolist(),
    }


def _short(values: Tensor) -> list[float]:
    """Numbers with as many digits as can be seen."""
    return [round(value, 5) for value in values.tolist()]
