"""The key bar at the bottom of the screen."""

from __future__ import annotations

from dataclasses import dataclass

from textual import events
from textual.content import Content
from textual.widgets import Input

from workbench.ui.base.status_style import MUTED
from workbench.ui.bindings import RUN_KEYS, SCREEN_KEYS
from workbench.ui.widgets.text_line import TextLine

PAIRS = {
    "multiply_lr(0.5)": ("multiply_lr(2)", "lr"),
    "add_epochs(-1)": ("add_epochs(1)", "epochs"),
    "move_in_queue('up')": ("move_in_queue('down')", "move"),
}
"""Pairs of bindings with one hint: `[ ] lr`."""

BESIDE_OTHERS = {"train_queued": ("hold", "queue")}
"""What is always available, but shown only beside another action; and its label there."""

ALWAYS_SHOWN = {"command_palette", "keys", "quit"}
"""Hints at the right end that are kept on a narrow terminal."""


@dataclass(frozen=True)
class Hint:
    """A key and what it does."""

    key: str
    label: str
    action: str
    enabled: bool = True

    @property
    def width(self) -> int:
        """Its width in cells."""
        return len(self.key) + 1 + len(self.label)


INPUT_HINTS = [
    Hint("enter", "accept", "simulate_key('enter')"),
    Hint("esc", "cancel", "simulate_key('escape')"),
]
"""Shown while an input has the focus; a pane's frame shows the same (`TYPING_HINTS`)."""


class KeyBar(TextLine):
    """Shows the keys that are available now; a click on a hint runs its action."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._positions: list[tuple[int, Hint]] = []

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, lambda _screen: self.redraw())

    def on_resize(self) -> None:
        self.redraw()

    async def on_click(self, event: events.Click) -> None:
        for start, hint in self._positions:
            if start <= event.x < start + hint.width:
                await self.app.run_action(hint.action, self.app)

    def redraw(self) -> None:
        """Show the keys that are available now."""
        if not self.is_attached or self.size.width == 0 or self.screen is not self.app.screen:
            return
        shown, gap = fit_hints(self._hints(), self.size.width - 1)
        parts: list[str | tuple[str, str]] = []
        self._positions, x = [], 1
        for hint in shown:
            self._positions.append((x, hint))
            parts += [" " * (gap if parts else 1), (hint.key, "bold $accent"), (f" {hint.label}", MUTED)]
            x += hint.width + gap
        self.show(Content.assemble(*parts))

    def _hints(self) -> list[Hint]:
        if isinstance(self.app.focused, Input):
            return INPUT_HINTS  # letters are typed into the input
        by_action = {
            active.binding.action: active.binding
            for active in reversed(list(self.screen.active_bindings.values()))
            if active.node is self.app and active.binding.show and active.enabled
        }
        hints = []
        for binding in (*RUN_KEYS, *SCREEN_KEYS):
            if binding.action not in by_action or not binding.show:
                continue
            beside, label = BESIDE_OTHERS.get(binding.action, ("", by_action[binding.action].description))
            if beside and beside not in by_action:
                continue
            other, label = PAIRS.get(binding.action, ("", label))
            key = self.app.get_key_display(binding)
            if other:
                key += " " + next(self.app.get_key_display(b) for b in RUN_KEYS if b.action == other)
            elif any(binding.action == second for second, _ in PAIRS.values()):
                continue
            hints.append(Hint(key, label, binding.action))
        return hints


def fit_hints(hints: list[Hint], width: int) -> tuple[list[Hint], int]:
    """The hints that fit into `width` cells, and the gap between them; those of `ALWAYS_SHOWN` are dropped last."""
    shown = list(hints)
    while shown:
        for gap in (2, 1):
            if sum(hint.width for hint in shown) + gap * (len(shown) - 1) <= width:
                return shown, gap
        droppable = [hint for hint in shown if hint.action not in ALWAYS_SHOWN] or shown
        shown.remove(droppable[-1])
    return [], 1
