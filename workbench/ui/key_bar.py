"""The line of keys at the bottom of the screen."""

from __future__ import annotations

from dataclasses import dataclass

from textual import events
from textual.content import Content
from textual.widgets import Input

from workbench.ui.base.status_style import MUTED
from workbench.ui.bindings import RUN_KEYS, SCREEN_KEYS
from workbench.ui.widgets.text_line import Line

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
