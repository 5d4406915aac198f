"""One image of a dataset, and beside it its details, or what transforms make of it."""

from __future__ import annotations

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widgets import Static

from workbench.compute.protocol_responses import ImageDetail
from workbench.core.text import sanitize
from workbench.io.images import open_image
from workbench.ui.data.dataset_text import format_tensor
from workbench.ui.data.sample_detail import SampleDetail, detail_lines
from workbench.ui.data.transform_list import TransformList
from workbench.ui.widgets.image_view import ImageView


class SampleView(Vertical):
    """An image with its details (`show_detail`), or before and after transforms (`show_transformed`)."""

    DEFAULT_CSS = """
    SampleView .side { height: 1fr; width: 1fr; margin-right: 1; }
    SampleView .side > Static { height: auto; max-height: 2; }
    SampleView > Horizontal { height: 1fr; }
    SampleView > #transform-help { height: auto; max-height: 2; display: none; }
    SampleView TransformList { width: 26; display: none; }
    SampleView #after-side { display: none; }
    SampleView SampleDetail { padding-left: 1; }
    SampleView.-transforms > #transform-help, SampleView.-transforms TransformList { display: block; }
    SampleView.-transforms #after-side { display: block; }
    SampleView.-transforms SampleDetail { display: none; }
    """

    def compose(self) -> ComposeResult:
        with Horizontal():
            with Vertical(classes="side"):
                yield Static("", id="before-caption", markup=False)
                yield ImageView(id="before")
            with Vertical(classes="side", id="after-side"):
                yield Static("", id="after-caption", markup=False)
                yield ImageView(id="after")
            yield TransformList()
            yield SampleDetail()
        yield Static("", id="transform-help", markup=False)

    @property
    def transforms(self) -> TransformList:
        """The list of transforms to try."""
        return self.query_one(TransformList)

    def show_detail(self, detail: ImageDetail, split: str) -> None:
        """Show the image with its shape, dtype and range."""
        self.query_one("#before", ImageView).image = open_image(detail.item.png)
        self.query_one("#before-caption", Static).update("")
        self.query_one(SampleDetail).show(detail_lines(detail, split))

    def show_transformed(self, detail: ImageDetail) -> None:
        """Show the image before and after the transforms."""
        before = f"{detail.item.class_name} {format_tensor(detail.stored)}"
        self.query_one("#before", ImageView).image = open_image(detail.item.png)
        self.query_one("#before-caption", Static).update(Text(f"before\n{sanitize(before)}", no_wrap=True))
        after = f"{sanitize(self.transforms.summary)}\n{format_tensor(detail.result or detail.stored)}"
        self.query_one("#after", ImageView).image = open_image(detail.transformed or detail.item.png)
        self.query_one("#after-caption", Static).update(Text(after, no_wrap=True, overflow="ellipsis"))
        self.query_one("#transform-help", Static).update(Text(self._help(), "dim"))

    def _help(self) -> str:
        keep = "space keeps it, " if self.transforms.previews_transform else ""
        return f"{self.transforms.description}; {keep}b re-rolls, esc closes"
