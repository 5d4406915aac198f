"""What becomes of a picture on its way to an answer, step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static

from workbench.text import cut, pad, safe

WIDTH = 75


class StepsScreen(ModalScreen[None]):
    """Every step with its shape, type, range and memory; under them the code of the one that is pointed at."""

    DEFAULT_CSS = """
    StepsScreen { align: center middle; }
    StepsScreen > Vertical {
        width: 80; max-width: 100%; max-height: 100%; padding: 0 1;
        border: round $accent; background: $surface;
    }
    StepsScreen Static { height: 1; }
    StepsScreen OptionList, StepsScreen OptionList:focus {
        height: 1fr; border: none; padding: 0; background: transparent; scrollbar-size-vertical: 1;
        scrollbar-background: $surface;
    }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,v", "dismiss", "back"),
        Binding("j", "move('cursor_down')", show=False),
        Binding("k", "move('cursor_up')", show=False),
        Binding("g", "move('first')", show=False),
        Binding("G", "move('last')", show=False),
    ]

    def __init__(self, title: str, steps: Sequence[Mapping[str, Any]]) -> None:
        """`steps` are the session's, in their order."""
        super().__init__()
        self._title, self._steps = title, steps

    def compose(self) -> ComposeResult:
        """A heading, the steps, the code of one."""
        with Vertical() as box:
            box.border_title = safe(self._title, WIDTH).replace("[", "\\[")
            box.border_subtitle = "esc back"
            box.styles.height = len(self._steps) + 4
            yield Static(Text(step_line("step", "shape", "type", "from … to", "memory"), style="dim"))
            yield OptionList(*(Text(_row(step), no_wrap=True) for step in self._steps), markup=False)
            yield Static(id="code")

    @on(OptionList.OptionHighlighted)
    def _pointed(self, event: OptionList.OptionHighlighted) -> None:
        step = self._steps[event.option_index]
        shown = f"{step['code']}   on {step['device']}"
        self.query_one("#code", Static).update(Text(safe(shown, WIDTH), "bold"))

    def action_move(self, action: str) -> None:
        """Move the cursor."""
        getattr(self.query_one(OptionList), f"action_{action}")()


def _row(step: Mapping[str, Any]) -> str:
    sides = [str(side) for side in step["shape"]]
    shape = "×".join(sides) if step["kind"] == "picture" else f"[{', '.join(sides)}]"
    span = f"{step['low']:.3g} … {step['high']:.3g}"
    return step_line(step["name"], shape, step["dtype"], span, step["memory"])


def step_line(name: str, shape: str, dtype: str, span: str, memory: str) -> str:
    """The columns of one step."""
    return cut(
        f"{pad(safe(name), 13)} {pad(shape, 16)} {pad(safe(dtype), 7)} {pad(span, 17)} {safe(memory)}", WIDTH
    )
