"""The classes pane: accuracy, precision, recall and F1 of every class, and what is taken for what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.reactive import reactive

from workbench.compute.client import SessionClient
from workbench.config.experiment import Reference
from workbench.runs.metrics import EvaluationFile
from workbench.runs.reader import RunView
from workbench.ui.base.messages import Noticed, SecondRunWanted
from workbench.ui.base.pane import Pane
from workbench.ui.base.status_style import MUTED
from workbench.ui.classes import class_table as rows
from workbench.ui.classes import confusion_matrix, regression_table
from workbench.ui.classes.class_table import Figures
from workbench.ui.classes.examples_screen import ExamplesScreen
from workbench.ui.services.compute import session_of
from workbench.ui.widgets.cell_grid import CellView, spread
from workbench.ui.widgets.table import Table

VIEWS = ("table", "confusion", "pairs")
ONLY_IN = {
    "reason": {"table"},
    "second": {"table"},
    "errors": {"table", "confusion"},
    "order": {"table", "confusion"},
    "reverse": {"table", "confusion"},
}
"""Views in which an action changes something; in the others it has no key."""


class ClassesPane(Pane):
    """Every class at the newest evaluation: as a table, as a confusion matrix, or as the most confused pairs."""

    NUMBER = "4"
    NAME = "Classes"
    SHORT = "Class"

    DEFAULT_CSS = """
    ClassesPane #heat { height: 1fr; display: none; }
    ClassesPane #summary { height: 1; }
    ClassesPane #reason { height: 2; }
    ClassesPane.confusion #heat { display: block; }
    ClassesPane.confusion Table { display: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "reason", "reason"),
        Binding("b", "second", "second run"),
        Binding("f", "errors", "errors only"),
        Binding("m", "view", "table/heat/pairs"),
        Binding("v", "examples", "pictures"),
        Binding("o", "order", "sort", show=False),
        Binding("O", "reverse", "other way round", show=False),
    ]

    evaluations: reactive[Sequence[EvaluationFile]] = reactive((), always_update=True, repaint=False)
    """Evaluation files of the selected run, the one that is shown first, then others, newest first."""
    filter: reactive[str] = reactive("", repaint=False)
    """Only classes whose name holds this text are shown."""

    second: reactive[tuple[str, EvaluationFile] | None] = reactive(None, repaint=False)
    """The run that Δ is taken from, by its name, and its evaluation; `None`: the evaluation before."""

    def __init__(
        self, *, session: SessionClient | None = None, id: str | None = None, classes: str | None = None
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._given = session
        self.order = rows.ORDERS[0]
        self.reverse = self.errors_only = self.with_reason = False
        self.shown_as = VIEWS[0]
        self._figures: list[Figures] = []
        self._heat_note = ""

    def compose(self) -> ComposeResult:
        """A table or a heat map, and a line over all."""
        yield Table(id="table")
        heat = CellView(id="heat")
        heat.can_focus = True
        yield heat
        yield CellView(id="reason")
        yield CellView(id="summary")

    def on_resize(self) -> None:
        """The heat map has as many classes as there is room for."""
        self.call_after_refresh(self._redraw)

    def watch_view(self, view: RunView | None) -> None:
        """Regressions show figures of the view itself; the others wait for an evaluation."""
        if self._regression or not self.evaluations:
            self._redraw()

    def watch_evaluations(self) -> None:
        """New figures."""
        self._redraw()

    def watch_second(self) -> None:
        """Other changes."""
        self._redraw()

    def watch_filter(self) -> None:
        """Other rows."""
        self._redraw()

    @property
    def evaluation(self) -> EvaluationFile | None:
        """What is shown."""
        return self.evaluations[0] if self.evaluations else None

    @property
    def _regression(self) -> bool:
        setup = self.view.setup if self.view else None
        return setup is not None and setup.task == "regression"

    def on_table_head_clicked(self, message: Table.HeadClicked) -> None:
        """Sort by that column; a second click turns it round."""
        message.stop()
        for order in rows.ORDERS:
            if order.column == message.column:
                self.reverse = order is self.order and not self.reverse
                self.order = order
                self._redraw()

    def on_table_moved(self, message: Table.Moved) -> None:
        """The reason is that of the class under the cursor."""
        message.stop()
        if self.with_reason:
            self._show_reason()

    def on_table_chosen(self, message: Table.Chosen) -> None:
        """Show the reason."""
        message.stop()
        if self.check_action("reason", ()):
            self.action_reason()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What changes nothing in this view is no key; a regression has errors, and no classes to look at."""
        if self._regression:
            return action not in {*ONLY_IN, "view", "examples"}
        return self.shown_as in ONLY_IN.get(action, VIEWS)

    def action_reason(self) -> None:
        """Show what the class under the cursor is taken for, or hide it."""
        self.with_reason = not self.with_reason
        self._redraw()

    def action_errors(self) -> None:
        """Only classes with errors, or all."""
        self.errors_only = not self.errors_only
        self._redraw()

    def action_second(self) -> None:
        """Take Δ from a second run (the marked one, else the best other), or again from the evaluation before."""
        if self.second is not None:
            self.second = None
        else:
            self.post_message(SecondRunWanted())

    def action_examples(self) -> None:
        """The pictures that were evaluated, what they are and what was said of them."""
        view, shown = self.view, self.evaluation
        if view is None or shown is None:
            self.post_message(Noticed("there are no classified examples to show"))
            return
        chosen = next((one for one in self._figures if one.name == self.query_one(Table).key), None)
        label = (chosen.index, chosen.name) if chosen is not None else None
        session = self._given or session_of(self.app)
        self.app.push_screen(ExamplesScreen(session, shown, str(view.folder.path), label))

    def action_view(self) -> None:
        """Table, confusion matrix, pairs."""
        had_focus = self.has_focus_within
        self.shown_as = VIEWS[(VIEWS.index(self.shown_as) + 1) % len(VIEWS)]
        self.set_class(self.shown_as == "confusion", "confusion")
        if had_focus:
            self.query_one("#heat" if self.shown_as == "confusion" else "#table").focus()
            self.on_descendant_focus()
        self.refresh_bindings()
        self.call_after_refresh(self._redraw)

    def action_order(self) -> None:
        """Sort by the next column."""
        self.order = rows.ORDERS[(rows.ORDERS.index(self.order) + 1) % len(rows.ORDERS)]
        self.reverse = False
        self._redraw()

    def action_reverse(self) -> None:
        """The other way round."""
        self.reverse = not self.reverse
        self._redraw()

    def _redraw(self) -> None:
        if not self.is_mounted or not self.query("#summary"):
            return
        self._figures = self._figured()
        self.set_class(self.shown_as == "confusion" and not self._regression, "confusion")
        table = self.query_one(Table)
        if self._regression:
            table.show(
                regression_table.COLUMNS,
                regression_table.rows(self.view.evaluations if self.view else [], self._reference),
            )
        elif self.shown_as == "pairs":
            table.show(
                confusion_matrix.pair_columns(self._figures),
                confusion_matrix.pair_rows(self.evaluation, self.filter.casefold()),
            )
        elif self.shown_as == "table":
            kept = self._kept()
            table.show(rows.table_columns(self._figures) if self._figures else (), rows.table_rows(kept))
        else:
            self._show_heat()
        self._show_summary()
        self._show_reason()
        self.headline = self._headline()

    def _figured(self) -> list[Figures]:
        if self.evaluation is None:
            return []
        split = self.evaluation.split
        earlier = [one for one in self.evaluations[1:] if one.split == split]
        against = self.second[1] if self.second else earlier[0] if earlier else None
        # A result on test data has nothing before it: its trend is that of the validation data.
        found = rows.figures(self.evaluation, earlier or self.evaluations[1:], against)
        return rows.beside_published(found, self._reference)

    @property
    def _reference(self) -> Reference | None:
        """The published result of the run's recipe."""
        return self.view.experiment.reference if self.view and self.view.experiment else None

    def copied(self) -> str:
        """The row under the cursor."""
        return self.query_one(Table).line

    def _kept(self) -> list[Figures]:
        """The classes that are shown, in their order."""
        wanted = self.filter.casefold()
        kept = [
            one
            for one in self._figures
            if wanted in one.shown.casefold() and not (self.errors_only and one.recall == 1.0)
        ]
        return rows.ordered(kept, self.order, reverse=self.reverse)

    def _show_heat(self) -> None:
        heat = self.query_one("#heat", CellView)
        if heat.size.width < 1 or heat.size.height < 1:
            return
        grid, note = confusion_matrix.heat(self.evaluation, self._kept(), heat.size.width, heat.size.height)
        heat.paint(grid if self._figures else [])
        self._heat_note = note

    def _show_summary(self) -> None:
        line = self.query_one("#summary", CellView)
        if self.evaluation is not None and not self._regression:
            line.paint([rows.summary(self.evaluation, self._figures, self._published(), line.size.width)])
        else:
            line.paint([spread(self._instead(), MUTED, line.size.width)])

    def _instead(self) -> str:
        """What to say where there are no classes."""
        if self.view is None:
            return "no run is selected: its classes are shown here"
        if self._regression:
            return "this run learns numbers, which have no classes: its errors are shown instead"
        return (
            "the first evaluation comes at the end of an epoch"
            if self.view.status.live
            else "never evaluated"
        )

    def _published(self) -> float | None:
        reference = self._reference
        return reference.published if reference and "accuracy" in reference.metric else None

    def _show_reason(self) -> None:
        view = self.query_one("#reason", CellView)
        shown = self.with_reason and self.shown_as == "table" and bool(self._figures)
        if view.display != shown:
            view.display = shown
        key = self.query_one(Table).key
        chosen = next((one for one in self._figures if one.name == key), None)
        width = max(1, self.size.width)
        view.paint([spread(text, MUTED, width) for text in rows.reason(chosen, self._figures)])

    def _headline(self) -> str:
        shown = self.evaluation
        if self._regression:
            return "errors of a regression"
        if shown is None:
            return ""
        words = {"pairs": "most confused first", "confusion": f"confusion──{self._heat_note}".strip("─")}
        turned = " (reversed)" if self.reverse else ""
        parts = [
            f"epoch {shown.weights_of_epoch}",
            shown.split,
            words.get(self.shown_as, self.order.words + turned),
            "errors only" if self.errors_only and self.shown_as in ONLY_IN["errors"] else "",
            f"Δ to {self.second[0]}" if self.second and self.shown_as in ONLY_IN["second"] else "",
            f"/{self.filter}" if self.filter else "",
        ]
        return "──".join(part for part in parts if part)
