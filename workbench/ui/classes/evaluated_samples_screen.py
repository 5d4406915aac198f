"""A screen that shows the images of an evaluation with their true and predicted classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content

from workbench.compute.client import ComputeClient, ComputeError
from workbench.compute.protocol import ListEvaluatedSamples
from workbench.compute.protocol_records import EvaluatedSample
from workbench.core.progress import Progress
from workbench.core.text import format_fraction, sanitize
from workbench.io.images import open_image
from workbench.runs.metrics import EvaluationFile
from workbench.ui.base.dialog import Dialog
from workbench.ui.data.sample_grid import Sample, SampleGrid
from workbench.ui.services.progress_text import progress_text
from workbench.ui.widgets.text_line import TextLine

IMAGE_SIZE, LARGE_IMAGE_SIZE = 64, 256
"""Side length of the images in pixels: in the grid, and of an enlarged one."""


@dataclass(frozen=True)
class ClassRef:
    """A class of a dataset."""

    index: int
    name: str


class EvaluatedSamplesScreen(Dialog[None]):
    """A grid of an evaluation's samples; `f` shows only errors, `a` only one class, `enter` enlarges.

    Opened for a class or a confusion, it shows only those, the most confident mistakes first.
    """

    DEFAULT_CSS = """
    EvaluatedSamplesScreen { align: center middle; }
    EvaluatedSamplesScreen > Vertical {
        width: 100%; height: 100%; border: round $accent; background: $surface; padding: 0 1;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,v", "close", "back"),
        Binding("f", "errors", "errors only"),
        Binding("a", "label", "one class"),
    ]

    def __init__(
        self,
        compute: ComputeClient,
        evaluation: EvaluationFile,
        run: str,
        label: ClassRef | None,
        predicted: ClassRef | None = None,
        *,
        mistakes_first: bool = False,
    ) -> None:
        """`evaluation` of the run in the folder `run`; `label`: the class that `a` selects.

        With `predicted`, only samples for which it was predicted. With `mistakes_first`, only those of `label` are
        shown at first, ordered by confidence.
        """
        super().__init__()
        self._compute, self._label = compute, label
        self._predicted, self._mistakes_first = predicted, mistakes_first
        self._run, self._step, self._split = run, evaluation.step, evaluation.split
        self._moment = evaluation.moment
        self.errors_only, self.one_class = False, mistakes_first
        self._samples: dict[int, EvaluatedSample] = {}

    def compose(self) -> ComposeResult:
        with Vertical() as frame:
            frame.border_title = "Loading images…"
            frame.border_subtitle = "f errors only  a one class  enter enlarge  esc back"
            yield SampleGrid()
            yield TextLine(id="sample-text")

    def on_mount(self) -> None:
        self.query_one(SampleGrid).focus()
        self.call_after_refresh(self._show, 0)

    def action_errors(self) -> None:
        """Show only misclassified samples, or all."""
        self.errors_only = not self.errors_only
        self._restart()

    def action_label(self) -> None:
        """Show only samples of the class under the pane's cursor, or of all classes."""
        if self._label is None:
            self._show_status("one class: none is under the cursor in the classes pane", "$warning")
            return
        self.one_class = not self.one_class
        self._restart()

    def action_close(self) -> None:
        """Show the grid again, else go back to the pane."""
        if self.query_one(SampleGrid).enlarged:
            self._toggle_enlarged()
        else:
            self.dismiss()

    @on(SampleGrid.Opened)
    def _toggle_enlarged(self) -> None:
        grid = self.query_one(SampleGrid)
        grid.enlarge(not grid.enlarged)

    def _restart(self) -> None:
        self.query_one(SampleGrid).cursor = 0
        self._show(0)

    @on(SampleGrid.PageRequested)
    def _page_requested(self, event: SampleGrid.PageRequested) -> None:
        self._show(event.first)

    @on(SampleGrid.Highlighted)
    def _sample_highlighted(self, event: SampleGrid.Highlighted) -> None:
        sample = self._samples.get(event.sample.index)
        if sample is not None:
            self.query_one("#sample-text", TextLine).show(sample_text(sample, self._split))

    @work(group="samples", exclusive=True)
    async def _show(self, first: int) -> None:
        grid = self.query_one(SampleGrid)
        request = ListEvaluatedSamples(
            run=self._run,
            step=self._step,
            split=self._split,
            errors_only=self.errors_only,
            label=self._label.index if self._label and self.one_class else None,
            predicted=self._predicted.index if self._predicted and self.one_class else None,
            mistakes_first=self._mistakes_first,
            first=first,
            count=max(1, grid.tiles.count),
            side=LARGE_IMAGE_SIZE if grid.enlarged else IMAGE_SIZE,
        )
        self._show_status("Loading images…")
        try:
            page = await self._compute.request(request, self._progress)
        except ComputeError as error:
            self._show_status(f"✗ {error}", "$error")
            return
        self._show_status("")
        self._samples = {item.index: item for item in page.items}
        self._title(page.total)
        grid.show([_sample(item) for item in page.items], page.first, page.total)

    def _title(self, total: int) -> None:
        what = "errors" if self.errors_only else "samples"
        of = f" of {sanitize(self._label.name, 24)}" if self._label and self.one_class else ""
        if self._predicted and self.one_class:
            of += f" predicted as {sanitize(self._predicted.name, 24)}"
        of += ", most confident mistakes first," if self._mistakes_first else ""
        title = f"{total:,} {self._split} {what}{of} after {self._moment}: true→predicted"
        self.query_one(Vertical).border_title = title.replace("[", "\\[")

    def _progress(self, progress: Progress) -> None:
        self._show_status(progress_text(progress))

    def _show_status(self, text: str, style: str = "") -> None:
        for line in self.query("#sample-text").results(TextLine):
            line.show(Content.styled(sanitize(text), style))


def _sample(item: EvaluatedSample) -> Sample:
    correct = item.predicted == item.class_name
    label = f"✓{item.class_name}" if correct else f"{item.class_name}→{item.predicted}"
    return Sample(item.index, item.label, sanitize(label), open_image(item.png))


def sample_text(item: EvaluatedSample, split: str) -> Content:
    """`test sample 3: true plane, predicted ship  p(ship) .81  p(plane) .12  wrong`."""
    confidence = ""
    if item.confidence is not None and item.predicted != item.class_name:
        confidence = f"  p({sanitize(item.predicted, 24)}) {format_fraction(item.confidence)}"
    correct = item.predicted == item.class_name
    verdict = ("correct", "$success") if correct else ("wrong", "$error")
    name = f"  {sanitize(item.name, 40)}" if item.name else ""
    return Content.assemble(
        f"{split} sample {item.index}: true ", (sanitize(item.class_name, 24), "bold"), ", predicted ",
        (sanitize(item.predicted, 24), "bold"),
        confidence, f"  p({sanitize(item.class_name, 24)}) {format_fraction(item.probability)}  ", verdict, name,
    )  # fmt: skip
