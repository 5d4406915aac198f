"""A widget with a page of charts, one of which is selected. Only changed cells are sent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message

from workbench.ui.base.status_style import MUTED
from workbench.ui.charts.grid_layout import Page, Slot
from workbench.ui.widgets.cell_grid import BLANK, CellView, Grid, to_cells
from workbench.ui.widgets.plot import LABEL_GUTTER, Drawing, render_drawing

Draw = Callable[[Slot, bool], Drawing]
"""The drawing of a chart, and whether it is selected."""


class ChartGrid(CellView, can_focus=True):
    """Shows one of several pages; the arrows select a chart, and turn the page at its edge."""

    DEFAULT_CSS = """
    ChartGrid { height: 1fr; width: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "move(-1)", "chart on the left", show=False),
        Binding("right,l", "move(1)", "chart on the right", show=False),
        Binding("up,k", "row(-1)", "chart above", show=False),
        Binding("down,j", "row(1)", "chart below", show=False),
        Binding("pageup", "page(-1)", "page back", show=False),
        Binding("pagedown", "page(1)", "page forward", show=False),
        Binding("home,g", "edge(0)", "first chart", show=False),
        Binding("end,G", "edge(-1)", "last chart", show=False),
    ]

    class Selected(Message):
        """Another chart is selected."""

    class Resized(Message):
        """The grid has another size: its pages depend on it."""

    class CursorPlaced(Message):
        """The plot area of a chart was clicked at this share of its width."""

        def __init__(self, share: float) -> None:
            super().__init__()
            self.share = share

    class Zoomed(Message):
        """The wheel was turned over a chart."""

        def __init__(self, factor: float) -> None:
            super().__init__()
            self.factor = factor

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._pages: Sequence[Page] = ()
        self.page_number = 0
        self.selected = ""
        """The name of the metric of the selected chart."""

    @property
    def page(self) -> Page:
        """The visible page."""
        return self._pages[self.page_number] if self._pages else Page(())

    @property
    def selected_slot(self) -> Slot | None:
        """The selected chart; `None` if there are none."""
        return next((slot for slot in self.page.slots if slot.name == self.selected), None)

    @property
    def num_pages(self) -> int:
        """The number of pages."""
        return len(self._pages)

    def show_pages(self, pages: Sequence[Page]) -> None:
        """Show the page with the selected chart; without it the first, with its first chart selected."""
        self._pages = pages
        with_selected = (
            number for number, page in enumerate(pages) for slot in page.slots if slot.name == self.selected
        )
        self.page_number = next(with_selected, 0)
        if self.selected_slot is None:
            self.selected = next((slot.name for slot in self.page.slots), "")

    def draw(self, draw: Draw) -> None:
        """Draw the charts of the page."""
        width, height = self.size
        grid: Grid = [[BLANK] * width for _ in range(height)]
        for slot in self.page.slots:
            rows = render_drawing(draw(slot, slot.name == self.selected), slot.width, slot.height)
            for y, row in enumerate(rows[: height - slot.y], slot.y):
                grid[y][slot.x : slot.x + len(row)] = row
        for heading in self.page.headings:
            if heading.y < height:
                text = f"{heading.text} "
                grid[heading.y] = to_cells(text + "─" * (width - len(text)), MUTED, width)
        self.paint(grid)

    def show_message(self, message: str) -> None:
        """Show a text instead of charts."""
        self.paint([to_cells(message, MUTED, self.size.width)])

    def on_resize(self) -> None:
        self.post_message(self.Resized())

    def action_move(self, by: int) -> None:
        """Select the next or previous chart."""
        slots = self._slots
        current = self._index
        self._select(slots[min(max(0, current + by), len(slots) - 1)] if slots else None)

    def action_row(self, by: int) -> None:
        """Select the nearest chart in the row below or above."""
        rows = self._rows
        number = next((i for i, row in enumerate(rows) if any(s.name == self.selected for s in row)), 0)
        if rows and 0 <= number + by < len(rows):
            here = next((slot for slot in rows[number] if slot.name == self.selected), rows[number][0])
            self._select(min(rows[number + by], key=lambda slot: abs(slot.x - here.x)))

    def action_page(self, by: int) -> None:
        """Turn the page."""
        if self._pages:
            number = min(max(0, self.page_number + by), len(self._pages) - 1)
            if number != self.page_number:
                self._select(self._pages[number].slots[0])

    def action_edge(self, position: int) -> None:
        """Select the first or the last chart."""
        self._select(self._slots[position] if self._slots else None)

    def on_click(self, event: events.Click) -> None:
        for slot in self.page.slots:
            if slot.x <= event.x < slot.x + slot.width and slot.y <= event.y < slot.y + slot.height:
                self._select(slot)
                columns = max(1, slot.width - LABEL_GUTTER)
                if event.x >= slot.x + LABEL_GUTTER:
                    self.post_message(self.CursorPlaced((event.x - slot.x - LABEL_GUTTER + 0.5) / columns))

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.post_message(self.Zoomed(0.5))

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.post_message(self.Zoomed(2))

    def _select(self, slot: Slot | None) -> None:
        if slot is not None and slot.name != self.selected:
            self.selected = slot.name
            self.show_pages(self._pages)
            self.post_message(self.Selected())

    @property
    def _slots(self) -> list[Slot]:
        return [slot for page in self._pages for slot in page.slots]

    @property
    def _index(self) -> int:
        return next((i for i, slot in enumerate(self._slots) if slot.name == self.selected), 0)

    @property
    def _rows(self) -> list[list[Slot]]:
        rows: dict[tuple[int, int], list[Slot]] = {}
        for number, page in enumerate(self._pages):
            for slot in page.slots:
                rows.setdefault((number, slot.y), []).append(slot)
        return list(rows.values())
