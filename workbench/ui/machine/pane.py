"""The machine pane: devices, memory, disk space, versions, and problems that affect training."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.geometry import Size
from textual.reactive import reactive
from textual.widgets import Static

from workbench.core.text import cell_width, format_bytes, format_time, pad, plural, sanitize, truncate
from workbench.runs.nodes import Node, describe_missing
from workbench.runs.reader import RunView
from workbench.system import machine_info as machine
from workbench.system import terminal_info
from workbench.system.devices import DeviceInfo, device_state
from workbench.system.machine_info import DiskPlace, MachineInfo
from workbench.ui.base.bars import BarStyle, bar
from workbench.ui.base.layout import PaneId
from workbench.ui.base.pane import Pane, PaneServices
from workbench.ui.base.theme import THEME

REFRESH_SECONDS = 2.0
"""The update interval in seconds while the pane is visible."""

_BAR_WIDTH, _LABEL_WIDTH = 20, 10


@dataclass(frozen=True)
class MachineState:
    """The machine, and the problems that affect training on it."""

    info: MachineInfo
    problems: Sequence[str] = ()


StateReader = Callable[[], MachineState]


def read_state() -> MachineState:
    """The current state of this machine."""
    return MachineState(machine.describe_machine(), machine.find_problems())


class MachinePane(Pane):
    """The hardware of this machine and its load, read in a thread and only while the pane is visible."""

    ID = PaneId.MACHINE

    DEFAULT_CSS = """
    MachinePane > VerticalScroll { height: 1fr; scrollbar-size-vertical: 1; scrollbar-background: $background; }
    """

    machine: reactive[MachineState | None] = reactive(None)
    """The state at the last update."""

    def __init__(
        self,
        services: PaneServices | None = None,
        *,
        read_state: StateReader = read_state,
        id: str | None = None,
    ) -> None:
        super().__init__(services, id=id)
        self._read_state, self._is_reading = read_state, False

    def compose(self) -> ComposeResult:
        with VerticalScroll():
            yield Static("Loading…", id="machine", markup=False)

    def on_mount(self) -> None:
        super().on_mount()
        self.set_interval(REFRESH_SECONDS, self._update_if_in_view)

    def on_show(self) -> None:
        self._update_if_in_view()

    def on_resize(self) -> None:
        self._show()

    def watch_machine(self) -> None:
        self._show()

    def watch_view(self) -> None:
        self._show()

    @property
    def in_view(self) -> bool:
        """Whether any part of the pane is visible."""
        return self.is_on_screen and self.size.area > 0 and self.screen is self.app.screen

    def _update_if_in_view(self) -> None:
        if self.in_view and not self._is_reading:
            self._update_now()

    @work(group="machine")
    async def _update_now(self) -> None:
        self._is_reading = True  # a machine that takes longer than the interval shall still show its state
        try:
            self.machine = await asyncio.to_thread(self._read_state)
        finally:
            self._is_reading = False

    def _show(self) -> None:
        if self.machine is None or not self.is_mounted:
            return
        terminal = _terminal_lines(self.app.size)
        self.headline = sanitize(self.machine.info.host.name)
        width = max(20, self.content_size.width - 1)
        nodes = node_lines(self.view, width, time.time()) if self.view is not None else []
        lines = [*machine_lines(self.machine, terminal, width), *nodes]
        self.query_one("#machine", Static).update(Text("\n").join(lines))


def _terminal_lines(size: Size) -> list[str]:
    """The terminal's size and colors, and what the screen lacks in it."""
    if os.environ.get("NO_COLOR"):
        colors = "no colors (NO_COLOR)"
    else:
        count = terminal_info.color_count(os.environ)
        colors = "16 million colors" if count == terminal_info.TRUE_COLOR else f"{count or 'no'} colors"
    return [f"{size.width}×{size.height}, {colors}", *terminal_info.limitations()]


def machine_lines(state: MachineState, terminal: Sequence[str], width: int) -> list[Text]:
    """The lines of the pane, each cut to `width` cells, except those that wrap.

    Problems come first. `terminal`: a line about the terminal, then what the screen lacks in it; these wrap, too.
    """
    host, training = state.info.host, state.info.training
    device = training.device.upper() if training.device == "cpu" else sanitize(training.device)
    text = (
        Text("training device: ", "dim")
        .append(device, "bold")
        .append(f" ({sanitize(training.reason)})", "dim")
    )
    text.truncate(width, overflow="ellipsis")
    problems = [Text(f"✗ {sanitize(problem)}", THEME.error or "red") for problem in state.problems]
    lines = [text, *(problems or [Text("✓ No problems found.", THEME.success or "green")])]
    if state.info.visibility:
        lines.append(Text(sanitize(state.info.visibility), "dim"))
    lines.append(Text())
    for row in state.info.devices:
        lines += _device(row, width)
    load = "-" if host.load is None else f"{host.load:.2f}"
    quota = "" if host.cpu_quota is None else f" (CPU quota {host.cpu_quota:.3g})"
    lines += [
        _line("host", f"{host.system}, {host.cores} cores{quota}, load {load}", width),
        Text(),
        *(_line(place.content, _disk_text(place), width) for place in state.info.disk),
        Text(),
        *_versions(state.info.versions, width),
        _line("terminal", terminal[0], width),
        *(Text(limitation, "dim") for limitation in map(sanitize, terminal[1:])),
    ]
    return lines


