"""The pictures that a run was evaluated on: what each is, and what was said, side by side."""

from __future__ import annotations

from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen

from workbench.compute.client import SessionClient, SessionError
from workbench.compute.protocol import ListExamples
from workbench.compute.protocol_records import ExampleItem
from workbench.core.progress import Progress
from workbench.core.text import fraction, safe
from workbench.io.images import open_picture
from workbench.runs.metrics import EvaluationFile
from workbench.ui.data.sample_grid import Sample, SampleGrid
from workbench.ui.services.compute import progress_text
from workbench.ui.widgets.text_line import Line

SIDE = 64
"""Pixels of a picture's side."""


class ExamplesScreen(ModalScreen[None]):
    """A grid of an evaluation's examples; `f` leaves the errors, `a` one class."""

    DEFAULT_CSS = """
    ExamplesScreen { align: center middle; }
    ExamplesScreen > Vertical {
        width: 100%; height: 100%; border: round $accent; background: $surface; padding: 0 1;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,v", "dismiss", "back"),
        Binding("f", "errors", "errors only"),
        Binding("a", "label", "one class"),
    ]

    def __init__(
        self, session: SessionClient, evaluation: EvaluationFile, run: str, label: tuple[int, str] | None
    ) -> None:
        """`evaluation` of the run in the folder `run`; `label`: number and name of the class that `a` leaves."""
        super().__init__()
        self._session, self._label = session, label
        self._run, self._step, self._split = run, evaluation.step, evaluation.split
        self._epoch = evaluation.weights_of_epoch
        self.errors_only = self.one_class = False
        self._known: dict[int, ExampleItem] = {}

    def compose(self) -> ComposeResult:
        """The grid, and a line about the example under the cursor."""
        with Vertical() as frame:
            frame.border_title = "fetching the pictures…"
            frame.border_subtitle = "f errors only  a one class  esc back"
            yield SampleGrid()
            yield Line(id="about-example")

    def on_mount(self) -> None:
        """Show the first examples."""
        self.query_one(SampleGrid).focus()
        self.call_after_refresh(self._show, 0)

    def action_errors(self) -> None:
        """Only what was wrong, or all."""
        self.errors_only = not self.errors_only
        self._begin()

    def action_label(self) -> None:
        """Only the class that the cursor of the pane stands on, or all."""
        self.one_class = self._label is not None and not self.one_class
        self._begin()

    def _begin(self) -> None:
        self.query_one(SampleGrid).cursor = 0
        self._show(0)

    @on(SampleGrid.PageWanted)
    def _page_wanted(self, event: SampleGrid.PageWanted) -> None:
        self._show(event.first)

    @on(SampleGrid.Moved)
    def _pointed(self, event: SampleGrid.Moved) -> None:
        found = self._known.get(event.sample.index)
        if found is not None:
            self.query_one("#about-example", Line).show(about(found, self._split))

    @work(group="examples", exclusive=True)
    async def _show(self, first: int) -> None:
        grid = self.query_one(SampleGrid)
        request = ListExamples(
            run=self._run,
            step=self._step,
            split=self._split,
            errors_only=self.errors_only,
            label=self._label[0] if self._label and self.one_class else None,
            first=first,
            count=max(1, grid.tiles.count),
            side=SIDE,
        )
        self._say("… fetching the pictures")
        try:
            found = await self._session.request(request, self._progress)
        except SessionError as error:
            self._say(f"✗ {error}", "$error")
            return
        self._say("")
        self._known = {item.index: item for item in found.items}
        self._title(found.total)
        grid.show([_sample(item) for item in found.items], found.first, found.total)

    def _title(self, total: int) -> None:
        what = "errors" if self.errors_only else "examples"
        of = f" of {safe(self._label[1], 24)}" if self._label and self.one_class else ""
        title = f"{total:,} {self._split} {what}{of} after epoch {self._epoch}: truth→said"
        self.query_one(Vertical).border_title = title.replace("[", "\\[")

    def _progress(self, progress: Progress) -> None:
        self._say(f"… {progress_text(progress)}")

    def _say(self, text: str, style: str = "") -> None:
        for line in self.query("#about-example").results(Line):
            line.show(Content.styled(safe(text), style))


def _sample(item: ExampleItem) -> Sample:
    right = item.predicted == item.class_name
    words = f"✓{item.class_name}" if right else f"{item.class_name}→{item.predicted}"
    return Sample(item.index, item.label, safe(words), open_picture(item.png))


def about(item: ExampleItem, split: str) -> Content:
    """`test example 3: is plane, said plane (plane .62)`."""
    right = item.predicted == item.class_name
    verdict = ("right", "$success") if right else ("wrong", "$error")
    name = f"  {safe(item.name, 40)}" if item.name else ""
    return Content.assemble(
        f"{split} example {item.index}: is ", (safe(item.class_name, 24), "bold"), ", said ",
        (safe(item.predicted, 24), "bold"),
        f"  gave {safe(item.class_name, 24)} {fraction(item.probability)}  ", verdict, name,
    )  # fmt: skip
