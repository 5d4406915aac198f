"""The charts pane: all metrics of the selected run or of the marked runs, in a grid of charts with one cursor."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content

from workbench.charts.chart_options import ChartOptions, Extent, format_limits, parse_limits
from workbench.charts.chart_set import Chart, ChartSet
from workbench.charts.metric_names import matches, sections
from workbench.core.text import plural, sanitize
from workbench.runs.reader import RunView
from workbench.ui.base.layout import PaneId
from workbench.ui.base.messages import Notify, OverlaysRequested
from workbench.ui.base.pane import TYPING_HINTS, Pane, PaneServices
from workbench.ui.charts.chart_drawing import draw_chart, legend
from workbench.ui.charts.chart_grid import ChartGrid
from workbench.ui.charts.export import FORMATS, export_charts, unused_path
from workbench.ui.charts.grid_layout import Page, Slot, lay_out, single_page
from workbench.ui.charts.run_styles import MAX_RUNS, RunStyles
from workbench.ui.charts.shown_runs import repeats_among, select_views
from workbench.ui.services.saved_layout import MAX_SIDE, ChartsLayout, load_layout, save_layout
from workbench.ui.widgets.chooser import Chooser, Finder, Option, filter_options
from workbench.ui.widgets.plot import LABEL_GUTTER, Drawing
from workbench.ui.widgets.text_line import TextLine

DOTS_PER_CELL = 2
"""Columns of a chart per cell: those of a braille character."""
PAUSE_SECONDS = 0.005
"""The pause before the next part of a long series is drawn, in which keys are handled."""
FOLLOW_VALUES = "follow the values"
"""The choice of a y axis that is not fixed."""
MAX_MEAN_RUNS = 40
"""The most runs in a chart of means, which has as many lines as any other."""
MAX_EVENT_WIDTH = 60
"""Cells of the text of an event."""
NO_RUN, LOADING, NO_METRICS = "No run selected.", "Loading…", "No metrics yet."
IMAGES_HINT = " I shows the images that it has logged."


class ChartsPane(Pane):
    """A grid of charts, one of which can be enlarged; the cursor and the keys apply to all of them."""

    ID = PaneId.CHARTS
    FILTERABLE = True
    DEFAULT_CSS = """
    ChartsPane #legend { display: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "enlarge", "enlarge"),
        Binding("m", "x_kind", "x axis"),
        Binding("a", "smooth(1)", "smoother"),
        Binding("A", "smooth(-1)", "less smooth", show=False),
        Binding("v", "log", "log axes"),
        Binding("b", "grid", "grid"),
        Binding("f", "follow", "follow"),
        Binding("o", "span", "y axis with or without outliers", show=False),
        Binding("O", "limits", "fixed y axis", show=False),
        Binding("n", "next_event", "cursor to the next event", show=False),
        Binding("F", "means", "means of repeats", show=False),
        Binding("e", "export_charts", "export charts"),
        Binding("comma", "step(-1)", "cursor left", key_display=",", show=False),
        Binding("full_stop", "step(1)", "cursor right", key_display=".", show=False),
        Binding("less_than_sign", "zoom(2)", "zoom out", key_display="<", show=False),
        Binding("greater_than_sign", "zoom(0.5)", "zoom in", key_display=">", show=False),
        Binding("left_parenthesis", "pan(-0.5)", "earlier part", key_display="(", show=False),
        Binding("right_parenthesis", "pan(0.5)", "later part", key_display=")", show=False),
        Binding("escape", "shrink", "back to the grid", show=False),
    ]

    def __init__(
        self, services: PaneServices | None = None, *, id: str | None = None, classes: str | None = None
    ) -> None:
        super().__init__(services, id=id, classes=classes)
        self.options = ChartOptions()
        self._charts, self._styles = ChartSet(), RunStyles()
        self._side: int | None = None
        """Charts across and down; `None`: as many as fit."""
        self._enlarged = False
        self.means = False
        """Whether repeats are one line, their mean."""
        self._saved = ChartsLayout()
        """The layout as it was saved last."""
        self._layout: tuple[object, ...] = ()
        """What the pages were laid out for."""

    def compose(self) -> ComposeResult:
        yield ChartGrid(id="grid")
        yield TextLine(id="legend")

    @property
    def grid(self) -> ChartGrid:
        """The charts."""
        return self.query_one(ChartGrid)

    def on_mount(self) -> None:
        super().on_mount()
        self._saved = saved = load_layout(self.services.store.home).charts
        self.options = ChartOptions(saved.x, saved.smoothing, saved.log, saved.span, saved.limits)
        self._side, self.means = saved.side, saved.means
        self.filter = saved.filter

    def _save(self) -> None:
        """Remember how the charts are shown, if that has changed."""
        how = self.options
        layout = ChartsLayout(
            filter=self.filter, x=how.x, smoothing=how.smoothing, log=how.log, span=how.span, limits=dict(how.limits),
            side=self._side, means=self.means,
        )  # fmt: skip
        if layout != self._saved:
            self._saved = layout
            save_layout(self.services.store.home, charts=layout)

    # Values

    def watch_view(self) -> None:
        self.refresh_hints()
        self._show_runs()

    def watch_overlays(self) -> None:
        self._show_runs()

    def watch_marked(self) -> None:
        self._request_overlays()

    def watch_group(self) -> None:
        self._request_overlays()
        self._show_runs()

    def watch_filter(self) -> None:
        self._enlarged = False
        self._lay_out()

    def filter_names(self) -> Iterable[str]:
        return self._charts.names

    def on_show(self) -> None:
        self._request_overlays()
        self._show_runs()

    def _request_overlays(self) -> None:
        """The other runs are read only while the pane can be seen."""
        if self._in_view:
            self.post_message(OverlaysRequested(tuple(sorted(self._chosen)[-self._max_runs :])))

    @property
    def _chosen(self) -> frozenset[str]:
        """The marked runs, else those of the folded row under the cursor."""
        return self.marked or self.group

    @property
    def _max_runs(self) -> int:
        return MAX_MEAN_RUNS if self.means else MAX_RUNS

    @property
    def _in_view(self) -> bool:
        return self.is_mounted and self.is_on_screen and self.size.area > 0

    @property
    def is_indexing(self) -> bool:
        """Whether the charts do not have all points yet."""
        return self._charts.pending

    @property
    def shown_views(self) -> list[RunView]:
        """The marked runs, else those of a folded row; with fewer than two of them the selected one, too."""
        return select_views(self.view, self.overlays, self._chosen, self._max_runs)

    def _show_runs(self) -> None:
        if not self._in_view:
            return
        views = self.shown_views
        before = self._charts.run_ids
        self._charts.update(views)
        if self._charts.run_ids != before:
            self.options = replace(self.options, window=None, cursor=None)
        groups = repeats_among(self._charts.run_ids, self.rows or []) if self.means else ()
        self._charts.groups = groups[:MAX_RUNS]
        self._styles.show([run_ids[0] for run_ids in self._charts.lines])
        self._lay_out()

    # Drawing

    @on(ChartGrid.Resized)
    def _lay_out(self) -> None:
        """Lay out the charts whose names match the filter, and draw the visible ones."""
        if not self._in_view or self.grid.size.area == 0:
            return
        layout = self._charts.names, self.filter, self.grid.size, self._side, self._enlarged
        if layout != self._layout:
            self._layout = layout
            self.grid.show_pages(self._pages())
        self._redraw()

    def _pages(self) -> list[Page]:
        width, height = self.grid.size
        found = sections(filter(matches(self.filter), self._charts.names))
        if self._enlarged:
            return [single_page(name, width, height) for section in found for name in section.names]
        return lay_out(found, width, height, self._side)

    @on(ChartGrid.Selected)
    def _redraw(self) -> None:
        if not self._in_view:
            return
        self._save()
        self._show_legend()
        if message := self._message():
            self.grid.show_message(message)
        else:
            self._charts.begin_frame()
            self.grid.draw(self._drawing)
            if self._charts.pending:
                self.set_timer(PAUSE_SECONDS, self._redraw)
        self.headline = self._headline()

    def _message(self) -> str:
        """Why there are no charts; empty if there are some."""
        if self.grid.num_pages:
            return ""
        if self.filter and self._charts.names:
            return f"No metric matches '{self.filter}'."
        views = self.shown_views
        if not views:
            return NO_RUN
        if not any(view.version for view in views):
            return LOADING
        return NO_METRICS + (IMAGES_HINT if self._has_images else "")

    def _chart(self, slot: Slot) -> Chart:
        return self._charts.chart(slot.name, self.options, (slot.width - LABEL_GUTTER) * DOTS_PER_CELL)

    def _drawing(self, slot: Slot, selected: bool) -> Drawing:
        return draw_chart(self._chart(slot), self.options, self._styles, slot.width, selected=selected)

    def _show_legend(self) -> None:
        line, names = self.query_one("#legend", TextLine), self._line_names
        line.display = len(names) > 1
        line.show(Content.assemble(*legend(list(names.items()), self._styles, max(1, self.size.width))))

    @property
    def _line_names(self) -> dict[str, str]:
        """The names of the lines by the runs that stand for them: `base`, `base ×3`."""
        names = {view.folder.id: view.name for view in self.shown_views}
        return {
            run_ids[0]: names.get(run_ids[0], run_ids[0]) + (f" ×{len(run_ids)}" if len(run_ids) > 1 else "")
            for run_ids in self._charts.lines
        }

    def _headline(self) -> str:
        views, grid = self.shown_views, self.grid
        limits = self.options.limits_of(grid.selected)
        parts = [
            plural(len(views), "run") if len(views) > 1 else views[0].name if views else "",
            f"/{self.filter}" if self.filter else "",
            self.options.cursor_label,
            *self._events_at_cursor,
            *self.options.labels,
            "" if limits is None else f"y {format_limits(limits)}",
            "means of repeats" if self.means else "",
            f"{grid.page_number + 1}/{grid.num_pages}" if grid.num_pages > 1 else "",
        ]
        return "──".join(part for part in parts if part)

    def text_to_copy(self) -> str:
        """What `y` copies: the name of the selected metric, and its value of each run at the cursor."""
        slot = self.grid.selected_slot
        if slot is None:
            return ""
        names = self._line_names
        values = [
            f"{names.get(line.run_id, line.run_id)} {line.at_cursor}" for line in self._chart(slot).by_value()
        ]
        return ", ".join(
            [f"{slot.name} {self.options.cursor_label}".rstrip(), *self._events_at_cursor, *values]
        )

    @property
    def _events_at_cursor(self) -> list[str]:
        """What happened where the cursor is: `lr 0.1 → 0.05`, of several runs after the mark of the run."""
        slot, cursor = self.grid.selected_slot, self.options.cursor
        if slot is None or cursor is None:
            return []
        axis = self.options.x_axis(self._extent)
        at, cell = axis.position(cursor), 1 / max(1, slot.width - LABEL_GUTTER)
        near = [
            event for event in self._charts.events(self.options) if abs(axis.position(event.x) - at) <= cell
        ]
        styles = self._styles if len(self._styles) > 1 else None
        texts = (f"{styles.mark_of(event.run_id)} {event.text}" if styles else event.text for event in near)
        return [sanitize(text, MAX_EVENT_WIDTH) for text in texts]

    @property
    def _has_images(self) -> bool:
        return self.view is not None and self.view.has_images

    def key_hints(self) -> str:
        """The pane's own keys; first the key of the app that shows images, while the selected run has logged some."""
        hints = super().key_hints()
        return f"I images  {hints}" if self._has_images and hints != TYPING_HINTS else hints

    # Actions

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only an enlarged chart can be made small again."""
        return self._enlarged if action == "shrink" else super().check_action(action, parameters)

    def action_enlarge(self) -> None:
        """Let the selected chart fill the pane; enter or esc shows the grid again."""
        self._enlarge(not self._enlarged)

    def action_shrink(self) -> None:
        """Show the grid again."""
        self._enlarge(False)

    def _enlarge(self, enlarged: bool) -> None:
        self._enlarged = enlarged
        self.refresh_bindings()
        self._lay_out()

    def action_export_charts(self) -> None:
        """Write the charts of this page to the working directory: as a picture (PNG, SVG), their points, or as text."""
        finder = Finder(filter_options([Option(name, (name, title)) for name, title in FORMATS.items()]))
        if self.grid.page.slots:
            self.app.push_screen(Chooser("Export these charts", finder), self._export)

    def _export(self, format: str | None) -> None:
        if format is None:
            return
        names = self._line_names
        metrics = [slot.name for slot in self.grid.page.slots]
        target = unused_path(Path.cwd(), list(names), format)
        make = export_charts(self._charts, metrics, names, self.options, format)

        def write() -> None:
            try:
                target.write_bytes(make())
            except OSError as error:
                self.post_message(Notify(f"{target} can't be written: {error.strerror}", "error"))
            else:
                self.post_message(Notify(f"exported to {target}"))

        self.run_worker(write, thread=True, exit_on_error=False)

    def action_means(self) -> None:
        """Draw runs that differ only in their seed, or are of one group, as their mean with its deviation, or not."""
        self.means = not self.means
        self._request_overlays()
        self._show_runs()

    def action_grid(self) -> None:
        """Cycle the size of the grid: as many charts as fit well, 1×1, 2×2, 3×3, 4×4."""
        self._side, self._enlarged = (self._side or 0) + 1, False
        if self._side > MAX_SIDE:
            self._side = None
        self._lay_out()

    def action_x_kind(self) -> None:
        """Cycle what the x axis counts: steps, epochs, time since the start, time of day."""
        self._draw_with(self.options.with_next_x())

    def action_smooth(self, by: int) -> None:
        """Smooth the curves more or less, up to 0.999; the original is drawn faintly."""
        self._draw_with(self.options.smoothed(by))

    def action_log(self) -> None:
        """Cycle logarithmic axes: none, y, both."""
        self._draw_with(self.options.with_next_log())

    def action_span(self) -> None:
        """Cycle what the y axes span: all but values far above the others, all, the 1st to the 99th percentile."""
        self._draw_with(self.options.with_next_span())

    def action_limits(self) -> None:
        """Fix the y axis of the selected chart, or let it follow the values again."""
        slot = self.grid.selected_slot
        if slot is None:
            return
        axis, fixed = self._chart(slot).y_axis, self.options.limits_of(slot.name)
        finder = Finder(
            filter_options([Option(FOLLOW_VALUES, (FOLLOW_VALUES,))]), allow_text=True,
            hint=f"a range is typed as LOW..HIGH; it is {format_limits((axis.low, axis.high))} now",
            check=lambda text: text == FOLLOW_VALUES or parse_limits(text),
            current=FOLLOW_VALUES if fixed is None else format_limits(fixed),
        )  # fmt: skip
        title = f"y axis of {slot.name}"
        self.app.push_screen(Chooser(title, finder), partial(self._set_limits, slot.name))

    def _set_limits(self, metric: str, text: str | None) -> None:
        if text is not None:
            limits = None if text == FOLLOW_VALUES else parse_limits(text)
            self._draw_with(self.options.with_limits(metric, limits))

    def action_next_event(self) -> None:
        """Move the cursor to the next change of a setting, resume, pause or notice; from the last one to the first."""
        xs = [event.x for event in self._charts.events(self.options)]
        if not xs:
            self.post_message(Notify("nothing has happened to these runs while they trained", transient=True))
            return
        cursor = -math.inf if self.options.cursor is None else self.options.cursor
        following = next((x for x in xs if x > cursor + abs(cursor) * 1e-9), xs[0])
        self._draw_with(self.options.stepped_to(following, self._extent))

    def action_follow(self) -> None:
        """Remove the cursor and the zoom, and follow the newest values."""
        self._draw_with(replace(self.options, cursor=None, window=None))

    def action_step(self, by: int) -> None:
        """Move the cursor by `by` cells, in all charts; past the newest values it is removed."""
        slot = self.grid.selected_slot
        if slot is not None:
            columns = max(1, slot.width - LABEL_GUTTER)
            self._draw_with(self.options.stepped(by, columns, self._extent))

    def action_zoom(self, factor: float) -> None:
        """Halve or double the visible range, around the cursor, else up to the newest values."""
        self._draw_with(self.options.zoomed(factor, self._extent))

    def action_pan(self, share: float) -> None:
        """Show an earlier or later part of the same width."""
        self._draw_with(self.options.panned(share, self._extent))

    @on(ChartGrid.CursorPlaced)
    def _place_cursor(self, event: ChartGrid.CursorPlaced) -> None:
        axis = self.options.x_axis(self._extent)
        self._draw_with(replace(self.options, cursor=axis.value_at(min(max(0.0, event.share), 1.0))))

    @on(ChartGrid.Zoomed)
    def _zoomed(self, event: ChartGrid.Zoomed) -> None:
        self.action_zoom(event.factor)

    @property
    def _extent(self) -> Extent:
        return self._charts.extent(self.options.x)

    def _draw_with(self, options: ChartOptions) -> None:
        self.options = options
        self._redraw()
