"""Messages from the panes to the app, and from the app to a pane."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from textual.message import Message

from workbench.ui.base.layout import PaneId
from workbench.ui.base.snapshot import Snapshot

if TYPE_CHECKING:
    from workbench.config.experiment import Experiment
    from workbench.runs.metrics import EvaluationFile
    from workbench.sweeps.sweep_folder import SweepFolder

Severity = Literal["information", "warning", "error"]


@dataclass
class RunSelected(Message):
    """The cursor moved to another run."""

    run_id: str


@dataclass
class GroupSelected(Message):
    """The row under the cursor now stands for these runs, repeats of each other; for one run alone there are none."""

    run_ids: frozenset[str]


@dataclass
class RunOpened(Message):
    """The user opened a run, to see its curves."""

    run_id: str


@dataclass
class OverlaysRequested(Message):
    """The charts pane shows these runs, too: they are read from now on, and no others beside the selected one."""

    run_ids: tuple[str, ...]


@dataclass
class RangesRequested(Message):
    """Whether the list shows values over whole runs, the best ones: they are read while it does."""

    wanted: bool


@dataclass
class ClassifyRequested(Message):
    """The user chose a recipe that classifies and does not train."""

    recipe: str


@dataclass
class RecipeSelected(Message, bubble=False):
    """Sent by the app to the photo pane: classify by this recipe."""

    recipe: str


@dataclass
class ComparisonRequested(Message):
    """The user asked to compare the classes with those of a second run."""

    show: Callable[[str, EvaluationFile], None]
    """Called with the name of the second run and its newest evaluation."""
    split: str = ""
    """The split of the classes that are shown: an evaluation on the same one is preferred."""


@dataclass
class ExperimentProposed(Message):
    """The user chose a setting for a new run like the one that is shown."""

    experiment: Experiment
    """That of the shown run."""
    assignment: str
    """The setting to change, as `KEY=VALUE`."""


@dataclass
class TrialChosen(Message):
    """The settings of a trial of a sweep shall become a new experiment."""

    run_id: str
    number: int


@dataclass
class SweepStopRequested(Message):
    """The user asked to stop a sweep."""

    folder: SweepFolder


@dataclass
class SweepResumeRequested(Message):
    """The user asked to continue a sweep."""

    folder: SweepFolder


@dataclass
class SweepStarted(Message, bubble=False):
    """Sent by the app to the sweeps pane: the user has started a sweep with this name."""

    name: str


@dataclass
class SweepRemovalRequested(Message):
    """The user asked to remove a sweep."""

    folder: SweepFolder


@dataclass
class MarksChanged(Message):
    """Runs were marked or unmarked."""

    run_ids: frozenset[str]
    """All runs that are marked now."""


@dataclass
class Notify(Message, namespace="workbench"):
    """A notification for the notice bar.

    The namespace keeps it apart from Textual's own `Notify`, whose handler `on_notify` the App has.
    """

    text: str
    severity: Severity = "information"
    transient: bool = False
    """Whether it is removed at the next key press, or after some seconds."""


@dataclass
class Undoable(Message):
    """Something was done that can be undone: a short description, and the function that undoes it."""

    description: str
    undo: Callable[[], object]


@dataclass
class SnapshotReady(Message):
    """The run monitor found changes."""

    snapshot: Snapshot


@dataclass
class PaneMounted(Message):
    """A pane was imported and mounted."""

    pane_id: PaneId
