"""The machine: devices, memory, disk, versions, and what stands in the way of training."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.reactive import reactive
from textual.widgets import Static

from workbench.runs import machine
from workbench.text import cut, pad, safe, size
from workbench.ui.panes.base import Pane
from workbench.ui.theme import THEME

EVERY = 2.0
"""Seconds between two looks, while the pane is in sight."""

_BAR = 20

Look = Callable[[], dict[str, Any]]


def look() -> dict[str, Any]:
    """Everything there is to know, as `runs.machine` tells it, with its problems."""
    return {**machine.describe(), "problems": machine.problems()}


class MachinePane(Pane):
    """What this machine has and how busy it is; looked at in a thread, and only while it is in sight."""

    NUMBER = "7"
    NAME = "Machine"
    SHORT = "Mach"

    DEFAULT_CSS = """
    MachinePane > VerticalScroll { height: 1fr; scrollbar-size-vertical: 1; scrollbar-background: $background; }
    """

    machine: reactive[Mapping[str, Any] | None] = reactive(None)
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
        self.headline = safe(self.machine["host"]["name"])
        lines = describe(self.machine, terminal, max(20, self.content_size.width - 1))
        self.query_one("#machine", Static).update(Text("\n").join(lines))

    def _colours(self) -> str:
        if self.app.no_color:
            return "no colours (NO_COLOR)"
        system = self.app.console.color_system
        return {"truecolor": "16 million colours", "256": "256 colours", "standard": "16 colours"}.get(
            str(system), "no colours"
        )


def describe(found: Mapping[str, Any], terminal: str, width: int) -> list[Text]:
    """The pane's lines for what `look` found."""
    host, training = found["host"], found["training"]
    device = training["device"].upper() if training["device"] == "cpu" else training["device"]
    lines = [
        _line("training", Text(f"takes {device}", "bold").append(f"  {training['why']}", "dim"), width),
        Text(),
    ]
    for row in found["devices"]:
        lines += _device(row, width)
    load = "-" if host["load"] is None else f"{host['load']:.2f}"
    lines += [
        _line("host", f"{host['system']}, {host['cores']} cores, load {load}", width),
        Text(),
        *(_line(f"{row['kept']}", _room(row), width) for row in found["disk"]),
        Text(),
        *_versions(found["versions"], width),
        _line("terminal", terminal, width),
        Text(),
    ]
    problems = found.get("problems") or []
    lines += [Text(f"✗ {safe(problem)}", THEME.error or "red") for problem in problems]
    return (
        lines
        if problems
        else [*lines, Text("✓ nothing stands in the way of training", THEME.success or "green")]
    )


def _device(row: Mapping[str, Any], width: int) -> list[Text]:
    name = row["device"].upper() if row["kind"] == "cpu" else row["device"]
    about = f"{row['name']}" + (f", {row['processes']} processes" if row["processes"] else "")
    head = _line(name, Text(safe(about), "bold" if row["chosen"] else ""), width)
    lines = [
        head,
        _line("  load", _bar(row["load"], "" if row["load"] is None else f"{row['load']:.0%}"), width),
    ]
    if row["memory_total"]:
        used = None if row["memory_free"] is None else 1 - row["memory_free"] / row["memory_total"]
        lines.append(
            _line(
                "  memory",
                _bar(used, f"{size(row['memory_free'])} free of {size(row['memory_total'])}"),
                width,
            )
        )
    return [*lines, Text()]


def _bar(share: float | None, said: str) -> Text:
    if share is None:
        return Text(said or "not told", "dim")
    full = round(_BAR * max(0.0, min(1.0, share)))
    style = (THEME.warning or "yellow") if share > 0.9 else ""
    return Text("━" * full, style).append("─" * (_BAR - full), "dim").append(f"  {said}")


def _room(row: Mapping[str, Any]) -> Text:
    if row["free"] is None:
        return Text(safe(row["path"]), "dim")
    tight = row["free"] < machine.LITTLE_ROOM
    text = Text(
        f"{size(row['free'])} free of {size(row['total'])}", (THEME.warning or "yellow") if tight else ""
    )
    return text.append(f"  {safe(row['path'])}", "dim")


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
