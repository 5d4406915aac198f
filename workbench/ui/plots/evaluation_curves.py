"""The evaluations of a run as curves, updated incrementally: a long run may have as many evaluations as steps."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence

from workbench.charts.axes import Curve
from workbench.runs.metrics import EvaluationRow
from workbench.runs.reader import RunView


class EvaluationCurves:
    """Held-out metrics by split.

    `last_x`: x position of the last evaluation; `best`, `final`: the newest rows with that flag.
    `per_epoch`: steps per epoch; `None`: the x axis counts steps.
    """

    def __init__(self, source: object = None, per_epoch: float | None = None) -> None:
        self._source, self._per_epoch = source, per_epoch
        self._rows: dict[str, list[EvaluationRow]] = {}
        self._xs: dict[str, array[float]] = {}
        self._values: dict[tuple[str, str], array[float]] = {}
        self._curves: dict[tuple[str, str], Curve] = {}
        self._num_rows = 0
        self.last_x = 0.0
        self.best: EvaluationRow | None = None
        self.final: EvaluationRow | None = None

    def updated(self, view: RunView, per_epoch: float | None) -> EvaluationCurves:
        """These curves with the new rows of `view`, or new curves if the record of the run was replaced."""
        same = self._source is view.curve and self._per_epoch == per_epoch
        curves = (
            self
            if same and len(view.evaluations) >= self._num_rows
            else EvaluationCurves(view.curve, per_epoch)
        )
        curves.add_new_rows(view.evaluations)
        return curves

    def add_new_rows(self, rows: Sequence[EvaluationRow]) -> None:
        """Add the rows after those that were added before; `rows` are all rows of the run."""
        for row in rows[self._num_rows :]:
            self._add(row)
        self._num_rows = len(rows)

    def _add(self, row: EvaluationRow) -> None:
        at = self.position(row)
        self._rows.setdefault(row.split, []).append(row)
        self._xs.setdefault(row.split, array("d")).append(at)
        self.last_x = max(self.last_x, at)
        if row.best:
            self.best = row
        if row.final:
            self.final = row

    def position(self, row: EvaluationRow) -> float:
        """The x position of a row: the epoch (or step) of the evaluated weights."""
        epoch = row.epoch if row.weights_epoch is None else row.weights_epoch
        if self._per_epoch is not None and math.isfinite(epoch):
            return epoch
        step = row.step if row.weights_step is None else row.weights_step
        return step / (self._per_epoch or 1.0)

    @property
    def split(self) -> str:
        """The plotted held-out split: validation if the run has one, else test."""
        return "validation" if "validation" in self._rows else "test"

    def curve(self, key: str) -> Curve:
        """The curve of a metric on the plotted split."""
        split = self.split
        curve = self._curves.setdefault((split, key), Curve())
        values = self._values.setdefault((split, key), array("d"))
        rows = self._rows.get(split, [])
        for row in rows[len(values) :]:
            value = row.metric(key)
            values.append(math.nan if value is None else value)
        curve.update(self._xs.get(split, array("d")), values, source=self)
        return curve
