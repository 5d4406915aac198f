"""A screen that shows the images that a run has logged: one step by step, or all in a grid."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import ClassVar

from PIL import Image
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content

from workbench.compute.client import ComputeClient, ComputeError
from workbench.compute.protocol import OpenImage
from workbench.core.text import plural, sanitize
from workbench.io.images import open_image
from workbench.runs.logged_images import LoggedImage
from workbench.ui.base.dialog import Dialog
from workbench.ui.data.sample_grid import Sample, SampleGrid
from workbench.ui.widgets.image_view import ImageView
from workbench.ui.widgets.text_line import TextLine

POLL_SECONDS = 2.0
NAME_WIDTH = 60
MAX_DECODED = 128
"""Decoded images that are kept, so that steps can be gone through to and fro; each has at most 512 × 512 pixels."""
LARGE_HINTS = "← → step  ↑ ↓ name  enter all images  esc back"
GRID_HINTS = "enter enlarge  f one name  esc back"


class LoggedImagesScreen(Dialog[None]):
    """The newest image, large: arrows go through its steps and to other names; `enter` shows all images in a grid."""

    DEFAULT_CSS = """
    LoggedImagesScreen { align: center middle; }
    LoggedImagesScreen > Vertical {
        width: 100%; height: 100%; border: round $accent; background: $surface; padding: 0 1;
    }
    LoggedImagesScreen ImageView { height: 1fr; display: none; }
    LoggedImagesScreen.-enlarged ImageView { display: block; }
    LoggedImagesScreen.-enlarged SampleGrid { display: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,I", "back", "back"),
        Binding("left,h", "step(-1)", "earlier step", show=False),
        Binding("right,l", "step(1)", "later step", show=False),
        Binding("pageup", "step(-10)", "ten steps back", show=False),
        Binding("pagedown", "step(10)", "ten steps on", show=False),
        Binding("home,g", "step_to(0)", "first step", show=False),
        Binding("end,G", "step_to(-1)", "newest step", show=False),
        Binding("up,k", "name(-1)", "previous name", show=False),
        Binding("down,j", "name(1)", "next name", show=False),
        Binding("enter,ctrl+j", "all", "all images"),
        Binding("f", "one_name", "one name"),
    ]
    OF_LARGE = frozenset({"step", "step_to", "name", "all"})

    def __init__(
        self, compute: ComputeClient, run_name: str, list_images: Callable[[], Sequence[LoggedImage]]
    ) -> None:
        """`list_images` is called in a thread, now and then: the run may be logging. It may raise `OSError`."""
        super().__init__()
        self._compute, self._run_name, self._list = compute, run_name, list_images
        self._images: Sequence[LoggedImage] = ()
        self._steps: dict[str, list[LoggedImage]] = {}
        """The images by name, sorted, each by step."""
        self._decoded: dict[LoggedImage, Image.Image] = {}
        self.image: LoggedImage | None = None
        """The image that is shown large."""
        self._loading = False
        self._came_from_grid = False
        self.name_shown = ""
        """The only name in the grid; empty for all."""

    def compose(self) -> ComposeResult:
        with Vertical() as frame:
            frame.border_title = "Loading images…"
            yield ImageView()
            yield SampleGrid()
            yield TextLine(id="image-text")

    def on_mount(self) -> None:
        self._enlarge(enlarged=True)
        self.call_after_refresh(self._update)
        self.set_interval(POLL_SECONDS, self._update)

    @property
    def enlarged(self) -> bool:
        """Whether one image fills the screen."""
        return self.has_class("-enlarged")

    @property
    def shown_images(self) -> Sequence[LoggedImage]:
        """The images in the grid."""
        return [image for image in self._images if self.name_shown in {"", image.name}]

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """The grid has arrow keys of its own."""
        return self.enlarged or action not in self.OF_LARGE

    def action_back(self) -> None:
        """Back from one image to the grid it was opened in, from one name to all, or to the panes."""
        if self.enlarged and self._came_from_grid:
            self.action_all()
        elif self.name_shown and not self.enlarged:
            self._show_name("")
        else:
            self.dismiss()

    @work(group="images", exclusive=True)
    async def _update(self) -> None:
        """List the images again; one who looks at other than the newest is not moved."""
        try:
            images = await asyncio.to_thread(self._list)
        except OSError as error:
            self._say(f"✗ {error.strerror}", "$error")
            return
        if images == self._images or (not self.enlarged and self._images and self._grid.cursor):
            return
        follows = self.image is None or self.image == self._steps[self.image.name][-1]
        self._images, self._steps = images, _by_name(images)
        if follows and images:
            self.image = self._steps[images[0].name if self.image is None else self.image.name][-1]
        if self.enlarged:
            self._show_large()
        else:
            self._show_page()

    # One image

    def action_step(self, by: int) -> None:
        """Go `by` steps on; before the first and after the newest there is none."""
        if self.image is not None:
            self._go_to(self._steps[self.image.name].index(self.image) + by)

    def action_step_to(self, index: int) -> None:
        """Go to the first step (0) or the newest (-1)."""
        if self.image is not None:
            self._go_to(index % len(self._steps[self.image.name]))

    def _go_to(self, index: int) -> None:
        assert self.image is not None
        steps = self._steps[self.image.name]
        self.image = steps[max(0, min(index, len(steps) - 1))]
        self._show_large()

    def action_name(self, by: int) -> None:
        """Go to the previous or next name, at the same step or the last one before it."""
        if self.image is None:
            return
        names = list(self._steps)
        steps = self._steps[names[(names.index(self.image.name) + by) % len(names)]]
        index = bisect_right(steps, self.image.step, key=lambda image: image.step) - 1
        self.image = steps[max(0, index)]
        self._show_large()

    def action_all(self) -> None:
        """Show all images in a grid, with the cursor at this one."""
        self._show_grid(self.name_shown)

    def _show_grid(self, name: str) -> None:
        self._enlarge(enlarged=False)
        self.call_after_refresh(self._show_name, name, self.image)

    def _enlarge(self, *, enlarged: bool) -> None:
        self.set_class(enlarged, "-enlarged")
        self.query_one(Vertical).border_subtitle = LARGE_HINTS if enlarged else GRID_HINTS
        self.set_focus(None if enlarged else self._grid)

    def _show_large(self) -> None:
        image = self.image
        if image is None:
            return
        steps, names = self._steps[image.name], list(self._steps)
        of_names = f"  name {names.index(image.name) + 1}/{len(names)}" if len(names) > 1 else ""
        position = f"step {image.step} ({steps.index(image) + 1}/{len(steps)}){of_names}"
        self._say(f"{sanitize(image.name, NAME_WIDTH)}  {position}")
        self._show_title(plural(len(self._images), "image"))
        if not self._loading:
            self._load_large()

    @work(group="large")
    async def _load_large(self) -> None:
        """Show the image; where it takes longer than the next key, that one's after it."""
        self._loading, shown = True, None
        try:
            while self.image is not None and self.image != shown:
                shown = self.image
                self.query_one(ImageView).image = await self._open(shown)
        finally:
            self._loading = False

    # The grid

    @property
    def _grid(self) -> SampleGrid:
        return self.query_one(SampleGrid)

    def action_one_name(self) -> None:
        """Show only images with the name of this one, or all."""
        if self.enlarged and self.image is not None:
            self._show_grid(self.image.name)
        elif not self.enlarged:
            image = self._at_cursor()
            self._show_name("" if self.name_shown or image is None else image.name, image)

    def _show_name(self, name: str, keep: LoggedImage | None = None) -> None:
        keep = keep or self._at_cursor()
        self.name_shown = name
        shown = self.shown_images
        self._grid.cursor = shown.index(keep) if keep in shown else 0
        self._show_page()

    @on(SampleGrid.PageRequested)
    def _page_requested(self, event: SampleGrid.PageRequested) -> None:
        self._show_page(event.first)

    @on(SampleGrid.Opened)
    def _opened(self) -> None:
        self.image = self._at_cursor() or self.image
        self._came_from_grid = True
        self._enlarge(enlarged=True)
        self._show_large()

    @on(SampleGrid.Highlighted)
    def _highlighted(self) -> None:
        image = self._at_cursor()
        if image is not None and not self.enlarged:
            position = f"({self._grid.cursor + 1} of {len(self.shown_images)})"
            self._say(f"{sanitize(image.name, NAME_WIDTH)}  step {image.step}  {position}")

    def _at_cursor(self) -> LoggedImage | None:
        shown, cursor = self.shown_images, self._grid.cursor
        return shown[cursor] if 0 <= cursor < len(shown) else None

    @work(group="page", exclusive=True)
    async def _show_page(self, first: int | None = None) -> None:
        grid, shown = self._grid, self.shown_images
        count = max(1, grid.tiles.count)
        start = grid.cursor // count * count if first is None else first
        of_name = f" {sanitize(self.name_shown, NAME_WIDTH)}" if self.name_shown else ""
        self._show_title(f"{plural(len(shown), 'image')}{of_name}", ", newest first")
        samples = [
            Sample(start + index, None, f"{image.step} {sanitize(image.name)}", await self._open(image))
            for index, image in enumerate(shown[start : start + count])
        ]
        grid.show(samples, start, len(shown))

    # Both

    async def _open(self, image: LoggedImage) -> Image.Image:
        """A logged image; a black one, after a message, where it can't be read."""
        if (known := self._decoded.get(image)) is not None:
            return known
        try:
            request = OpenImage(path=str(image.path), offset=image.offset, size=image.size)
            decoded = open_image((await self._compute.request(request)).png)
        except ComputeError as error:
            self._say(f"✗ {error}", "$error")
            return Image.new("L", (1, 1))
        while len(self._decoded) >= MAX_DECODED:
            del self._decoded[next(iter(self._decoded))]
        self._decoded[image] = decoded
        return decoded

    def _show_title(self, what: str, order: str = "") -> None:
        title = f"{what} of {sanitize(self._run_name, 40)}{order}"
        self.query_one(Vertical).border_title = title.replace("[", "\\[")

    def _say(self, text: str, style: str = "") -> None:
        for line in self.query("#image-text").results(TextLine):
            line.show(Content.styled(sanitize(text), style))


def _by_name(images: Sequence[LoggedImage]) -> dict[str, list[LoggedImage]]:
    """The images by name, sorted, each by step."""
    found: dict[str, list[LoggedImage]] = {}
    for image in sorted(images, key=lambda image: (image.name, image.step)):
        found.setdefault(image.name, []).append(image)
    return found
