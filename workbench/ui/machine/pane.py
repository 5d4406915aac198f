"""The machine: devices, memory, disk, versions, and what stands in the way of training."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.reactive import reactive
from textual.widgets import Static

from workbench.core.text import cut, pad, safe, size
from workbench.system import machine_info as machine
from workbench.system.machine_info import DeviceInfo, DiskPlace, MachineInfo
from workbench.ui.base.bars import BarStyle, bar
from workbench.ui.base.pane import Pane
from workbench.ui.base.theme import THEME

EVERY = 2.0
"""Seconds between two looks, while the pane is in sight."""

_BAR = 20


@dataclass(frozen=True)
class MachineState:
    """The machine, and why training would not work well on it."""

    info: MachineInfo
    problems: Sequence[str] = ()


Look = Callable[[], MachineState]


def look() -> MachineState:
    """The machine as it is now."""
    return MachineState(machine.describe(), machine.problems())


class MachinePane(Pane):
    """What this machine has and how busy it is; looked at in a thread, and only while it is in sight."""

    NUMBER = "7"
    NAME = "Machine"
    SHORT = "Mach"

    DEFAULT_CSS = """
    MachinePane > VerticalScroll { height: 1fr; scrollbar-size-vertical: 1; scrollbar-background: $background; }
    """

    machine: reactive[MachineState | None] = reactive(None)
    """What was found at the last look."""

    def __init__(self, *, look: Look = look, id: str | None = None) -> None:
        super().__init__(id=id)
        self._look = look

    def compose(self) -> ComposeResult:
        """One text that scrolls."""
        with VerticalScroll():
            yield Static("looking…", id="machine", markup=False)

    def on_mount(self) -> None:
        """Look now, and again while in sight."""
        super().on_mount()
        self.set_interval(EVERY, self._look_again)

    def on_show(self) -> None:
        """Look as soon as it comes into sight."""
        self._look_again()

    def on_resize(self) -> None:
        """Fit the width."""
        self._show()

    def watch_machine(self) -> None:
        """Show what was found."""
        self._show()

    @property
    def in_sight(self) -> bool:
        """Whether any of it is shown."""
        return self.is_on_screen and self.size.area > 0 and self.screen is self.app.screen

    def _look_again(self) -> None:
        if self.in_sight:
            self._look_now()

    @work(group="look", exclusive=True)
    async def _look_now(self) -> None:
        self.machine = await asyncio.to_thread(self._look)

    def _show(self) -> None:
        if self.machine is None or not self.is_mounted:
            return
        terminal = f"{self.app.size.width}×{self.app.size.height}, {self._colours()}"
        self.headline = safe(self.machine.info.host.name)
        lines = describe(self.machine, terminal, max(20, self.content_size.width - 1))
        self.query_one("#machine", Static).update(Text("\n").join(lines))

    def _colours(self) -> str:
        if self.app.no_color:
            return "no colours (NO_COLOR)"
        system = self.app.console.color_system
        return {"truecolor": "16 million colours", "256": "256 colours", "standard": "16 colours"}.get(
            str(system), "no colours"
        )


def describe(found: MachineState, terminal: str, width: int) -> list[Text]:
    """The pane's lines for what `look` found."""
    host, training = found.info.host, found.info.training
    device = training.device.upper() if training.device == "cpu" else training.device
    lines = [
        _line("training", Text(f"takes {device}", "bold").append(f"  {training.why}", "dim"), width),
        Text(),
    ]
    for row in found.info.devices:
        lines += _device(row, width)
    load = "-" if host.load is None else f"{host.load:.2f}"
    lines += [
        _line("host", f"{host.system}, {host.cores} cores, load {load}", width),
        Text(),
        *(_line(place.kept, _room(place), width) for place in found.info.disk),
        Text(),
        *_versions(found.info.versions, width),
        _line("terminal", terminal, width),
        Text(),
    ]
    if not found.problems:
        return [*lines, Text("✓ nothing stands in the way of training", THEME.success or "green")]
    return [*lines, *(Text(f"✗ {safe(problem)}", THEME.error or "red") for problem in found.problems)]


def _device(row: DeviceInfo, width: int) -> list[Text]:
    name = row.device.upper() if row.kind == "cpu" else row.device
    about = row.name + (f", {row.processes} processes" if row.processes else "")
    lines = [
        _line(name, Text(safe(about), "bold" if row.chosen else ""), width),
        _line("  load", _bar(row.load, "" if row.load is None else f"{row.load:.0%}"), width),
    ]
    if row.memory_total:
        used = None if row.memory_free is None else 1 - row.memory_free / row.memory_total
        free = f"{size(row.memory_free)} free of {size(row.memory_total)}"
        lines.append(_line("  memory", _bar(used, free), width))
    return [*lines, Text()]


def _bar(share: float | None, label: str) -> Text:
    if share is None:
        return Text(label or "not told", "dim")
    used, unused = bar(share, _BAR, BarStyle.PROGRESS)
    style = (THEME.warning or "yellow") if share > 0.9 else ""
    return Text(used, style).append(unused, "dim").append(f"  {label}")


def _room(place: DiskPlace) -> Text:
    if place.free is None:
        return Text(safe(place.path), "dim")
    style = (THEME.warning or "yellow") if place.free < machine.LITTLE_ROOM else ""
    text = Text(f"{size(place.free)} free of {size(place.total)}", style)
    return text.append(f"  {safe(place.path)}", "dim")


def _versions(versions: Mapping[str, str | None], width: int) -> list[Text]:
    shown = [f"{name} {version or 'missing'}" for name, version in versions.items()]
    rows = [""]
    for part in shown:
        longer = f"{rows[-1]}  {part}" if rows[-1] else part
        rows = [*rows[:-1], longer] if len(longer) <= width - 10 else [*rows, part]
    return [_line("" if index else "versions", row, width) for index, row in enumerate(rows)]


def _line(label: str, content: str | Text, width: int) -> Text:
    line = Text(no_wrap=True, end="").append(pad(label, 10), "dim")
    line.append_text(content if isinstance(content, Text) else Text(cut(safe(content), width - 10)))
    line.truncate(width, overflow="ellipsis")
    return line
