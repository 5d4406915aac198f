"""The panes of the app, and where they are placed: side by side where there is room, else one at a time."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Container, Horizontal, Vertical
from textual.dom import DOMNode
from textual.geometry import Size
from textual.widget import Widget

if TYPE_CHECKING:
    from workbench.ui.base.pane import Pane


class PaneId(StrEnum):
    """Which pane; the key that goes to it is part of its `PaneSpec`."""

    RUNS = "runs"
    EXPERIMENT = "experiment"
    PLOTS = "plots"
    CLASSES = "classes"
    DATA = "data"
    PHOTO = "photo"
    MACHINE = "machine"
    CHARTS = "charts"
    SWEEPS = "sweeps"


@dataclass(frozen=True)
class PaneSpec:
    """What the app knows of a pane before its module is imported."""

    key: str
    title: str
    short_title: str
    """Its title in the row of tabs of a narrow terminal."""
    class_path: str
    """`module:Class`."""


PANES: dict[PaneId, PaneSpec] = {
    PaneId.RUNS: PaneSpec("1", "Runs", "Runs", "workbench.ui.runs.pane:RunsPane"),
    PaneId.EXPERIMENT: PaneSpec("2", "Experiment", "Exp", "workbench.ui.experiment.pane:ExperimentPane"),
    PaneId.PLOTS: PaneSpec("3", "Plots", "Plots", "workbench.ui.plots.pane:PlotsPane"),
    PaneId.CLASSES: PaneSpec("4", "Classes", "Class", "workbench.ui.classes.pane:ClassesPane"),
    PaneId.DATA: PaneSpec("5", "Data", "Data", "workbench.ui.data.pane:DataPane"),
    PaneId.PHOTO: PaneSpec("6", "Photo", "Photo", "workbench.ui.photo.pane:PhotoPane"),
    PaneId.MACHINE: PaneSpec("7", "Machine", "Mach", "workbench.ui.machine.pane:MachinePane"),
    PaneId.CHARTS: PaneSpec("8", "Charts", "Charts", "workbench.ui.charts.pane:ChartsPane"),
    PaneId.SWEEPS: PaneSpec("9", "Sweeps", "Sweep", "workbench.ui.sweeps.pane:SweepsPane"),
}
"""In the order of the tabs. Imported one by one after the first frame: plotext alone takes longer than that frame."""

COLUMNS: dict[str, tuple[PaneId, ...]] = {
    "left": (PaneId.RUNS, PaneId.EXPERIMENT, PaneId.PHOTO),
    "right": (PaneId.PLOTS, PaneId.CLASSES),
    "more": (
        PaneId.DATA,
        PaneId.MACHINE,
        PaneId.CHARTS,
        PaneId.SWEEPS,
    ),
}
"""The panes of each column, from top to bottom."""
SINGLE_ONLY = COLUMNS["more"]
"""The panes that always fill the screen."""

WIDE = (100, 30)
SHORT = 36
ROOMY = (160, 44)
LOW = 20
SMALLEST = (40, 10)
"""Columns and rows under which nothing is drawn but the size that is needed."""
SIZE_CLASSES = ("-tiny", "-narrow", "-low", "-short", "-roomy")


def size_classes(size: Size) -> set[str]:
    """The CSS classes (of `SIZE_CLASSES`) of a terminal of this size."""
    applies = {
        "-tiny": size.width < SMALLEST[0] or size.height < SMALLEST[1],
        "-narrow": size.width < WIDE[0] or size.height < WIDE[1],
        "-low": size.height < LOW,
        "-short": size.height < SHORT,
        "-roomy": size.width >= ROOMY[0] and size.height >= ROOMY[1],
    }
    return {name for name in SIZE_CLASSES if applies[name]}


def switch_classes(node: DOMNode, names: Iterable[str], active: AbstractSet[str]) -> None:
    """Give a node those of the CSS classes `names` that are in `active`; its styles are computed once, if at all."""
    before = node.classes
    for name in names:
        node.set_class(name in active, name, update=False)
    if node.classes != before:
        node.update_node_styles()


def pane_class(pane_id: PaneId) -> type[Pane]:
    """The class of a pane; its module is imported by this."""
    module, _, name = PANES[pane_id].class_path.partition(":")
    cls: type[Pane] = getattr(import_module(module), name)
    return cls


class Body(Horizontal):
    """The columns with a slot for every pane; the panes are mounted later."""

    def compose(self) -> ComposeResult:
        for column, pane_ids in COLUMNS.items():
            with Vertical(id=column, classes="column"):
                for pane_id in pane_ids:
                    yield Container(id=f"slot-{pane_id}", classes="slot")

    def slot(self, pane_id: PaneId) -> Widget:
        """The container of a pane."""
        return self.query_one(f"#slot-{pane_id}")

    def arrange_panes(self, front: PaneId, *, single: bool) -> None:
        """Show the panes side by side, or only `front`."""
        self.set_class(single or front in SINGLE_ONLY, "-single")
        for column, pane_ids in COLUMNS.items():
            self.query_one(f"#{column}").set_class(front in pane_ids, "-front")
            for pane_id in pane_ids:
                self.slot(pane_id).set_class(pane_id == front, "-front")

    def is_visible(self, pane_id: PaneId) -> bool:
        """Whether a pane is on the screen now."""
        beside_others = not self.has_class("-single") and pane_id not in SINGLE_ONLY
        return beside_others or self.slot(pane_id).has_class("-front")
