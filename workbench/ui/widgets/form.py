"""A form of rows: letters belong to the pane until `enter` opens a row for typing; `esc` leaves it."""

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

from workbench.core.text import cell_width, cut, pad, safe

LABEL = 18
"""Cells of the column of labels."""


@dataclass(frozen=True)
class Field:
    """One row, as it is shown."""

    key: str
    label: str
    value: str
    kind: str = "text"
    """`heading`, `yes/no`, `choice` (of `choices`), `pick` (the pane opens it), or what `Setting.kind` says."""
    changed: bool = False
    """Set by hand: shown bright. What is a default is dim."""
    help: str = ""
    choices: tuple[str, ...] = ()


def matching(fields: Sequence[Field], words: str) -> list[Field]:
    """The rows whose key, value or help has every one of `words`, in any case; all of them where there are none."""
    wanted = words.lower().split()
    if not wanted:
        return list(fields)
    return [
        field
        for field in fields
        if field.kind != "heading"
        and all(word in f"{field.key} {field.value} {field.help}".lower() for word in wanted)
    ]


class FormRow(Widget):
    """One row that is not being typed in."""

    DEFAULT_CSS = """
    FormRow { height: 1; width: 1fr; }
    FormRow.-pointed { background: $primary 25%; }
    """

    field: Field
    pointed = False

    def __init__(self, field: Field) -> None:
        super().__init__()
        self.field = field

    def show(self, field: Field) -> None:
        """Another value in the same row."""
        if field != self.field:
            self.field = field
            self.refresh()

    def point(self, pointed: bool) -> None:
        """Whether the cursor stands here."""
        if pointed != self.pointed:
            self.pointed = pointed
            self.set_class(pointed, "-pointed")
            self.refresh()

    def render(self) -> Text:
        """Mark, label, value, and what it means as far as there is room."""
        return draw(self.field, self.size.width, self.pointed)


def room_of(width: int) -> int:
    """The cells that a value has in a row of so many."""
    return max(1, width - _label_width(width) - 3)


