"""Every class of the screen that declares keys, and how a user gets to it; the keys themselves are the product's."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module

from textual.binding import Binding
from textual.dom import DOMNode
from textual.events import Key

import workbench.ui
from workbench.ui.app import WorkbenchApp
from workbench.ui.base.escape_parser import EscapeParser
from workbench.ui.base.layout import PANES

SEQUENCES = {
    "enter": "\r", "escape": "\x1b", "tab": "\t", "shift+tab": "\x1b[Z", "space": " ", "backspace": "\x7f",
    "up": "\x1b[A", "down": "\x1b[B", "right": "\x1b[C", "left": "\x1b[D", "home": "\x1b[1~", "end": "\x1b[4~",
    "pageup": "\x1b[5~", "pagedown": "\x1b[6~", "delete": "\x1b[3~", "f1": "\x1bOP",
    "f12": "\x1b[24~", "shift+up": "\x1b[1;2A", "shift+down": "\x1b[1;2B",
}  # fmt: skip
"""What a terminal sends for keys that are no characters."""
CHARACTERS = {
    event.key: chr(code)
    for code in (*range(0x21, 0x7F), *range(0xFF01, 0xFF5F))
    for event in EscapeParser().feed(chr(code))
    if isinstance(event, Key)
}
"""The characters that Textual calls by a name, full-width ones included."""


def sequence(key: str) -> str:
    """What a terminal sends for a key by Textual's name."""
    if key in SEQUENCES:
        return SEQUENCES[key]
    if len(key) == 1:
        return key
    if key.startswith("ctrl+"):
        return chr(ord(key[-1]) & 0x1F)
    return CHARACTERS[key]


@dataclass(frozen=True)
class Place:
    """Where keys are tried: the classes that have them there, the keys that lead there, and what is shown then."""

    name: str
    classes: tuple[str, ...]
    """`module:Class` in `workbench.ui`."""
    path: tuple[str, ...]
    shown: str
    """A regular expression of text that is on the screen here, and nowhere on the way."""
    again: tuple[str, ...] | None = None
    """The keys that lead back here after `esc`; by default the whole path."""
    retry: tuple[str, ...] = ()
    """The keys that lead here from where a key of this place led; by default the whole path."""
    sizes: tuple[tuple[int, int], ...] = ()
    """The sizes at which the place exists; all if empty."""
    everywhere: bool = False
    """Whether the keys of the app, which work everywhere, are tried here too."""

    def own_keys(self) -> dict[str, Binding]:
        """The keys of this place, as the product declares them."""
        return {key: binding for name in self.classes for key, binding in declared(load(name))}

    def keys(self) -> dict[str, Binding]:
        """The keys of this place, and those of the app if they are tried here."""
        return {**(dict(declared(WorkbenchApp)) if self.everywhere else {}), **self.own_keys()}


def load(name: str) -> type[DOMNode]:
    """The class of a name in `Place.classes`."""
    module, _, cls = name.partition(":")
    found: type[DOMNode] = getattr(import_module(f"workbench.ui.{module}"), cls)
    return found


def declared(cls: type[DOMNode]) -> Iterator[tuple[str, Binding]]:
    """The keys that the product declares for a class, those of its base classes included."""
    for base in reversed(cls.__mro__):
        if base.__module__.startswith("workbench."):
            for binding in Binding.make_bindings(base.__dict__.get("BINDINGS", ())):
                yield binding.key, binding


def classes_with_keys() -> set[type[DOMNode]]:
    """Every class of the screen with keys of its own."""
    found = set[type[DOMNode]]()
    for module in pkgutil.walk_packages(workbench.ui.__path__, "workbench.ui."):
        for value in vars(import_module(module.name)).values():
            if isinstance(value, type) and issubclass(value, DOMNode) and value.__module__ == module.name:
                found |= {value} if value.__dict__.get("BINDINGS") else set()
    return found


def reached_classes() -> set[type[DOMNode]]:
    """Every class of which the keys are tried somewhere."""
    reached = {base for place in PLACES for name in place.classes for base in load(name).__mro__}
    return {cls for cls in (*reached, WorkbenchApp) if issubclass(cls, DOMNode)}


