"""The table of all keys that are available now."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from enum import Enum

from textual.app import App
from textual.binding import ActiveBinding, Binding
from textual.content import Content
from textual.screen import Screen

from workbench.ui.base.pane import Pane
from workbench.ui.bindings import RUN_KEYS


class Section(Enum):
    """The sections of the table in their order, with their headings."""

    PANE = ""
    """Headed by the title of the pane that has the focus."""
    SELECTED_RUN = "the selected run"
    EVERYWHERE = "everywhere"
    LIST = "in the list"


KEY_NAMES = {
    "⏎": "enter", "pgup": "page up", "pgdn": "page down", "^j": "ctrl+j", "^p": "ctrl+p", "^q": "ctrl+q",
}  # fmt: skip
"""Names that are better known than Textual's."""


def key_table(bindings: Iterable[ActiveBinding], display: Callable[[Binding], str]) -> list[Content]:
    """A line for each action that is available, by sections: all its keys, and its description."""
    sections: dict[Section, dict[str, list[str]]] = {section: {} for section in Section}
    headings = {section: section.value for section in Section}
    for active in bindings:
        section = section_of(active)
        if section is None or "fullwidth" in active.binding.key:
            continue
        if isinstance(active.node, Pane):
            headings[section] = f"{active.node.spec.key} {active.node.spec.title}"
        key = display(replace(active.binding, key_display=None))
        sections[section].setdefault(active.binding.description, []).append(KEY_NAMES.get(key, key))
    lines: list[Content] = []
    for section, keys_of in sections.items():
        if keys_of:
            lines += [Content(""), Content.styled(headings[section], "bold")]
            lines += [_key_row(keys, description) for description, keys in keys_of.items()]
    return lines[1:]


def section_of(active: ActiveBinding) -> Section | None:
    """The section of a binding; `None` if it is disabled, or has no description."""
    node, binding = active.node, active.binding
    if not active.enabled or not binding.description or isinstance(node, Screen):
        return None
    if isinstance(node, Pane):
        return Section.PANE
    if isinstance(node, App):
        of_run = any(binding.action == other.action for other in RUN_KEYS)
        return Section.SELECTED_RUN if of_run else Section.EVERYWHERE
    return Section.LIST


def _key_row(keys: list[str], description: str) -> Content:
    return Content.assemble((f"{'  '.join(dict.fromkeys(keys)):>16}  ", "bold $accent"), description)
