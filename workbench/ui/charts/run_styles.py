"""How runs differ in a chart: by colors that people with any color vision distinguish, and a mark each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from workbench.charts.chart_files import COLORS

MAX_RUNS = len(COLORS)
"""The most runs in one chart."""


@dataclass(frozen=True)
class RunStyle:
    """The color of a run and its mark, which stands at the end of its curve and before its values."""

    color: str
    mark: str


STYLES = tuple(RunStyle(color, str(number)) for number, color in enumerate(COLORS, 1))


class RunStyles:
    """Gives every run a style, which it keeps as long as it is shown."""

    def __init__(self) -> None:
        self._given: dict[str, RunStyle] = {}

    def show(self, run_ids: Sequence[str]) -> None:
        """Show these runs: those shown before keep their styles, the others get those that are free."""
        self._given = {run_id: style for run_id, style in self._given.items() if run_id in run_ids}
        free = [style for style in STYLES if style not in self._given.values()]
        for run_id in run_ids:
            if run_id not in self._given:
                self._given[run_id] = free.pop(0)

    def __len__(self) -> int:
        """The runs that are shown."""
        return len(self._given)

    def mark_of(self, run_id: str) -> str:
        """The mark of a run that is shown; empty for another one, as of those that a mean stands for."""
        return self._given[run_id].mark if run_id in self._given else ""

    def __getitem__(self, run_id: str) -> RunStyle:
        """The style of a run that is shown."""
        return self._given[run_id]
