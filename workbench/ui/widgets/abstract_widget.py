"""Abstract widgets."""

from __future__ import annotations

from abc import ABCMeta

from textual.widget import Widget


class AbstractWidgetMeta(ABCMeta, type(Widget)):  # type: ignore[misc]  # mypy knows Textual's by a private name only
    """The metaclass of a widget with `@abstractmethod`s: a subclass without one of them can't be instantiated."""
