"""Sweeps whose workers are tasks of a Slurm array: interrupted by Slurm, stopped, resumed, refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_control import until
from tests.slurm.conftest import Cluster
from workbench.cli.main import run as command
from workbench.io.record_locks import holder_pid
from workbench.runs import locks
from workbench.runs.journal import attempts_of, read_journal
from workbench.runs.run_folder import RunFolder
from workbench.runs.run_report import read_report
from workbench.runs.store import Store
from workbench.sweeps.records import SweepStatus, TrialState
from workbench.sweeps.slurm_jobs import list_workers
from workbench.sweeps.sweep_folder import FIRST_TRIAL_BYTE, SweepFolder, SweepStore, read_sweep

SWEEP = ["sweep", "digits-mlp", "--param", "train.lr=log:1e-4:1e-2", "--pruner", "none", "--slurm", "time=10"]
SHORT = ["--set", "train.threads=1", "--set", "train.epochs=40", "--set", "train.checkpoint_seconds=3600"]


@pytest.fixture(autouse=True)
def everything_ends(cluster: Cluster) -> Iterator[None]:
    """Stop what still works at the end of a test."""
    yield
    for folder, _ in SweepStore.default().list_sweeps():
        folder.stop.touch()
        until(lambda folder=folder: not folder.live_workers(), "end of the workers")


def start(*options: str) -> SweepFolder:
    assert command([*SWEEP, *SHORT, *options, "--detach"]) == 0
    return SweepStore.default().find("last")


def job_of(folder: SweepFolder) -> str:
    return list_workers(folder.path)[-1].job


def tasks(cluster: Cluster, folder: SweepFolder) -> dict[str, str]:
    """The state of each task of a sweep's array, as Slurm calls it."""
    rows = cluster.says(
        "squeue", "--noheader", "--array", "--states=all", f"--jobs={job_of(folder)}", "--format=%i %T"
    )
    return dict(line.split() for line in rows.splitlines())


def run_of(folder: SweepFolder, number: int) -> RunFolder | None:
    """The run of a trial, once it trains."""
    trials = {trial.number: trial for trial in folder.read_summary().trials}
    run = RunFolder(folder.runs / trials[number].run) if number in trials and trials[number].run else None
    return run if run and holder_pid(run.lock, locks.WRITER) is not None else None


def trains(folder: SweepFolder, number: int) -> RunFolder:
    until(lambda: run_of(folder, number) is not None, f"run of trial {number}")
    run = run_of(folder, number)
    assert run is not None
    return run


