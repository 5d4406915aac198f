"""A model layer by layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static

from workbench.text import cut, pad, safe

WIDTH = 75


class LayersScreen(ModalScreen[None]):
    """Every layer with the shape of its output and its parameters; `esc` goes back."""

    DEFAULT_CSS = """
    LayersScreen { align: center middle; }
    LayersScreen > Vertical {
        width: 80; max-width: 100%; max-height: 100%; padding: 0 1;
        border: round $accent; background: $surface;
    }
    LayersScreen Static { height: 1; }
    LayersScreen OptionList, LayersScreen OptionList:focus {
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

    def __init__(self, title: str, facts: Mapping[str, Any]) -> None:
        """`facts` is the session's summary: `layers`, `parameters`, `trainable`, `input_shape`."""
        super().__init__()
        self._title, self._facts = title, facts

    def compose(self) -> ComposeResult:
        """A heading, the layers, the sum."""
        facts = self._facts
        with Vertical() as box:
            box.border_title = safe(self._title).replace("[", "\\[")
            box.border_subtitle = "esc back"
            yield Static(Text(layer_line("layer", "kind", "output", "parameters"), style="dim"))
            box.styles.height = len(facts["layers"]) + 4
            rows = [Text(_row(row), no_wrap=True) for row in facts["layers"]]
            yield OptionList(*rows, markup=False)
            shape = "×".join(str(side) for side in facts["input_shape"])
            yield Static(
                Text(layer_line("all", "", f"input {shape}", f"{facts['parameters']:,}"), style="bold")
            )

    def action_move(self, action: str) -> None:
        """Move the cursor."""
        getattr(self.query_one(OptionList), f"action_{action}")()


def _row(row: Mapping[str, Any]) -> str:
    shape = "×".join(str(side) for side in row["output_shape"])
    parameters = f"{row['parameters']:,}" if row["parameters"] else ""
    return layer_line(row["name"], row["kind"], shape, parameters)


def layer_line(name: str, kind: str, shape: str, parameters: str) -> str:
    """The columns of one layer."""
    return cut(f"{pad(safe(name), 26)} {pad(safe(kind), 20)} {pad(shape, 14)} {parameters:>11}", WIDTH)
