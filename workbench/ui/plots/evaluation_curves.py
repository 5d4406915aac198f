"""The evaluations of a run as curves, taking in only what is new: a long run has as many of them as steps."""

from __future__ import annotations

import math
from array import array

from workbench.runs.metrics import EvaluationRow
from workbench.runs.reader import RunView
from workbench.ui.widgets.axes import Curve


class Measured:
    """Held-out figures by split.

    `reached`: where the last one lies on the x axis; `best`, `final`: the newest rows that are so marked.
    `per_epoch`: steps an epoch; `None`: the x axis counts steps.
    """

    def __init__(self, source: object = None, per_epoch: float | None = None) -> None:
        self._source, self._per_epoch = source, per_epoch
        self._rows: dict[str, list[EvaluationRow]] = {}
        self._xs: dict[str, array[float]] = {}
        self._values: dict[tuple[str, str], array[float]] = {}
        self._curves: dict[tuple[str, str], Curve] = {}
        self._taken = 0
        self.reached = 0.0
        self.best: EvaluationRow | None = None
        self.final: EvaluationRow | None = None

    def followed(self, view: RunView, per_epoch: float | None) -> Measured:
        """This with what is new in `view`, or one of its own where the view began afresh."""
        same = self._source is view.curve and self._per_epoch == per_epoch
        measured = self if same and len(view.evaluations) >= self._taken else Measured(view.curve, per_epoch)
        for row in view.evaluations[measured._taken :]:
            measured._take(row)
        measured._taken = len(view.evaluations)
        return measured

    def _take(self, row: EvaluationRow) -> None:
        at = self.position(row)
        self._rows.setdefault(row.split, []).append(row)
        self._xs.setdefault(row.split, array("d")).append(at)
        self.reached = max(self.reached, at)
        if row.best:
            self.best = row
        if row.final:
            self.final = row

    def position(self, row: EvaluationRow) -> float:
        """Where a row lies on the x axis: at the weights that were measured."""
        epoch = row.epoch if row.weights_epoch is None else row.weights_epoch
        if self._per_epoch is not None and math.isfinite(epoch):
            return epoch
        step = row.step if row.weights_step is None else row.weights_step
        return step / (self._per_epoch or 1.0)

    @property
    def split(self) -> str:
        """The split that is drawn beside training: validation where there is any, else test."""
        return "validation" if "validation" in self._rows else "test"

    def curve(self, key: str) -> Curve:
        """A figure over the split that is drawn."""
        split = self.split
        curve = self._curves.setdefault((split, key), Curve())
        values = self._values.setdefault((split, key), array("d"))
        rows = self._rows.get(split, [])
        for row in rows[len(values) :]:
            value = row.metric(key)
            values.append(math.nan if value is None else value)
        curve.follow(self._xs.get(split, array("d")), values, source=self)
        return curve
