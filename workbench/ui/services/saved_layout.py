"""How the user has arranged the screen, kept beside the runs, so that the next screen looks like the last one."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from workbench.charts.chart_options import SMOOTHING, LogAxes, YSpan
from workbench.charts.run_metrics import XKind
from workbench.io.record_codec import Record, read_record, write_record

FILE_NAME = "layout.json"
MIN_WIDTH, MAX_WIDTH = 3, 60
"""Cells of a column."""
MAX_SIDE = 4
"""The most charts across, and down."""


class ColumnChoice(Record, frozen=True, kw_only=True):
    """A column that the user has chosen for the list of runs."""

    name: str
    """As of a `RunColumn`."""
    width: Annotated[int, Meta(ge=MIN_WIDTH, le=MAX_WIDTH)] | None = None
    """Cells; `None`: as many as its content needs."""


class RunsLayout(Record, frozen=True, kw_only=True):
    """The list of runs."""

    columns: tuple[ColumnChoice, ...] = ()
    """From left to right; none: the default ones."""
    order: str = "run"
    """The name of the column that it is sorted by."""
    reverse: bool = False


class ChartsLayout(Record, frozen=True, kw_only=True):
    """The charts pane."""

    filter: str = ""
    x: XKind = XKind.STEP
    smoothing: Annotated[float, Meta(ge=0, le=SMOOTHING[-1])] = 0.0
    log: LogAxes = "off"
    span: YSpan = "usual"
    limits: dict[str, tuple[float, float]] = {}
    """As in `ChartOptions`."""
    side: Annotated[int, Meta(ge=1, le=MAX_SIDE)] | None = None
    """Charts across and down; `None`: as many as fit."""
    means: bool = False
    """Whether repeats are one line."""


class Layout(Record, frozen=True, kw_only=True):
    """`layout.json`."""

    runs: RunsLayout = RunsLayout()
    charts: ChartsLayout = ChartsLayout()


def load_layout(home: Path) -> Layout:
    """The saved layout; the default one without a readable file."""
    return read_record(home / FILE_NAME, Layout) or Layout()


def save_layout(home: Path, *, runs: RunsLayout | None = None, charts: ChartsLayout | None = None) -> None:
    """Replace parts of the saved layout. A home that can't be written to is not an error."""
    changed = {name: part for name, part in {"runs": runs, "charts": charts}.items() if part is not None}
    with contextlib.suppress(OSError):
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        layout = msgspec.structs.replace(load_layout(home), **changed)
        write_record(home / FILE_NAME, layout, durable=False)
