"""The base class of the panes, and what the app hands to them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.reactive import reactive
from textual.screen import Screen
from textual.widgets import Input

from workbench.config.experiment import Experiment
from workbench.config.recipes import RecipeContent
from workbench.config.variants import Variant
from workbench.core.text import cell_width, complete_name, sanitize
from workbench.runs.metrics import EvaluationFile
from workbench.runs.reader import RunView
from workbench.runs.store import RunSummary, Store
from workbench.sweeps.sweep_folder import SweepView
from workbench.ui.base.layout import PANES, PaneId, PaneSpec

if TYPE_CHECKING:
    from workbench.compute.client import ComputeClient

TYPING_HINTS = "enter accept  esc cancel"
FRAME_CELLS = 4
"""Cells of a line of the frame that no text can have."""


def _no_experiment() -> None:
    return None


def _new_compute_client() -> ComputeClient:
    from workbench.compute.client import ComputeClient  # noqa: PLC0415  (see `PaneServices.compute`)

    return ComputeClient()


@dataclass(frozen=True)
class PaneServices:
    """What the panes share, made and closed by the app."""

    open_compute: Callable[[], ComputeClient] = _new_compute_client
    store: Store = field(default_factory=Store.default)
    current_experiment: Callable[[], Experiment | None] = _no_experiment
    """The experiment of the experiment pane; `None` until that pane is mounted. Raises `UserError`."""

    @cached_property
    def compute(self) -> ComputeClient:
        """The client of the compute process. Not imported earlier: the pane of the first frame has no use for it."""
        return self.open_compute()


class ExperimentDraft(Protocol):
    """The experiment that is being edited."""

    @property
    def axes(self) -> Mapping[str, str]:
        """The settings with several values, as typed, by full name."""

    def recipe_content(self) -> RecipeContent:
        """The experiment before defaults; of several the first. Raises `UserError`."""


@runtime_checkable
class ExperimentEditor(Protocol):
    """The pane in which an experiment is configured."""

    @property
    def draft(self) -> ExperimentDraft:
        """What is edited."""

    def experiment(self) -> Experiment:
        """The experiment as it is configured now; of several the first. Raises `UserError`."""

    def variants(self) -> Sequence[Variant]:
        """All experiments: more than one where settings have several values. Raises `UserError`."""

    def load(self, experiment: Experiment) -> None:
        """Replace it by the experiment of a run. Raises `UserError`."""

    def clear_filter(self) -> None:
        """Show all settings again."""


class Pane(Vertical, can_focus=False):
    """A framed part of the screen. Its content takes the focus.

    A pane is a function of the values that the app assigns to its reactives, and of its `PaneServices`: it
    reads no run files itself.
    """

    ID: ClassVar[PaneId]

    FILTERABLE: ClassVar[bool] = False
    """Whether its rows can be filtered by `filter`."""

    view: reactive[RunView | None] = reactive(None, always_update=True, repaint=False)
    """The selected run; assigned again whenever any of its files changed."""

    rows: reactive[list[RunSummary] | None] = reactive(None, always_update=True, repaint=False)
    """All runs; `None` until they are known."""

    run_id: reactive[str | None] = reactive(None, repaint=False)
    """The id of the selected run."""

    marked: reactive[frozenset[str]] = reactive(frozenset(), repaint=False)
    """The ids of the marked runs."""

    group: reactive[frozenset[str]] = reactive(frozenset(), repaint=False)
    """The ids of the runs that the row under the cursor stands for, if repeats are folded."""

    overlays: reactive[Sequence[RunView]] = reactive((), always_update=True, repaint=False)
    """The runs that the charts pane has asked for beside the selected one, as far as they are read."""

    sweeps: reactive[Sequence[SweepView]] = reactive((), always_update=True, repaint=False)
    """All sweeps, newest first."""

    evaluations: reactive[Sequence[EvaluationFile]] = reactive((), always_update=True, repaint=False)
    """Evaluation files of the selected run: the one that is shown, then others, newest first."""

    filter: reactive[str] = reactive("", repaint=False)
    """Words that a shown row must contain."""

    headline: reactive[str] = reactive("", repaint=False)
    """The text after the title in the frame."""

    def __init__(
        self, services: PaneServices | None = None, *, id: str | None = None, classes: str | None = None
    ) -> None:
        super().__init__(id=id, classes=classes)
        self.services = services or PaneServices()

    @property
    def spec(self) -> PaneSpec:
        """Its key and titles."""
        return PANES[self.ID]

    @property
    def evaluation(self) -> EvaluationFile | None:
        """The displayed evaluation; `None` if the run has none."""
        return self.evaluations[0] if self.evaluations else None

    def compose(self) -> ComposeResult:
        yield from ()

    def watch_headline(self) -> None:
        self._show_title()

    def on_mount(self) -> None:
        self._show_title()

    def on_descendant_focus(self) -> None:
        """Show the pane's own keys in the frame."""
        hints = fit_hints(self.key_hints(), self.size.width - FRAME_CELLS)
        self.border_subtitle = hints.replace("[", "\\[")

    def on_resize(self) -> None:
        self.refresh_hints()

    def refresh_hints(self) -> None:
        """Show the keys that work now, while the pane has the focus."""
        if self.has_focus_within:
            self.on_descendant_focus()

    def on_descendant_blur(self) -> None:
        if not self.has_focus_within:  # another part of the pane may have taken the focus
            self.border_subtitle = ""

    def key_hints(self) -> str:
        """`a smooth  f follow`: the pane's own bindings that are shown and enabled, or those of the focused input."""
        if isinstance(self.app.focused, Input):
            return TYPING_HINTS  # letters are typed into it
        shown = [
            binding
            for binding in Binding.make_bindings(self.BINDINGS)
            if binding.show and binding.description and self.check_action(binding.action, ())
        ]
        return "  ".join(f"{self.app.get_key_display(binding)} {binding.description}" for binding in shown)

    def unavailable_reason(self, action: str) -> str:
        """Why a key of the pane does nothing now; empty if it does something, and for `esc`, which the app has too."""
        for binding in Binding.make_bindings(self.BINDINGS):
            if binding.action == action and binding.key != "escape":
                return "" if self.check_action(action, ()) else f"{binding.description}: not in this view"
        return ""

    def filter_names(self) -> Iterable[str]:
        """The names to which the text of a filter can be completed."""
        return ()

    def complete_filter(self, text: str) -> list[str]:
        """What the text of a filter can be completed to."""
        return complete_name(text, self.filter_names())

    def text_to_copy(self) -> str:
        """What `y` copies while the pane is in front; empty for the path of the selected run's folder."""
        return ""

    def focus_content(self) -> None:
        """Focus the first widget of the pane that takes keys; a widget that is not displayed would take them too."""
        for widget in self.query("*"):
            if widget.focusable and widget.display:
                widget.focus()
                return

    @property
    def is_in_use(self) -> bool:
        """Whether the user did not go elsewhere: there, what was being prepared here would be in the way."""
        return self.has_focus_within and self.app.screen is self.screen

    def open_screen(self, screen: Screen[None]) -> None:
        """Open a screen that was being prepared, unless the user went elsewhere meanwhile."""
        if self.is_in_use:
            self.app.push_screen(screen)

    def _show_title(self) -> None:
        title = f"{self.spec.key} {self.spec.title}"
        if self.headline:
            title += f"──{sanitize(self.headline)}"
        self.border_title = title.replace("[", "\\[")


def fit_hints(hints: str, width: int) -> str:
    """The key hints (`a smooth  f follow`) that fit into `width` cells, none of them cut."""
    shown = hints.split("  ")
    while len(shown) > 1 and cell_width("  ".join(shown)) > width:
        shown.pop()
    return "  ".join(shown)
