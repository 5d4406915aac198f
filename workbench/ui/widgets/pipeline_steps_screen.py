"""The steps from an image to a prediction."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from textual import on
from textual.widgets import OptionList, Static

from workbench.core.text import format_range, pad, sanitize, truncate
from workbench.inference.results import PipelineStep
from workbench.ui.widgets.list_screen import WIDTH, ListScreen


class PipelineStepsScreen(ListScreen):
    """Each step with its shape, dtype, range and memory; below, the code of the highlighted one."""

    def __init__(self, title: str, steps: Sequence[PipelineStep]) -> None:
        heading = format_step("step", "shape", "dtype", "range", "memory")
        super().__init__(title, heading, [_row(step) for step in steps])
        self._steps = steps

    @on(OptionList.OptionHighlighted)
    def _step_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        step = self._steps[event.option_index]
        code = f"{step.code}   on {step.device}"
        self.query_one("#foot", Static).update(Text(sanitize(code, WIDTH), "bold"))


def _row(step: PipelineStep) -> str:
    sides = [str(side) for side in step.shape]
    shape = "×".join(sides) if step.kind == "image" else f"[{', '.join(sides)}]"
    span = format_range(step.low, step.high)
    return format_step(step.name, shape, step.dtype, span, step.memory)


def format_step(name: str, shape: str, dtype: str, span: str, memory: str) -> str:
    """The columns of one step, in `WIDTH` cells."""
    columns = (
        pad(sanitize(name), 13),
        pad(shape, 16),
        pad(sanitize(dtype), 7),
        pad(span, 17),
        sanitize(memory),
    )
    return truncate(" ".join(columns), WIDTH)
