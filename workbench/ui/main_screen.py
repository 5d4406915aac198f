"""The screen with the panes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from textual.binding import ActiveBinding
from textual.screen import Screen


class MainScreen(Screen[None]):
    """Names its keys by what they do now; the key bar, the key help and the command palette show these names."""

    def __init__(self, labels: Callable[[], Mapping[str, str]]) -> None:
        """`labels` returns what some actions do now, by the name of the action."""
        super().__init__()
        self._labels = labels

    @property
    def active_bindings(self) -> dict[str, ActiveBinding]:
        labels = self._labels()
        return {
            key: active._replace(binding=replace(active.binding, description=labels[active.binding.action]))
            if active.node is self.app and active.binding.action in labels
            else active
            for key, active in super().active_bindings.items()
        }
