"""The report of a run, and its metrics class by class."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec
import pytest

from workbench.cli.run_text import print_run_report
from workbench.config.experiment import build_experiment
from workbench.io.record_codec import write_record
from workbench.runs.enums import Cause, Ending, Phase, RequestKind
from workbench.runs.journal import (
    AnsweredRequest,
    Attempt,
    Journal,
    Notice,
    PhaseChange,
    RefusedResume,
    SettingChange,
    without_refused_settings,
)
from workbench.runs.jsonl import LineWriter
from workbench.runs.metrics import ClassMetrics, EvaluationFile, EvaluationRow
from workbench.runs.reader import RunView
from workbench.runs.records import Exit, Heartbeat, Seconds, Setup
from workbench.runs.run_folder import RunFolder
from workbench.runs.run_report import Change, build_report, read_evaluation, read_report
from workbench.runs.status import Status

CONTRACT = {
    "run", "name", "status", "phase", "reason", "cause", "directory", "experiment", "step", "steps_total",
    "epoch", "epochs_total", "exact", "seconds", "test", "per_class", "per_class_split", "reference",
}  # fmt: skip
"""Keys that `--json` has, whatever else is added."""


def test_the_result_of_earlier_weights_is_of_their_epoch(tmp_path: Path) -> None:
    """The test split is measured at the end, by the best epoch's weights: the metrics are of that epoch."""
    folder = RunFolder(tmp_path)
    folder.evaluations.mkdir()
    write_record(folder.evaluation(40, "test"), EvaluationFile(step=40, epoch=4, split="test"))
    row = EvaluationRow(step=40, epoch=4, split="test")
    own = read_evaluation(folder, row)
    assert own is not None and own.weights_of_epoch == 4
    found = read_evaluation(folder, msgspec.structs.replace(row, weights_step=20, weights_epoch=2))
    assert found is not None
    assert found.weights_of_epoch == 2
    assert found.step == 40  # the step by which its images are requested
    assert read_evaluation(folder, msgspec.structs.replace(row, step=41)) is None


def ended(folder: RunFolder, loss: float = 0.5) -> None:
    """The records of a run that was evaluated once and stopped."""
    row = ClassMetrics(name="0", accuracy=0.5, recall=0.5, f1=0.4, support=4)
    write_record(
        folder.evaluation(9, "test"), EvaluationFile(step=9, epoch=1, split="test", per_class=(row,))
    )
    metrics = LineWriter(folder.metrics)
    metrics.write(EvaluationRow(step=9, epoch=1, split="test", loss=loss, accuracy=0.5, final=True))
    metrics.close()
    write_record(folder.setup, Setup(execution={"data": "resident", "step": "eager"}))
    write_record(
        folder.exit,
        Exit(status=Ending.STOPPED, attempt=1, reason="stopped on request", cause=Cause.REQUESTED),
    )


def test_the_document_has_the_keys_of_the_contract(folder: RunFolder) -> None:
    ended(folder)
    document = read_report(folder).to_json()
    assert set(document) >= CONTRACT
    assert (document["status"], document["reason"], document["cause"]) == (
        "stopped", "stopped on request", "requested",
    )  # fmt: skip
    assert set(document["seconds"]) == {"load", "train", "evaluate", "total"}
    assert document["test"] == {"loss": 0.5, "accuracy": 0.5}
    assert document["per_class"] == [
        {"class": "0", "accuracy": 0.5, "precision": None, "recall": 0.5, "f1": 0.4, "support": 4}
    ]
    assert document["experiment"]["train"]["epochs"] == document["epochs_total"] == 3
    assert document["execution"] == {"data": "resident", "step": "eager"}


def test_settings_changed_during_training_are_in_the_experiment(folder: RunFolder) -> None:
    journal = Journal(folder.journal)
    journal.append(SettingChange(setting="train.lr", before=0.001, value=0.01, step=4, request="x"))
    journal.append(PhaseChange(phase=Phase.PAUSED, attempt=1, step=5))
    journal.append(AnsweredRequest(request=RequestKind.LR, id="x", text="lr 0.001 → 0.01"))
    journal.append(Attempt(attempt=2, overrides={"train.epochs": 8}, from_step=6))
    journal.close()
    report = read_report(folder)
    assert report.experiment is not None
    assert (report.experiment.train.lr, report.experiment.train.epochs) == (0.01, 8)
    assert report.changes == (
        Change(4, "lr 0.001 → 0.01"), Change(5, "paused"), Change(6, "resumed, epochs 8")
    )  # fmt: skip


def test_notices_are_reported_once_after_the_run_too(
    folder: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = Journal(folder.journal)
    for attempt in (1, 2):
        journal.append(Notice(text="the model ends in a softmax\x1b[31m", attempt=attempt))
    journal.append(Notice(text="rows were lost", attempt=2))
    journal.close()
    report = read_report(folder)
    assert report.notices == ("the model ends in a softmax\x1b[31m", "rows were lost")
    print_run_report(report)
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("  notice  ")] == [
        "  notice  the model ends in a softmax\ufffd[31m", "  notice  rows were lost",
    ]  # fmt: skip
    print_run_report(report, with_notices=False)
    assert "  notice  " not in capsys.readouterr().out


def test_seconds_are_summed_over_attempts(folder: RunFolder) -> None:
    journal = Journal(folder.journal)
    for attempt in (1, 2):
        seconds = Seconds(load=1.0, train=2.0, total=3.5)
        journal.append(PhaseChange(phase=Phase.ENDED, attempt=attempt, seconds=seconds))
    journal.close()
    assert read_report(folder).seconds == Seconds(load=2.0, train=4.0, total=7.0)


def test_a_loss_that_is_not_a_number_stays_one_in_the_report(folder: RunFolder) -> None:
    ended(folder, loss=math.nan)
    report = read_report(folder)
    assert report.test is not None and math.isnan(report.test["loss"] or 0.0)


def test_a_run_whose_processes_are_gone_has_crashed(folder: RunFolder) -> None:
    report = read_report(folder)
    assert (report.status, report.cause) == (Status.CRASHED, Cause.CRASH)
    assert report.reason and "crashed" in report.reason


def test_the_total_of_steps_follows_changed_epochs_at_once(tmp_path: Path) -> None:
    before = build_experiment("digits-mlp", sets=["train.epochs=2000"])
    resumed = Attempt(attempt=2, overrides={"train.epochs": 1300})
    view = RunView(
        RunFolder(tmp_path),
        experiment=before,
        setup=Setup(steps_per_epoch=5),
        heartbeat=Heartbeat(step=5997, steps_total=10_000, epoch=1199, epochs_total=2000),
        journal=[Attempt(attempt=1), resumed],
    )
    assert (build_report(view).epochs_total, build_report(view).steps_total) == (1300, 6500)
    view.journal[:] = without_refused_settings([*view.journal, RefusedResume(attempt=2, reason="other data")])
    report = build_report(view)
    assert (report.epochs_total, report.steps_total, report.refused) == (2000, 10_000, "other data")
    assert report.changes == ()
