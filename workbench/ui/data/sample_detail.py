"""The details of an image: class, shape, dtype and range."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widget import Widget

from workbench.compute.protocol_responses import ImageDetail
from workbench.core.text import class_text, sanitize
from workbench.ui.data.dataset_text import format_tensor, sample_title


class SampleDetail(Widget, can_focus=True):
    """Lines about one image. Left and right step to another image, enter shows its pipeline."""

    DEFAULT_CSS = "SampleDetail { height: 1fr; width: 1fr; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,up,h,k", "step(-1)", "previous", show=False),
        Binding("right,down,l,j", "step(1)", "next", show=False),
        Binding("enter,ctrl+j", "steps", "steps to a tensor", show=False),
    ]

    @dataclass
    class Stepped(Message):
        """The user stepped by `offset` images."""

        offset: int

    class PipelineRequested(Message):
        """The user asked for the steps from the image to a model's input."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.lines: Sequence[str] = ()

    def show(self, lines: Sequence[str]) -> None:
        """Show these lines."""
        self.lines = lines
        self.refresh()

    def render(self) -> Text:
        head, *rest = [*self.lines, ""]
        return Text("\n").join([Text(sanitize(head), "bold"), *(Text(sanitize(line)) for line in rest)])

    def action_step(self, offset: int) -> None:
        """Step to another image."""
        self.post_message(self.Stepped(offset))

    def action_steps(self) -> None:
        """Show the steps from the image to a model's input."""
        self.post_message(self.PipelineRequested())


def detail_lines(detail: ImageDetail, split: str) -> list[str]:
    """Class, file, index, shape, dtype and range of an image."""
    item, stored = detail.item, detail.stored
    number = "" if item.label is None else f" (index {item.label})"
    return [
        f"{class_text(item.class_name)}{number}",
        *([item.name] if item.name else []),
        sample_title(split, item.index),
        "",
        format_tensor(stored),
        f"mean {stored.mean:.4g}",
        f"as a batch of one {[1, *stored.shape]}",
        f"flattened [{math.prod(stored.shape)}]",
        "",
        "←→ next  enter steps  esc grid",
    ]
