"""Sweeps with real workers and real runs: killed, stopped, resumed, pruned; and what Optuna's own API reads."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from tests.cli.test_control import until
from tests.idle_model import IDLE_MODEL
from workbench.cli.commands.sweep import SweepWaiter
from workbench.cli.follow import wait_for_end
from workbench.cli.main import run
from workbench.cli.signals import SignalRecorder
from workbench.io.record_locks import holder_pid
from workbench.launcher import launch
from workbench.runs import locks
from workbench.runs.enums import Cause
from workbench.runs.journal import attempts_of, read_journal
from workbench.runs.run_folder import RunFolder
from workbench.runs.run_report import read_report
from workbench.runs.status import Status, status_of
from workbench.runs.store import Store
from workbench.sweeps import control
from workbench.sweeps.records import SweepStatus, TrialState
from workbench.sweeps.sweep_folder import FIRST_TRIAL_BYTE, SweepFolder, SweepStore, SweepView, read_sweep

CHEAP = ["--set", "train.epochs=2", "--set", "train.threads=1", "--device", "cpu"]
SMALL = ["--set", "model.widths=32"]
LR = ["--param", "train.lr=log:1e-4:1e-1"]
LONG = ["--model", IDLE_MODEL, "--set", "train.epochs=100000", "--pruner", "none"]

NET = """
from torch import nn
class Net(nn.Sequential):
    def __init__(self, broken: int = 0) -> None:
        if broken:
            raise ValueError("this net is broken")
        super().__init__(nn.Flatten(), nn.Linear(64, 10))
