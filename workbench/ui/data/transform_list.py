"""The list of transforms: previews those that are kept, followed by the one under the cursor.

Its last row switches the image between the sample and random noise.
"""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message

from workbench.core.text import sanitize
from workbench.datasets.transform_catalog import TRANSFORMS, TRANSFORMS_BY_NAME
from workbench.ui.widgets.table import Column, Row, Table

AUGMENTATION = "augmentation"
"""Key of the row of the augmentation of the experiment."""
NOISE = "noise"
"""Key of the row that switches between the sample and random noise."""
_COLUMNS = (
    Column("kept", "", 1, priority=3),
    Column("name", "transform", 14, priority=3, min_width=8),
    Column("value", "", 5, priority=2, align_right=True),
)


class TransformList(Table):
    """Up and down select a transform, left and right adjust it, space keeps it in the chain."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "adjust(-1)", "less", show=False),
        Binding("right,l", "adjust(1)", "more", show=False),
        Binding("space,enter,ctrl+j", "keep", "keep in the chain", show=False),
    ]

    class Changed(Message):
        """A parameter or the chain changed."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._values = {t.name: t.parameter.default for t in TRANSFORMS if t.parameter is not None}
        self._kept: list[str] = []
        self._augment: tuple[str, ...] = ()
        self.uses_noise = False
        """Whether an image of random noise is transformed instead of the sample."""

    def on_mount(self) -> None:
        self._fill()

    def show_augmentation(self, names: tuple[str, ...]) -> None:
        """Set the augmentation of the experiment."""
        self._augment = names
        self._fill()

    @property
    def chain(self) -> tuple[tuple[str, float | None], ...]:
        """The transforms to apply, in order, each with its parameter."""
        previewed = [self.key] if self.key in TRANSFORMS_BY_NAME and self.key not in self._kept else []
        return tuple((name, self._values.get(name)) for name in (*self._kept, *previewed))

    @property
    def previews_transform(self) -> bool:
        """Whether the cursor is on a transform that can be kept."""
        return self.key in TRANSFORMS_BY_NAME

    @property
    def augments(self) -> bool:
        """Whether the cursor is on the experiment's augmentation."""
        return self.key == AUGMENTATION

    def show_augmentation_row(self) -> None:
        """Move the cursor to the experiment's augmentation."""
        self.go_to(AUGMENTATION)

    @property
    def summary(self) -> str:
        """The transforms to apply: `rotation 45, vflip 1`."""
        steps = [name if value is None else f"{name} {value:g}" for name, value in self.chain]
        if self.augments:
            steps.insert(0, " ".join(self._augment) or "no augmentation")
        return ", ".join(steps)

    @property
    def description(self) -> str:
        """The transform under the cursor, and its parameter."""
        if self.key == NOISE:
            return f"transforms {'random noise' if self.uses_noise else 'the sample'}; space switches"
        if self.augments:
            return (
                "the augmentation of the experiment"
                if self._augment
                else "train.augment is empty in the experiment"
            )
        transform = TRANSFORMS_BY_NAME[self.key or TRANSFORMS[0].name]
        label = f"; ←→ {transform.parameter.label}" if transform.parameter else ""
        return transform.title + label

    def action_adjust(self, steps: int) -> None:
        """Change the parameter by `steps` steps; on the last row, switch the image."""
        if self.key == NOISE:
            self.action_keep()
        transform = TRANSFORMS_BY_NAME.get(self.key or "")
        if transform is not None and transform.parameter is not None:
            self._values[transform.name] = transform.parameter.stepped(self._values[transform.name], steps)
            self._fill()
            self.post_message(self.Changed())

    def action_keep(self) -> None:
        """Keep the transform in the chain, or remove it; on the last row, switch the image."""
        if self.key == NOISE:
            self.uses_noise = not self.uses_noise
            self._fill()
            self.post_message(self.Changed())
        if self.key in TRANSFORMS_BY_NAME:
            if self.key in self._kept:
                self._kept.remove(self.key)
            else:
                self._kept.append(self.key)
            self._fill()
            self.post_message(self.Changed())

    def _fill(self) -> None:
        rows = [Row(t.name, self._cells(t.name)) for t in TRANSFORMS]
        names = sanitize(" ".join(self._augment), 14) or "none"
        rows.append(Row(AUGMENTATION, {"name": f"exp: {names}"}))
        rows.append(Row(NOISE, {"name": f"on: {'noise' if self.uses_noise else 'sample'}"}))
        self.show(_COLUMNS, rows)

    def _cells(self, name: str) -> dict[str, str]:
        position = str(self._kept.index(name) + 1) if name in self._kept else ""
        value = self._values.get(name)
        return {"kept": position, "name": name, "value": "" if value is None else f"{value:g}"}
