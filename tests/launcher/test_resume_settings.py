"""What a resume accepts, refuses and announces, without starting a process: a run folder and the command line."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from workbench.cli.main import run
from workbench.config.experiment import build_experiment
from workbench.config.lr_schedule import lr_at
from workbench.io.atomic_files import write_json
from workbench.io.record_codec import read_record, write_record
from workbench.launcher import launch
from workbench.runs.enums import Cause, Ending
from workbench.runs.records import Best, Exit, Heartbeat
from workbench.runs.run_folder import RunFolder
from workbench.runs.run_report import read_report

Started = list[tuple[str, object]]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    """The run and the changed settings of each supervisor that would be started."""
    calls: Started = []
    monkeypatch.setattr(
        launch, "_start_supervisor", lambda folder, resume, _: calls.append((folder.id, resume.overrides))
    )
    return calls


def error_of(capsys: pytest.CaptureFixture[str], *settings: str) -> str:
    """The line of `resume last --set …`, which exits with 2."""
    capsys.readouterr()
    assert (
        run(["resume", "last", "--detach", *(part for setting in settings for part in ("--set", setting))])
        == 2
    )
    (line,) = capsys.readouterr().err.splitlines()
    return line


def announced(capsys: pytest.CaptureFixture[str], *settings: str) -> list[str]:
    """What an accepted `resume last --set …` says about the learning rate before it starts."""
    capsys.readouterr()
    assert (
        run(["resume", "last", "--detach", *(part for setting in settings for part in ("--set", setting))])
        == 0
    )
    lines = capsys.readouterr().err.splitlines()
    assert lines.pop().startswith("Resumed ")
    return lines


def change_experiment(folder: RunFolder, *sets: str) -> None:
    content = build_experiment("digits-mlp", sets=["train.epochs=6", "train.threads=1", *sets]).to_dict()
    write_json(folder.experiment, content)


@pytest.mark.parametrize("epochs", ["1", "5", "6"])
@pytest.mark.parametrize("status", [Ending.FINISHED, Ending.STOPPED])
def test_fewer_epochs_than_completed_are_refused(
    epochs: str, status: Ending, digits_run: RunFolder, started: Started, capsys: pytest.CaptureFixture[str]
) -> None:
    change_experiment(digits_run, "train.schedule=constant")
    write_record(digits_run.exit, Exit(status=status, attempt=1, cause=Cause.REQUESTED))
    line = error_of(capsys, f"train.epochs={epochs}")
    assert (
        f"train.epochs can't be {epochs}: 6 epochs are completed, so the smallest useful number is 7" in line
    )
    assert started == []
    assert announced(capsys, "train.epochs=7") == [], "the learning rate is constant"
    assert started == [(digits_run.id, {"train.epochs": 7})]


def test_the_completed_epochs_are_those_of_the_checkpoint(
    digits_run: RunFolder, started: Started, capsys: pytest.CaptureFixture[str]
) -> None:
    """The heartbeat of a run that was killed, or copied while it ran, may be of an earlier epoch."""
    change_experiment(digits_run, "train.schedule=constant")
    digits_run.exit.unlink()
    beat = read_record(digits_run.heartbeat, Heartbeat)
    assert beat is not None and beat.epoch == 6
    write_record(digits_run.heartbeat, msgspec.structs.replace(beat, epoch=3))
    assert "train.epochs can't be 5: 6 epochs are completed" in error_of(capsys, "train.epochs=5")
    assert started == []


@pytest.mark.parametrize("settings", [(), ("train.lr=0.1",), ("on_fail=true", "train.batch_size=7")])
def test_a_finished_run_needs_more_epochs(
    settings: tuple[str, ...], digits_run: RunFolder, started: Started, capsys: pytest.CaptureFixture[str]
) -> None:
    line = error_of(capsys, *settings)
    assert "is finished after 6 epochs; resume with more epochs: --set train.epochs=9" in line
    assert "smallest number is 7" in line and started == []
    assert run(["resume", "last", "--detach", "--from-start"]) == 0, "from the start it trains all epochs"


def test_a_run_that_was_interrupted_before_its_result_is_resumed_as_it_is(
    digits_run: RunFolder, started: Started
) -> None:
    digits_run.exit.unlink()
    assert run(["resume", "last", "--detach"]) == 0
    assert started == [(digits_run.id, {})]


def test_early_stopping_must_be_changed(
    digits_run: RunFolder, started: Started, capsys: pytest.CaptureFixture[str]
) -> None:
    change_experiment(digits_run, "train.epochs=40", "train.patience=2")
    write_record(digits_run.exit, Exit(status=Ending.FINISHED, attempt=1, cause=Cause.EARLY_STOPPING))
    beat = read_record(digits_run.heartbeat, Heartbeat)
    assert beat is not None
    best = Best(value=0.9, epoch=4, metric="accuracy")
    write_record(digits_run.heartbeat, msgspec.structs.replace(beat, best=best))
    for settings in ((), ("train.epochs=60",), ("train.patience=1",)):
        line = error_of(capsys, *settings)
        assert "early stopping after 6 of 40 epochs, 2 of them without improvement" in line
        assert "--set train.patience=3 or more, or 0" in line
    assert started == []
    for patience in (0, 3):
        announced(capsys, f"train.patience={patience}")
    assert len(started) == 2


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("dropout=3", "unknown setting dropout (did you mean 'model.dropout'?)"),
        ("train.dropout=3", "unknown setting train.dropout (did you mean 'model.dropout'?)"),
        ("epochs=9", "unknown setting epochs (did you mean 'train.epochs'?)"),
        ("train.epoch=9", "unknown setting train.epoch (did you mean 'train.epochs'?)"),
        ("model.epochs=9", "unknown setting model.epochs (did you mean 'train.epochs'?)"),
        ("on_finsh=x", "unknown setting on_finsh (did you mean 'on_finish'?)"),
        ("learning_rate=9", "unknown setting learning_rate (did you mean 'train.lr'?)"),
        ("model.dropout=0.3", "model.dropout can't change when a run is resumed: the checkpoint has the weights"),
        ("model.name=linear", "model.name can't change when a run is resumed: the checkpoint has the weights"),
        ("model=linear", "model can't change when a run is resumed: the checkpoint has the weights"),
        ("dataset=mnist", "dataset can't change when a run is resumed: the checkpoint was trained on this data"),
        ("data.name=mnist", "data.name can't change when a run is resumed: the checkpoint was trained on this data"),
        ("seed=3", "seed can't change when a run is resumed: the split and the order"),
        ("name=x", "name can't change when a run is resumed: it is part of the run"),
        ("weights=last", "weights can't change when a run is resumed: it decides"),
        ("train.validation=0.2", "train.validation can't change when a run is resumed: another validation split"),
        ("train.lr=fast", "train.lr must be a number"),
        ("train.optimizer=adma", "did you mean 'adam'?"),
        ("train.epochs=0", "train.epochs must be a whole number >= 1"),
    ],
)  # fmt: skip
def test_settings_that_a_resume_can_not_change(
    setting: str, expected: str, digits_run: RunFolder, started: Started, capsys: pytest.CaptureFixture[str]
) -> None:
    before = digits_run.journal.read_bytes()
    assert expected in error_of(capsys, setting)
    assert started == [] and digits_run.journal.read_bytes() == before


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("dropout=0.3", "did you mean 'model.dropout'?"),
        ("train.dropout=0.3", "did you mean 'model.dropout'?"),
        ("train.epoch=3", "did you mean 'train.epochs'?"),
        ("lr=3", "did you mean 'train.lr'?"),
    ],
)
def test_unknown_settings_of_a_new_run_are_suggested_from_all_sections(
    setting: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", "digits-mlp", "--set", setting]) == 2
    assert expected in capsys.readouterr().err


@pytest.mark.parametrize("schedule", ["cosine", "one-cycle", "triangular", "step"])
def test_the_learning_rate_after_the_resume_is_announced_before_the_start(
    schedule: str, digits_run: RunFolder, started: Started, capsys: pytest.CaptureFixture[str]
) -> None:
    change_experiment(digits_run, f"train.schedule={schedule}", "train.step_every=4", "train.lr=0.1")
    report = read_report(digits_run)
    assert report.experiment is not None
    train, steps = report.experiment.train, report.step // 6
    after = lr_at(report.step, msgspec.structs.replace(train, epochs=12), steps)
    (line,) = announced(capsys, "train.epochs=12")
    if schedule == "step":
        assert line == f"The learning rate continues at {after:.3g} (step until epoch 12 instead of 6)."
    else:
        before = lr_at(report.step - 1, train, steps)
        assert line == (
            f"The learning rate goes from {before:.3g} to {after:.3g} at step {report.step} ({schedule} until epoch "
            "12 instead of 6)."
        )
    (line,) = announced(capsys, "train.epochs=12", "train.schedule=constant")
    assert "to 0.1 at step" in line and "(constant until epoch 12)" in line


def test_a_changed_constant_learning_rate_is_announced(
    digits_run: RunFolder, started: Started, capsys: pytest.CaptureFixture[str]
) -> None:
    change_experiment(digits_run, "train.schedule=constant", "train.lr=0.1")
    (line,) = announced(capsys, "train.epochs=7", "train.lr=0.025")
    assert "goes from 0.1 to 0.025 at step" in line


def test_a_run_without_its_experiment_is_not_resumed(
    home: Path, digits_run: RunFolder, started: Started
) -> None:
    digits_run.experiment.unlink()
    assert run(["resume", "last", "--set", "train.epochs=50"]) == 2 and started == []
