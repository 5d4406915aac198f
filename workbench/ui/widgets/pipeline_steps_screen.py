"""What becomes of a picture on its way to an answer, step by step."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from textual import on
from textual.widgets import OptionList, Static

from workbench.core.text import cut, pad, safe, value_range
from workbench.inference.results import PipelineStep
from workbench.ui.widgets.list_screen import WIDTH, ListingScreen


class StepsScreen(ListingScreen):
    """Every step with its shape, type, range and memory; under them the code of the one that is pointed at."""

    def __init__(self, title: str, steps: Sequence[PipelineStep]) -> None:
        heading = step_line("step", "shape", "type", "from … to", "memory")
        super().__init__(title, heading, [_row(step) for step in steps])
        self._steps = steps

    @on(OptionList.OptionHighlighted)
    def _pointed(self, event: OptionList.OptionHighlighted) -> None:
        step = self._steps[event.option_index]
        shown = f"{step.code}   on {step.device}"
        self.query_one("#foot", Static).update(Text(safe(shown, WIDTH), "bold"))


def _row(step: PipelineStep) -> str:
    sides = [str(side) for side in step.shape]
    shape = "×".join(sides) if step.kind == "picture" else f"[{', '.join(sides)}]"
    span = value_range(step.low, step.high)
    return step_line(step.name, shape, step.dtype, span, step.memory)


def step_line(name: str, shape: str, dtype: str, span: str, memory: str) -> str:
    """The columns of one step."""
    return cut(
        f"{pad(safe(name), 13)} {pad(shape, 16)} {pad(safe(dtype), 7)} {pad(span, 17)} {safe(memory)}", WIDTH
    )
