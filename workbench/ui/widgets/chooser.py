"""Choosing one of many: a line to type in, and the rows that fit what is typed, under it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from workbench.core.errors import BadInput
from workbench.core.text import cell_width, cut, pad, safe
from workbench.ui.widgets.path_completion import Names, common, complete

LEAST, MOST, FRAME = 4, 30, 2
"""Rows of the lowest finder, of the highest box around one, and of the box's frame."""
ROOM_FOR_HINTS = 9
"""A finder of fewer rows leaves its hint out."""


@dataclass(frozen=True)
class Row:
    """One thing that can be chosen."""

    key: str
    """What is answered when it is chosen."""
    cells: tuple[str, ...]
    group: str = ""
    leads: bool = False
    """Choosing it goes on typing behind it (a folder on the way to a file)."""


Find = Callable[[str], list[Row]]
"""The rows that fit what is typed."""


def filtering(rows: Sequence[Row], paths: Find | None = None) -> Find:
    """Finds the rows that hold every word typed, in any case; `paths` is asked for what looks like a path."""

    def find(text: str) -> list[Row]:
        if paths and (text.startswith((".", "/", "~", "folder:")) or ".py" in text):
            return paths(text)
        words = text.lower().split()
        fitting = [row for row in rows if all(w in " ".join(row.cells).lower() for w in words)]
        # What is called so comes before what is described so.
        return sorted(fitting, key=lambda row: _distance(row.cells[0].lower(), words))

    return find


def _distance(name: str, words: Sequence[str]) -> int:
    """How far a name is from what was typed: that very word, one that begins so, any other."""
    if not words or name == words[0]:
        return 0
    return 1 if name.startswith(words[0]) else 2


def files(
    endings: tuple[str, ...], *, prefix: str = "", folders_only: bool = False, leads: bool = True
) -> Find:
    """Finds paths that complete what is typed behind `prefix`. `leads`: folders are on the way to something."""

    def find(text: str) -> list[Row]:
        found = complete(text.removeprefix(prefix), endings, folders_only=folders_only)
        return [Row(prefix + path, (_last_part(path),), leads=leads and path.endswith("/")) for path in found]

    return find


def _last_part(path: str) -> str:
    """What tells a path from its neighbours: a long beginning would hide it."""
    last = path.rstrip("/").rpartition("/")[2]
    return f"{last}/" if path.endswith("/") else last


def lay_out(rows: Sequence[Row], width: int, drop: Sequence[int] = ()) -> list[str]:
    """The rows as lines of at most `width` cells, columns under each other.

    The second column gives way first, then the columns `drop` are left out, in that order.
    """
    if not rows:
        return []
    count = max(len(row.cells) for row in rows)
    wide = [
        max((cell_width(safe(c)) for r in rows for c in r.cells[i : i + 1]), default=0) for i in range(count)
    ]
    kept = list(range(count))
    least = [min(w, 18) if i == 1 and count > 1 else w for i, w in enumerate(wide)]
    for column in drop:
        if sum(least[i] + 2 for i in kept) - 2 > width:
            kept.remove(column)
    spare = width - (sum(least[i] + 2 for i in kept) - 2)
    if 1 in kept and count > 1:
        least[1] = min(wide[1], least[1] + max(0, spare))
    return [
        cut("  ".join(pad(safe(r.cells[i]), least[i]) for i in kept if i < len(r.cells)), width) for r in rows
    ]


