"""Choosing one of many options: an input line, and the options that match it below."""

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
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option as ListItem

from workbench.core.errors import UserError
from workbench.core.paths import unquote_path
from workbench.core.text import cell_width, common_prefix, pad, sanitize, truncate
from workbench.ui.base.dialog import Dialog
from workbench.ui.widgets.path_completion import DisplayedPaths, complete_path
from workbench.ui.widgets.text_input import TextInput

MIN_ROWS, MAX_ROWS, FRAME_ROWS = 4, 30, 2
"""Rows of the smallest finder, of the largest box around one, and of the box's frame."""
MIN_ROWS_WITH_HINT = 9
"""A finder of fewer rows does not show its hint."""
MIN_SECOND_COLUMN = 18
"""Cells that the second column keeps before other columns are left out."""


@dataclass(frozen=True)
class Option:
    """One option of a finder."""

    key: str
    """The result of choosing it."""
    cells: tuple[str, ...]
    """Its text by column."""
    group: str = ""
    """A heading above it."""
    expands: bool = False
    """Choosing it only puts its key into the input line (a folder on the way to a file)."""


FindOptions = Callable[[str], list[Option]]
"""The options that match a text."""


def filter_options(
    options: Sequence[Option], paths: FindOptions | None = None, prefixes: tuple[str, ...] = ()
) -> FindOptions:
    """A function that finds the options containing every word of a text, ignoring case.

    Text that looks like a path, or begins with one of `prefixes`, is passed to `paths`.
    """

    def find(text: str) -> list[Option]:
        if paths and (text.startswith((".", "/", "~", *prefixes)) or ".py" in text):
            return paths(text)
        words = text.lower().split()
        matches = [o for o in options if all(word in " ".join(o.cells).lower() for word in words)]
        # A match in the name is better than one in the description.
        return sorted(matches, key=lambda option: _match_rank(option.cells[0].lower(), words))

    return find


def _match_rank(name: str, words: Sequence[str]) -> int:
    """0 for the exact name, 1 for a prefix of it, 2 for any other match."""
    if not words or name == words[0]:
        return 0
    return 1 if name.startswith(words[0]) else 2


def path_options(
    suffixes: tuple[str, ...], *, prefix: str = "", folders_only: bool = False, expand_folders: bool = True
) -> FindOptions:
    """A function that finds the paths beginning with a text, behind `prefix`.

    `suffixes` are those of the files to list. With `expand_folders`, choosing a folder lists its content.
    """

    def find(text: str) -> list[Option]:
        paths = complete_path(text.removeprefix(prefix), suffixes, folders_only=folders_only)
        return [
            Option(prefix + path, (_last_part(path),), expands=expand_folders and path.endswith("/"))
            for path in paths
        ]

    return find


def _last_part(path: str) -> str:
    """The last component of a path, with the slash of a folder."""
    last = path.rstrip("/").rpartition("/")[2]
    return f"{last}/" if path.endswith("/") else last


def format_columns(options: Sequence[Option], width: int, drop_columns: Sequence[int] = ()) -> list[str]:
    """The options as aligned lines of at most `width` cells.

    Where the width does not suffice, the second column shrinks first, then `drop_columns` are left out, in order.
    """
    if not options:
        return []
    full = _column_widths(options)
    widths = [min(w, MIN_SECOND_COLUMN) if i == 1 else w for i, w in enumerate(full)]
    columns = list(range(len(full)))
    for column in drop_columns:
        if _line_width(widths, columns) > width:
            columns.remove(column)
    if 1 in columns:
        widths[1] = min(full[1], widths[1] + max(0, width - _line_width(widths, columns)))
    return [
        truncate("  ".join(pad(sanitize(o.cells[i]), widths[i]) for i in columns if i < len(o.cells)), width)
        for o in options
    ]


def _column_widths(options: Sequence[Option]) -> list[int]:
    count = max(len(option.cells) for option in options)
    return [max(cell_width(sanitize(o.cells[i])) for o in options if i < len(o.cells)) for i in range(count)]


def _line_width(widths: Sequence[int], columns: Sequence[int]) -> int:
    return sum(widths[i] + 2 for i in columns) - 2


