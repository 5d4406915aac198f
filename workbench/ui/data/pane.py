"""The data: what a dataset holds, its samples, and what transforms do to one of them."""

from __future__ import annotations

from typing import ClassVar, cast

from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Static

from workbench.compute.client import SessionClient
from workbench.compute.protocol import (
    BrowseImages,
    BrowseValues,
    DatasetOverview,
    ImageDetail,
    TraceDatasetImage,
    TransformImage,
)
from workbench.compute.protocol_records import ExperimentDataset, ImageItem, Split
from workbench.core.text import safe
from workbench.io.images import open_picture
from workbench.ui.data.dataset_pane import LookingPane
from workbench.ui.data.dataset_text import (
    Source,
    axes_of,
    class_rows,
    fact_lines,
    points_of,
    tensor,
    value_rows,
)
from workbench.ui.data.sample_detail import Large, detail_lines
from workbench.ui.data.sample_grid import Sample, SampleGrid
from workbench.ui.data.transform_list import TransformList
from workbench.ui.widgets.chooser import Chooser, Finder, Row, filtering
from workbench.ui.widgets.image_view import Picture
from workbench.ui.widgets.pipeline_steps_screen import StepsScreen
from workbench.ui.widgets.plot import Plot
from workbench.ui.widgets.table import Column, Table

MODES = ("-empty", "-grid", "-values", "-large", "-workshop")
CLASS_COLUMNS = (
    Column("class", "class", 11, keep=3, least=6),
    Column("train", "train", 6, keep=2, right=True),
    Column("validation", "val", 5, keep=1, right=True),
    Column("test", "test", 6, keep=1, right=True),
)
VALUE_COLUMNS = (
    Column("index", "#", 6, keep=1, right=True),
    Column("input", "input", 24, keep=3, least=8),
    Column("target", "target", 12, keep=2, least=6),
)
FIRST_VALUES = 200
_PIXELS = 64
"""Sides of the grid's pictures, in pixels: a terminal shows fewer."""


