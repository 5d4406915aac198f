"""The contract of a run folder: every file of real runs is what its record type says, no field more and none less.

The runs are made by the launcher, a supervisor and workers. Each file is decoded by its type and encoded again: the
JSON must be that of the file, so that a field that no type knows, or that a writer spells otherwise, fails here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.cli.test_control import processes_of, until
from workbench.cli.follow import wait_for_end
from workbench.config.experiment import build_experiment, read_experiment
from workbench.io.record_codec import decode, encode, read_record, to_json, write_record
from workbench.launcher import launch
from workbench.runs import requests
from workbench.runs.attempts import last_attempt_number
from workbench.runs.checkpoint_index import newest_checkpoint_step
from workbench.runs.enums import Cause, Ending, Outcome, Phase, RequestKind
from workbench.runs.journal import (
    AnsweredRequest,
    Attempt,
    JournalLine,
    PhaseChange,
    SettingChange,
    attempts_of,
    read_journal,
)
from workbench.runs.metrics import (
    EpochRow,
    EvaluationFile,
    EvaluationRow,
    LineDrawing,
    MetricLine,
    RegionsDrawing,
    StepRow,
)
from workbench.runs.records import Exit, Heartbeat, Launch, Manifest, Notes, RequestFile, RequestValues, Setup
from workbench.runs.requests import NO_VALUES, Answer
from workbench.runs.run_folder import RunFolder
from workbench.runs.status import Status, status_of

NOT_JSON = {".pt", ".bin", ".log", ""}
"""Suffixes of checkpoints, records of samples, the log, and the lock and reserve, which have none."""


def type_of(folder: RunFolder, path: Path) -> Any:
    """The record type of a file, or of each of its lines."""
    known = {
        folder.launch: Launch, folder.setup: Setup, folder.heartbeat: Heartbeat, folder.exit: Exit,
        folder.notes: Notes, folder.manifest: Manifest, folder.journal: JournalLine, folder.metrics: MetricLine,
    }  # fmt: skip
    places = {
        folder.evaluations: EvaluationFile,
        folder.control: RequestFile,
        folder.answered_requests: RequestFile,
    }
    return known.get(path) or places[path.parent]


def records_of(folder: RunFolder) -> Iterator[tuple[Path, bytes, Any]]:
    """Every record of a run but its experiment: where it is, its bytes, and its type."""
    for path in folder.path.rglob("*"):
        if path.is_dir() or path.suffix in NOT_JSON or path == folder.experiment:
            continue
        data, type = path.read_bytes(), type_of(folder, path)
        for line in data.splitlines() if path.suffix == ".jsonl" else [data]:
            yield path, line, type


def check(folder: RunFolder) -> set[type]:
    """Fail for a record that its type does not describe completely; returns the types of all records."""
    found = set()
    for path, data, type in records_of(folder):
        record: Any = decode(data, type)
        assert record is not None, (path, data)
        assert json.loads(encode(record)) == json.loads(data), path
        found.add(record.__class__)
    experiment = read_experiment(folder.experiment)
    assert experiment is not None
    assert json.loads(json.dumps(experiment.to_dict())) == json.loads(folder.experiment.read_bytes())
    return found


def test_a_finished_run_of_images(digits_run: RunFolder) -> None:
    write_record(digits_run.notes, Notes(name="good", tags=("a", "b"), notes="first try"))
    found = check(digits_run)
    assert found >= {Launch, Setup, Heartbeat, Exit, Notes, Manifest, Attempt, PhaseChange}
    assert found >= {StepRow, EpochRow, EvaluationRow, EvaluationFile}
    ended = read_record(digits_run.exit, Exit)
    assert ended is not None
    assert (ended.status, ended.cause, ended.reason) == (Ending.FINISHED, Cause.COMPLETED, None)


@pytest.mark.parametrize(
    ("recipe", "drawing"), [("line-regression", LineDrawing), ("two-clusters", RegionsDrawing)]
)
def test_a_finished_run_of_numbers(recipe: str, drawing: type) -> None:
    folder = launch.start_run(build_experiment(recipe, sets=["train.epochs=3", "train.threads=1"]), "test")
    wait_for_end(folder)
    assert status_of(folder) is Status.FINISHED, folder.log.read_text()
    check(folder)
    first = read_record(folder.evaluation(0, "test"), EvaluationFile)
    assert first is not None and isinstance(first.draw, drawing)


def test_early_stopping_is_recorded() -> None:
    sets = ["train.epochs=500", "train.patience=1", "train.lr=0.02", "train.threads=1"]
    folder = launch.start_run(build_experiment("digits-mlp", sets=sets), "test")
    wait_for_end(folder)
    check(folder)
    ended = read_record(folder.exit, Exit)
    assert ended is not None
    assert (ended.status, ended.cause) == (Ending.FINISHED, Cause.EARLY_STOPPING)


def request(folder: RunFolder, kind: RequestKind, values: RequestValues = NO_VALUES) -> Answer:
    """Send a request to a live run, and wait for its answer."""
    request_id = launch.send_request(folder, kind, values)
    answer = requests.wait_for_answer(folder, request_id, 60.0, lambda: status_of(folder).live)
    assert answer is not None, folder.log.read_text()
    return answer


@pytest.fixture
def endless() -> Iterator[RunFolder]:
    """A run that trains until it is stopped; its remaining processes are killed at the end."""
    sets = ["train.epochs=100000", "train.checkpoint_seconds=0.1", "train.threads=1"]
    folder = launch.start_run(build_experiment("digits-mlp", sets=sets), "test")
    yield folder
    for process in processes_of(folder):
        process.kill()


def test_a_run_that_is_changed_paused_stopped_and_resumed(endless: RunFolder) -> None:
    folder = endless
    assert request(folder, RequestKind.CHECKPOINT).outcome is Outcome.DONE
    assert request(folder, RequestKind.PAUSE).outcome is Outcome.DONE
    beat = read_record(folder.heartbeat, Heartbeat)
    assert beat is not None and beat.phase is Phase.PAUSED
    check(folder)
    assert request(folder, RequestKind.LR, RequestValues(times=0.5)).outcome is Outcome.DONE
    assert request(folder, RequestKind.LR, RequestValues(value=-1.0)).outcome is Outcome.REJECTED
    assert request(folder, RequestKind.CONTINUE).outcome is Outcome.DONE
    assert request(folder, RequestKind.PAUSE, RequestValues(suspend=True)).outcome is Outcome.DONE
    assert request(folder, RequestKind.EPOCHS, RequestValues(add=-10)).outcome is Outcome.DONE
    check(folder)
    assert request(folder, RequestKind.CONTINUE).outcome is Outcome.DONE
    until(lambda: last_attempt_number(folder) == 2, "an attempt that continues")
    assert request(folder, RequestKind.STOP).outcome is Outcome.DONE
    wait_for_end(folder)
    stopped_at = newest_checkpoint_step(folder)

    launch.resume_run(folder, {"train.lr": 0.002, "train.augment": ["flip"]}, "test")
    assert request(folder, RequestKind.STOP).outcome is Outcome.DONE
    wait_for_end(folder)
    found = check(folder)
    assert found >= {RequestFile, AnsweredRequest, SettingChange, Attempt, PhaseChange, Exit}
    *_, resumed = attempts_of(read_journal(folder.journal))
    assert (resumed.overrides, resumed.from_step) == (
        {"train.lr": 0.002, "train.augment": ["flip"]},
        stopped_at,
    )
    ended = read_record(folder.exit, Exit)
    assert ended is not None
    assert (ended.status, ended.cause) == (Ending.STOPPED, Cause.REQUESTED)


def test_a_field_that_no_type_knows_is_found(digits_run: RunFolder) -> None:
    end = read_record(digits_run.exit, Exit)
    assert end is not None
    digits_run.exit.write_bytes(msgspec.json.encode({**to_json(end), "elapsed": 5}))
    with pytest.raises(AssertionError, match=r"exit\.json"):
        check(digits_run)
