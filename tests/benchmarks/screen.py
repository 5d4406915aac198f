"""The screen: the resources it needs, and how much it slows down a training run."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pexpect
import psutil

from tests.benchmarks import material
from tests.benchmarks.measure import Row, Scale, alternate, median, python, quotient, run_json, say
from tests.benchmarks.recipes import Trained, ours
from tests.end_to_end.terminal import Terminal
from workbench.config.experiment import build_experiment
from workbench.io.atomic_files import write_json
from workbench.io.record_codec import write_record
from workbench.runs.enums import Ending
from workbench.runs.metrics import EvaluationRow, StepRow
from workbench.runs.reader import RunReader, RunView
from workbench.runs.records import Exit, Setup
from workbench.runs.run_folder import RunFolder
from workbench.runs.run_query import filter_runs
from workbench.runs.store import RunSummary, Store

COLUMNS, ROWS = 120, 36
POINTS = 100_000
CURSOR = "▸".encode()
IDLE_SECONDS = 30.0
EXPRESSION = "(model=mlp or model=resnet) lr<0.01 accuracy>0.5 !tag:baseline status:finished started<1000d"
"""A filter of every kind of condition."""
LONG = build_experiment("digits-mlp", name="long", sets=["train.epochs=10"])


def rows(place: Path, scale: Scale) -> list[Row]:
    """All measurements of the screen."""
    data, home = place / "data", place / "home"
    material.grayscale(data, scale.grayscale)
    with environment(WORKBENCH_HOME=home, WORKBENCH_DATA=data, TORCH_HOME=home / "torch"):
        found = [_first_frame(), *_looked_at(data, home, scale)]
        found += [*refresh(), _long_run(home, scale), *_many_runs(home, scale)]
        return found


@contextmanager
def environment(**values: Path) -> Iterator[None]:
    """These variables in this process and its children."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update({name: str(value) for name, value in values.items()})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


class Watched:
    """The screen in a pty whose other end reads as fast as it can and draws nothing, like a remote machine."""

    def __init__(self) -> None:
        self.terminal = Terminal(COLUMNS, ROWS)
        self.process = self.terminal.process
        self.received = 0

    def drain(self, seconds: float, until: bytes = b"") -> float | None:
        """Read for `seconds`, or until the output contains `until`; returns the time of that output, or `None`."""
        end = time.perf_counter() + seconds
        while (left := end - time.perf_counter()) > 0:
            try:
                data = self.process.read_nonblocking(1 << 16, timeout=left)
            except (pexpect.TIMEOUT, pexpect.EOF):
                return None
            self.received += len(data)
            if until and until in data:
                return time.perf_counter()
        return None

    def processor_seconds(self) -> float:
        """The processor time of the screen so far."""
        spent = psutil.Process(self.process.pid).cpu_times()
        return spent.user + spent.system

    def __enter__(self) -> Watched:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.close(force=True)


def _first_frame() -> Row:
    def frame() -> float:
        began = time.perf_counter()
        with Watched() as screen:
            seen = screen.drain(60, b"digits-mlp")
            assert seen is not None, "no first frame"
            return seen - began

    def torch() -> float:
        began = time.perf_counter()
        python("-c", "import torch")
        return time.perf_counter() - began

    found = alternate(5, {"first frame": frame, "import torch": torch})
    mine, theirs = found["first frame"], found["import torch"]
    return Row("first frame: import torch", f"{median(mine):.2f} s", f"{median(theirs):.2f} s",
               str(quotient(mine, theirs)), "≤ 0.25")  # fmt: skip


