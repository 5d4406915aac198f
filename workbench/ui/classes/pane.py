"""The classes pane: recall, precision and F1 of every class, and the confusion matrix."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.reactive import reactive

from workbench.config.data_summary import BALANCE_SETTINGS, balance_hint
from workbench.config.experiment import Reference
from workbench.config.training_settings import TrainingSettings
from workbench.runs.metrics import EvaluationFile
from workbench.runs.reader import RunView
from workbench.runs.scores import split_label
from workbench.ui.base.layout import PaneId
from workbench.ui.base.messages import ComparisonRequested, ExperimentProposed, Notify
from workbench.ui.base.pane import Pane, PaneServices
from workbench.ui.base.status_style import MUTED
from workbench.ui.classes import class_table, confusion_matrix, regression_table
from workbench.ui.classes.class_table import ClassRow
from workbench.ui.classes.evaluated_samples_screen import ClassRef, EvaluatedSamplesScreen
from workbench.ui.classes.matrix_view import MatrixView
from workbench.ui.widgets.cell_grid import CellView, to_cells
from workbench.ui.widgets.chooser import Chooser, Finder, Option, filter_options
from workbench.ui.widgets.table import Column, Table

VIEWS = ("table", "confusion", "pairs")
ACTION_VIEWS = {
    "details": {"table"},
    "second_run": {"table"},
    "errors": {"table", "confusion"},
    "sort": {"table", "confusion"},
    "reverse": {"table", "confusion"},
}
"""The views in which an action is available; actions that are not listed are available in all views."""


class ClassesPane(Pane):
    """The classes of an evaluation: as a table, as a confusion matrix, or as a list of the most frequent confusions."""

    ID = PaneId.CLASSES

    DEFAULT_CSS = """
    ClassesPane #matrix { height: 1fr; display: none; }
    ClassesPane #summary { height: 1; }
    ClassesPane #details { height: 3; }
    ClassesPane.confusion #matrix { display: block; }
    ClassesPane.confusion Table { display: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "details", "details"),
        Binding("b", "second_run", "second run"),
        Binding("f", "errors", "errors only"),
        Binding("m", "view", "table/matrix/pairs"),
        Binding("v", "samples", "images"),
        Binding("o", "sort", "next sort column", show=False),
        Binding("O", "reverse", "reverse order", show=False),
    ]

    FILTERABLE = True

    second_run: reactive[tuple[str, EvaluationFile] | None] = reactive(None, repaint=False)
    """Name and evaluation of the run that is the baseline of Δ; `None`: the previous evaluation of this run."""

    def __init__(
        self, services: PaneServices | None = None, *, id: str | None = None, classes: str | None = None
    ) -> None:
        super().__init__(services, id=id, classes=classes)
        self.order = class_table.ORDERS[0]
        self.reverse = self.errors_only = self.details_visible = False
        self.view_mode = VIEWS[0]
        self.class_rows: list[ClassRow] = []
        self._matrix_note = ""
        self._matrix_classes: Sequence[ClassRow] = ()

    def compose(self) -> ComposeResult:
        yield Table(id="table")
        yield MatrixView(id="matrix")
        yield CellView(id="details")
        yield CellView(id="summary")

    def on_resize(self) -> None:
        self.call_after_refresh(self._redraw)

    def watch_run_id(self) -> None:
        self.second_run = None

    def _show_second_run(self, name: str, evaluation: EvaluationFile) -> None:
        self.second_run = (name, evaluation)

    def watch_view(self, view: RunView | None) -> None:
        if self._regression or not self.evaluations:  # else `watch_evaluations` redraws
            self._redraw()

    def watch_evaluations(self) -> None:
        self._redraw()

    def watch_second_run(self) -> None:
        self._redraw()

    def watch_filter(self) -> None:
        self._redraw()

    def filter_names(self) -> Iterable[str]:
        return (row.display_name for row in self.class_rows)

    @property
    def _regression(self) -> bool:
        setup = self.view.setup if self.view else None
        return setup is not None and setup.task == "regression"

    def on_table_header_selected(self, message: Table.HeaderSelected) -> None:
        """Sort by the clicked column; a second click reverses the order."""
        message.stop()
        for order in class_table.ORDERS:
            if order.column == message.column:
                self.reverse = order is self.order and not self.reverse
                self.order = order
                self._redraw()

    def on_table_row_highlighted(self, message: Table.RowHighlighted) -> None:
        message.stop()
        if self.details_visible:
            self._show_class_errors()

    def on_table_row_selected(self, message: Table.RowSelected) -> None:
        message.stop()
        if self._regression:
            return
        if self.details_visible and self._needs_balance:
            self._offer_balance()
        elif self.view_mode == "pairs":
            names = message.key.split("\0")
            true, predicted = (
                next((row for row in self.class_rows if row.name == name), None) for name in names
            )
            self._open_images(true, predicted)
        else:
            self._open_images(self._cursor_row())

    @on(MatrixView.CursorMoved)
    def _matrix_cursor_moved(self, message: MatrixView.CursorMoved) -> None:
        message.stop()
        self._show_matrix()

    @on(MatrixView.Opened)
    def _matrix_cell_opened(self, message: MatrixView.Opened) -> None:
        message.stop()
        matrix = self.query_one(MatrixView)
        if self._matrix_classes:
            self._open_images(self._matrix_classes[matrix.row], self._matrix_classes[matrix.column])

    def _open_images(self, true: ClassRow | None, predicted: ClassRow | None = None) -> None:
        """Show the images of a class, or of one prediction for it, the most confident mistakes first."""
        view, evaluation = self.view, self.evaluation
        if view is None or evaluation is None or true is None:
            return
        label, of = (None if row is None else ClassRef(row.index, row.name) for row in (true, predicted))
        run = str(view.folder.path)
        screen = EvaluatedSamplesScreen(
            self.services.compute, evaluation, run, label, of, mistakes_first=True
        )
        self.app.push_screen(screen)

    def _offer_balance(self) -> None:
        """Choose a setting for rare classes, for a copy of this run's experiment in the experiment pane."""
        options = [Option(key, (key, help)) for key, help in BALANCE_SETTINGS.items()]
        self.app.push_screen(Chooser("For rare classes", Finder(filter_options(options))), self._propose)

    def _propose(self, assignment: str | None) -> None:
        if assignment and self.view and self.view.experiment:
            self.post_message(ExperimentProposed(self.view.experiment, assignment))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Disable actions without effect in the current view, and all actions on classes for a regression."""
        if self._regression:
            return action not in {*ACTION_VIEWS, "view", "samples"}
        return self.view_mode in ACTION_VIEWS.get(action, VIEWS)

    def action_details(self) -> None:
        """Show or hide the errors of the class under the cursor."""
        self.details_visible = not self.details_visible
        self._redraw()

    def action_errors(self) -> None:
        """List only classes with errors, or all classes."""
        self.errors_only = not self.errors_only
        self._redraw()

    def action_second_run(self) -> None:
        """Compare with a second run (the marked one, else the best other), or with the previous evaluation again."""
        if self.second_run is not None:
            self.second_run = None
        else:
            split = self.evaluation.split if self.evaluation is not None else ""
            self.post_message(ComparisonRequested(self._show_second_run, split))

    def action_samples(self) -> None:
        """Show the evaluated images with their classes and predictions."""
        view, evaluation = self.view, self.evaluation
        if view is None or evaluation is None:
            self.post_message(Notify("No evaluation yet: there are no classified images to show."))
            return
        row = self._cursor_row()
        label = ClassRef(row.index, row.name) if row is not None else None
        self.app.push_screen(
            EvaluatedSamplesScreen(self.services.compute, evaluation, str(view.folder.path), label)
        )

    def action_view(self) -> None:
        """Switch between class table, confusion matrix and most frequent confusions."""
        had_focus = self.has_focus_within
        self.view_mode = VIEWS[(VIEWS.index(self.view_mode) + 1) % len(VIEWS)]
        self.set_class(self.view_mode == "confusion", "confusion")
        if had_focus:
            self.query_one("#matrix" if self.view_mode == "confusion" else "#table").focus()
            self.on_descendant_focus()
        self.refresh_bindings()
        self.call_after_refresh(self._redraw)

    def action_sort(self) -> None:
        """Sort by the next column."""
        self.order = class_table.ORDERS[(class_table.ORDERS.index(self.order) + 1) % len(class_table.ORDERS)]
        self.reverse = False
        self._redraw()

    def action_reverse(self) -> None:
        """Reverse the sort order."""
        self.reverse = not self.reverse
        self._redraw()

    def _redraw(self) -> None:
        if not self.is_mounted or not self.query("#summary"):
            return
        self.class_rows = self._current_class_rows()
        self.set_class(self.view_mode == "confusion" and not self._regression, "confusion")
        table = self.query_one(Table)
        if self._regression:
            table.show(
                regression_table.COLUMNS,
                regression_table.regression_rows(self.view.evaluations if self.view else [], self._reference),
            )
        elif self.view_mode == "pairs":
            table.show(
                confusion_matrix.pair_columns(self.class_rows),
                confusion_matrix.pair_rows(self.evaluation, self.filter.casefold()),
            )
        elif self.view_mode == "table":
            columns = self._columns() if self.class_rows else ()
            table.show(columns, class_table.table_rows(self._visible_rows()))
        else:
            self._show_matrix()
        self._show_summary()
        self._show_class_errors()
        self.headline = self._headline()

    def _current_class_rows(self) -> list[ClassRow]:
        if self.evaluation is None:
            return []
        split = self.evaluation.split
        earlier = [one for one in self.evaluations[1:] if one.split == split]
        baseline = self.second_run[1] if self.second_run else earlier[0] if earlier else None
        # The only evaluation on test data has no earlier ones: the trend shows those on validation data instead.
        training = self._class_counts.get("train", ())
        rows = class_table.class_rows(self.evaluation, earlier or self.evaluations[1:], baseline, training)
        return class_table.with_published(rows, self._reference)

    def _columns(self) -> list[Column]:
        """The columns; a trend or a published result on another split than the shown one is labeled."""
        split, published = self.evaluation.split if self.evaluation else "", ""
        if self._reference is not None and (of := self._reference.metric.partition(".")[0]) != split:
            published = split_label(of)
        trend = next((one.split for one in self.evaluations[1:]), split)
        same = any(one.split == split for one in self.evaluations[1:])
        return class_table.table_columns(
            self.class_rows, trend="" if same or trend == split else split_label(trend), published=published
        )

    @property
    def _reference(self) -> Reference | None:
        """The published result of the run's recipe."""
        return self.view.experiment.reference if self.view and self.view.experiment else None

    @property
    def _class_counts(self) -> Mapping[str, Sequence[int]]:
        """Samples of each class, by split; empty before they are known."""
        return self.view.setup.class_counts if self.view and self.view.setup else {}

    @property
    def _train(self) -> TrainingSettings:
        return self.view.experiment.train if self.view and self.view.experiment else TrainingSettings()

    @property
    def _needs_balance(self) -> bool:
        """Whether the class under the cursor is rare and no setting for that is used."""
        return class_table.needs_balance(self._cursor_row(), self._class_counts) and bool(
            balance_hint(self._train)
        )

    def text_to_copy(self) -> str:
        """The row under the cursor."""
        return self.query_one(Table).cursor_text

    def _visible_rows(self) -> list[ClassRow]:
        """The classes that match the filter, sorted."""
        text = self.filter.casefold()
        rows = [
            row
            for row in self.class_rows
            if text in row.display_name.casefold() and not (self.errors_only and row.recall == 1.0)
        ]
        return class_table.sort_rows(rows, self.order, reverse=self.reverse)

    def _show_matrix(self) -> None:
        matrix = self.query_one(MatrixView)
        width, height = matrix.size
        if width < 1 or height < 1:
            return
        rows = self._visible_rows()
        drawn = confusion_matrix.confusion_grid(self.evaluation, rows, width, height, matrix.cursor)
        if len(drawn.classes) != matrix.count:
            matrix.set_count(len(drawn.classes))  # the cursor may have been outside
            drawn = confusion_matrix.confusion_grid(self.evaluation, rows, width, height, matrix.cursor)
        self._matrix_note, self._matrix_classes = drawn.note, drawn.classes
        matrix.paint(drawn.grid if self.class_rows else [])

    def _show_summary(self) -> None:
        line = self.query_one("#summary", CellView)
        width = line.size.width
        if self.evaluation is not None and not self._regression:
            line.paint([class_table.summary_line(self.evaluation, self.class_rows, self._reference, width)])
        else:
            line.paint([to_cells(self._empty_text(), MUTED, width)])

    def _empty_text(self) -> str:
        if self.view is None:
            return "No run selected."
        if self._regression:
            return "Regression run without classes: its errors are listed instead."
        if not self.view.status.ended:
            return "No evaluation yet: the first one runs at the end of an epoch."
        return "This run was never evaluated."

    def _cursor_row(self) -> ClassRow | None:
        key = self.query_one(Table).key
        return next((row for row in self.class_rows if row.name == key), None)

    def _show_class_errors(self) -> None:
        view = self.query_one("#details", CellView)
        visible = self.details_visible and self.view_mode == "table" and bool(self.class_rows)
        if view.display != visible:
            view.display = visible
        width = max(1, self.size.width)
        row = self._cursor_row()
        lines = [
            *class_table.class_errors(row, self.class_rows),
            class_table.support_line(row, self._class_counts, self._train),
        ]
        view.paint([to_cells(line, MUTED, width) for line in lines])

    def _headline(self) -> str:
        evaluation = self.evaluation
        if self._regression:
            return "regression errors"
        if evaluation is None:
            return ""
        order = self.order.label + (" (reversed)" if self.reverse else "")
        matrix = "──".join(filter(None, ("confusion", self._matrix_note, order)))
        labels = {"pairs": "most frequent first", "confusion": matrix}
        parts = [
            evaluation.moment,
            evaluation.split,
            labels.get(self.view_mode, order),
            "errors only" if self.errors_only and self.view_mode in ACTION_VIEWS["errors"] else "",
            self._second_run_label(),
            f"/{self.filter}" if self.filter else "",
        ]
        return "──".join(part for part in parts if part)

    def _second_run_label(self) -> str:
        if self.second_run is None or self.view_mode not in ACTION_VIEWS["second_run"]:
            return ""
        name, baseline = self.second_run
        other = self.evaluation is not None and baseline.split != self.evaluation.split
        return f"Δ to {name}" + (f" ({split_label(baseline.split)})" if other else "")
