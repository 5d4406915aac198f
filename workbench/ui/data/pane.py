"""Pane 5: the facts of a dataset, its samples, and a preview of transforms."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar, cast

from msgspec.structs import replace
from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Static

from workbench.compute.protocol import BrowseImages, BrowseValues, TraceDatasetImage, TransformImage
from workbench.compute.protocol_records import ExperimentDataset, ImageItem, Split
from workbench.compute.protocol_responses import DatasetOverview
from workbench.core.text import sanitize
from workbench.datasets.transform_catalog import NOISE_INDEX
from workbench.io.images import open_image
from workbench.ui.base.layout import PaneId, switch_classes
from workbench.ui.base.pane import PaneServices
from workbench.ui.data.dataset_pane import DatasetPane
from workbench.ui.data.dataset_text import (
    CLASS_COLUMNS,
    VALUE_COLUMNS,
    DatasetSource,
    class_options,
    class_rows,
    fact_lines,
    remarks,
    sample_title,
    scatter_axes,
    scatter_series,
    split_counts,
    value_rows,
)
from workbench.ui.data.sample_detail import SampleDetail
from workbench.ui.data.sample_grid import Sample, SampleGrid
from workbench.ui.data.sample_view import SampleView
from workbench.ui.data.transform_list import TransformList
from workbench.ui.widgets.chooser import Chooser, Finder, Option, filter_options
from workbench.ui.widgets.pipeline_steps_screen import PipelineStepsScreen
from workbench.ui.widgets.plot import Plot
from workbench.ui.widgets.table import Table
from workbench.ui.widgets.text_screen import TextScreen


class Mode(StrEnum):
    """What the pane shows; the values are its CSS classes."""

    EMPTY = "-empty"
    GRID = "-grid"
    VALUES = "-values"
    DETAIL = "-detail"
    TRANSFORMS = "-transforms"


ONE_SAMPLE = {Mode.DETAIL, Mode.TRANSFORMS}

VALUE_ROWS = 200
_GRID_PIXELS = 64
"""Longer side of the grid's images in pixels: a terminal shows fewer."""