PLACES = [
    Place("1 Runs", ("runs.pane:RunsPane", "runs.run_table:RunTable"), ("1",), "1 Runs──",
          everywhere=True),
    Place("2 Experiment", ("experiment.pane:ExperimentPane", "widgets.form:Form"), ("2",), "a recipe +f data",
          sizes=((80, 24), (200, 50)), everywhere=True),
    Place("2 Experiment", ("experiment.pane:ExperimentPane", "experiment.summary_view:ExperimentSummary"), ("2",),
          "a recipe +f data", sizes=((120, 36),), everywhere=True),
    Place("3 Plots", ("plots.pane:PlotsPane",), ("3",), "a smoothing", everywhere=True),
    Place("4 Classes", ("classes.pane:ClassesPane", "widgets.table:Table"), ("4",), "(?s)class +recall.*m table/matrix",
          retry=("4", "m"), everywhere=True),
    Place("4 matrix", ("classes.pane:ClassesPane", "classes.matrix_view:MatrixView"), ("4", "m"), "true . predicted",
          again=("4",), retry=("4", "m")),
    Place("4 images", ("classes.evaluated_samples_screen:EvaluatedSamplesScreen", "data.sample_grid:SampleGrid"),
          ("4", "v"), "samples.*true.predicted"),
    Place("5 Data", ("data.pane:DataPane", "data.sample_grid:SampleGrid"), ("5",), "f class", everywhere=True),
    Place("5 sample", ("data.pane:DataPane", "data.sample_detail:SampleDetail"), ("5", "enter"), "esc grid",
          retry=("escape", "5", "enter")),
    Place("5 transforms", ("data.pane:DataPane", "data.transform_list:TransformList"), ("5", "v"), "esc closes"),
    Place("6 Photo", ("photo.pane:PhotoPane", "photo.prediction_view:PredictionView"), ("6",), "a explain +b compare",
          everywhere=True),
    Place("7 Machine", ("machine.pane:MachinePane",), ("7",), "training device", everywhere=True),
    Place("8 Charts", ("charts.pane:ChartsPane", "charts.chart_grid:ChartGrid"), ("8",), "a smoother", everywhere=True),
    Place("9 Sweeps", ("sweeps.pane:SweepsPane", "sweeps.trial_table:TrialTable"), ("9", "enter"), "b best",
          everywhere=True),
    Place("9 list of sweeps", ("sweeps.pane:SweepsPane", "sweeps.trial_table:SweepTable"), ("9",), "b best"),
    Place("filter", ("widgets.filter_input:FilterInput",), ("1", "slash", "m"), "/m──"),
    Place("settings filter", ("widgets.filter_input:FilterInput",), ("2", "slash", "w"), "/w ?─"),
    Place("charts filter", ("widgets.filter_input:FilterInput",), ("8", "slash", "t"), "/t ?─"),
    Place("logged images", ("data.logged_images_screen:LoggedImagesScreen",), ("1", "G", "I"), "enter all images"),
    Place("all logged images", ("data.logged_images_screen:LoggedImagesScreen", "data.sample_grid:SampleGrid"),
          ("1", "G", "I", "enter"), "newest first"),
    Place("models", ("widgets.chooser:Finder",), ("2", "m"), "enter choose"),
    Place("comparison", ("runs.compare_screen:CompareScreen", "widgets.table:Table"), ("1", "equals_sign"),
          "compare 2 runs"),
    Place("columns", ("runs.columns_screen:ColumnsScreen", "widgets.table:Table"), ("1", "m"), "columns of the list"),
    Place("notes", ("runs.notes_screen:NotesScreen",), ("1", "i"), "comma-separated"),
    Place("keys", ("widgets.text_screen:TextScreen",), ("1", "question_mark"), "in the list|the selected run"),
    Place("layers", ("experiment.layers_screen:LayersScreen",), ("2", "v"), "esc back"),
    Place("schedule", ("experiment.schedule_screen:ScheduleScreen",), ("2", "o"), "Learning rate over epochs"),
    Place("learning rates", ("experiment.lr_screen:LrScreen",), ("2", "L"), r"enter .* \(steepest\)"),
    Place("new sweep", ("sweeps.start_screen:StartScreen", "widgets.form:Form"), ("9", "S"), "search settings"),
    Place("confirmation", ("widgets.confirm_screen:Confirm",), ("1", "x"), "to the trash"),
]  # fmt: skip
assert {place.name[0] for place in PLACES if place.everywhere} == {spec.key for spec in PANES.values()}
