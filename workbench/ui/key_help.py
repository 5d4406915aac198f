"""Every key that does something now, as a list to read."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from textual.app import App
from textual.binding import ActiveBinding, Binding
from textual.content import Content
from textual.screen import Screen

from workbench.ui.base.pane import Pane
from workbench.ui.bindings import RUN_KEYS

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
