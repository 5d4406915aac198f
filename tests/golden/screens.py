"""The text of every pane on a home, a clock and a machine that never change.

The home holds the stored runs of version 0.1.0 and one of them resumed, so that a live run is shown. Samples and
predictions come from the real compute process. What differs between machines all the same is masked: see `MASKS`.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from textual.app import App
from textual.pilot import Pilot

from tests.run_folders import holding
from tests.sweep_folders import write_sweep
from workbench.config.experiment import read_experiment
from workbench.io.atomic_files import write_json
from workbench.io.record_codec import read_record, write_record
from workbench.runs.enums import Phase
from workbench.runs.journal import Attempt, Journal, PhaseChange
from workbench.runs.locks import SUPERVISOR, WRITER
from workbench.runs.records import Heartbeat, Launch, Seconds
from workbench.runs.run_folder import RunFolder
from workbench.runs.store import Store
from workbench.sweeps.sweep_folder import FIRST_TRIAL_BYTE, FIRST_WORKER_BYTE
from workbench.system import devices, machine_info
from workbench.system.devices import DeviceInfo, TrainingDevice
from workbench.system.machine_info import DiskPlace, DiskSpace, HostInfo, MachineInfo
from workbench.system.processes import ProcessId
from workbench.ui.app import WorkbenchApp
from workbench.ui.base.layout import PANES, PaneId

SIZES = ((80, 24), (120, 36), (200, 50))
STORED_HOME = Path(__file__).parents[1] / "stored_runs" / "0.1.0" / "home"
STORED_RUN, LIVE_RUN = "20261129-113026938397-stored-stopped-56bc", "20261129-122900000000-digits-live-0001"
LIVE_NAME, LAST_REPORTED_STEP = "digits-live", 6400
NOW = 1795955460.0
"""An hour after the last visit of the stored home, in Unix seconds: 2026-11-29 12:31 UTC."""
SECONDS = Seconds(load=2.0, train=1350.0, evaluate=4.0, total=1356.0)
ETA_SECONDS = 2520.0
GB = 10**9

MASKS = ((re.compile(r"\d+ ms on \w+ *"), "N ms on cpu", "the time and the device of a prediction"),)
"""Pattern (with the spaces after the text), replacement, and what of a screen can't be the same everywhere."""

MACHINE = MachineInfo(
    host=HostInfo(
        name="atlas", system="Linux 6.8.0 x86_64", cores=16, load=1.25, memory_total=128 * GB, memory_free=96 * GB
    ),
    devices=(
        DeviceInfo(
            device="cuda:0", kind="cuda", name="NVIDIA L4", uuid="GPU-0", memory_total=24 * GB,
            memory_free=18 * GB, load=0.35, processes=1, chosen=True, reason="the only GPU, busy",
        ),
        DeviceInfo(
            device="cpu", kind="cpu", name="a CPU with 16 cores", memory_total=128 * GB, memory_free=96 * GB,
            load=0.08,
        ),
    ),
    training=TrainingDevice("cuda:0", "the only GPU, busy"),
    disk=tuple(
        DiskPlace(content=content, path=f"/home/someone/{content}", free=420 * GB, total=960 * GB)
        for content in ("runs", "data", "weights")
    ),
    versions={
        "python": "3.12.0", "workbench": "0.1.0", "torch": "2.10.0+cu128", "torchvision": "0.25.0+cu128",
        "textual": "8.0.0", "plotext": "6.1.0", "pillow": "12.0.0",
    },
)  # fmt: skip


class FixedDatetime(datetime):
    """Today is always the same day."""

    @classmethod
    def now(cls, tz: Any = None) -> FixedDatetime:
        return cls.fromtimestamp(NOW, tz)


DIALOGS = {"new-sweep": "S"}
"""Dialogs by the name of their golden file, and the key that opens each."""


def golden_file(name: str, size: tuple[int, int]) -> Path:
    """The file with the expected text of a pane or a dialog."""
    return Path(__file__).parent / f"{name}-{size[0]}x{size[1]}.txt"


async def capture_panes(size: tuple[int, int], home: Path) -> dict[str, str]:
    """The masked text of every pane and dialog in a terminal of `size` (columns, rows), after its key was pressed.

    `home` must not exist.
    """
    with _fixed_environment(home), _live_run(home):
        app = WorkbenchApp(store=Store.default())
        screens: dict[str, str] = {}
        async with app.run_test(size=size) as pilot:
            await _wait(pilot, lambda: set(app.main_view.panes) == set(PANES) and _run_is_read(app))
            for pane_id, spec in PANES.items():
                await pilot.press(spec.key)
                await _fill(pilot, pane_id)
                screens[pane_id] = mask(await _settled_text(pilot))
            for name, key in DIALOGS.items():
                await pilot.press(key)
                screens[name] = mask(await _settled_text(pilot))
                await pilot.press("escape")
        return screens


def mask(text: str) -> str:
    """The text without the parts that can't be the same everywhere."""
    for pattern, replacement, _reason in MASKS:
        text = pattern.sub(lambda match, fixed=replacement: fixed.ljust(len(match[0])), text)
    return "".join(line.rstrip() + "\n" for line in text.splitlines())


