"""Reading the event files of a long training: tensorboard's own reader beside ours, and its charts."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import scalar

from tests.benchmarks.charts import keys_row, open_and_press
from tests.benchmarks.measure import Row, Scale, alternate, median, quotient, say
from workbench.logs.discovery import find_logs
from workbench.logs.log import Log
from workbench.logs.open_log import open_log
from workbench.runs.opened_logs import OpenedLogs
from workbench.runs.reader import RunReader

METRICS = 20


def write(folder: Path, points: int) -> None:
    """The same metrics at every step, as `add_scalar` writes them, but without its queue, which takes minutes."""
    draws = random.Random(0)
    SummaryWriter(str(folder)).close()
    (path,) = folder.iterdir()
    with path.open("ab") as file:
        writer = RecordWriter(file)
        for step in range(points // METRICS):
            for metric in range(METRICS):
                summary = scalar(f"m{metric:02d}", draws.random())
                writer.write(Event(wall_time=time.time(), step=step, summary=summary).SerializeToString())


def ours(folder: Path) -> Log:
    """Everything in the folder."""
    (source,) = find_logs(folder)
    log = open_log(source)
    log.poll()
    return log


def theirs(folder: Path) -> EventAccumulator:
    """Everything in the folder."""
    return EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()


def check_same_points(mine: Log, reference: EventAccumulator) -> None:
    """Raise `AssertionError` unless both sides have read the same."""
    assert set(mine.series) == set(reference.Tags()["scalars"])
    for name, series in mine.series.items():
        expected = [(event.step, event.value) for event in reference.Scalars(name)]
        assert list(zip(series.steps, series.values, strict=True)) == expected


def timed(read: Callable[[Path], object], folder: Path) -> float:
    """Processor seconds of reading: nothing is waited for but the page cache."""
    began = time.process_time()
    read(folder)
    return time.process_time() - began


def rows(place: Path, scale: Scale) -> list[Row]:
    """Reading, and the charts of what was read."""
    say(f"  writing {scale.rows:,} points")
    write(place, scale.rows)
    check_same_points(ours(place), theirs(place))
    megabytes = sum(file.stat().st_size for file in place.iterdir()) / 1e6
    seconds = alternate(
        scale.rounds, {"ours": lambda: timed(ours, place), "tensorboard": lambda: timed(theirs, place)}
    )
    return [
        Row(
            f"reading {megabytes:.0f} MB of event files, {scale.rows:,} points : tensorboard's EventAccumulator",
            f"{median(seconds['ours']):.2f} s",
            f"{median(seconds['tensorboard']):.2f} s",
            str(quotient(seconds["ours"], seconds["tensorboard"])),
            "≤ 0.05",
        ),
        *_on_screen(place, f"{megabytes:.0f} MB of event files", scale),
    ]


def _on_screen(folder: Path, what: str, scale: Scale) -> list[Row]:
    """From opening the log to its charts, and the frames after that."""
    opened = OpenedLogs([folder])
    began = time.process_time()
    view = RunReader(opened.folders[0]).read_all()
    read = time.process_time() - began
    charts = open_and_press(view, scale.keys)
    opened.close()
    complete = f"all points {read + charts.complete:.2f} s"
    return [
        Row(f"{what}: read and on the screen", f"{read + charts.first:.2f} s", "-", complete, "≤ 0.5 s"),
        Row(f"charts of {what}: frame", f"{median(charts.waits):.0f} ms", "-", "-", "≤ 13 ms"),
        keys_row(f"charts of {what}", charts.waits, "≤ 33 ms"),
    ]
