"""Plots of models on non-image data: the fitted line of a 1-D regression, the decision regions of a 2-D classifier."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from workbench.engine.data_placement import PlacedSplit
from workbench.engine.evaluate import evaluation_mode
from workbench.runs.evaluation import Evaluation
from workbench.runs.metrics import Drawing, LineDrawing, RegionsDrawing

MAX_POINTS = 300
"""The most samples in a plot: more than a terminal can show."""
GRID_COLUMNS, GRID_ROWS = 60, 30
"""The grid on which the classifier is evaluated."""
MARGIN = 0.05


def decision_plot(
    module: nn.Module, placed_split: PlacedSplit, evaluation: Evaluation, before: Drawing | None
) -> Drawing | None:
    """The plot of an evaluation, or `None` for data that can't be plotted; `before` is the plot of step 0."""
    shape = tuple(placed_split.inputs.shape[1:])
    targets = evaluation.records.dtype.names or ()
    if shape == (1,) and "target" in targets and evaluation.records["target"].shape[1] == 1:
        return _line_drawing(
            placed_split, evaluation, before.predicted if isinstance(before, LineDrawing) else None
        )
    if shape == (2,) and "label" in targets:
        return _regions_drawing(
            module, placed_split, before.cells if isinstance(before, RegionsDrawing) else None
        )
    return None


def _evenly_spaced(count: int) -> Tensor:
    """Indices of at most `MAX_POINTS` evenly spaced samples out of `count`."""
    return torch.linspace(0, count - 1, min(count, MAX_POINTS)).round().long()


def _line_drawing(
    placed_split: PlacedSplit, evaluation: Evaluation, before: tuple[float, ...] | None
) -> LineDrawing:
    x = placed_split.inputs[:, 0].float().cpu()
    order = x.argsort()[_evenly_spaced(len(x))]
    records = evaluation.records[order.numpy()]
    return LineDrawing(
        x=_rounded(x[order]),
        y=_rounded(torch.from_numpy(records["target"][:, 0].copy())),
        predicted=_rounded(torch.from_numpy(records["output"][:, 0].copy())),
        before=before,
    )


def _regions_drawing(
    module: nn.Module, placed_split: PlacedSplit, before: tuple[int, ...] | None
) -> RegionsDrawing:
    indices = _evenly_spaced(len(placed_split))
    points = placed_split.inputs.float().cpu()
    low, high = points.amin(0), points.amax(0)
    low, high = low - MARGIN * (high - low), high + MARGIN * (high - low)
    xs, ys = (
        torch.linspace(float(low[i]), float(high[i]), n) for i, n in ((0, GRID_COLUMNS), (1, GRID_ROWS))
    )
    grid = torch.stack([xs.repeat(GRID_ROWS), ys.repeat_interleave(GRID_COLUMNS)], 1)
    return RegionsDrawing(
        x=_rounded(points[indices, 0]),
        y=_rounded(points[indices, 1]),
        label=tuple(placed_split.targets.cpu()[indices].tolist()),
        x_range=_range(xs),
        y_range=_range(ys),
        columns=GRID_COLUMNS,
        rows=GRID_ROWS,
        cells=tuple(_predicted_classes(module, placed_split, grid).tolist()),
        before=before,
    )


def _predicted_classes(module: nn.Module, placed_split: PlacedSplit, inputs: Tensor) -> Tensor:
    """The class predicted for each of raw `inputs` (on the CPU): int64 [N] on the device of the split."""
    with evaluation_mode(module):
        classes: Tensor = module(placed_split.to_model_input(inputs.to(placed_split.device))).argmax(1)
    return classes


def _range(values: Tensor) -> tuple[float, float]:
    low, high = _rounded(values[[0, -1]])
    return low, high


def _rounded(values: Tensor) -> tuple[float, ...]:
    """The values, rounded to the precision that a plot can show."""
    return tuple(round(value, 5) for value in values.tolist())
