"""Abstract widgets."""

from __future__ import annotations

from abc import ABCMeta
from typing import TYPE_CHECKING

from textual.widget import Widget

if TYPE_CHECKING:
    from textual.message_pump import _MessagePumpMeta as WidgetMeta
else:
    WidgetMeta = type(Widget)


class AbstractWidgetMeta(ABCMeta, WidgetMeta):
    """The metaclass of a widget with `@abstractmethod`s: a subclass without one of them can't be instantiated."""