class Finder(Vertical):
    """An input line with the matching options. Up and down move in the list, tab completes, enter chooses."""

    DEFAULT_CSS = """
    Finder { height: 1fr; }
    Finder > Horizontal { height: 1; background: $boost; }
    Finder #prompt { width: auto; color: $text-muted; }
    Finder Input { width: 1fr; height: 1; border: none; padding: 0; background: transparent; }
    Finder Input:focus { border: none; }
    Finder > #headers { height: 1; color: $text-muted; }
    Finder > #hint { height: auto; max-height: 3; color: $text-muted; }
    Finder > #no-match { height: 1; color: $text-warning; display: none; }
    Finder > #hint.-error { color: $text-error; }
    Finder > OptionList {
        height: 1fr; border: none; padding: 0; background: transparent; scrollbar-size-vertical: 1;
        scrollbar-background: $surface;
    }
    Finder > OptionList:focus { border: none; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "move(1)", "next", show=False, priority=True),
        Binding("up", "move(-1)", "previous", show=False, priority=True),
        Binding("pagedown", "move(10)", show=False, priority=True),
        Binding("pageup", "move(-10)", show=False, priority=True),
        Binding("tab", "complete", "complete", priority=True),
        Binding("enter,ctrl+j", "choose", "choose", priority=True),
        Binding("escape", "leave", "back", priority=True),
    ]

    @dataclass
    class Selected(Message):
        """An option, or the typed text, was chosen."""

        key: str

    class Cancelled(Message):
        """The finder was closed without a choice."""

    @dataclass
    class Highlighted(Message):
        """The cursor moved to another option."""

        key: str

    def __init__(
        self,
        find: FindOptions,
        *,
        value: str = "",
        hint: str = "",
        check: Callable[[str], object] | None = None,
        headers: tuple[str, ...] = (),
        drop_columns: Sequence[int] = (),
        highlight_first: bool = True,
        allow_text: bool = False,
        current: str | None = None,
        id: str | None = None,
    ) -> None:
        """`check` raises `UserError` for a key that can't be chosen. `current`: the key that is highlighted at first.

        With `allow_text`, text that matches no option can be chosen too. `headers` are shown above the options
        that have as many cells. Without `highlight_first`, no option is highlighted until the user moves.
        """
        super().__init__(id=id)
        self._find, self._check, self._drop_columns = find, check, drop_columns
        self._headers, self._value, self._hint = headers, value, hint
        self._highlight_first, self._allow_text = highlight_first, allow_text
        self.current = current
        self._filled_for: str | None = None
        """The text whose matches are shown; `None` before the first ones are."""
        self._options: list[Option] = []
        self._paths = DisplayedPaths()

    def compose(self) -> ComposeResult:
        with Horizontal():
            yield Static("filter ▸ " if self._highlight_first else "▸ ", id="prompt")
            yield TextInput(self._paths.display(self._value), compact=True, select_on_focus=False)
        yield Static(self._hint, id="hint", markup=False)
        yield Static("", id="headers", markup=False)
        yield Static("", id="no-match", markup=False)
        yield OptionList(markup=False)

    def on_mount(self) -> None:
        # Only the input line takes the focus.
        self.query_one(OptionList).can_focus = False
        self.query_one(Input).focus()
        self.call_after_refresh(self._refill)

    def on_resize(self) -> None:
        if self.query(OptionList):  # it may be closed before it was shown
            self.show_message(self._hint)
            self._refill()

    @on(Input.Changed)
    def _input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self.show_message(self._hint)
        self._refill()

    @on(OptionList.OptionHighlighted)
    def _option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        event.stop()
        if event.option.id is not None:
            self.post_message(self.Highlighted(self._options[int(event.option.id)].key))

    @on(OptionList.OptionSelected)
    def _option_clicked(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.action_choose()

    def show_message(self, text: str, error: bool = False) -> None:
        """Show `text` under the input line; a hint only where there is room for it."""
        line = self.query_one("#hint", Static)
        line.set_class(error, "-error")
        line.update(sanitize(text))
        line.display = bool(text) and (error or self.size.height >= MIN_ROWS_WITH_HINT)
        # The message takes rows from the list.
        self.call_after_refresh(self.query_one(OptionList).scroll_to_highlight)

    def action_move(self, by: int) -> None:
        """Move the cursor by `by` options, skipping headings."""
        items = self.query_one(OptionList)
        enabled = [i for i in range(items.option_count) if not items.get_option_at_index(i).disabled]
        if not enabled:
            return
        current = items.highlighted
        target = enabled.index(current) + by if current in enabled else (0 if by > 0 else len(enabled) - 1)
        items.highlighted = enabled[max(0, min(len(enabled) - 1, target))]

    def action_complete(self) -> None:
        """Complete the input to the highlighted option, else to the common prefix of all options."""
        keys = [self._paths.display(option.key) for option in self._options]
        highlighted = self._highlighted_option()
        completion = self._paths.display(highlighted.key) if highlighted else common_prefix(keys)
        if completion and (highlighted or len(completion) > len(self._text)):
            self._set_text(completion)

    def action_choose(self) -> None:
        """Choose the highlighted option, else the typed text."""
        text = self._text.strip()
        option = self._highlighted_option()
        if option is not None and option.expands:
            self._set_text(self._paths.display(option.key))
        elif option is not None:
            self._accept(option.key)
        elif text and (self._allow_text or self._options == []):
            self._accept(self._resolved_text)

    def action_leave(self) -> None:
        """Close the finder without a choice."""
        self.post_message(self.Cancelled())

    def _accept(self, key: str) -> None:
        try:
            if self._check:
                self._check(key)
        except UserError as error:
            self.show_message(str(error), error=True)
            return
        self.post_message(self.Selected(key))

    @property
    def _text(self) -> str:
        return self.query_one(Input).value

    @property
    def _resolved_text(self) -> str:
        """The typed text; of a displayed or quoted path, the real one."""
        resolved = self._paths.resolve(self._text)
        return unquote_path(resolved) if resolved == self._text else resolved

    def _set_text(self, text: str) -> None:
        field = self.query_one(Input)
        field.value = text
        field.cursor_position = len(text)

    def _highlighted_option(self) -> Option | None:
        item = self.query_one(OptionList).highlighted_option
        return self._options[int(item.id)] if item is not None and item.id is not None else None

    def _refill(self) -> None:
        if not self.query(OptionList):
            return  # closed again before it was shown
        items = self.query_one(OptionList)
        before = self._highlighted_option()
        self._options = self._find(self._resolved_text)
        items.set_options(self._list_items(max(1, items.size.width - 1)))
        self._show_no_match(self._text.strip().lower())
        index = self._index_to_highlight(before)
        items.highlighted = None if index is None else items.get_option_index(str(index))
        self.call_after_refresh(items.scroll_to_highlight)  # by then the list has its new height

    def _index_to_highlight(self, before: Option | None) -> int | None:
        """After typing, the option whose name is typed in full, else the first; else the one highlighted before."""
        text, shown = self._text.strip().lower(), self._filled_for
        self._filled_for = text
        exact = next((i for i, o in enumerate(self._options) if o.cells[0].lower() == text), None)
        if exact is not None:
            return exact
        # While a path is typed nothing is highlighted: enter takes the text, not one of its completions.
        first = 0 if self._highlight_first and self._options and "/" not in text else None
        kept = self.current if shown is None or (not text and shown) else before.key if before else None
        if text not in {shown, ""}:
            return first
        return next((i for i, option in enumerate(self._options) if option.key == kept), first)

    def _show_no_match(self, text: str) -> None:
        """Say that nothing matches, unless the text itself can be chosen."""
        line = self.query_one("#no-match", Static)
        choosable = self._allow_text and any(character in text for character in "/.:")
        line.display = bool(text) and not self._options and self._highlight_first and not choosable
        line.update(sanitize(f"nothing matches '{text}'"))

    @property
    def height_needed(self) -> int:
        """Rows that it takes to show everything: input line, hint, headers, group headings and options."""
        options = self._find(self._value)
        groups = len({option.group for option in options if option.group})
        rows = 1 + len(options) + groups + bool(self._headers)
        if not self._hint:
            return max(MIN_ROWS, rows)
        return max(MIN_ROWS_WITH_HINT, rows + len(self._hint) // 80 + 1)

    def _list_items(self, width: int) -> list[ListItem]:
        """The list's items, a disabled one as the heading of each group."""
        items, group = [], ""
        for index, (option, line) in enumerate(zip(self._options, self._lines(width), strict=True)):
            if option.group != group:
                group = option.group
                items.append(ListItem(Text(group, style="dim"), disabled=True))
            items.append(ListItem(Text(line, no_wrap=True), id=str(index)))
        return items

    def _lines(self, width: int) -> list[str]:
        """The options' lines; shows the headers where they fit the options."""
        with_headers = bool(self._headers) and all(len(o.cells) == len(self._headers) for o in self._options)
        header = [Option("", self._headers)] if with_headers else []
        lines = format_columns([*header, *self._options], width, self._drop_columns)
        headers = self.query_one("#headers", Static)
        headers.display = with_headers and bool(self._options)
        headers.update(lines.pop(0) if with_headers else "")
        return lines


class Chooser(Dialog[str | None]):
    """A finder in a box over the screen.

    Its result is the chosen key; `None` if it was closed, or the current key was chosen: looking changes nothing.
    """

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
        self._finder.border_title = sanitize(self._title).replace("[", "\\[")
        self._finder.border_subtitle = "enter choose · tab complete · esc back"
        self._finder.styles.height = min(MAX_ROWS, self._finder.height_needed + FRAME_ROWS)
        yield self._finder

    def on_finder_selected(self, event: Finder.Selected) -> None:
        self.dismiss(None if event.key == self._finder.current else event.key)

    def on_finder_cancelled(self) -> None:
        self.dismiss(None)