class DataPane(DatasetPane):
    """The dataset of the experiment or of the selected run. Nothing is loaded before the pane is visible."""

    ID = PaneId.DATA

    DEFAULT_CSS = """
    DataPane > #facts { height: auto; max-height: 6; }
    DataPane > #grid, DataPane > SampleView { height: 1fr; display: none; }
    DataPane.-empty > #grid, DataPane.-grid > #grid, DataPane.-values > #grid { display: block; }
    DataPane.-detail > SampleView, DataPane.-transforms > SampleView { display: block; }
    DataPane.-detail > #facts, DataPane.-transforms > #facts { display: none; }
    DataPane #classes { width: 32; max-width: 40%; margin-left: 1; }
    DataPane #samples, DataPane #scatter, DataPane #values { display: none; }
    DataPane.-empty #samples, DataPane.-grid #samples { display: block; }
    DataPane.-empty #classes { display: none; }
    DataPane.-values #scatter, DataPane.-values #values { display: block; }
    DataPane.-values #values { width: 44; max-width: 50%; margin-left: 1; }
    DataPane.-values #classes { display: none; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f", "classes", "class"),
        Binding("m", "splits", "split"),
        Binding("v", "transforms", "transforms"),
        Binding("a", "augmentation", "augmentation"),
        Binding("b", "reroll", "re-roll"),
        Binding("o", "remarks", "notices, skipped files and printed lines", show=False),
        Binding("escape", "close", "back to the grid", show=False),
    ]

    def __init__(self, services: PaneServices | None = None, *, id: str | None = None) -> None:
        super().__init__(services, id=id)
        self.add_class(Mode.EMPTY)
        self.split: Split = "train"
        self.label: int | None = None
        """The class whose samples are shown; `None` for all classes."""
        self._draw = 0
        """Seed of the random transforms."""

    def compose(self) -> ComposeResult:
        yield Static("", id="facts", markup=False)
        with Horizontal(id="grid"):
            yield SampleGrid(id="samples")
            yield Plot(id="scatter")
            yield Table(choosable=False, id="values")
            yield Table(id="classes")
        yield SampleView()

    def on_show(self) -> None:
        self.refresh_dataset()

    def on_resize(self) -> None:
        self.show_facts()

    @property
    def mode(self) -> Mode:
        """What the pane shows."""
        return next((mode for mode in Mode if self.has_class(mode)), Mode.EMPTY)

    def _set_mode(self, mode: Mode) -> None:
        had_focus = self.has_focus_within
        switch_classes(self, Mode, {mode})
        self.sample_view.set_class(mode is Mode.TRANSFORMS, "-transforms")
        if had_focus:
            self.focus_content()

    def focus_content(self) -> None:
        """Focus the widget of the current mode."""
        targets = {Mode.VALUES: "#values", Mode.TRANSFORMS: "TransformList", Mode.DETAIL: "SampleDetail"}
        self.query_one(targets.get(self.mode, "#samples")).focus()

    def text_to_copy(self) -> str:
        """The row under the cursor of the values or the classes."""
        return self.query_one("#values" if self.mode is Mode.VALUES else "#classes", Table).cursor_text

    @property
    def grid(self) -> SampleGrid:
        """The grid of images."""
        return self.query_one(SampleGrid)

    @property
    def sample_view(self) -> SampleView:
        """The view of one image."""
        return self.query_one(SampleView)

    @property
    def _dataset(self) -> ExperimentDataset:
        assert self.source is not None
        return self.source.dataset

    @property
    def _class_names(self) -> tuple[str, ...]:
        return self.overview.facts.classes if self.overview else ()

    @property
    def _has_images(self) -> bool:
        return self.overview is not None and self.overview.facts.has_images

    # The dataset

    def reset(self, source: DatasetSource) -> None:
        """Empty the pane for another dataset."""
        self.label = None
        self.sample_view.transforms.show_augmentation(source.augment)
        self._set_mode(Mode.EMPTY)

    def show_overview(self, overview: DatasetOverview) -> None:
        """Show the facts of the dataset and its first samples."""
        if self.split not in overview.facts.splits:
            self.split = "train"
        self.query_one("#classes", Table).show(CLASS_COLUMNS, class_rows(overview.facts))
        self.show_facts()
        self.refresh_hints()
        self._set_mode(Mode.GRID if overview.facts.has_images else Mode.VALUES)
        self.refresh_bindings()
        self.call_after_refresh(self._show_first)

    def show_facts(self) -> None:
        """Show counts, mean and std, and the shape of a batch."""
        if self.overview:
            lines = fact_lines(self.overview, self.split, self.label, max(20, self.content_size.width))
            self.query_one("#facts", Static).update(Text("\n", no_wrap=True, overflow="ellipsis").join(lines))

    # Samples

    def _show_first(self) -> None:
        if self.mode is Mode.VALUES:
            self._show_values()
        else:
            self._show_page(0)

    @on(SampleGrid.PageRequested)
    def _page_requested(self, event: SampleGrid.PageRequested) -> None:
        event.stop()
        self._show_page(event.first)

    @on(SampleGrid.Highlighted)
    def _sample_highlighted(self, event: SampleGrid.Highlighted) -> None:
        """Move the cursor of the classes to the class of the sample."""
        event.stop()
        self.query_one("#classes", Table).go_to(str(event.sample.label))

    @work(group="page", exclusive=True)
    async def _show_page(self, first: int) -> None:
        count = max(1, self.grid.tiles.count)
        request = BrowseImages(
            dataset=self._dataset,
            split=self.split,
            label=self.label,
            first=first,
            count=count,
            side=_GRID_PIXELS,
        )
        page = await self.request(request)
        if page is not None:
            self.grid.show([_sample(item) for item in page.items], page.first, page.total)
            if self.mode is Mode.DETAIL:
                self._show_sample()

    @work(group="page", exclusive=True)
    async def _show_values(self) -> None:
        request = BrowseValues(dataset=self._dataset, split=self.split, label=self.label, count=VALUE_ROWS)
        page = await self.request(request)
        if page is None:
            return
        self.query_one("#values", Table).show(VALUE_COLUMNS, value_rows(page.rows))
        scatter = page.scatter
        title = [(f"{scatter.y_title} · {scatter.x_title}", "$foreground-muted")]
        series = scatter_series(scatter, self._class_names)
        self.query_one(Plot).draw(series, *scatter_axes(scatter), title=title)

    def action_classes(self) -> None:
        """Choose the class whose samples are shown, or all classes."""
        if self.overview and self._class_names:
            options = class_options(self.overview.facts, self.split)
            current = "" if self.label is None else str(self.label)
            finder = Finder(filter_options(options), current=current)
            self.app.push_screen(Chooser("Show only", finder), self._apply_class)

    def _apply_class(self, key: str | None) -> None:
        if key is not None:
            self._show_class(int(key) if key else None)

    @on(Table.RowSelected)
    def _class_selected(self, event: Table.RowSelected) -> None:
        """Show only this class; a second time, all classes again."""
        event.stop()
        if self.mode is Mode.GRID:
            label = int(event.key)
            self._show_class(None if label == self.label else label)

    def _show_class(self, label: int | None) -> None:
        self.label = label
        self._restart()

    def _restart(self) -> None:
        """Show the first samples of the selected split and class."""
        self.show_facts()
        self.grid.cursor = 0
        if self.mode in ONE_SAMPLE:
            self._set_mode(Mode.GRID)
        self._show_first()

    def action_splits(self) -> None:
        """Choose a split, of the experiment's dataset or of the selected run's."""
        options = []
        for of_run in (False, True):
            owner, splits = self._splits(of_run)
            options += [Option(f"{int(of_run)} {name}", (name, count), group=owner) for name, count in splits]
        finder = Finder(filter_options(options), current=f"{int(self.of_run)} {self.split}")
        self.app.push_screen(Chooser("Show", finder), self._apply_split)

    def _splits(self, of_run: bool) -> tuple[str, list[tuple[str, str]]]:
        """The owner of a dataset, and its splits with their counts."""
        splits = split_counts(self.overview if of_run == self.of_run else None)
        if not of_run:
            return "dataset of the experiment", splits
        if self.view is None or self.view.experiment is None:
            return "", []
        return f"dataset of {sanitize(self.view.name)}", splits

    def _apply_split(self, key: str | None) -> None:
        if key is None:
            return
        of_run, _, split = key.partition(" ")
        self.split, self.of_run = cast(Split, split), of_run == "1"
        self.refresh_dataset()
        if self.overview:
            self.split = self.split if self.split in self.overview.facts.splits else "train"
            self._restart()

    def action_remarks(self) -> None:
        """Show the notices on the dataset, its skipped files, and what its user code printed."""
        if self.overview is not None and self.source is not None:
            lines = [Content(sanitize(line)) for line in remarks(self.overview)]
            self.app.push_screen(TextScreen(f"Contents of {self.source.title}", lines))

    # One sample

    @on(SampleGrid.Opened)
    def _sample_opened(self, event: SampleGrid.Opened) -> None:
        event.stop()
        if self.mode is Mode.EMPTY:
            self.load()
        elif self.grid.sample is not None:
            self._set_mode(Mode.DETAIL)
            self._show_sample()

    @on(SampleDetail.Stepped)
    def _stepped(self, event: SampleDetail.Stepped) -> None:
        """Show the next or previous sample; the grid loads another page where it is needed."""
        event.stop()
        self.grid.go_to(self.grid.cursor + event.offset)
        if self.grid.sample is not None:
            self._show_sample()

    @work(group="one", exclusive=True)
    async def _show_sample(self) -> None:
        sample = self.grid.sample
        if sample is None:
            return
        noise = self.mode is Mode.TRANSFORMS and self.sample_view.transforms.uses_noise
        detail = await self.request(self._detail_request(NOISE_INDEX if noise else sample.index))
        if detail is None:
            self._set_mode(Mode.GRID)
        elif self.mode is Mode.TRANSFORMS:
            self.sample_view.show_transformed(detail)
        else:
            self.sample_view.show_detail(detail, self.split)

    def _detail_request(self, index: int) -> TransformImage:
        transforms, source = self.sample_view.transforms, self.source
        request = TransformImage(dataset=self._dataset, split=self.split, index=index)
        if self.mode is not Mode.TRANSFORMS or source is None:
            return request
        augment = source.augment if transforms.augments else ()
        options = source.augment_options
        chain, draw = transforms.chain, self._draw
        return replace(request, chain=chain, augment=augment, augment_options=options, draw=draw)

    @on(SampleDetail.PipelineRequested)
    @work(group="one", exclusive=True)
    async def _show_pipeline(self, event: SampleDetail.PipelineRequested) -> None:
        sample = self.grid.sample
        if sample is None:
            return
        request = TraceDatasetImage(dataset=self._dataset, split=self.split, index=sample.index)
        pipeline = await self.request(request)
        if pipeline is not None:
            title = f"{sample_title(self.split, sample.index)}: {sample.caption}, up to a model's input"
            self.open_screen(PipelineStepsScreen(title, pipeline.steps))

    # Transforms

    def action_transforms(self) -> None:
        """Preview transforms of the image under the cursor, or go back to the grid."""
        if self.mode is Mode.TRANSFORMS:
            self.action_close()
        elif self._has_images:
            self._set_mode(Mode.TRANSFORMS)
            self._show_sample()

    def action_augmentation(self) -> None:
        """Preview the experiment's augmentation of the image under the cursor."""
        if self._has_images:
            self._set_mode(Mode.TRANSFORMS)
            self.sample_view.transforms.show_augmentation_row()
            self._show_sample()

    def action_reroll(self) -> None:
        """Draw other random parameters."""
        self._draw += 1
        if self.mode is Mode.TRANSFORMS:
            self._show_sample()
        else:
            self.action_transforms()

    @on(Table.RowHighlighted)
    def _transform_highlighted(self, event: Table.RowHighlighted) -> None:
        if self.mode is Mode.TRANSFORMS:
            event.stop()
            self._show_sample()

    @on(TransformList.Changed)
    def _transform_changed(self) -> None:
        self._show_sample()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys are enabled only where they apply to the dataset; `esc` only while something is open or loading."""
        if action == "close":
            return self.busy or self.mode in ONE_SAMPLE
        if action in {"transforms", "augmentation", "reroll"}:
            return self._has_images
        if action == "remarks":
            return self.overview is not None and bool(remarks(self.overview))
        return bool(self._class_names) if action == "classes" else True

    def action_close(self) -> None:
        """Cancel what is loading, else go back to the grid."""
        if self.busy and self.mode not in ONE_SAMPLE:
            self.cancel_requests()
        else:
            self._set_mode(Mode.GRID)


def _sample(item: ImageItem) -> Sample:
    return Sample(item.index, item.label, sanitize(item.class_name), open_image(item.png))
