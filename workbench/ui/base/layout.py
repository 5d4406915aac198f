"""Where the panes stand: together where there is room, one at a time where there is not."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Container, Horizontal, Vertical
from textual.geometry import Size
from textual.widget import Widget

if TYPE_CHECKING:
    from workbench.ui.base.pane import Pane

TABS = [
    ("1", "Runs"),
    ("2", "Exp"),
    ("3", "Plots"),
    ("4", "Class"),
    ("5", "Data"),
    ("6", "Photo"),
    ("7", "Mach"),
]
PLACES = {"left": "126", "right": "34", "more": "57"}
"""The columns and the panes in them, by number; those in `more` are only ever shown alone."""

MODULES = {
    "1": "workbench.ui.runs.pane:RunsPane",
    "2": "workbench.ui.experiment.pane:ExperimentPane",
    "3": "workbench.ui.plots.pane:PlotsPane",
    "4": "workbench.ui.classes.pane:ClassesPane",
    "5": "workbench.ui.data.pane:DataPane",
    "6": "workbench.ui.photo.pane:PhotoPane",
    "7": "workbench.ui.machine.pane:MachinePane",
}
"""Imported one by one after the first frame is out: plotext alone takes longer than that frame."""

WIDE = (100, 30)
SHORT = 36
ROOMY = (160, 44)
LOW = 20
SMALLEST = (40, 10)


def shape(size: Size) -> set[str]:
    """The classes of a screen of this size."""
    fits = {
        "-tiny": size.width < SMALLEST[0] or size.height < SMALLEST[1],
        "-narrow": size.width < WIDE[0] or size.height < WIDE[1],
        "-low": size.height < LOW,
        "-short": size.height < SHORT,
        "-roomy": size.width >= ROOMY[0] and size.height >= ROOMY[1],
    }
    return {name for name, holds in fits.items() if holds}


def pane_class(number: str) -> type[Pane]:
    """The class of a pane."""
    module, _, name = MODULES[number].partition(":")
    found: type[Pane] = getattr(import_module(module), name)
    return found


class Body(Horizontal):
    """The panes. `front` is the one that fills the screen when only one is shown."""

    def compose(self) -> ComposeResult:
        """A slot for every pane; the panes come when they are loaded."""
        for column, numbers in PLACES.items():
            with Vertical(id=column, classes="column"):
                for number in numbers:
                    yield Container(id=f"slot-{number}", classes="slot")

    def slot(self, number: str) -> Widget:
        """Where a pane stands."""
        return self.query_one(f"#slot-{number}")

    def stand(self, front: str, *, single: bool) -> None:
        """Show all panes that stand together, or only `front`."""
        single = single or front in PLACES["more"]
        self.set_class(single, "-single")
        for column, numbers in PLACES.items():
            self.query_one(f"#{column}").set_class(front in numbers, "-front")
            for number in numbers:
                self.slot(number).set_class(number == front, "-front")

    def shows(self, number: str) -> bool:
        """Whether a pane is in sight."""
        slot = self.slot(number)
        return not self.has_class("-single") or slot.has_class("-front")