def document(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    capsys.readouterr()
    assert command(["sweep", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def task_of(run: RunFolder) -> str:
    """The task of the array in which a run was started last."""
    return attempts_of(read_journal(run.journal))[-1].job or ""


def test_trials_go_on_when_slurm_ends_their_workers(cluster: Cluster, home: Path) -> None:
    """At a warning, one is left to the workers that remain; for a job of higher priority, all come back."""
    folder = start("--trials", "4", "--workers", "2")
    assert (folder.slurm_script.stat().st_mode & 0o777) == 0o700
    warned = trains(folder, 0)
    until(lambda: read_report(warned).step > 20, "steps")
    cluster.says("scancel", "--batch", "--signal=USR1", task_of(warned))
    until(lambda: not folder.worked_on(0), "trial that is left")
    until(lambda: len(attempts_of(read_journal(warned.journal))) == 2, "second attempt of it")
    assert attempts_of(read_journal(warned.journal))[1].from_step

    cluster.says("sbatch", "--partition=urgent", "--exclusive", "--output=/dev/null", "--wrap=true")
    until(lambda: not folder.live_workers(), "room for the other job")
    until(lambda: read_sweep(folder).status is SweepStatus.QUEUED, "queue")
    until(lambda: read_sweep(folder).status is SweepStatus.FINISHED, "end", 200)
    trials = read_sweep(folder).summary.trials
    assert [trial.state for trial in trials] == [TrialState.FINISHED] * 4
    runs = [RunFolder(folder.runs / trial.run) for trial in trials]
    assert {run.id for run in runs} == {row.id for row in Store.default().list_runs()} and len(set(runs)) == 4
    for run in runs:
        attempts = attempts_of(read_journal(run.journal))
        steps = [attempt.from_step or 0 for attempt in attempts]
        assert steps == sorted(steps) and {attempt.job for attempt in attempts} <= set(tasks(cluster, folder))
    assert sum(len(attempts_of(read_journal(run.journal))) for run in runs) >= 6
    until(lambda: set(tasks(cluster, folder).values()) == {"COMPLETED"}, "end of the array")


def test_a_worker_that_is_not_started_again_leaves_its_trial_to_another(cluster: Cluster, home: Path) -> None:
    folder = start("--trials", "2", "--workers", "2", "--slurm", "no-requeue")
    run = trains(folder, 0)
    until(lambda: read_report(run).step > 20, "steps")
    cluster.says("scancel", "--batch", "--signal=USR1", task_of(run))
    until(lambda: "COMPLETED" in tasks(cluster, folder).values(), "end of a task")
    until(lambda: read_sweep(folder).status is SweepStatus.FINISHED, "end", 120)
    first, second = attempts_of(read_journal(run.journal))
    assert first.job != second.job and second.from_step


def test_a_sweep_that_waits_is_shown_stopped_and_submitted_again(
    cluster: Cluster, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    busy = cluster.says("sbatch", "--parsable", "--exclusive", "--output=/dev/null", "--wrap=sleep 300")
    until(lambda: cluster.says("squeue", "--noheader", f"--jobs={busy}", "--format=%T") == "RUNNING", "job")
    folder = start("--trials", "2", "--workers", "2", "--slurm", "array=%1", "--slurm", "comment=mine")
    assert f"by 2 workers (array {job_of(folder)} of Slurm)" in capsys.readouterr().err
    until(lambda: "Resources" in read_sweep(folder).waits_for, "reason of Slurm")
    shown = document(capsys, "show", "last")
    assert (shown["status"], shown["workers"], shown["slurm_jobs"]) == ("queued", 0, [job_of(folder)])
    assert command(["sweep", "show", "last"]) == 0
    assert "is queued, waits for free resources (Resources): 0 of 2 trials" in capsys.readouterr().out
    assert document(capsys, "stop", "last")["status"] == "stopped"
    until(lambda: set(tasks(cluster, folder).values()) == {"CANCELLED"}, "cancelled tasks")

    own = folder.slurm_script.read_text().replace("\nexport ", f"\ntouch {folder.path}/mark\nexport ", 1)
    assert "#SBATCH --array=0-1%1" in own and "#SBATCH --comment=mine" in own
    folder.slurm_script.write_text(own)
    cluster.says("scancel", busy)
    resumed = document(capsys, "resume", "last", "--workers", "1", "--slurm", "time=5")
    assert resumed["status"] == "finished" and len(resumed["slurm_jobs"]) == 2
    assert (folder.path / "mark").exists() and folder.slurm_script.read_text() == own
    assert list(tasks(cluster, folder)) == [f"{job_of(folder)}_0"]
    limit = ("squeue", "--noheader", "--states=all", f"--jobs={job_of(folder)}", "--format=%l")
    assert cluster.says(*limit) == "5:00"
    assert holder_pid(folder.lock, FIRST_TRIAL_BYTE) is None


def test_a_stopped_sweep_leaves_no_task(
    cluster: Cluster, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = start("--trials", "3", "--workers", "1", "--set", "train.epochs=100000")
    run = trains(folder, 0)
    shown = document(capsys, "stop", "last")
    assert (shown["status"], shown["trials"][0]["state"]) == ("stopped", "interrupted")
    until(lambda: set(tasks(cluster, folder).values()) == {"COMPLETED"}, "end of the task")
    assert (
        document(capsys, "resume", "last", "--launcher", "local", "--detach")["workers"] == 1
    )  # on this host
    until(lambda: len(attempts_of(read_journal(run.journal))) == 2, "second attempt")
    assert [attempt.job for attempt in attempts_of(read_journal(run.journal))][1] is None


def test_what_slurm_refuses_is_said_in_one_line(
    cluster: Cluster, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for option, message in (
        ("partition=nowhere", "invalid partition specified: nowhere"),
        ("nodes=2", "--slurm nodes=2: at most 1 node"),
        ("array=0-3", "--repeat, --grid and sweeps make the array"),
    ):
        assert command([*SWEEP, "--trials", "2", "--slurm", option]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert message in line and SweepStore.default().list_sweeps() == []
