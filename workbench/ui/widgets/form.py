"""A form of rows. `enter` opens a row for editing, `esc` closes it; other keys go to the pane meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.text import Text
from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input, Static

from workbench.core.paths import unquote_path
from workbench.core.text import cell_width, pad, sanitize, truncate
from workbench.ui.widgets.text_input import TextInput

LABEL_WIDTH = 18
"""Cells of the label column."""
MIN_HELP_WIDTH = 12
"""Cells below which a row shows no help."""


@dataclass(frozen=True)
class Field:
    """One row of a form."""

    key: str
    label: str
    value: str
    kind: str = "text"
    """`heading`, `yes/no`, `choice` (of `choices`), `pick` (the pane opens it), or a `Setting.kind`."""
    changed: bool = False
    """Whether the value differs from the default; defaults are dim."""
    help: str = ""
    choices: tuple[str, ...] = ()


def filter_fields(fields: Sequence[Field], text: str) -> list[Field]:
    """The fields whose key, value and help contain every word of `text`, ignoring case; all for an empty text."""
    words = text.lower().split()
    if not words:
        return list(fields)
    return [
        field
        for field in fields
        if field.kind != "heading"
        and all(word in f"{field.key} {field.value} {field.help}".lower() for word in words)
    ]


class FormRow(Widget):
    """One row that is not being edited."""

    DEFAULT_CSS = """
    FormRow { height: 1; width: 1fr; }
    FormRow.-highlighted { background: $primary 25%; }
    """

    field: Field
    highlighted = False

    def __init__(self, field: Field) -> None:
        super().__init__()
        self.field = field

    def show(self, field: Field) -> None:
        """Show `field`; the row is drawn again only if it changed."""
        if field != self.field:
            self.field = field
            self.refresh()

    def set_highlighted(self, highlighted: bool) -> None:
        """Show whether the cursor is on this row."""
        if highlighted != self.highlighted:
            self.highlighted = highlighted
            self.set_class(highlighted, "-highlighted")
            self.refresh()

    def render(self) -> Text:
        return render_field(self.field, self.size.width, self.highlighted)


def value_width(width: int) -> int:
    """The cells of a value in a row of `width` cells."""
    return max(1, width - _label_width(width) - 3)


def _label_width(width: int) -> int:
    return min(LABEL_WIDTH, max(6, width // 3))


def render_field(field: Field, width: int, highlighted: bool = False) -> Text:
    """Cursor mark, label, value and, where there is room, the help, in `width` cells."""
    if field.kind == "heading":
        return Text(truncate(sanitize(field.label), width), style="bold dim", no_wrap=True)
    label = pad(sanitize(field.label), _label_width(width))
    value = truncate(sanitize(field.value), value_width(width))
    text = Text(no_wrap=True, end="")
    text.append("▸ " if highlighted else "  ", style="bold")
    text.append(label + " ", style="bold" if highlighted else "")
    text.append(value, style="bold" if field.changed or field.kind == "pick" else "dim")
    text.append(" " * max(0, 12 - cell_width(value)))
    left = width - text.cell_len - 2
    if field.help and left > MIN_HELP_WIDTH:
        text.append("  " + truncate(sanitize(field.help), left), style="dim italic")
    text.truncate(width, overflow="ellipsis")
    return text


def shows_help(field: Field, width: int) -> bool:
    """Whether a row of `width` cells shows the whole help."""
    left = width - 2 - _label_width(width) - 1 - max(12, min(cell_width(field.value), value_width(width))) - 2
    return not field.help or (left > MIN_HELP_WIDTH and cell_width(sanitize(field.help)) <= left)


class Editor(Vertical):
    """The row that is being edited, and below it an error or a hint on valid values."""

    DEFAULT_CSS = """
    Editor { height: auto; }
    Editor > Horizontal { height: 1; }
    Editor Static { width: 1fr; height: auto; max-height: 3; color: $text-muted; padding-left: 2; }
    Editor Static.-label { width: auto; color: $text; padding: 0; text-style: bold; }
    Editor Static.-error { color: $text-error; }
    Editor Input { width: 1fr; height: 1; border: none; padding: 0; background: $boost; }
    Editor Input:focus { border: none; }
    """

    def __init__(self, field: Field, check: Callable[[str, str], str | None]) -> None:
        super().__init__()
        self.field, self._check = field, check

    def compose(self) -> ComposeResult:
        with Horizontal():
            yield Static("▸ " + pad(self.field.label, LABEL_WIDTH) + " ", classes="-label", markup=False)
            yield TextInput(self.field.value, compact=True, select_on_focus=True)
        yield Static(self._hint(), id="message", markup=False)

    @property
    def value(self) -> str:
        """The typed text; of a quoted path, the path; of an unchanged text, what the field has."""
        text = self.query_one(Input).value
        if text == sanitize(self.field.value):
            return self.field.value
        text = text.strip()
        path = unquote_path(text)
        return path if path.startswith(("/", "~", "./")) else text

    @property
    def problem(self) -> str | None:
        """The error of the typed text, in one line; `None` if it is valid."""
        return None if self.value == self.field.value else self._check(self.field.key, self.value)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Check the text while it is typed."""
        event.stop()
        if event.value != sanitize(self.field.value):
            event.input.select_on_focus = False  # the next key continues what is typed, even after a resize
        problem = self.problem
        message = self.query_one("#message", Static)
        message.set_class(problem is not None, "-error")
        message.update(sanitize(f"✗ {problem}" if problem else self._hint()))

    def _hint(self) -> str:
        choices = f" ({', '.join(self.field.choices)})" if self.field.choices else ""
        return sanitize(
            f"{self.field.kind}{choices}: {self.field.help}" if self.field.help else self.field.kind
        )


