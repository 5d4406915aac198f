"""The machine pane shows what was found, and looks only while it is in sight."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from textual.app import App, ComposeResult

from workbench.system import machine_info
from workbench.system.machine_info import DeviceInfo, DiskPlace, TrainingDevice
from workbench.ui.machine.pane import MachinePane, MachineState, describe

GB = 10**9
GPU = DeviceInfo(
    device="GPU1", kind="cuda", name="NVIDIA H200 [red]\x1b[31m", uuid="GPU-1", memory_total=140 * GB,
    memory_free=35 * GB, load=0.5, processes=2, chosen=True, why="idle",
)  # fmt: skip


def found(*problems: str, **changed: Any) -> MachineState:
    return MachineState(msgspec.structs.replace(machine_info.describe(), **changed), problems)


@pytest.mark.parametrize("width", [20, 78, 160])
def test_everything_is_told_within_the_width(width: int) -> None:
    with_gpu = found(devices=(GPU, *machine_info.devices()), training=TrainingDevice("GPU1", "idle"))
    text = "\n".join(line.plain for line in describe(with_gpu, "80×24, 256 colours", width))
    assert "\x1b" not in text and "takes GPU" in text
    assert all(line.cell_len <= width for line in describe(with_gpu, "80×24", width)[:-1])
    if width == 160:
        for said in (
            "NVIDIA H200 [red]",
            "2 processes",
            "50%",
            "35.0 GB free of 140 GB",
            "256 colours",
            "torch 2.",
        ):
            assert said in text


def test_figures_that_are_missing_are_no_error() -> None:
    unknown = DeviceInfo(device="GPU1", kind="cuda", name="NVIDIA H200")
    disk = (DiskPlace(kept="runs", path="/gone", free=None, total=None),)
    host = msgspec.structs.replace(machine_info.host(), load=None)
    text = "\n".join(
        line.plain for line in describe(found(devices=(unknown,), disk=disk, host=host), "-", 80)
    )
    assert "not told" in text and "/gone" in text


def test_problems_take_the_place_of_the_all_clear() -> None:
    assert "✓ nothing stands in the way" in describe(found(), "-", 80)[-1].plain
    lines = [line.plain for line in describe(found("torch is too old: pip install"), "-", 80)]
    assert "✗ torch is too old: pip install" in lines and not any("✓ nothing" in line for line in lines)


class Shown(App[None]):
    def __init__(self) -> None:
        super().__init__()
        self.looks = 0

    def look(self) -> MachineState:
        self.looks += 1
        return found()

    def compose(self) -> ComposeResult:
        yield MachinePane(look=self.look)


async def test_it_looks_while_it_is_in_sight_and_not_while_it_is_hidden(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("workbench.ui.machine.pane.EVERY", 0.02)
    app = Shown()
    async with app.run_test(size=(80, 30)) as pilot:
        pane = app.query_one(MachinePane)
        while app.looks < 2 or pane.machine is None:
            await pilot.pause(0.01)
        assert "takes" in str(app.query_one("#machine").render())
        pane.display = False
        await pilot.pause()
        await app.workers.wait_for_complete()
        before = app.looks
        await pilot.pause(0.2)
        assert app.looks == before
        pane.display = True
        while app.looks == before:
            await pilot.pause(0.01)
