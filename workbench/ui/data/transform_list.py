"""The transforms to choose from: the one under the cursor is tried, those that are kept come before it."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message

from workbench.core.text import safe
from workbench.datasets.transform_catalog import BY_NAME, TRANSFORMS
from workbench.ui.widgets.table import Column, Row, Table

AUGMENTATION = "augmentation"
"""The last row: what the experiment itself does."""
_COLUMNS = (
    Column("kept", "", 1, keep=3),
    Column("name", "transform", 14, keep=3, least=8),
    Column("value", "", 5, keep=2, right=True),
)


class TransformList(Table):
    """Up and down try another one, left and right adjust it, space keeps it in the chain."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "adjust(-1)", "less", show=False),
        Binding("right,l", "adjust(1)", "more", show=False),
        Binding("space,enter,ctrl+j", "keep", "keep in the chain", show=False),
    ]

    class Changed(Message):
        """A parameter or the chain did."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._values = {t.name: t.parameter.default for t in TRANSFORMS if t.parameter is not None}
        self._kept: list[str] = []
        self._augment: tuple[str, ...] = ()

    def on_mount(self) -> None:
        """Fill the rows."""
        self._fill()

    def show_augmentation(self, names: tuple[str, ...]) -> None:
        """What the experiment does."""
        self._augment = names
        self._fill()

    @property
    def chain(self) -> tuple[tuple[str, float | None], ...]:
        """The transforms that apply, in their order, each with its parameter."""
        tried = [self.key] if self.key in BY_NAME and self.key not in self._kept else []
        return tuple((name, self._values.get(name)) for name in (*self._kept, *tried))

    @property
    def augments(self) -> bool:
        """Whether the cursor is on the experiment's augmentation."""
        return self.key == AUGMENTATION

    @property
    def words(self) -> str:
        """What applies: `rotation 45, vflip 1`."""
        steps = [name if value is None else f"{name} {value:g}" for name, value in self.chain]
        if self.augments:
            steps.insert(0, " ".join(self._augment) or "no augmentation")
        return ", ".join(steps)

    @property
    def about(self) -> str:
        """What the one under the cursor does, and what its parameter is."""
        if self.augments:
            return "as the experiment trains" if self._augment else "train.augment is empty in the experiment"
        transform = BY_NAME[self.key or TRANSFORMS[0].name]
        label = f"; ←→ {transform.parameter.label}" if transform.parameter else ""
        return transform.title + label

    def action_adjust(self, steps: int) -> None:
        """Less or more of it."""
        transform = BY_NAME.get(self.key or "")
        if transform is not None and transform.parameter is not None:
            self._values[transform.name] = transform.parameter.moved(self._values[transform.name], steps)
            self._fill()
            self.post_message(self.Changed())

    def action_keep(self) -> None:
        """Keep it in the chain while others are tried behind it, or no longer."""
        if self.key in BY_NAME:
            if self.key in self._kept:
                self._kept.remove(self.key)
            else:
                self._kept.append(self.key)
            self._fill()
            self.post_message(self.Changed())

    def _fill(self) -> None:
        rows = [Row(t.name, self._cells(t.name)) for t in TRANSFORMS]
        names = safe(" ".join(self._augment), 14) or "none"
        rows.append(Row(AUGMENTATION, {"name": f"exp: {names}"}))
        self.show(_COLUMNS, rows)

    def _cells(self, name: str) -> dict[str, str]:
        place = str(self._kept.index(name) + 1) if name in self._kept else ""
        value = self._values.get(name)
        return {"kept": place, "name": name, "value": "" if value is None else f"{value:g}"}