class Form(VerticalScroll, can_focus=True, inherit_bindings=False):
    """Rows with a cursor. The pane checks what is typed (`check`) and handles the messages about changes."""

    DEFAULT_CSS = """
    Form { height: 1fr; scrollbar-size-vertical: 1; scrollbar-background: $background; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", show=False),
        Binding("down,j", "move(1)", show=False),
        Binding("pageup", "move(-10)", show=False),
        Binding("pagedown", "move(10)", show=False),
        Binding("g,home", "move(-10000)", show=False),
        Binding("G,end", "move(10000)", show=False),
        Binding("enter,ctrl+j,space", "open", "edit"),
        Binding("delete,backspace", "reset", "default"),
        Binding("escape", "leave", "back", show=False),
    ]

    @dataclass
    class Highlighted(Message):
        """The cursor is on this row."""

        field: Field

    @dataclass
    class Changed(Message):
        """The user changed the value of a row (`value` as typed)."""

        key: str
        value: str

    @dataclass
    class Opened(Message):
        """A row that the pane edits itself (`pick`, `choice`) was opened."""

        field: Field

    @dataclass
    class Reset(Message):
        """The user reset a row to its default."""

        key: str

    class Closed(Message):
        """The user pressed `esc` while no row was open."""

    def __init__(self, check: Callable[[str, str], str | None], *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._check = check
        self.closable = False
        """Whether `esc` also closes the form, not only an open row."""
        self._fields: list[Field] = []
        self.cursor = 0

    def show(self, fields: Sequence[Field]) -> None:
        """Show `fields`. The cursor stays on its key, if that is among them."""
        key = self.highlighted.key if self.highlighted else None
        before, self._fields = [field.key for field in self._fields], list(fields)
        keys = [field.key for field in fields]
        if keys == before:
            self._fill()
            return
        first = next((i for i, f in enumerate(fields) if f.kind != "heading"), 0)
        self.cursor = keys.index(key) if key in keys else first
        self._remount()

    @property
    def rows(self) -> list[FormRow]:
        """The rows from top to bottom."""
        return list(self.query(FormRow))

    @property
    def editor(self) -> Editor | None:
        """The row that is being edited, if any."""
        return next(iter(self.query(Editor)), None)

    @property
    def highlighted(self) -> Field | None:
        """The row under the cursor."""
        return self._fields[self.cursor] if self.cursor < len(self._fields) else None

    @work(group="rows", exclusive=True)
    async def _remount(self) -> None:
        with self.app.batch_update():
            await self.remove_children()
            await self.mount_all(FormRow(field) for field in self._fields)
        self._fill()
        self._highlight_cursor()

    def _fill(self) -> None:
        """Show the fields in the mounted rows."""
        for row, field in zip(self.rows, self._fields, strict=False):
            row.show(field)

    def watch_has_focus(self, _has_focus: bool) -> None:
        super().watch_has_focus(_has_focus)
        self._highlight_cursor()

    def on_descendant_blur(self) -> None:
        # A click outside closes the open row; without any focus it is only hidden, in a terminal that is too small.
        editor = self.editor
        if editor is not None and self.screen.focused not in {None, editor.query_one(Input)}:
            self._close(focus=False)

    async def on_click(self, event: events.Click) -> None:
        """Move the cursor to the clicked row; a click on the row under the cursor opens it."""
        row = event.widget
        if not isinstance(row, FormRow) or row.field.kind == "heading":
            return
        index = self.rows.index(row)
        if index == self.cursor and row.highlighted:
            await self.action_open()
        else:
            self.cursor = index
            self._highlight_cursor()

    def action_move(self, by: int) -> None:
        """Move the cursor by `by` rows, skipping headings."""
        indices = [i for i, row in enumerate(self.rows) if row.field.kind != "heading"]
        if not indices:
            return
        current = indices.index(self.cursor) if self.cursor in indices else 0
        self.cursor = indices[max(0, min(len(indices) - 1, current + by))]
        self._highlight_cursor()

    async def action_open(self) -> None:
        """Edit the row under the cursor."""
        field = self.highlighted
        if field is None or field.kind == "heading" or self.editor is not None:
            return
        if field.kind == "yes/no":
            self.post_message(self.Changed(field.key, "no" if field.value == "yes" else "yes"))
        elif field.kind in {"pick", "choice"}:
            self.post_message(self.Opened(field))
        else:
            await self._edit(field)

    async def _edit(self, field: Field) -> None:
        row, editor = self.rows[self.cursor], Editor(field, self._check)
        await self.mount(editor, after=row)
        row.display = False
        editor.query_one(Input).focus()
        editor.scroll_visible(animate=False)

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        editor = self.editor
        if editor is None or editor.problem is not None:
            return
        field, value = editor.field, editor.value
        self._close()
        if value != field.value:
            self.post_message(self.Changed(field.key, value))

    def action_reset(self) -> None:
        """Reset the row under the cursor to its default."""
        if self.highlighted is not None and self.editor is None:
            self.post_message(self.Reset(self.highlighted.key))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """`esc` belongs to the form only while a row is open, or the form can be closed."""
        return action != "leave" or self.editor is not None or self.closable

    def action_leave(self) -> None:
        """Close the open row, else the form."""
        if self.editor is not None:
            self._close()
        else:
            self.post_message(self.Closed())

    def _close(self, focus: bool = True) -> None:
        editor = self.editor
        if editor is None:
            return
        if focus:
            self.focus()
        editor.remove()
        for row in self.rows:
            row.display = True

    def _highlight_cursor(self) -> None:
        """Highlight the cursor's row while the form has the focus."""
        for index, row in enumerate(self.rows):
            at_cursor = self.has_focus and index == self.cursor
            row.set_highlighted(at_cursor)
            if at_cursor:
                self.show_cursor()
                self.post_message(self.Highlighted(row.field))

    def on_resize(self) -> None:
        """Keep the cursor visible."""
        self.show_cursor()

    def show_cursor(self) -> None:
        """Scroll to the cursor's row while the form has the focus.

        To be called too when another widget takes rows from the form: while it scrolls, Textual does not always
        send it a `Resize`.
        """
        if self.has_focus and self.cursor < len(self.rows):
            self.scroll_to_widget(self.rows[self.cursor], animate=False, origin_visible=True)
