"""What datasets can be chosen: a frozen table, read without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from workbench.errors import BadInput, nearest

Task = Literal["classification", "regression"]


class NoOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """For datasets that have nothing to adjust."""


class DigitsOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `digits`."""

    test: Annotated[float, Meta(gt=0, lt=1, description="part kept for the test")] = 0.2


class ShapesOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `shapes`."""

    train: Annotated[int, Meta(ge=10, le=10_000_000, description="training pictures")] = 5000
    test: Annotated[int, Meta(ge=10, le=10_000_000, description="test pictures")] = 1000
    size: Annotated[int, Meta(ge=8, le=512, description="height and width in pixels")] = 32


class FolderOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `folder:PATH`."""

    size: Annotated[
        Literal["auto"] | Annotated[int, Meta(ge=1, le=2048)],
        Meta(description="pictures are resized and cropped to this square; auto is what the model takes"),
    ] = "auto"
    test: Annotated[float, Meta(gt=0, lt=1, description="part kept for the test, without test/")] = 0.2


@dataclass(frozen=True)
class DatasetInfo:
    """One row of the catalogue."""

    name: str
    title: str
    task: Task = "classification"
    kind: Literal["builtin", "published", "folder", "own"] = "builtin"
    counts: tuple[int, int] | None = None
    """Training and test examples."""
    classes: int | None = None
    shape: tuple[int, ...] | None = None
    """Channels, height, width of a picture (`None` where it varies), or the shape of one example."""
    bytes: int = 0
    """Size of what is downloaded."""
    options: type[msgspec.Struct] | None = NoOptions
    """`None`: somebody's own code, options pass through unchecked."""
    train: Mapping[str, Any] = field(default_factory=dict)
    """Train settings that suit it."""


CATALOGUE: tuple[DatasetInfo, ...] = (
    DatasetInfo("digits", "handwritten digits 8×8, in scikit-learn", counts=(1437, 360), classes=10,
                shape=(1, 8, 8), options=DigitsOptions, train={"epochs": 30, "batch_size": 32}),
    DatasetInfo("shapes", "coloured shapes, drawn on the spot", counts=(5000, 1000), classes=10,
                shape=(3, 32, 32), options=ShapesOptions, train={"epochs": 10}),
)  # fmt: skip


def find(name: str) -> DatasetInfo:
    """The row of a dataset by name, `folder:PATH` or `./file.py:function`. Raises `BadInput`."""
    if name.startswith("folder:"):
        if not name[7:]:
            raise BadInput("folder: needs a path, as in folder:./pets")
        path = Path(name[7:]).expanduser().absolute()
        return DatasetInfo(f"folder:{path}", f"pictures in {path}", kind="folder", options=FolderOptions)
    if ".py:" in name:
        return DatasetInfo(name, f"your own {name}", kind="own", options=None)
    for info in CATALOGUE:
        if info.name == name:
            return info
    raise BadInput(
        f"there is no dataset '{name}'{nearest(name, [i.name for i in CATALOGUE])}; 'workbench datasets' lists "
        "them, pictures of your own are given as folder:PATH"
    )
