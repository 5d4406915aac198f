"""The machine pane shows the state of the machine, and updates only while it is visible."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from textual.app import App, ComposeResult

from workbench.runs.nodes import SINGLE_NODE, Node, NodeGpu, Nodes, NodeUsage, Placement
from workbench.runs.reader import RunView
from workbench.runs.run_folder import RunFolder
from workbench.runs.status import Status
from workbench.system import machine_info
from workbench.system.devices import DeviceInfo, TrainingDevice
from workbench.system.machine_info import DiskPlace
from workbench.ui.machine.pane import MachinePane, MachineState, machine_lines, node_lines

GB = 10**9
GPU = DeviceInfo(
    device="cuda:1", kind="cuda", name="NVIDIA H200 [red]\x1b[31m", uuid="GPU-1", memory_total=140 * GB,
    memory_free=35 * GB, load=0.5, processes=2, chosen=True, reason="idle", temperature=61,
    power=412.4, runs=("digits-1",),
)  # fmt: skip


def make_state(*problems: str, **changed: Any) -> MachineState:
    return MachineState(msgspec.structs.replace(machine_info.describe_machine(), **changed), problems)


@pytest.mark.parametrize("width", [20, 78, 160])
def test_all_facts_are_listed_within_the_width(width: int) -> None:
    with_gpu = make_state(
        devices=(GPU, *machine_info.list_devices()),
        training=TrainingDevice("cuda:1", "idle"),
    )
    text = "\n".join(line.plain for line in machine_lines(with_gpu, ["80×24, 256 colors"], width))
    assert "\x1b" not in text and "training device: cu" in text
    assert all(line.cell_len <= width for line in machine_lines(with_gpu, ["80×24"], width)[:-1])
    if width == 160:
        for fact in (
            "NVIDIA H200 [red]",
            "2 processes, held by digits-1",
            "61 °C, 412 W",
            "50%",
            "35.0 GB free of 140 GB",
            "256 colors",
            "torch 2.",
        ):
            assert fact in text


def test_missing_values_are_not_an_error() -> None:
    unknown = DeviceInfo(device="cuda:1", kind="cuda", name="NVIDIA H200")
    disk = (DiskPlace(content="runs", path="/gone", free=None, total=None),)
    host = msgspec.structs.replace(machine_info.describe_host(), load=None)
    text = "\n".join(
        line.plain for line in machine_lines(make_state(devices=(unknown,), disk=disk, host=host), ["-"], 80)
    )
    assert "not reported" in text and "/gone" in text


def test_problems_replace_the_all_clear() -> None:
    assert "✓ No problems found." in machine_lines(make_state(), ["-"], 80)[1].plain
    lines = [line.plain for line in machine_lines(make_state("torch is too old: pip install"), ["-"], 80)]
    assert lines[1] == "✗ torch is too old: pip install", "at the top, where every height shows it"
    assert not any("✓" in line for line in lines)


@pytest.mark.parametrize("width", [20, 78, 160])
def test_the_nodes_of_a_run_are_listed(width: int, tmp_path: Path) -> None:
    gpu = NodeGpu(name="NVIDIA H200 \x1b[31m", load=0.5, memory_used=105 * GB, memory_total=140 * GB)
    usage = NodeUsage(cores=64, busy=0.25, memory_used=6 * GB, memory_total=24 * GB, gpus=(gpu,))
    nodes = (Node(host="gpu01", usage=usage), Node(host="gpu02"), Node(host="gpu03", lost_since=0.0))
    view = RunView(
        RunFolder(tmp_path),
        placement=Placement(nodes=3, address="gpu01:29400"),
        nodes=Nodes(attempt=1, count=3, nodes=nodes),
        status=Status.RUNNING,
    )
    lines = node_lines(view, width, 60.0)
    text = "\n".join(line.plain for line in lines)
    assert "\x1b" not in text and all(line.cell_len <= width for line in lines)
    assert "gpu01" in text and "gpu02" in text
    if width == 160:
        for fact in (
            "which meet at gpu01:29400", "node gpu03 is lost since ", "25% of 64 cores", "18.0 GB free of 24.0 GB",
            "50% NVIDIA H200", "35.0 GB free of 140 GB", "no report yet",
        ):  # fmt: skip
            assert fact in text
    view.placement = SINGLE_NODE
    assert node_lines(view, width, 60.0) == []


class Shown(App[None]):
    def __init__(self) -> None:
        super().__init__()
        self.num_reads = 0

    def read_state(self) -> MachineState:
        self.num_reads += 1
        return make_state()

    def compose(self) -> ComposeResult:
        yield MachinePane(read_state=self.read_state)


async def test_the_state_is_read_only_while_the_pane_is_visible(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("workbench.ui.machine.pane.REFRESH_SECONDS", 0.02)
    app = Shown()
    async with app.run_test(size=(80, 30)) as pilot:
        pane = app.query_one(MachinePane)
        while app.num_reads < 2 or pane.machine is None:
            await pilot.pause(0.01)
        assert "training device" in str(app.query_one("#machine").render())
        pane.display = False
        await pilot.pause()
        await app.workers.wait_for_complete()
        before = app.num_reads
        await pilot.pause(0.2)  # ten intervals; a busy machine may only hide an error here
        assert app.num_reads == before
        pane.display = True
        while app.num_reads == before:
            await pilot.pause(0.01)
