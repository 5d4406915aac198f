"""What keeps the rest in sight where one pane fills the screen: tabs above it, lines below it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from textual import events
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message

from workbench.core import text
from workbench.core.text import safe
from workbench.runs.confusions import confused
from workbench.runs.metrics import EvaluationFile
from workbench.runs.reader import RunView
from workbench.runs.run_report import elapsed, throughput
from workbench.runs.store import RunSummary
from workbench.ui.base.status_style import MUTED, mark_of
from workbench.ui.plots.insights import top_confusion
from workbench.ui.widgets.text_line import Line

OTHERS = 5
"""Other runs in the line at most."""


class Tabs(Line):
    """`1Runs 2Exp ▐3Plots▌ 4Class`: every pane's number, the one that is shown marked."""

    @dataclass
    class Clicked(Message):
        """A tab was clicked."""

        number: str

    def __init__(self, panes: Sequence[tuple[str, str]], *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._panes, self._places = list(panes), list[tuple[int, int, str]]()

    def show_front(self, front: str) -> None:
        """Mark the pane that is shown."""
        parts: list[Any] = []
        self._places, x = [], 0
        for number_, name in self._panes:
            left, right = ("▐", "▌") if number_ == front else (" ", " ")
            style = "bold $foreground on $primary 40%" if number_ == front else MUTED
            shown = f"{number_} {name}"
            parts += [(left, "$primary 40%"), (shown, style), (right, "$primary 40%")]
            self._places.append((x, x + len(shown) + 2, number_))
            x += len(shown) + 2
        self.show(Content.assemble(*parts))

    def on_click(self, event: events.Click) -> None:
        """Go to the pane that was clicked."""
        for start, end, number_ in self._places:
            if start <= event.x < end:
                self.post_message(self.Clicked(number_))


class RestLines(Vertical):
    """The keys of the pane above; how fast it goes, the worst classes, the other runs, the biggest confusion."""

    DEFAULT_CSS = """
    RestLines { height: auto; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._rows: Sequence[RunSummary] = ()
        self._first: Sequence[RunSummary] = ()

    def compose(self) -> Any:
        """A line each."""
        for name in ("keys", "speed", "worst", "others", "confusion"):
            yield Line(id=f"rest-{name}")

    def show_keys(self, keys: str) -> None:
        """The keys that only the pane above has."""
        self._line("keys", Content.styled(f" {keys}", MUTED))
        self.query_one("#rest-keys").display = bool(keys)

    def stand_under(self, front: str) -> None:
        """Leave out what the pane above says itself."""
        for name in ("speed", "confusion"):
            self.query_one(f"#rest-{name}").display = front != "3"
        self.query_one("#rest-others").display = front != "1"
        self.query_one("#rest-worst").display = front != "4"

    def show_view(self, view: RunView | None) -> None:
        """How fast it goes."""
        self._line("speed", speed(view))

    def show_evaluations(self, evaluations: Sequence[EvaluationFile]) -> None:
        """The worst classes and what they are taken for."""
        newest = evaluations[0] if evaluations else None
        self._line("worst", worst(newest))
        self._line("confusion", biggest_confusion(newest))

    def show_rows(self, rows: Sequence[RunSummary], run_id: str | None) -> None:
        """The other runs."""
        if rows is not self._rows:  # not at every move of the cursor: there may be ten thousand
            self._rows, self._first = rows, first_of(rows)
        self._line("others", others(self._first, run_id))

    def _line(self, name: str, content: Content) -> None:
        self.query_one(f"#rest-{name}", Line).show(content)


def speed(view: RunView | None) -> Content:
    """`183 samples/s · step 4928 · lr .015 · elapsed 3h08 · cuda:0`."""
    if view is None or not view.heartbeat.attempt:  # there is no heartbeat yet
        return Content("")
    beat, parts = view.heartbeat, []
    if rate := throughput(view):
        parts.append(f"{text.count(rate)} samples/s")
    parts.append(f"step {beat.step}")
    rates = view.steps.column("lr")
    if rates:
        parts.append(f"lr {text.learning_rate(rates[-1])}")
    if spent := elapsed(view).total:
        parts.append(f"elapsed {text.duration(spent)}")
    if beat.device:
        parts.append(safe(beat.device))
    return Content(" " + " · ".join(parts))


def worst(evaluation: EvaluationFile | None) -> Content:
    """`worst  cat .81→dog  dog .86→cat  bird .88→deer              4 classes`."""
    rows = evaluation.per_class if evaluation else ()
    known = [(row.accuracy, row.name) for row in rows
             if row.accuracy is not None and math.isfinite(row.accuracy)]  # fmt: skip
    if not known:
        return Content("")
    predicted = {true: name for true, name, _ in reversed(confused(evaluation))}
    parts: list[Any] = [(" worst  ", MUTED)]
    for recall, name in sorted(known, key=lambda pair: pair[0])[:3]:
        mistaken = f"→{safe(predicted[name], 10)}" if name in predicted else ""
        parts.append(f"{safe(name, 12)} {text.fraction(recall)}{mistaken}  ")
    return Content.assemble(*parts)


def biggest_confusion(evaluation: EvaluationFile | None) -> Content:
    """`⚠ cat→dog: 14% of all errors`."""
    words = top_confusion(evaluation)
    return Content.assemble((" ⚠ ", "$warning"), words) if words else Content("")


def first_of(rows: Sequence[RunSummary]) -> list[RunSummary]:
    """As many as `others` shows and one more: those that go on, then the newest."""
    live = [row for row in rows if row.status.live]
    return list({row.id: row for row in [*live, *rows[: OTHERS + 1]]}.values())[: OTHERS + 1]


def others(rows: Sequence[RunSummary], run_id: str | None) -> Content:
    """`other  ✓ lr1e-2 .902  ◌ lr1e-1 queued  ✗ lr1`: those that go on first."""
    rest = [row for row in first_of(rows) if row.id != run_id][:OTHERS]
    if not rest:
        return Content("")
    parts: list[Any] = [(" other  ", MUTED)]
    for row in rest:
        mark, style = mark_of(row.status, row.phase)
        figure = "" if row.best is None else f" {text.fraction(row.best)}"
        parts += [(mark, style), f" {safe(row.name, 16)}{figure}  "]
    return Content.assemble(*parts)