def _looked_at(data: Path, home: Path, scale: Scale) -> list[Row]:
    """Recipe 1 with and without a screen that draws its curves; one thread, so that a core stays free as usual."""
    epochs, busy = 2 * scale.epochs, list[float]()

    def alone() -> Trained:
        return ours("mnist-mlp", data, home, epochs, "train.threads=1")

    def watched() -> Trained:
        with Watched() as screen:
            screen.drain(2)
            process = subprocess.Popen(
                [sys.executable, "-m", "workbench", "train", "mnist-mlp", "--set", f"train.epochs={epochs}",
                 "--set", "train.threads=1", "--json"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            screen.process.send("3")
            began, before = time.perf_counter(), screen.processor_seconds()
            while process.poll() is None:
                screen.drain(0.2)
            busy.append((screen.processor_seconds() - before) / (time.perf_counter() - began))
        document = run_json("-m", "workbench", "show", "last", "--json", home=home)
        assert document["step"] == document["steps_total"]
        return Trained(document["seconds"]["train"], document["step"], 0)

    found = alternate(scale.rounds, {"watched": watched, "alone": alone})
    assert found["watched"][0].steps == found["alone"][0].steps
    seconds = {name: [one.seconds for one in side] for name, side in found.items()}
    rate = {
        name: f"{found['alone'][0].examples / median(each):,.0f} images/s" for name, each in seconds.items()
    }
    ratio = str(quotient(seconds["alone"], seconds["watched"]))
    what = "training (recipe 1) with the screen open and drawing: without a screen"
    return [
        Row(what, rate["watched"], rate["alone"], ratio, "≥ 0.97"),
        Row("screen that draws a training run: share of a core", f"{median(busy):.1%}", "-", "-", "-"),
    ]


def long_view(folder: Path, points: int) -> RunView:
    """A run of `points` training steps and as many evaluations: four curves."""
    (folder / "evaluations").mkdir(parents=True, exist_ok=True)
    material.long_metrics(folder / "metrics.jsonl", points)
    write_json(folder / "experiment.json", LONG.to_dict())
    setup = Setup(steps_per_epoch=points // 10, classes=tuple(str(number) for number in range(10)))
    write_record(folder / "setup.json", setup)
    reader = RunReader(RunFolder(folder))
    view = reader.read_all()
    reader.close()
    evaluations = zip(view.steps.step, view.steps.column("epoch"), view.steps.column("loss"), strict=True)
    view.evaluations = [
        EvaluationRow(split="validation", step=int(step), epoch=epoch, loss=loss, accuracy=1 - loss / 3)
        for step, epoch, loss in evaluations
    ]
    return view


async def _refreshes(view: RunView, times: int) -> tuple[list[float], list[int]]:
    """Processor time in ms and changed bytes of each of `times` refreshes; each adds a step and an evaluation."""
    from textual.app import App, ComposeResult

    from workbench.ui.plots.pane import PlotsPane

    class Shown(App[None]):
        def compose(self) -> ComposeResult:
            yield PlotsPane()

    spent, sent = [], []
    async with Shown().run_test(size=(COLUMNS - 40, ROWS - 18)) as pilot:
        pane = pilot.app.query_one(PlotsPane)
        pane.view = view
        await pilot.pause()
        for number in range(times):
            last = int(view.steps.step[-1]) + 1
            epoch, loss = last / POINTS * 10, 0.3 + 0.01 * (number % 7)
            view.steps.add(StepRow(step=last, epoch=epoch, loss=loss, accuracy=0.9, lr=0.001))
            row = EvaluationRow(split="validation", step=last, epoch=epoch, loss=loss, accuracy=0.9)
            view.evaluations.append(row)
            before = pilot.app.screen._compositor.render_strips()
            began = time.process_time()
            pane.view = view
            spent.append(1000 * (time.process_time() - began))
            await pilot.pause()
            after = pilot.app.screen._compositor.render_strips()
            changed = [b for a, b in zip(before, after, strict=True) if a != b]
            sent.append(sum(len(segment.text.encode()) for strip in changed for segment in strip))
    return spent, sent


def refresh(points: int = POINTS, times: int = 40) -> list[Row]:
    """Redrawing four curves of `points` points after each got one more."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        view = long_view(Path(folder), points)
        spent, sent = asyncio.run(_refreshes(view, times))
    what = f"refresh of 4 curves of {points:,} points"
    return [
        Row(f"{what}: processor time", f"{median(spent):.1f} ms", "-", f"worst {max(spent):.1f}", "≤ 10 ms"),
        Row(
            f"{what}: whole rows that changed",
            f"{median(sent):.0f} bytes",
            "-",
            f"worst {max(sent)}",
            "about 1 kB",
        ),
    ]


def _long_run(home: Path, scale: Scale) -> Row:
    folder = home / "runs" / "20990101-000000000000-long-0000"
    (folder / "evaluations").mkdir(parents=True)
    say(f"  a run of {scale.rows:,} rows")
    material.long_metrics(folder / "metrics.jsonl", scale.rows)
    write_json(folder / "experiment.json", LONG.to_dict())
    write_record(folder / "exit.json", Exit(status=Ending.FINISHED, attempt=1))
    try:
        with Terminal(COLUMNS, ROWS) as terminal:
            terminal.wait_for("digits-mlp")
            began = time.perf_counter()
            terminal.wait(lambda text: _columns_drawn(text) > COLUMNS // 3, "the whole curve")
            seconds = time.perf_counter() - began
    finally:
        for path in sorted(folder.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        folder.rmdir()
    what = f"opening a run of {scale.rows:,} rows: from the first frame to its whole curve"
    return Row(what, f"{seconds:.2f} s", "-", "-", "≤ 1 s")


def _columns_drawn(text: str) -> int:
    """The number of screen columns that contain a part of a curve."""
    lines = text.splitlines()
    width = max((len(line) for line in lines), default=0)
    return sum(any("\u2801" <= line[x : x + 1] <= "\u28ff" for line in lines) for x in range(width))


def _many_runs(home: Path, scale: Scale) -> list[Row]:
    """With many runs: listing them, the idle screen, and keys while all cores train."""
    say(f"  {scale.runs:,} runs")
    store = Store(home / "runs")
    material.many_runs(store.find("mnist-mlp").path, store.root, scale.runs)
    spent = []
    for _ in range(6):
        began = time.perf_counter()
        listed = Store(store.root).list_runs()  # as a command lists them; the screen keeps its last list
        spent.append(time.perf_counter() - began)
    assert len(listed) > scale.runs
    found = [
        Row(
            f"listing {scale.runs:,} runs",
            f"{median(spent[1:]):.2f} s",
            "-",
            f"first {spent[0]:.1f} s",
            "≤ 0.3 s",
        ),
        _filtering(listed),
    ]
    with Watched() as screen:
        screen.drain(60, b"old")
        found += _idle(screen)
        found.append(_keys(screen, scale))
    return found


def _filtering(listed: list[RunSummary]) -> Row:
    spent = []
    for _ in range(6):
        began = time.perf_counter()
        filter_runs(EXPRESSION, listed)
        spent.append(1000 * (time.perf_counter() - began))
    what = f"filtering {len(listed):,} runs by an expression of seven conditions"
    return Row(what, f"{median(spent):.0f} ms", "-", "-", "≤ 33 ms")


def _idle(screen: Watched) -> list[Row]:
    """The output and processor time of a screen without changes."""
    screen.drain(5)
    before, received, began = screen.processor_seconds(), screen.received, time.perf_counter()
    screen.drain(IDLE_SECONDS)
    seconds = time.perf_counter() - began
    busy = (screen.processor_seconds() - before) / seconds
    return [
        Row("idle screen: bytes", f"{screen.received - received} in {seconds:.0f} s", "-", "-", "0"),
        Row("idle screen: share of a core", f"{busy:.1%}", "-", "-", "< 1 %"),
    ]


def _keys(screen: Watched, scale: Scale) -> Row:
    """The time from a key press to the frame with the moved cursor, while a run keeps all cores busy."""
    process = subprocess.Popen(
        [sys.executable, "-m", "workbench", "train", "mnist-mlp", "--set", "train.epochs=1000", "--set",
         f"train.threads={os.cpu_count()}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        screen.drain(15)  # until training starts
        screen.process.send("1jj")  # away from the row of that run, which changes on its own
        screen.drain(2)
        waits = []
        for number in range(scale.keys):
            began = time.perf_counter()
            # Two rows that are both in sight: where the list scrolls, the cursor stays where it is drawn.
            screen.process.send("kj"[number % 2 == 0])
            seen = screen.drain(5, CURSOR)
            assert seen is not None, "a key had no effect within 5 s"
            waits.append(1000 * (seen - began))
            screen.drain(0.1)
    finally:
        python("-m", "workbench", "stop", "last")
        process.wait()
    waits.sort()
    at_99 = waits[min(len(waits) - 1, int(0.99 * len(waits)))]
    return Row(f"key to frame while every core trains and {scale.runs:,} runs are listed, 99th percentile",
               f"{at_99:.0f} ms", "-", f"median {median(waits):.0f}", "≤ 50 ms")  # fmt: skip
