"""The keys that work everywhere, and the line that shows them: made of the bindings, so that it is true."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from textual import events
from textual.app import App
from textual.binding import ActiveBinding, Binding
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Input

from workbench.ui.marks import MUTED
from workbench.ui.panes.base import Pane
from workbench.ui.widgets.line import Line

PANE_KEYS = [Binding(number, f"pane('{number}')", f"pane {number}", show=False) for number in "1234567"]

RUN_KEYS = [
    Binding("t", "train", "train"),
    Binding("s", "stop", "stop"),
    Binding("r", "resume", "resume"),
    Binding("p", "pause", "pause"),
    Binding("left_square_bracket", "times_lr(0.5)", "learning rate ÷2", key_display="["),
    Binding("right_square_bracket", "times_lr(2)", "learning rate ×2", key_display="]"),
    Binding("minus", "add_epochs(-1)", "one epoch fewer", key_display="-"),
    Binding("plus", "add_epochs(1)", "one epoch more", key_display="+"),
    Binding("P", "release", "pause, giving the device's memory back", show=False),
    Binding("c", "checkpoint", "checkpoint now", show=False),
    Binding("d", "duplicate", "duplicate into the experiment", show=False),
    Binding("equals_sign", "compare", "compare", key_display="="),
    Binding("i", "notes", "name, tags and notes", show=False),
    Binding("e", "export", "export", show=False),
    Binding("x", "trash", "move to the trash", show=False),
    Binding("exclamation_mark,fullwidth_exclamation_mark", "log", "log", show=False, key_display="!"),
]

SCREEN_KEYS = [
    Binding("y", "copy", "copy what the cursor is on", show=False),
    Binding("u", "undo", "take back what was done last", show=False),
    Binding("z", "zoom", "zoom"),
    Binding("slash,fullwidth_solidus", "filter", "filter", key_display="/"),
    Binding("colon,fullwidth_colon,ctrl+p", "command_palette", "all", key_display=":"),
    Binding("question_mark,fullwidth_question_mark,f1", "keys", "keys", key_display="?"),
    Binding("q", "quit", "quit"),
    Binding("ctrl+q", "quit", "quit", show=False, priority=True),
    Binding("N", "notices", "what was said", show=False),
    Binding("B", "silence", "bell at the end of a run, or none", show=False),
    Binding("escape", "back", "back", show=False),
    Binding("h", "move('left')", "left", show=False),
    Binding("j", "move('down')", "down", show=False),
    Binding("k", "move('up')", "up", show=False),
    Binding("l", "move('right')", "right", show=False),
    Binding("g", "move('first')", "first", show=False),
    Binding("G", "move('last')", "last", show=False),
    Binding("ctrl+j", "enter", "enter", show=False, priority=True),
]

PAIRS = {"times_lr(0.5)": ("times_lr(2)", "lr"), "add_epochs(-1)": ("add_epochs(1)", "epochs")}
"""Bindings that share a place in the line: `[ ] lr`."""

ALWAYS = {"command_palette", "keys", "quit"}
"""What stands at the right end of the line however narrow it is."""


@dataclass(frozen=True)
class Hint:
    """One place in the line."""

    key: str
    what: str
    action: str
    enabled: bool = True

    @property
    def width(self) -> int:
        """In cells."""
        return len(self.key) + 1 + len(self.what)


TYPING = [
    Hint("enter", "take it", "simulate_key('enter')"),
    Hint("esc", "leave it", "simulate_key('escape')"),
]
"""While something is typed."""


class KeyLine(Line):
    """Shows the keys that do something now; a click on one presses it."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._places: list[tuple[int, Hint]] = []

    def on_mount(self) -> None:
        """Follow the bindings."""
        self.screen.bindings_updated_signal.subscribe(self, lambda _screen: self.redraw())

    def on_resize(self) -> None:
        """More or fewer keys fit."""
        self.redraw()

    async def on_click(self, event: events.Click) -> None:
        """Do what was clicked."""
        for start, hint in self._places:
            if start <= event.x < start + hint.width:
                await self.app.run_action(hint.action, self.app)

    def redraw(self) -> None:
        """Show the keys that work now."""
        if not self.is_attached or self.size.width == 0 or self.screen is not self.app.screen:
            return
        shown, gap = fit(self._hints(), self.size.width - 1)
        self._places, parts, x = [], [], 1
        for hint in shown:
            self._places.append((x, hint))
            parts += [(hint.key, "bold $accent"), (f" {hint.what}{' ' * gap}", MUTED)]
            x += hint.width + gap
        self.show(Content.assemble(" ", *parts))

    def _hints(self) -> list[Hint]:
        if isinstance(self.app.focused, Input):
            return TYPING  # letters go into the line
        by_action = {
            active.binding.action: active.binding
            for active in reversed(list(self.screen.active_bindings.values()))
            if active.node is self.app and active.binding.show and active.enabled
        }
        hints = []
        for binding in (*RUN_KEYS, *SCREEN_KEYS):
            if binding.action not in by_action or not binding.show:
                continue
            other, what = PAIRS.get(binding.action, ("", binding.description))
            key = self.app.get_key_display(binding)
            if other:
                key += " " + next(self.app.get_key_display(b) for b in RUN_KEYS if b.action == other)
            elif any(binding.action == second for second, _ in PAIRS.values()):
                continue
            hints.append(Hint(key, what, binding.action))
        return hints