"""


@pytest.fixture(autouse=True)
def everything_ends(home: Path) -> Iterator[None]:
    """Stop what still works at the end of a test."""
    yield
    for folder, _ in SweepStore.default().list_sweeps():
        (folder.stop).touch()
        until(lambda folder=folder: not folder.live_workers(), "end of the workers")
    for path in (home / "runs").glob("2*"):
        if status_of(RunFolder(path)).live:
            launch.stop_run(RunFolder(path))
            wait_for_end(RunFolder(path))


def start(*options: str) -> SweepFolder:
    small = [] if IDLE_MODEL in options else SMALL
    assert run(["sweep", "digits-mlp", *CHEAP, *small, *options, "--detach"]) == 0
    return SweepStore.default().find("last")


def ended(folder: SweepFolder) -> SweepView:
    until(lambda: not folder.live_workers(), "end of the workers", 500)
    return read_sweep(folder)


def document(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    capsys.readouterr()
    assert run(["sweep", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def group_of(folder: SweepFolder) -> list[RunFolder]:
    return [
        RunFolder(folder.runs / row.id) for row in Store.default().list_runs() if row.group == folder.name
    ]


def worker_of(folder: SweepFolder, number: int) -> int:
    """The pid of the worker that has a trial whose run works."""
    pid: int | None = None

    def found() -> bool:
        nonlocal pid
        trials = {trial.number: trial for trial in read_sweep(folder).summary.trials}
        if number not in trials or not trials[number].run:
            return False
        pid = holder_pid(folder.lock, FIRST_TRIAL_BYTE + number)
        return bool(pid) and locks.holder_pid(run_of(folder, number).lock, locks.WRITER) is not None

    until(found, f"worker of trial {number}")
    assert pid
    return pid


def run_of(folder: SweepFolder, number: int) -> RunFolder:
    trial = next(trial for trial in read_sweep(folder).summary.trials if trial.number == number)
    return RunFolder(folder.runs / trial.run)


def kill_run(folder: RunFolder) -> None:
    """Kill the supervisor and the worker of a run."""
    for byte in (locks.SUPERVISOR, locks.WRITER):
        if pid := locks.holder_pid(folder.lock, byte):
            os.kill(pid, signal.SIGKILL)
    until(lambda: not status_of(folder).live, "death of the run")


@pytest.mark.timeout(600)
def test_thirty_trials_by_two_workers_of_which_one_is_killed(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """None is lost, none runs twice; opened again it goes on; Optuna reads it all."""
    sizes = ["--param", "train.batch_size=16,32,64", "--param", "model.dropout=0.0..0.5"]
    folder = start(*LR, *sizes, "--set", "train.lr=0.0001", "--trials", "30", "--workers", "2")
    assert folder.live_workers() == 2
    until(lambda: folder.worked_on(5), "sixth trial")
    victim = next(pid for n in range(4, 30) if (pid := holder_pid(folder.lock, FIRST_TRIAL_BYTE + n)))
    os.kill(victim, signal.SIGKILL)
    until(lambda: folder.live_workers() == 1, "death of a worker")
    view = ended(folder)

    trials = view.summary.trials
    assert view.status is SweepStatus.FINISHED and [trial.number for trial in trials] == list(range(30))
    assert {trial.state for trial in trials} <= {TrialState.FINISHED, TrialState.PRUNED}
    assert len({trial.run for trial in trials}) == len(group_of(folder)) == 30
    assert len({tuple(trial.params.items()) for trial in trials}) == 30
    for trial in trials:
        report = read_report(RunFolder(folder.runs / trial.run))
        assert (report.status, report.cause) in {
            (Status.FINISHED, Cause.COMPLETED), (Status.STOPPED, Cause.PRUNED)
        }  # fmt: skip
        assert report.experiment and report.experiment.train.lr == trial.params["train.lr"]
        if trial.state is TrialState.FINISHED:
            assert report.best and trial.value == report.best.value
    best = view.summary.best_trial
    assert best and best.value and trials[0].value and best.value > trials[0].value + 0.05
    assert trials[0].params["train.lr"] == 0.0001  # the experiment's own
    assert max(view.summary.importances, key=view.summary.importances.__getitem__) == "train.lr"

    capsys.readouterr()
    assert run(["sweep", "resume", "last"]) == 2
    assert "all 30 trials of digits-mlp-sweep have ended" in capsys.readouterr().err
    shown = document(capsys, "resume", "last", "--trials", "32", "--workers", "1")
    assert [one["number"] for one in shown["trials"]] == list(range(32))
    assert shown["status"] == "finished" and shown["best"]["number"] >= 1

    study = optuna.load_study(
        study_name=None, storage=JournalStorage(JournalFileBackend(str(folder.journal)))
    )
    assert [trial.state.is_finished() for trial in study.trials] == [True] * 32
    assert (study.best_trial.number, study.best_value) == (shown["best"]["number"], shown["best"]["value"])
    assert study.trials[7].params == dict(trials[7].params)
    assert study.trials[7].user_attrs["run"] == trials[7].run


def test_a_trial_goes_on_where_it_was_when_everything_that_worked_on_it_is_killed(home: Path) -> None:
    folder = start(*LR, *LONG, "--trials", "2", "--workers", "1")
    worker, first = worker_of(folder, 0), run_of(folder, 0)
    until(lambda: read_report(first).step > 100 and any(first.checkpoint_files()), "checkpoint")
    os.kill(worker, signal.SIGKILL)
    until(lambda: not folder.live_workers(), "death of the worker")
    view = read_sweep(folder)
    assert (view.status, view.summary.trials[0].state) == (SweepStatus.INTERRUPTED, TrialState.INTERRUPTED)
    kill_run(first)
    assert run(["sweep", "resume", "last", "--detach"]) == 0
    worker_of(folder, 0)
    assert run_of(folder, 0) == first and [f.id for f in group_of(folder)] == [first.id]
    attempts = attempts_of(read_journal(first.journal))
    assert len(attempts) == 2 and attempts[1].from_step

    assert run(["stop", first.id]) == 0  # by the user: the sweep goes on without it
    worker_of(folder, 1)
    trial = read_sweep(folder).summary.trials[0]
    assert (trial.state, trial.reason) == (TrialState.FAILED, "stopped on request")


def test_a_run_that_is_killed_is_resumed_by_its_worker(home: Path) -> None:
    folder = start(*LR, *LONG, "--trials", "1")
    worker = worker_of(folder, 0)
    killed = run_of(folder, 0)
    kill_run(killed)
    until(lambda: len(attempts_of(read_journal(killed.journal))) == 2, "second attempt")
    assert worker_of(folder, 0) == worker


def test_a_sweep_is_stopped_with_its_runs_and_goes_on_with_them(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = start(*LR, *LONG, "--trials", "2", "--workers", "2")
    for number in range(2):
        worker_of(folder, number)
    shown = document(capsys, "stop", "digits-mlp-sweep")
    assert (shown["status"], shown["workers"]) == ("stopped", 0)
    assert [one["state"] for one in shown["trials"]] == ["interrupted"] * 2
    runs = group_of(folder)
    assert [read_report(one).cause for one in runs] == [Cause.REQUESTED] * 2
    assert run(["sweep", "stop", "last"]) == 2
    assert "is stopped: nothing to stop" in capsys.readouterr().err

    assert run(["sweep", "resume", "last", "--detach"]) == 0
    assert folder.live_workers() == 2
    for number in range(2):
        worker_of(folder, number)
    assert {one.id for one in group_of(folder)} == {one.id for one in runs}
    assert document(capsys, "show", "last")["status"] == "running"


def test_ctrl_c_stops_the_sweep_and_a_second_sweep_has_another_name(home: Path) -> None:
    start(*LR, "--trials", "1")
    command = [sys.executable, "-m", "workbench", "sweep", "digits-mlp", *CHEAP, *LR, *LONG, "--trials", "3"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    until(lambda: len(SweepStore.default().list_sweeps()) == 2, "sweep", 120)
    folder = SweepStore.default().find("digits-mlp-sweep-2")
    worker_of(folder, 0)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130 and "stopping the sweep and its runs after a checkpoint" in errors
    assert read_sweep(folder).status is SweepStatus.STOPPED
    assert status_of(run_of(folder, 0)) is Status.STOPPED


def test_two_signals_at_once_count_as_one(home: Path) -> None:
    """`timeout` sends SIGTERM to its child and to the process group."""
    folder = start(*LR, *LONG, "--trials", "3", "--detach")
    worker_of(folder, 0)
    with SignalRecorder() as signals:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGTERM)
        waiter = SweepWaiter(folder, signals, set())
        view = waiter.wait()
    assert waiter.interrupted and view.status is SweepStatus.STOPPED
    assert status_of(run_of(folder, 0)) is Status.STOPPED


def test_the_same_seed_gives_the_same_trials_and_a_grid_each_combination(home: Path) -> None:
    spaces = [*LR, "--param", "train.batch_size=16,32"]
    one, two = (
        ended(start(*spaces, "--trials", "3", "--seed", "4", "--name", name)) for name in ("one", "two")
    )
    assert [t.params for t in one.summary.trials] == [t.params for t in two.summary.trials]
    grid = ["--param", "train.lr=0.1,0.01", "--param", "train.batch_size=31:32", "--sampler", "grid"]
    view = ended(start(*grid, "--workers", "2", "--pruner", "none"))
    assert [t.params for t in view.summary.trials] == [
        {"train.lr": lr, "train.batch_size": size} for lr in ("0.1", "0.01") for size in (31, 32)
    ]
    assert view.status is SweepStatus.FINISHED


def test_a_trial_that_is_worse_than_the_median_is_pruned_and_says_so(home: Path) -> None:
    """After five good trials, one with so few samples per step, at this learning rate, that it learns nothing."""
    grid = ["--param", "train.batch_size=64,65,66,67,68,1", "--sampler", "grid"]
    view = ended(start(*grid, "--set", "train.epochs=10", "--set", "train.lr=0.05"))
    *_, last = view.summary.trials
    assert last.state is TrialState.PRUNED and last.value is not None and 1 < last.epoch < 10
    report = read_report(RunFolder(view.folder.runs / last.run))
    assert (report.status, report.cause, report.reason) == (Status.STOPPED, Cause.PRUNED, last.reason)
    assert f"pruned by the sweep digits-mlp-sweep at epoch {last.epoch}: validation/accuracy" in last.reason


def test_what_can_not_be_measured_stops_the_sweep_with_its_reason(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [*LR, "--trials", "20", "--metric", "validation/r2"]
    assert run(["sweep", "digits-mlp", *CHEAP, *SMALL, *options]) == 1
    assert "the run of trial 0 has no validation/r2" in capsys.readouterr().err
    view = read_sweep(SweepStore.default().find("last"))
    assert view.status is SweepStatus.FAILED and len(view.summary.trials) == 1


def test_a_trial_whose_run_fails_does_not_end_the_sweep(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "net.py").write_text(NET)
    monkeypatch.chdir(tmp_path)
    options = ["--param", "model.broken=0,1", "--sampler", "grid", "--set", "train.epochs=1"]
    command = ["sweep", "--dataset", "digits", "--model", "./net.py:Net", "--device", "cpu", *options]
    assert run(command) == 0
    view = read_sweep(SweepStore.default().find("last"))
    assert [trial.state for trial in view.summary.trials] == [TrialState.FINISHED, TrialState.FAILED]
    assert "this net is broken" in view.summary.trials[1].reason
    assert "trial 1 failed: " in capsys.readouterr().err


def test_without_optuna_there_is_one_line_with_the_command_that_installs_it(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert run(["sweep", "digits-mlp", *LR, "--trials", "3"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "a sweep needs the package 'optuna': pip install" in line and "[sweep]" in line


def test_several_workers_need_a_file_system_with_locks(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(control, "holder_pid", no_locks)
    assert run(["sweep", "digits-mlp", *LR, "--trials", "3", "--workers", "2"]) == 2
    assert (
        "on a file system without locks, where one worker can work on a sweep, not 2"
        in capsys.readouterr().err
    )
    assert SweepStore.default().list_sweeps() == []