class Finder(Vertical):
    """A line to type in with what fits under it. Down and up move in the list, tab completes, enter chooses."""

    DEFAULT_CSS = """
    Finder { height: 1fr; }
    Finder > Horizontal { height: 1; background: $boost; }
    Finder #prompt { width: auto; color: $text-muted; }
    Finder Input { width: 1fr; height: 1; border: none; padding: 0; background: transparent; }
    Finder Input:focus { border: none; }
    Finder > #heads { height: 1; color: $text-muted; }
    Finder > #said { height: auto; max-height: 3; color: $text-muted; }
    Finder > #nothing { height: 1; color: $text-warning; display: none; }
    Finder > #said.-error { color: $text-error; }
    Finder > OptionList {
        height: 1fr; border: none; padding: 0; background: transparent; scrollbar-size-vertical: 1;
        scrollbar-background: $surface;
    }
    Finder > OptionList:focus { border: none; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "move(1)", "next", show=False, priority=True),
        Binding("up", "move(-1)", "before", show=False, priority=True),
        Binding("pagedown", "move(10)", show=False, priority=True),
        Binding("pageup", "move(-10)", show=False, priority=True),
        Binding("tab", "complete", "complete", priority=True),
        Binding("enter,ctrl+j", "choose", "choose", priority=True),
        Binding("escape", "leave", "back", priority=True),
    ]

    @dataclass
    class Chosen(Message):
        """A row, or what was typed, was chosen."""

        key: str

    class Left(Message):
        """Nothing was chosen."""

    @dataclass
    class Pointed(Message):
        """The cursor of the list came to another row."""

        key: str

    def __init__(
        self,
        find: Find,
        *,
        value: str = "",
        hint: str = "",
        check: Callable[[str], object] | None = None,
        heads: tuple[str, ...] = (),
        drop: Sequence[int] = (),
        point_first: bool = True,
        typed: bool = False,
        id: str | None = None,
    ) -> None:
        """`check` raises `BadInput` for what can't be chosen; `typed`: text that is no row may be chosen too."""
        super().__init__(id=id)
        self._find, self._check, self._drop = find, check, drop
        self._heads = heads
        self._value, self._hint, self._point_first, self._typed = value, hint, point_first, typed
        self._rows: list[Row] = []
        self._names = Names()

    def compose(self) -> ComposeResult:
        """The line, what is said about it, the list."""
        with Horizontal():
            yield Static("filter ▸ " if self._point_first else "▸ ", id="prompt")
            yield Input(self._value, compact=True, select_on_focus=False)
        yield Static(self._hint, id="said", markup=False)
        yield Static("", id="heads", markup=False)
        yield Static("", id="nothing", markup=False)
        yield OptionList(markup=False)

    def on_mount(self) -> None:
        """Take the keys; the list itself never has the focus."""
        self.query_one(OptionList).can_focus = False
        self.query_one(Input).focus()
        self.call_after_refresh(self._refill)

    def on_resize(self) -> None:
        """Columns fit the width; where it is low the rows matter more than the hint."""
        self.say(self._hint)
        self._refill()

    @on(Input.Changed)
    def _typed_on(self, event: Input.Changed) -> None:
        event.stop()
        self.say(self._hint)
        self._refill()

    @on(OptionList.OptionHighlighted)
    def _pointed(self, event: OptionList.OptionHighlighted) -> None:
        event.stop()
        if event.option.id is not None:
            self.post_message(self.Pointed(self._rows[int(event.option.id)].key))

    @on(OptionList.OptionSelected)
    def _clicked(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.action_choose()

    def say(self, text: str, error: bool = False) -> None:
        """One line under what is typed."""
        said = self.query_one("#said", Static)
        said.set_class(error, "-error")
        said.update(safe(text))
        said.display = bool(text) and (error or self.size.height >= ROOM_FOR_HINTS)

    def action_move(self, by: int) -> None:
        """Move the cursor of the list, over its headings, staying inside."""
        options = self.query_one(OptionList)
        places = [i for i in range(options.option_count) if not options.get_option_at_index(i).disabled]
        if not places:
            return
        at = options.highlighted
        now = places.index(at) + by if at in places else (0 if by > 0 else len(places) - 1)
        options.highlighted = places[max(0, min(len(places) - 1, now))]

    def action_complete(self) -> None:
        """Type what the row at the cursor says, or what all rows begin with."""
        keys = [self._names.show(row.key) for row in self._rows]
        pointed = self._pointed_row()
        best = self._names.show(pointed.key) if pointed else common(keys)
        value = self.query_one(Input).value
        if best and (pointed or len(best) > len(value)):
            self._type(best)

    def action_choose(self) -> None:
        """Choose the row at the cursor, else what is typed."""
        typed = self.query_one(Input).value.strip()
        row = self._pointed_row()
        if row is not None and row.leads:
            self._type(self._names.show(row.key))
        elif row is not None:
            self._choose(row.key)
        elif typed and (self._typed or self._rows == []):
            self._choose(self._names.real(typed))

    def action_leave(self) -> None:
        """Choose nothing."""
        self.post_message(self.Left())

    def _choose(self, key: str) -> None:
        try:
            if self._check:
                self._check(key)
        except BadInput as error:
            self.say(str(error), error=True)
            return
        self.post_message(self.Chosen(key))

    def _type(self, text: str) -> None:
        field = self.query_one(Input)
        field.value = text
        field.cursor_position = len(text)

    def _pointed_row(self) -> Row | None:
        options = self.query_one(OptionList)
        option = options.highlighted_option
        return self._rows[int(option.id)] if option is not None and option.id is not None else None

    def _refill(self) -> None:
        options = self.query_one(OptionList)
        before = self._pointed_row()
        self._rows = self._find(self._names.real(self.query_one(Input).value))
        width = max(1, options.size.width - 1)
        options.set_options(self._options(width))
        typed = self.query_one(Input).value.strip().lower()
        self._say_nothing(typed)
        called = next((i for i, r in enumerate(self._rows) if r.cells[0].lower() == typed), None)
        same = next((i for i, r in enumerate(self._rows) if before and r.key == before.key), None)
        same = same if called is None else called  # whatever was pointed at: this was typed out
        # Of a path as it is typed nothing is pointed at: enter takes what stands there, not what could follow.
        if same is None and self._point_first and self._rows and "/" not in self.query_one(Input).value:
            same = 0
        options.highlighted = None if same is None else options.get_option_index(str(same))

    def _say_nothing(self, typed: str) -> None:
        """An empty list says of what it is empty, but where what is typed can be taken as it stands."""
        nothing = self.query_one("#nothing", Static)
        own = self._typed and any(mark in typed for mark in "/.:")
        nothing.display = bool(typed) and not self._rows and self._point_first and not own
        nothing.update(safe(f"nothing matches '{typed}'"))

    @property
    def rows_needed(self) -> int:
        """Rows that the whole of it takes: the line, what is said, heads, groups, what can be chosen."""
        rows = self._find(self._value)
        groups = len({row.group for row in rows if row.group})
        needed = 1 + len(rows) + groups + bool(self._heads)
        return max(ROOM_FOR_HINTS, needed + len(self._hint) // 80 + 1) if self._hint else max(LEAST, needed)

    def _options(self, width: int) -> list[Option]:
        listed = bool(self._heads) and all(len(row.cells) == len(self._heads) for row in self._rows)
        head = [Row("", self._heads)] if listed else []
        lines = lay_out([*head, *self._rows], width, self._drop)
        heads = self.query_one("#heads", Static)
        heads.display = listed and bool(self._rows)
        heads.update(lines.pop(0) if listed else "")
        options, group = [], ""
        for index, (row, line) in enumerate(zip(self._rows, lines, strict=True)):
            if row.group != group:
                group = row.group
                options.append(Option(Text(group, style="dim"), disabled=True))
            options.append(Option(Text(line, no_wrap=True), id=str(index)))
        return options


class Chooser(ModalScreen[str | None]):
    """A finder over the screen. Its answer is the key that was chosen, `None` where it was left."""

    DEFAULT_CSS = """
    Chooser { align: center middle; }
    Chooser > Finder {
        width: 100%; max-width: 104; max-height: 100%; padding: 0 1;
        border: round $accent; background: $surface;
    }
    """

    def __init__(self, title: str, finder: Finder) -> None:
        super().__init__()
        self._title, self._finder = title, finder

    def compose(self) -> ComposeResult:
        """The finder in a frame."""
        self._finder.border_title = safe(self._title).replace("[", "\\[")
        self._finder.border_subtitle = "enter choose · tab complete · esc back"
        self._finder.styles.height = min(MOST, self._finder.rows_needed + FRAME)
        yield self._finder

    def on_finder_chosen(self, event: Finder.Chosen) -> None:
        """Answer with it."""
        self.dismiss(event.key)

    def on_finder_left(self) -> None:
        """Answer with nothing."""
        self.dismiss(None)