def fit(hints: list[Hint], width: int) -> tuple[list[Hint], int]:
    """The hints that fit into `width` cells, and the gap between them; those of `ALWAYS` go last."""
    shown = list(hints)
    while shown:
        for gap in (2, 1):
            if sum(hint.width for hint in shown) + gap * (len(shown) - 1) <= width:
                return shown, gap
        spare = [hint for hint in shown if hint.action not in ALWAYS] or shown
        shown.remove(spare[-1])
    return [], 1


HEADS = ("pane", "the selected run", "everywhere", "in the list")
"""The sections of the table of keys, in their order; `pane` stands for the pane that has the keys."""
NAMES = {"⏎": "enter", "pgup": "page up", "pgdn": "page down", "^j": "ctrl+j", "^p": "ctrl+p", "^q": "ctrl+q"}
"""Of keys, as people call them."""


def key_table(bindings: Iterable[ActiveBinding], display: Callable[[Binding], str]) -> list[Content]:
    """A line for each action that has a key now, under heads: all its keys, and what it does."""
    sections: dict[str, dict[str, list[str]]] = {head: {} for head in HEADS}
    heads = dict(zip(HEADS, HEADS, strict=True))
    for active in bindings:
        head = section(active)
        if not head or "fullwidth" in active.binding.key:
            continue
        if isinstance(active.node, Pane):
            heads[head] = f"{active.node.NUMBER} {active.node.NAME}"
        shown = display(replace(active.binding, key_display=None))
        sections[head].setdefault(active.binding.description, []).append(NAMES.get(shown, shown))
    lines: list[Content] = []
    for head, actions in sections.items():
        if actions:
            lines += [Content(""), Content.styled(heads[head], "bold")]
            lines += [_key_row(shown, what) for what, shown in actions.items()]
    return lines[1:]


def section(active: ActiveBinding) -> str:
    """Which of `HEADS` a binding stands under; empty for one that does nothing now, or is not worth a line."""
    node, binding = active.node, active.binding
    if not active.enabled or not binding.description or isinstance(node, Screen):
        return ""
    if isinstance(node, Pane):
        return "pane"
    if isinstance(node, App):
        return "the selected run" if any(binding.action == b.action for b in RUN_KEYS) else "everywhere"
    return "in the list"


def _key_row(keys: list[str], what: str) -> Content:
    return Content.assemble((f"{'  '.join(dict.fromkeys(keys)):>16}  ", "bold $accent"), what)