def node_lines(view: RunView, width: int, now: float) -> list[Text]:
    """The nodes of a run on several, each in two lines, at the Unix time `now`; none for a run on one host."""
    if view.placement.nodes == 1 or not view.nodes.nodes:
        return []
    title = f"nodes of {view.name}, which meet at {view.placement.address}"
    lines = [Text(), Text(truncate(sanitize(title), width), "bold")]
    if view.status.live and (missing := describe_missing(view.nodes, now)):
        lines.append(Text(truncate(missing, width), THEME.warning or "yellow"))
    for node in view.nodes.nodes:
        lines += _node(node, width, now)
    return lines


def _node(node: Node, width: int, now: float) -> list[Text]:
    if node.lost_since is not None:
        return [
            _line(
                node.host,
                Text(f"lost since {format_time(node.lost_since, now)}", THEME.error or "red"),
                width,
            )
        ]
    usage = node.usage
    label = "no report yet" if usage.busy is None else f"{usage.busy:.0%} of {plural(usage.cores, 'core')}"
    lines = [_line(node.host, _usage_bar(usage.busy, label), width)]
    if usage.memory_total and usage.memory_used is not None:
        lines.append(_line("  memory", _memory_bar(usage.memory_used, usage.memory_total), width))
    for gpu in usage.gpus:
        load = "" if gpu.load is None else f"{gpu.load:.0%}"
        lines.append(_line("  load", _usage_bar(gpu.load, f"{load} {sanitize(gpu.name)}".strip()), width))
        if gpu.memory_total and gpu.memory_used is not None:
            lines.append(_line("  memory", _memory_bar(gpu.memory_used, gpu.memory_total), width))
    return lines


def _memory_bar(used: int, total: int) -> Text:
    return _usage_bar(used / total, f"{format_bytes(total - used)} free of {format_bytes(total)}")


def _device(row: DeviceInfo, width: int) -> list[Text]:
    name = row.device.upper() if row.kind == "cpu" else row.device
    title = ", ".join([row.name, *device_facts(row)])
    lines = [
        _line(name, Text(sanitize(title), "bold" if row.chosen else ""), width),
        _line("  load", _usage_bar(row.load, "" if row.load is None else f"{row.load:.0%}"), width),
    ]
    if row.memory_total:
        used = None if row.memory_free is None else 1 - row.memory_free / row.memory_total
        free = f"{format_bytes(row.memory_free)} free of {format_bytes(row.memory_total)}"
        lines.append(_line("  memory", _usage_bar(used, free), width))
    return [*lines, Text()]


def device_facts(row: DeviceInfo) -> list[str]:
    """Processes, temperature, power, runs and visibility of a device, as far as they are known."""
    facts = [
        "" if row.temperature is None else f"{row.temperature} °C",
        "" if row.power is None else f"{row.power:.0f} W",
        device_state(row),
        "hidden by CUDA_VISIBLE_DEVICES" if row.hidden else "",
    ]
    return [fact for fact in facts if fact]


def _usage_bar(fraction: float | None, label: str) -> Text:
    if fraction is None:
        return Text(label or "not reported", "dim")
    used, unused = bar(fraction, _BAR_WIDTH, BarStyle.PROGRESS)
    style = (THEME.warning or "yellow") if fraction > 0.9 else ""
    return Text(used, style).append(unused, "dim").append(f"  {label}")


def _disk_text(place: DiskPlace) -> Text:
    if place.free is None:
        return Text(sanitize(place.path), "dim")
    style = (THEME.warning or "yellow") if place.free < machine.LOW_DISK_BYTES else ""
    text = Text(f"{format_bytes(place.free)} free of {format_bytes(place.total)}", style)
    return text.append(f"  {sanitize(place.path)}", "dim")


def _versions(versions: Mapping[str, str | None], width: int) -> list[Text]:
    parts = [f"{name} {version or 'missing'}" for name, version in versions.items()]
    rows = [""]
    for part in parts:
        longer = f"{rows[-1]}  {part}" if rows[-1] else part
        rows = [*rows[:-1], longer] if len(longer) <= width - _LABEL_WIDTH else [*rows, part]
    return [_line("" if index else "versions", row, width) for index, row in enumerate(rows)]


def _line(label: str, content: str | Text, width: int) -> Text:
    label = pad(sanitize(label), max(_LABEL_WIDTH, cell_width(sanitize(label)) + 1))
    line = Text(no_wrap=True, end="").append(label, "dim")
    free = max(1, width - cell_width(label))
    line.append_text(content if isinstance(content, Text) else Text(truncate(sanitize(content), free)))
    line.truncate(width, overflow="ellipsis")
    return line
