"""A screen that shows the images that a run has logged, the newest first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import ClassVar

from PIL import Image
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen

from workbench.compute.client import ComputeClient, ComputeError
from workbench.compute.protocol import OpenImage
from workbench.core.text import plural, sanitize
from workbench.io.images import open_image
from workbench.runs.logged_images import LoggedImage
from workbench.ui.data.sample_grid import Sample, SampleGrid
from workbench.ui.widgets.image_view import ImageView
from workbench.ui.widgets.text_line import TextLine

POLL_SECONDS = 2.0
NAME_WIDTH = 60


class LoggedImagesScreen(ModalScreen[None]):
    """A grid of logged images; `enter` enlarges one, `f` shows only those with its name, step by step."""

    DEFAULT_CSS = """
    LoggedImagesScreen { align: center middle; }
    LoggedImagesScreen > Vertical {
        width: 100%; height: 100%; border: round $accent; background: $surface; padding: 0 1;
    }
    LoggedImagesScreen ImageView { height: 1fr; display: none; }
    LoggedImagesScreen.-enlarged ImageView { display: block; }
    LoggedImagesScreen.-enlarged SampleGrid { height: 0; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,I", "back", "back"),
        Binding("f", "one_name", "one name"),
    ]

    def __init__(
        self, compute: ComputeClient, run_name: str, list_images: Callable[[], Sequence[LoggedImage]]
    ) -> None:
        """`list_images` is called in a thread, now and then: the run may be logging. It may raise `OSError`."""
        super().__init__()
        self._compute, self._run_name, self._list = compute, run_name, list_images
        self._images: Sequence[LoggedImage] = ()
        self._decoded: dict[LoggedImage, Image.Image] = {}
        self.name_shown = ""
        """The only name that is shown; empty for all."""
        self._name_before = ""
        """The same before an image was enlarged."""

    def compose(self) -> ComposeResult:
        with Vertical() as frame:
            frame.border_title = "Loading images…"
            frame.border_subtitle = "enter enlarge  ← → other steps  f one name  esc back"
            yield ImageView()
            yield SampleGrid()
            yield TextLine(id="image-text")

    def on_mount(self) -> None:
        self.query_one(SampleGrid).focus()
        self.call_after_refresh(self._update)
        self.set_interval(POLL_SECONDS, self._update)

    @property
    def enlarged(self) -> bool:
        """Whether one image fills the screen."""
        return self.has_class("-enlarged")

    @property
    def shown_images(self) -> Sequence[LoggedImage]:
        """The images with the name that is shown."""
        return [image for image in self._images if self.name_shown in {"", image.name}]

    def action_back(self) -> None:
        """Back from the enlarged image, from one name, or to the panes."""
        if self.enlarged:
            self._enlarge(enlarged=False)
        elif self.name_shown:
            self._show_name("")
        else:
            self.dismiss()

    def action_one_name(self) -> None:
        """Show only images with the name of the one under the cursor, or all."""
        image = self._current()
        self._show_name("" if self.name_shown or image is None else image.name, image)

    def _show_name(self, name: str, keep: LoggedImage | None = None) -> None:
        keep = keep or self._current()
        self.name_shown = name
        shown = self.shown_images
        self.query_one(SampleGrid).cursor = shown.index(keep) if keep in shown else 0
        self._show_page()

    @work(group="images", exclusive=True)
    async def _update(self) -> None:
        """List the images again; one who looks at other than the newest is not moved."""
        try:
            images = await asyncio.to_thread(self._list)
        except OSError as error:
            self._say(f"✗ {error.strerror}", "$error")
            return
        if images != self._images and (not self._images or self.query_one(SampleGrid).cursor == 0):
            self._images = images
            self._show_page()

    @on(SampleGrid.PageRequested)
    def _page_requested(self, event: SampleGrid.PageRequested) -> None:
        self._show_page(event.first)

    @on(SampleGrid.Opened)
    def _opened(self) -> None:
        self._enlarge(enlarged=not self.enlarged)

    @on(SampleGrid.Highlighted)
    def _highlighted(self) -> None:
        image = self._current()
        if image is None:
            return
        self.query_one(ImageView).image = self._decoded.get(image)
        cursor, count = self.query_one(SampleGrid).cursor, len(self.shown_images)
        self._say(f"{sanitize(image.name, NAME_WIDTH)}  step {image.step}  ({cursor + 1} of {count})")

    def _enlarge(self, *, enlarged: bool) -> None:
        """Let one image fill the screen; the arrows go on to the other steps of its name."""
        image = self._current()
        if image is None:
            return
        self.set_class(enlarged, "-enlarged")
        if enlarged:
            self._name_before = self.name_shown
        self._show_name(image.name if enlarged else self._name_before, image)

    def _current(self) -> LoggedImage | None:
        shown, cursor = self.shown_images, self.query_one(SampleGrid).cursor
        return shown[cursor] if 0 <= cursor < len(shown) else None

    @work(group="page", exclusive=True)
    async def _show_page(self, first: int | None = None) -> None:
        grid, shown = self.query_one(SampleGrid), self.shown_images
        count = max(1, grid.tiles.count)
        start = grid.cursor // count * count if first is None else first
        self._show_title(len(shown))
        page = shown[start : start + count]
        kept = {image: self._decoded[image] for image in page if image in self._decoded}
        self._decoded = kept
        for image in page:
            if image not in kept:
                kept[image] = await self._open(image)
        samples = [
            Sample(start + index, None, f"{image.step} {sanitize(image.name)}", kept[image])
            for index, image in enumerate(page)
        ]
        grid.show(samples, start, len(shown))

    async def _open(self, image: LoggedImage) -> Image.Image:
        """A logged image; a black one, after a message, where it can't be read."""
        try:
            request = OpenImage(path=str(image.path), offset=image.offset, size=image.size)
            return open_image((await self._compute.request(request)).png)
        except ComputeError as error:
            self._say(f"✗ {error}", "$error")
            return Image.new("L", (1, 1))

    def _show_title(self, count: int) -> None:
        what = f" {sanitize(self.name_shown, NAME_WIDTH)}" if self.name_shown else ""
        title = f"{plural(count, 'image')}{what} of {sanitize(self._run_name, 40)}, newest first"
        self.query_one(Vertical).border_title = title.replace("[", "\\[")

    def _say(self, text: str, style: str = "") -> None:
        for line in self.query("#image-text").results(TextLine):
            line.show(Content.styled(sanitize(text), style))
