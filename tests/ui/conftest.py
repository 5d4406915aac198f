from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest
from textual.app import App
from textual.pilot import Pilot

from tests.run_folders import DEAD_PID, holding
from workbench.config.experiment import build_experiment
from workbench.io.atomic_files import write_json
from workbench.io.record_codec import write_record
from workbench.runs.enums import Cause, Ending, Phase
from workbench.runs.journal import Attempt, Journal
from workbench.runs.jsonl import LineWriter
from workbench.runs.locks import SUPERVISOR, WRITER
from workbench.runs.metrics import ClassMetrics, EvaluationFile, EvaluationRow, StepRow, Wall
from workbench.runs.records import Best, Exit, Heartbeat, Latest, Seconds
from workbench.runs.run_folder import RunFolder, write_exit
from workbench.system.processes import this_process

MakeRun = Callable[..., RunFolder]


@pytest.fixture
def make_run(home: Path) -> MakeRun:
    """Writes run folders at any stage, as launcher and worker do."""
    count = 0

    def make(
        name: str = "digits-mlp", *, epochs: int = 4, done: int = 2, status: str | None = "finished",
        reason: str | None = None, accuracy: float = 0.9, **beat: Any,
    ) -> RunFolder:  # fmt: skip
        nonlocal count
        count += 1
        folder = RunFolder(home / "runs" / f"20260101-{count:06d}-{count:04x}")
        for path in (folder.control, folder.answered_requests, folder.checkpoints, folder.evaluations):
            path.mkdir(parents=True)
        experiment = build_experiment("digits-mlp", sets=[f"train.epochs={epochs}"])
        write_json(folder.experiment, msgspec.structs.replace(experiment, name=name).to_dict())
        journal = Journal(folder.journal)
        dead = msgspec.structs.replace(this_process(), pid=DEAD_PID)
        journal.append(Attempt(attempt=1, from_step=0, **msgspec.structs.asdict(dead)))
        journal.close()
        train(folder, range(1, done + 1), accuracy=accuracy)
        write_heartbeat(folder, epochs=epochs, done=done, accuracy=accuracy, **beat)
        if status is not None:
            end(folder, status, reason)
        return folder

    return make


def train(folder: RunFolder, epochs: range, *, accuracy: float = 0.9) -> None:
    """Write the metrics and evaluations of some epochs of 10 steps."""
    metrics = LineWriter(folder.metrics)
    for epoch in epochs:
        for step in range(10 * epoch - 9, 10 * epoch + 1):
            wall = Wall(time=time.time(), seconds=0.1, samples_per_second=320.0)
            metrics.write(
                StepRow(step=step, epoch=step / 10, loss=2 / step, accuracy=0.5, lr=1e-3, wall=wall)
            )
        row = EvaluationRow(
            step=10 * epoch, epoch=epoch, split="validation", loss=1 / epoch, accuracy=accuracy, best=True
        )
        metrics.write(row)
        write_evaluation(folder, row)
    metrics.close()


def write_evaluation(folder: RunFolder, row: EvaluationRow) -> None:
    """The evaluation file of an evaluation row: of 10 cats, 6 are classified correctly and 4 as dogs."""
    record = EvaluationFile(
        step=row.step, epoch=int(row.epoch), split=row.split, count=20, loss=row.loss, accuracy=row.accuracy,
        per_class=tuple(
            ClassMetrics(name=name, accuracy=accuracy, precision=0.8, f1=0.7, support=10)
            for name, accuracy in (("cat", 0.6), ("dog", 0.9))
        ),
        confusion=((0, 0, 6), (0, 1, 4), (1, 1, 9), (1, 0, 1)),
    )  # fmt: skip
    write_record(folder.evaluation(row.step, row.split), record)


def write_heartbeat(
    folder: RunFolder, *, epochs: int, done: int, accuracy: float = 0.9, **changed: Any
) -> None:
    """The heartbeat after `done` epochs."""
    beat = Heartbeat(
        attempt=1, counter=1, phase=Phase.TRAINING, step=10 * done, steps_total=10 * epochs, epoch=done,
        epochs_total=epochs, eta=60.0, device="cpu", time=time.time(),
        best=Best(value=accuracy, epoch=done, metric="accuracy"), latest=Latest(loss=1.0, accuracy=0.5),
        seconds=Seconds(load=1.0, train=2.0, evaluate=0.5, total=3.5),
    )  # fmt: skip
    write_record(folder.heartbeat, msgspec.structs.replace(beat, **changed))


CAUSES = {
    Ending.FINISHED: Cause.COMPLETED,
    Ending.STOPPED: Cause.REQUESTED,
    Ending.FAILED: Cause.ERROR,
}


def end(folder: RunFolder, status: str, reason: str | None = None, cause: Cause | None = None) -> None:
    """The exit record."""
    ending = Ending(status)
    record = Exit(status=ending, attempt=1, reason=reason, cause=cause or CAUSES[ending], time=time.time())
    write_exit(folder, record)


@pytest.fixture
def hold() -> Iterator[Callable[[RunFolder], subprocess.Popen[str]]]:
    """Processes that hold a run's lock as its supervisor and worker do."""
    with ExitStack() as processes:
        yield lambda folder: processes.enter_context(holding(folder, SUPERVISOR, WRITER))


@pytest.fixture
def write_run() -> dict[str, Callable[..., None]]:
    """What writes to an existing run, as its worker does."""
    return {"train": train, "heartbeat": write_heartbeat, "end": end, "evaluation": write_evaluation}


@pytest.fixture
def text_of() -> Callable[[App[Any]], str]:
    """The text on an app's screen, as lines."""

    def text(app: App[Any]) -> str:
        strips = app.screen._compositor.render_strips()
        return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in strips)

    return text


@pytest.fixture
def until(text_of: Callable[[App[Any]], str]) -> Callable[..., Any]:
    """Waits for a condition, or for a text on the screen."""

    async def wait(pilot: Pilot[Any], wanted: str | Callable[[], bool], seconds: float = 60.0) -> None:
        ends = time.monotonic() + seconds
        while not (wanted in text_of(pilot.app) if isinstance(wanted, str) else wanted()):
            assert time.monotonic() < ends, f"{wanted!r} did not appear\n{text_of(pilot.app)}"
            await pilot.pause(0.02)

    return wait