@contextlib.contextmanager
def _fixed_environment(home: Path) -> Iterator[None]:
    """The home, clock, time zone, terminal colors and machine that every capture sees."""
    with contextlib.ExitStack() as stack:
        stack.callback(time.tzset)  # after the time zone is restored
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        variables = {
            "WORKBENCH_HOME": str(home), "TORCH_HOME": str(home / "torch"), "TZ": "UTC", "TERM": "xterm-256color",
            "COLORTERM": "truecolor", "WORKBENCH_ASCII": "0", "CUDA_VISIBLE_DEVICES": "",
        }  # fmt: skip
        for name, value in variables.items():
            patch.setenv(name, value)
        for name in ("WORKBENCH_DATA", "NO_COLOR"):
            patch.delenv(name, raising=False)
        patch.setattr(time, "time", lambda: NOW)
        patch.setattr("workbench.core.text.datetime", FixedDatetime)
        patch.setattr(machine_info, "describe_machine", lambda: MACHINE)
        patch.setattr(machine_info, "find_problems", list)
        patch.setattr(devices, "training_device", lambda requested="auto": MACHINE.training)
        patch.setattr(machine_info, "disk_space", lambda path: DiskSpace(420 * GB, 960 * GB))
        time.tzset()
        yield


@contextlib.contextmanager
def _live_run(home: Path) -> Iterator[None]:
    """Fill `home`; its newest run is the resumed copy of a stored one, and its locks are held."""
    shutil.copytree(STORED_HOME, home)
    folder = RunFolder(Path(shutil.copytree(home / "runs" / STORED_RUN, home / "runs" / LIVE_RUN)))
    experiment = read_experiment(folder.experiment)
    write_json(folder.experiment, msgspec.structs.replace(experiment, name=LIVE_NAME).to_dict())
    _resume(folder)
    _set_file_times(home / "runs")
    sweep = write_sweep(home, [LIVE_RUN], created=NOW - 600)
    with (
        holding(folder, SUPERVISOR, WRITER),
        holding(
            sweep, FIRST_WORKER_BYTE, FIRST_WORKER_BYTE + 1, FIRST_TRIAL_BYTE + 13, FIRST_TRIAL_BYTE + 14
        ),
    ):
        yield


def _resume(folder: RunFolder) -> None:
    """Write what the worker of a second attempt writes."""
    origin, beat = read_record(folder.launch, Launch), read_record(folder.heartbeat, Heartbeat)
    assert origin is not None
    assert beat is not None
    process = {name: getattr(origin, name) for name in ProcessId.__struct_fields__}
    journal = Journal(folder.journal)
    journal.append(Attempt(attempt=2, from_step=beat.step, **process))
    journal.append(PhaseChange(phase=Phase.TRAINING, attempt=2, device="cpu", threads=1))
    journal.close()
    live = msgspec.structs.replace(
        beat,
        attempt=2,
        phase=Phase.TRAINING,
        eta=ETA_SECONDS,
        time=NOW,
        checkpoint_saved_at=NOW - 30,
        seconds=SECONDS,
    )
    write_record(folder.heartbeat, live)


def _set_file_times(root: Path) -> None:
    """Files are as old as their runs, which the list of runs shows."""
    for path in root.rglob("*"):
        os.utime(path, (NOW, NOW))
    for folder in map(RunFolder, root.glob("2*")):
        launch = read_record(folder.launch, Launch)
        assert launch is not None
        created = NOW - 1500 if folder.id == LIVE_RUN else launch.time
        os.utime(folder.experiment, (created, created))


def _run_is_read(app: WorkbenchApp) -> bool:
    view = app.runs.view
    return bool(
        view and view.name == LIVE_NAME and LAST_REPORTED_STEP in view.steps.step and app.runs.evaluations
    )


async def _fill(pilot: Pilot[Any], pane_id: PaneId) -> None:
    """Wait until a pane shows what it requests; in the photo pane, classify the first test sample."""
    pane = pilot.app.main_view.panes[pane_id]  # type: ignore[attr-defined]
    if pane_id is PaneId.EXPERIMENT:
        await _wait(pilot, lambda: pane.model_summary.is_known)
    elif pane_id is PaneId.DATA:
        await _wait(pilot, lambda: pane.grid.samples)
    elif pane_id is PaneId.PHOTO:
        await pilot.press("f")
        await _wait(pilot, lambda: any(finder.has_focus_within for finder in pane.query("#samples")))
        await _wait(pilot, lambda: not pane.has_class("-no-image"))  # the highlighted sample
        await pilot.press("enter")
        await _wait(pilot, lambda: pane.prediction.top and not pane.query("#samples"))
    elif pane_id is PaneId.MACHINE:
        await _wait(pilot, lambda: pane.machine is not None)


async def _settled_text(pilot: Pilot[Any]) -> str:
    """The text once no request is running and nothing is drawn any more."""
    await _wait(pilot, lambda: not any(worker.is_running for worker in pilot.app.workers))
    before, text = "", screen_text(pilot.app)
    while text != before:
        await pilot.pause()
        await pilot.pause(0.05)
        before, text = text, screen_text(pilot.app)
    return text


async def _wait(pilot: Pilot[Any], condition: Callable[[], object], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"the screen did not get ready:\n{screen_text(pilot.app)}"
        await pilot.pause(0.02)


def screen_text(app: App[Any]) -> str:
    """The lines of the screen."""
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip) for strip in strips)