def _label_width(width: int) -> int:
    return min(LABEL, max(6, width // 3))


def draw(field: Field, width: int, pointed: bool = False) -> Text:
    """A row of `width` cells."""
    if field.kind == "heading":
        return Text(cut(safe(field.label), width), style="bold dim", no_wrap=True)
    label = pad(safe(field.label), _label_width(width))
    value = cut(safe(field.value), room_of(width))
    text = Text(no_wrap=True, end="")
    text.append("▸ " if pointed else "  ", style="bold")
    text.append(label + " ", style="bold" if pointed else "")
    text.append(value, style="bold" if field.changed or field.kind == "pick" else "dim")
    text.append(" " * max(0, 12 - cell_width(value)))
    left = width - text.cell_len - 2
    if field.help and left > 12:
        text.append("  " + cut(safe(field.help), left), style="dim italic")
    text.truncate(width, overflow="ellipsis")
    return text


class Editor(Vertical):
    """The row that is being typed in, and under it what is wrong with it or what it can be."""

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
        """Label, line, message."""
        with Horizontal():
            yield Static("▸ " + pad(self.field.label, LABEL) + " ", classes="-label", markup=False)
            yield Input(self.field.value, compact=True, select_on_focus=True)
        yield Static(self._hint(), id="message", markup=False)

    @property
    def value(self) -> str:
        """What is typed."""
        return self.query_one(Input).value.strip()

    @property
    def problem(self) -> str | None:
        """What is wrong with it, in one line."""
        return None if self.value == self.field.value else self._check(self.field.key, self.value)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Say at once what can't be."""
        event.stop()
        problem = self.problem
        message = self.query_one("#message", Static)
        message.set_class(problem is not None, "-error")
        message.update(safe(f"✗ {problem}" if problem else self._hint()))

    def _hint(self) -> str:
        choices = f" ({', '.join(self.field.choices)})" if self.field.choices else ""
        return safe(f"{self.field.kind}{choices}: {self.field.help}" if self.field.help else self.field.kind)


class Form(VerticalScroll, can_focus=True, inherit_bindings=False):
    """Rows with a cursor. What a row means is the pane's matter: it checks what is typed and takes what changed."""

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
    class Changed(Message):
        """A row was given another value (as typed)."""

        key: str
        value: str

    @dataclass
    class Opened(Message):
        """A row that the pane itself opens (`pick`, `choice`) was opened."""

        field: Field

    @dataclass
    class Reset(Message):
        """A row is to have its default again."""

        key: str

    class Left(Message):
        """`esc` was pressed while no row was open."""

    def __init__(self, check: Callable[[str, str], str | None], *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._check = check
        self.can_leave = False
        """Whether `esc` leaves the form too, not only a row."""
        self._fields: list[Field] = []
        self.cursor = 0

    def show(self, fields: Sequence[Field]) -> None:
        """Show these rows; the cursor stays on its key where that is still there."""
        key = self.pointed.key if self.pointed else None
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
        """The row that is being typed in."""
        return next(iter(self.query(Editor)), None)

    @property
    def pointed(self) -> Field | None:
        """The row under the cursor."""
        return self._fields[self.cursor] if self.cursor < len(self._fields) else None

    @work(group="rows", exclusive=True)
    async def _remount(self) -> None:
        with self.app.batch_update():
            await self.remove_children()
            await self.mount_all(FormRow(field) for field in self._fields)
        self._fill()
        self._point()

    def _fill(self) -> None:
        """Each row its field, where the rows are there already."""
        for row, field in zip(self.rows, self._fields, strict=False):
            row.show(field)

    def watch_has_focus(self, _has_focus: bool) -> None:
        """The cursor shows where the keys go; without the focus there is none."""
        super().watch_has_focus(_has_focus)
        self._point()

    def on_descendant_blur(self) -> None:
        """Whoever clicks elsewhere has left the row."""
        editor = self.editor
        if editor is not None and not editor.query_one(Input).has_focus:
            self._close(focus=False)

    async def on_click(self, event: events.Click) -> None:
        """A click puts the cursor on a row; a click on the row under the cursor opens it."""
        row = event.widget
        if not isinstance(row, FormRow) or row.field.kind == "heading":
            return
        at = self.rows.index(row)
        if at == self.cursor and row.pointed:
            await self.action_open()
        else:
            self.cursor = at
            self._point()

    def action_move(self, by: int) -> None:
        """Move the cursor, over the headings, staying inside."""
        places = [i for i, row in enumerate(self.rows) if row.field.kind != "heading"]
        if not places:
            return
        at = places.index(self.cursor) if self.cursor in places else 0
        self.cursor = places[max(0, min(len(places) - 1, at + by))]
        self._point()

    async def action_open(self) -> None:
        """Open the row under the cursor: a line to type in, another of two values, or what the pane has for it."""
        field = self.pointed
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
        """Give the row under the cursor its default again."""
        if self.pointed is not None and self.editor is None:
            self.post_message(self.Reset(self.pointed.key))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """`esc` is the form's only while there is something to leave."""
        return action != "leave" or self.editor is not None or self.can_leave

    def action_leave(self) -> None:
        """Leave the row that is open, else the form."""
        if self.editor is not None:
            self._close()
        else:
            self.post_message(self.Left())

    def _close(self, focus: bool = True) -> None:
        editor = self.editor
        if editor is None:
            return
        if focus:
            self.focus()
        editor.remove()
        for row in self.rows:
            row.display = True

    def _point(self) -> None:
        shown = self.has_focus
        for index, row in enumerate(self.rows):
            row.point(shown and index == self.cursor)
            if shown and index == self.cursor:
                self.scroll_to_widget(row, animate=False, origin_visible=True)
