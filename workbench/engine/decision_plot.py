"""What can be drawn of a model whose samples are not images: a line through points, regions between them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from workbench.engine.data_placement import Source
from workbench.engine.evaluate import Evaluation, evaluation_mode
from workbench.runs.metrics import Drawing, LineDrawing, RegionsDrawing

POINTS = 300
"""Examples that are drawn at most: more than a terminal has room for."""
COLUMNS, ROWS = 60, 30
"""Places at which the regions of classes are asked for."""
MARGIN = 0.05


def drawing(
    module: nn.Module, source: Source, evaluation: Evaluation, before: Drawing | None
) -> Drawing | None:
    """The drawing of an evaluation, or `None` for samples that have none; `before` is that of step 0."""
    shape = tuple(source.inputs.shape[1:])
    targets = evaluation.records.dtype.names or ()
    if shape == (1,) and "target" in targets and evaluation.records["target"].shape[1] == 1:
        return _line(source, evaluation, before.predicted if isinstance(before, LineDrawing) else None)
    if shape == (2,) and "label" in targets:
        return _regions(module, source, before.cells if isinstance(before, RegionsDrawing) else None)
    return None


def _evenly(count: int) -> Tensor:
    """Indices of at most `POINTS` of so many examples, evenly spaced."""
    return torch.linspace(0, count - 1, min(count, POINTS)).round().long()


def _line(source: Source, evaluation: Evaluation, before: tuple[float, ...] | None) -> LineDrawing:
    x = source.inputs[:, 0].float().cpu()
    order = x.argsort()[_evenly(len(x))]
    records = evaluation.records[order.numpy()]
    return LineDrawing(
        x=_short(x[order]),
        y=_short(torch.from_numpy(records["target"][:, 0].copy())),
        predicted=_short(torch.from_numpy(records["output"][:, 0].copy())),
        before=before,
    )


def _regions(module: nn.Module, source: Source, before: tuple[int, ...] | None) -> RegionsDrawing:
    chosen = _evenly(len(source))
    points = source.inputs.float().cpu()
    low, high = points.amin(0), points.amax(0)
    low, high = low - MARGIN * (high - low), high + MARGIN * (high - low)
    xs, ys = (torch.linspace(float(low[i]), float(high[i]), n) for i, n in ((0, COLUMNS), (1, ROWS)))
    grid = torch.stack([xs.repeat(ROWS), ys.repeat_interleave(COLUMNS)], 1)
    with evaluation_mode(module):
        cells = module(source.ready(grid.to(source.device))).argmax(1)
    return RegionsDrawing(
        x=_short(points[chosen, 0]),
        y=_short(points[chosen, 1]),
        label=tuple(source.targets.cpu()[chosen].tolist()),
        x_range=_ends(xs),
        y_range=_ends(ys),
        columns=COLUMNS,
        rows=ROWS,
        cells=tuple(cells.tolist()),
        before=before,
    )


def _ends(values: Tensor) -> tuple[float, float]:
    low, high = _short(values[[0, -1]])
    return low, high


def _short(values: Tensor) -> tuple[float, ...]:
    """Numbers with as many digits as can be seen."""
    return tuple(round(value, 5) for value in values.tolist())