class DataPane(LookingPane):
    """The experiment's dataset (or the selected run's). Nothing is asked for before the pane is in sight."""

    NUMBER = "5"
    NAME = "Data"
    SHORT = "Data"

    DEFAULT_CSS = """
    DataPane > #facts { height: auto; max-height: 4; }
    DataPane > Horizontal { height: 1fr; display: none; }
    DataPane.-empty > #grid, DataPane.-grid > #grid, DataPane.-values > #grid { display: block; }
    DataPane.-large > #one, DataPane.-workshop > #one { display: block; }
    DataPane.-workshop > #facts, DataPane.-large > #facts { display: none; }
    DataPane #classes { width: 32; max-width: 40%; margin-left: 1; }
    DataPane #samples, DataPane #scatter, DataPane #values { display: none; }
    DataPane.-empty #samples, DataPane.-grid #samples { display: block; }
    DataPane.-empty #classes { display: none; }
    DataPane.-values #scatter, DataPane.-values #values { display: block; }
    DataPane.-values #values { width: 44; max-width: 50%; margin-left: 1; }
    DataPane.-values #classes { display: none; }
    DataPane .shown { height: 1fr; width: 1fr; margin-right: 1; }
    DataPane .shown > Static { height: auto; max-height: 2; }
    DataPane > #about { height: auto; max-height: 2; display: none; }
    DataPane.-workshop > #about { display: block; }
    DataPane TransformList { width: 26; }
    DataPane Large { padding-left: 1; }
    DataPane.-large #after-side, DataPane.-large TransformList, DataPane.-workshop Large { display: none; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f", "classes", "class"),
        Binding("m", "splits", "split"),
        Binding("v", "transforms", "transforms"),
        Binding("a", "augmentation", "augmentation"),
        Binding("b", "reroll", "re-roll"),
        Binding("escape", "close", "back to the grid", show=False),
    ]

    def __init__(self, *, session: SessionClient | None = None, id: str | None = None) -> None:
        super().__init__(session=session, id=id)
        self.split: Split = "train"
        self.label: int | None = None
        self._draw = 0

    def compose(self) -> ComposeResult:
        """Facts, the grid with its classes, one picture before and after."""
        yield Static("", id="facts", markup=False)
        with Horizontal(id="grid"):
            yield SampleGrid(id="samples")
            yield Plot(id="scatter")
            yield Table(id="values")
            yield Table(id="classes")
        with Horizontal(id="one"):
            with Vertical(classes="shown"):
                yield Static("", id="before-said", markup=False)
                yield Picture(id="before")
            with Vertical(classes="shown", id="after-side"):
                yield Static("", id="after-said", markup=False)
                yield Picture(id="after")
            yield TransformList()
            yield Large()
        yield Static("", id="about", markup=False)

    def on_mount(self) -> None:
        """Begin empty."""
        super().on_mount()
        self._mode("-empty")

    def on_show(self) -> None:
        """Look at what is chosen now."""
        self.look()

    def on_resize(self) -> None:
        """Facts fit the width."""
        self.say_facts()

    @property
    def mode(self) -> str:
        """Which of `MODES` is shown."""
        return next((name for name in MODES if self.has_class(name)), MODES[0])

    def _mode(self, mode: str) -> None:
        had = self.has_focus_within
        for name in MODES:
            self.set_class(name == mode, name)
        if had:
            self.call_after_refresh(self.enter)

    def enter(self) -> None:
        """Give the keys to what is shown."""
        targets = {"-values": "#values", "-workshop": "TransformList", "-large": "Large"}
        self.query_one(targets.get(self.mode, "#samples")).focus()

    def copied(self) -> str:
        """The row under the cursor, of values or of classes."""
        return self.query_one("#values" if self.mode == "-values" else "#classes", Table).line

    # What is looked at

    @property
    def _dataset(self) -> ExperimentDataset:
        assert self.source is not None
        return self.source.dataset

    @property
    def _class_names(self) -> tuple[str, ...]:
        """Names of the classes, as far as they are known."""
        return self.overview.facts.classes if self.overview else ()

    @property
    def _has_images(self) -> bool:
        return self.overview is not None and self.overview.facts.has_images

    def begin(self, source: Source) -> None:
        """Nothing is known yet."""
        self.label = None
        self.query_one(TransformList).show_augmentation(source.augment)
        self._mode("-empty")

    def take(self, overview: DatasetOverview) -> None:
        """Show its facts, and its first examples."""
        if self.split not in overview.facts.splits:
            self.split = "train"
        self.query_one("#classes", Table).show(CLASS_COLUMNS, class_rows(overview.facts))
        self.say_facts()
        if self.has_focus_within:
            self.on_descendant_focus()
        self._mode("-grid" if overview.facts.has_images else "-values")
        self.refresh_bindings()
        self.call_after_refresh(self._show_first)

    def say_facts(self) -> None:
        """Counts, figures and a batch's shape."""
        if self.overview:
            lines = fact_lines(self.overview, self.split, self.label, max(20, self.content_size.width))
            self.query_one("#facts", Static).update(Text("\n", no_wrap=True, overflow="ellipsis").join(lines))

    def _show_first(self) -> None:
        if self.mode == "-values":
            self._show_values()
        else:
            self._show_page(0)

    # The grid

    @on(SampleGrid.PageWanted)
    def _page_wanted(self, event: SampleGrid.PageWanted) -> None:
        event.stop()
        self._show_page(event.first)

    @on(SampleGrid.Moved)
    def _sample_pointed(self, event: SampleGrid.Moved) -> None:
        """The sample's class is the one that is marked."""
        event.stop()
        self.query_one("#classes", Table).go_to(str(event.sample.label))

    @work(group="page", exclusive=True)
    async def _show_page(self, first: int) -> None:
        grid = self.query_one(SampleGrid)
        request = BrowseImages(
            dataset=self._dataset,
            split=self.split,
            label=self.label,
            first=first,
            count=max(1, grid.tiles.count),
            side=_PIXELS,
        )
        found = await self.ask(request)
        if found is not None:
            grid.show([_sample(item) for item in found.items], found.first, found.total)
            if self.mode == "-large":
                self._show_one()

    @work(group="page", exclusive=True)
    async def _show_values(self) -> None:
        request = BrowseValues(dataset=self._dataset, split=self.split, label=self.label, count=FIRST_VALUES)
        found = await self.ask(request)
        if found is not None:
            self.query_one("#values", Table).show(VALUE_COLUMNS, value_rows(found.rows))
            scatter = found.scatter
            title = [(f"{scatter.y_title} · {scatter.x_title}", "$foreground-muted")]
            self.query_one(Plot).draw(points_of(scatter, self._class_names), *axes_of(scatter), title=title)

    def action_classes(self) -> None:
        """Choose the class that is shown, or all of them."""
        if self.overview and self._class_names:
            rows = [Row("", ("all classes",))]
            counts = self.overview.facts.splits[self.split].per_class
            for number, (name, count) in enumerate(zip(self._class_names, counts, strict=True)):
                rows.append(Row(str(number), (name, f"{count:,}")))
            self.app.push_screen(Chooser("Show only", Finder(filtering(rows))), self._take_class)

    def _take_class(self, key: str | None) -> None:
        if key is not None:
            self._show_only(int(key) if key else None)

    @on(Table.Chosen)
    def _class_chosen(self, event: Table.Chosen) -> None:
        """Only this class; chosen again: all of them."""
        event.stop()
        if self.mode == "-grid":
            label = int(event.key)
            self._show_only(None if label == self.label else label)

    def _show_only(self, label: int | None) -> None:
        self.label = label
        self._show_again()

    def _show_again(self) -> None:
        self.say_facts()
        self.query_one(SampleGrid).cursor = 0
        if self.mode in {"-large", "-workshop"}:
            self._mode("-grid")
        self._show_first()

    def action_splits(self) -> None:
        """Choose the part that is shown: of the experiment's data, or of the selected run's."""
        rows = []
        for of_run in (False, True):
            whose, names = self._splits(of_run)
            rows += [Row(f"{int(of_run)} {name}", (name, count), group=whose) for name, count in names]
        self.app.push_screen(Chooser("Show", Finder(filtering(rows))), self._take_split)

    def _splits(self, of_run: bool) -> tuple[str, list[tuple[str, str]]]:
        """Whose data, and its splits with their counts, as far as they are known."""
        if of_run and (self.view is None or self.view.experiment is None):
            return "", []
        whose = f"the data of {safe(self.view.name)}" if of_run and self.view else "the experiment's data"
        if of_run != self.of_run or not self.overview:
            return whose, [(name, "") for name in ("train", "validation", "test")]
        return whose, [(name, f"{split.count:,}") for name, split in self.overview.facts.splits.items()]

    def _take_split(self, key: str | None) -> None:
        if key is None:
            return
        of_run, _, split = key.partition(" ")
        self.split, self.of_run = cast(Split, split), of_run == "1"
        self.look()
        if self.overview:
            self.split = self.split if self.split in self.overview.facts.splits else "train"
            self._show_again()

    # One picture

    @on(SampleGrid.Opened)
    def _opened(self, event: SampleGrid.Opened) -> None:
        event.stop()
        if self.mode == "-empty":
            self.load()
        elif self.query_one(SampleGrid).sample is not None:
            self._mode("-large")
            self._show_one()

    @on(Large.Stepped)
    def _stepped(self, event: Large.Stepped) -> None:
        """The next picture, large; one of another page when that is here."""
        event.stop()
        grid = self.query_one(SampleGrid)
        grid.go_to(grid.cursor + event.by)
        if grid.sample is not None:
            self._show_one()

    @work(group="one", exclusive=True)
    async def _show_one(self) -> None:
        sample = self.query_one(SampleGrid).sample
        if sample is None:
            return
        found = await self.ask(self._detail_request(sample.index))
        if found is None:
            self._mode("-grid")
            return
        self.query_one("#before", Picture).image = open_picture(found.item.png)
        if self.mode == "-workshop":
            self._show_after(found, self.query_one(TransformList))
        else:
            self.query_one("#before-said", Static).update("")
            self.query_one(Large).show(detail_lines(found, self.split))

    def _detail_request(self, index: int) -> TransformImage:
        transforms, source = self.query_one(TransformList), self.source
        if self.mode != "-workshop" or source is None:
            return TransformImage(dataset=self._dataset, split=self.split, index=index)
        return TransformImage(
            dataset=self._dataset,
            split=self.split,
            index=index,
            chain=transforms.chain,
            augment=source.augment if transforms.augments else (),
            draw=self._draw,
        )

    def _show_after(self, found: ImageDetail, transforms: TransformList) -> None:
        before = f"{found.item.class_name} {tensor(found.stored)}"
        self.query_one("#before-said", Static).update(Text(f"before\n{safe(before)}", no_wrap=True))
        self.query_one("#after", Picture).image = open_picture(found.transformed or found.item.png)
        after = tensor(found.result or found.stored)
        self.query_one("#after-said", Static).update(
            Text(f"{safe(transforms.words)}\n{after}", no_wrap=True, overflow="ellipsis")
        )
        keeps = "" if transforms.augments else "space keeps it, "
        about = f"{transforms.about}; {keeps}b draws anew, esc leaves"
        self.query_one("#about", Static).update(Text(about, "dim"))

    @on(Large.StepsWanted)
    def _steps_wanted(self, event: Large.StepsWanted) -> None:
        event.stop()
        self._show_steps()

    @work(group="one", exclusive=True)
    async def _show_steps(self) -> None:
        """Each step from the picture to what a model is given."""
        sample = self.query_one(SampleGrid).sample
        if sample is None:
            return
        request = TraceDatasetImage(dataset=self._dataset, split=self.split, index=sample.index)
        found = await self.ask(request)
        if found is not None:
            title = f"{self.split} example {sample.index}: {sample.words}, up to a model"
            self.app.push_screen(StepsScreen(title, found.steps))

    # Transforms

    def action_transforms(self) -> None:
        """Try transforms on the picture under the cursor, or go back to the grid."""
        if self.mode == "-workshop":
            self.action_close()
        elif self._has_images:
            self._mode("-workshop")
            self._show_one()

    def action_augmentation(self) -> None:
        """What the experiment's augmentation makes of the picture under the cursor."""
        if self._has_images:
            self._mode("-workshop")
            self.query_one(TransformList).action_go(-1)
            self._show_one()

    def action_reroll(self) -> None:
        """Draw what is random anew."""
        self._draw += 1
        if self.mode == "-workshop":
            self._show_one()
        else:
            self.action_transforms()

    @on(Table.Moved)
    def _tried(self, event: Table.Moved) -> None:
        if self.mode == "-workshop":
            event.stop()
            self._show_one()

    @on(TransformList.Changed)
    def _adjusted(self, event: TransformList.Changed) -> None:
        event.stop()
        self._show_one()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What does nothing for these data is no key; `esc` is the screen's own where nothing is open."""
        if action == "close":
            return self.busy or self.mode in {"-large", "-workshop"}
        if action in {"transforms", "augmentation", "reroll"}:
            return self._has_images
        return bool(self._class_names) if action == "classes" else True

    def action_close(self) -> None:
        """Take back what is asked for, else go back to the grid."""
        if self.busy and self.mode not in {"-large", "-workshop"}:
            self.give_up()
        else:
            self._mode("-grid")


def _sample(item: ImageItem) -> Sample:
    return Sample(item.index, item.label, safe(item.class_name), open_picture(item.png))
