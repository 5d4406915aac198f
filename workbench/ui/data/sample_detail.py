"""What a picture is in numbers, beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widget import Widget

from workbench.compute.protocol import ImageDetail
from workbench.core.text import safe
from workbench.ui.data.dataset_text import tensor


class Large(Widget, can_focus=True):
    """Lines about one picture; left and right go on to the next one, enter takes it apart."""

    DEFAULT_CSS = "Large { height: 1fr; width: 1fr; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,up,h,k", "step(-1)", "the one before", show=False),
        Binding("right,down,l,j", "step(1)", "the next one", show=False),
        Binding("enter,ctrl+j", "steps", "each step to a tensor", show=False),
    ]

    @dataclass
    class Stepped(Message):
        """A person went so many pictures on."""

        by: int

    class StepsWanted(Message):
        """Each step from the picture to a model's input should be shown."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.lines: Sequence[str] = ()

    def show(self, lines: Sequence[str]) -> None:
        """Say this."""
        self.lines = lines
        self.refresh()

    def render(self) -> Text:
        """The lines, wrapped."""
        head, *rest = [*self.lines, ""]
        return Text("\n").join([Text(safe(head), "bold"), *(Text(safe(line)) for line in rest)])

    def action_step(self, by: int) -> None:
        """The next picture."""
        self.post_message(self.Stepped(by))

    def action_steps(self) -> None:
        """Take it apart."""
        self.post_message(self.StepsWanted())


def detail_lines(detail: ImageDetail, split: str) -> list[str]:
    """An image of a dataset in words and numbers."""
    item, stored = detail.item, detail.stored
    number = "" if item.label is None else f" (class {item.label})"
    return [
        f"{item.class_name}{number}",
        *([item.name] if item.name else []),
        f"{split} example {item.index}" if item.index >= 0 else "drawn at random",
        "",
        tensor(stored),
        f"mean {stored.mean:.4g}",
        f"as a batch of one {[1, *stored.shape]}",
        f"flattened [{math.prod(stored.shape)}]",
        "",
        "←→ next  enter steps  v transforms  esc grid",
    ]
