"""Runs under a real Slurm: its queue, its signals, its time limit, arrays, and what it says of jobs that vanish."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_control import until
from tests.idle_model import IDLE_MODEL
from tests.slurm.conftest import Cluster
from tests.worker.support import outcome, same
from workbench.cli.follow import wait_for_end
from workbench.cli.main import run as command
from workbench.io.record_codec import read_record
from workbench.runs import locks
from workbench.runs.enums import Cause, Ending
from workbench.runs.journal import Attempt, attempts_of, read_journal
from workbench.runs.records import Exit, Heartbeat
from workbench.runs.run_folder import RunFolder
from workbench.runs.run_report import read_report
from workbench.runs.status import Status, status_of
from workbench.runs.store import Store

WORKBENCH = [sys.executable, "-m", "workbench"]
SUBMIT = ("--launcher", "slurm", "--slurm", "time=10")
SHORT = ("--set", "train.epochs=2", "--set", "train.threads=1")
LONG = ("--model", IDLE_MODEL, "--set", "train.epochs=100000", "--set", "train.threads=1",
        "--set", "train.checkpoint_seconds=3600")  # fmt: skip
EPOCHS = ("--set", "train.epochs=40", "--set", "train.threads=1", "--set", "train.checkpoint_seconds=3600")
"""A run of some seconds, which is interrupted."""


@pytest.fixture
def busy(cluster: Cluster) -> str:
    """A job that holds the whole node; returns its id."""
    job = cluster.says("sbatch", "--parsable", "--exclusive", "--output=/dev/null", "--wrap=sleep 300")
    until(lambda: cluster.says("squeue", "--noheader", f"--jobs={job}", "--format=%T") == "RUNNING", "job")
    return job


def train(*arguments: str) -> RunFolder:
    """A run that has just been submitted."""
    assert command(["train", "digits-mlp", "--detach", *SUBMIT, *arguments]) == 0
    return Store.default().find("last")


def job_of(folder: RunFolder) -> str:
    slurm = read_report(folder).slurm
    assert slurm is not None
    return slurm.job


def state_of(cluster: Cluster, folder: RunFolder) -> str:
    """The state of a run's job, as Slurm calls it."""
    return cluster.says("squeue", "--noheader", "--states=all", f"--jobs={job_of(folder)}", "--format=%T")


def attempts(folder: RunFolder) -> list[Attempt]:
    return attempts_of(read_journal(folder.journal))


def step_of(folder: RunFolder) -> int:
    return (read_record(folder.heartbeat, Heartbeat) or Heartbeat()).step


def trains(folder: RunFolder) -> None:
    until(lambda: step_of(folder) > 20, "steps")


def ends(folder: RunFolder, status: Status = Status.FINISHED) -> None:
    until(lambda: status_of(folder) is status, f"end, but {status_of(folder)}")


@pytest.fixture(scope="module")
def uncut(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """The same run as those that are interrupted, without Slurm and without an interruption."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_HOME", str(tmp_path_factory.mktemp("uncut")))
        assert command(["train", "digits-mlp", "--detach", *EPOCHS]) == 0
        folder = Store.default().find("last")
        wait_for_end(folder)
    return folder


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    """The JSON document that a command prints."""
    capsys.readouterr()
    assert command([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_run_waits_in_slurm_with_its_reason_and_then_runs(
    cluster: Cluster, busy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = train(*SHORT)
    job = job_of(folder)
    assert status_of(folder) is Status.QUEUED
    assert f"Submitted {folder.id} as Slurm job {job}" in capsys.readouterr().err
    until(lambda: read_report(folder).waits_for == "free resources (Resources)", "reason of Slurm")
    (row,) = printed(capsys, "runs")
    assert (row["status"], row["slurm_job"], row["slurm_reason"]) == ("queued", job, "Resources")
    assert command(["runs"]) == 0 and "queued: Resources" in capsys.readouterr().out
    assert command(["show", "last"]) == 0
    shown = capsys.readouterr().out
    assert "queued in Slurm, waits for free resources (Resources)" in shown and f"Slurm job {job}" in shown
    assert command(["resume", "last"]) == 2 and "waits in Slurm" in capsys.readouterr().err
    assert command(["queue", "hold", "last"]) == 2 and "waits in Slurm" in capsys.readouterr().err

    cluster.says("scancel", busy)
    assert command(["watch", "last"]) == 0
    assert status_of(folder) is Status.FINISHED
    (attempt,) = attempts(folder)
    assert (attempt.job, attempt.launcher) == (job, "command line")
    until(lambda: state_of(cluster, folder) == "COMPLETED", "end of the job")


def test_stop_cancels_a_waiting_run_and_lets_a_running_one_write_a_checkpoint(
    cluster: Cluster, busy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = train(*LONG)
    assert command(["stop", "last"]) == 0
    assert status_of(folder) is Status.STOPPED and read_report(folder).reason == "cancelled before it started"
    until(lambda: cluster.says("squeue", "--noheader", "--format=%i") == busy, "cancelled job")

    other = train(*LONG)
    cluster.says("scancel", job_of(other))  # by somebody else
    ends(other, Status.STOPPED)
    assert "it was cancelled (CANCELLED); workbench resume" in (read_report(other).reason or "")

    cluster.says("scancel", busy)
    assert command(["resume", folder.id, "--detach"]) == 0
    trains(folder)
    assert command(["stop", folder.id]) == 0
    report = read_report(folder)
    assert (report.status, report.cause) == (Status.STOPPED, Cause.REQUESTED) and report.step > 20
    assert attempts(folder)[-1].job == job_of(folder)
    until(lambda: state_of(cluster, folder) == "COMPLETED", "end of the job")

    assert command(["resume", folder.id, "--detach"]) == 0
    until(lambda: len(attempts(folder)) == 2 and status_of(folder) is Status.RUNNING, "second attempt")
    trains(folder)
    assert command(["stop", folder.id, "--now"]) == 0
    assert read_report(folder).cause is Cause.SIGNAL and read_report(folder).exact
    until(lambda: cluster.says("squeue", "--noheader", "--format=%i") == "", "end of the job")


def test_a_run_goes_back_into_the_queue_and_ends_as_if_it_had_not(cluster: Cluster, uncut: RunFolder) -> None:
    folder = train(*EPOCHS)
    trains(folder)
    cluster.says("scancel", "--batch", "--signal=USR1", job_of(folder))
    waits_again(folder)

    until(lambda: len(attempts(folder)) == 2, "second attempt")
    until(lambda: step_of(folder) > attempts(folder)[1].from_step, "steps of it")
    urgent = (
        "sbatch",
        "--parsable",
        "--partition=urgent",
        "--exclusive",
        "--output=/dev/null",
        "--wrap=true",
    )
    assert cluster.says(*urgent)
    waits_again(folder)

    ends(folder)
    assert [attempt.job for attempt in attempts(folder)] == [job_of(folder)] * 3
    steps = [attempt.from_step for attempt in attempts(folder)]
    assert steps == sorted(set(steps)) and read_report(folder).exact
    assert same(outcome(folder), outcome(uncut))


def waits_again(folder: RunFolder) -> None:
    until(lambda: status_of(folder) is Status.QUEUED, "queue")
    until(lambda: read_report(folder).waits_for == "the time at which it may start (BeginTime)", "reason")
    ended = read_record(folder.exit, Exit)
    assert ended is not None and (ended.status, ended.cause) == (Ending.STOPPED, Cause.REQUEUED)


def test_the_time_limit(cluster: Cluster, uncut: RunFolder) -> None:
    folder = train(*EPOCHS, "--slurm", "time=1", "--slurm", "signal=B:USR1@55")
    trains(folder)
    assert command(["pause", folder.id]) == 0  # a minute of training is not needed
    until(lambda: status_of(folder) is Status.QUEUED, "time limit", 120)
    ends(folder)
    assert same(outcome(folder), outcome(uncut))


def test_repeats_are_tasks_of_an_array(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--repeat", "1", "--grid", "train.lr=0.001,0.002", "--slurm", "array=%2"]
    document = printed(capsys, "train", "digits-mlp", *SHORT, *SUBMIT, *arguments)
    assert [run["status"] for run in document["runs"]] == ["finished"] * 2
    jobs = [run["slurm"]["job"] for run in document["runs"]]
    array = jobs[0].partition("_")[0]
    assert jobs == [f"{array}_{task}" for task in range(2)]
    folders = [Store.default().find(run["run"]) for run in document["runs"]]
    assert [attempt.job for folder in folders for attempt in attempts(folder)] == jobs


def test_a_batch_script_hands_signals_on_and_continues_its_run(
    cluster: Cluster, uncut: RunFolder, tmp_path: Path
) -> None:
    script, log = tmp_path / "batch.sh", tmp_path / "batch.log"
    words = " ".join([*WORKBENCH, "train", "digits-mlp", *EPOCHS])
    script.write_text(f"#!/bin/bash\nsrun {words}\n")
    job = cluster.says(
        "sbatch", "--parsable", "--requeue", "--open-mode=append", f"--output={log}", str(script)
    )
    until(lambda: Store.default().list_runs(), f"run of job {job}")
    folder = Store.default().find("last")
    trains(folder)
    cluster.says("scancel", "--signal=USR1", job)  # to the tasks of srun, as --signal=USR1@120 does
    until(lambda: len(attempts(folder)) == 2, "second attempt")
    ends(folder)
    assert [row.id for row in Store.default().list_runs()] == [folder.id]
    assert f"goes on once Slurm starts job {job} again" in log.read_text()
    assert f"Slurm has started job {job} again: {folder.id} continues." in log.read_text()
    assert same(outcome(folder), outcome(uncut))


def test_a_batch_script_stops_its_run_at_sigterm(cluster: Cluster, tmp_path: Path) -> None:
    log = tmp_path / "batch.log"
    words = " ".join(["srun", *WORKBENCH, "train", "digits-mlp", *LONG])
    job = cluster.says("sbatch", "--parsable", "--no-requeue", f"--output={log}", f"--wrap={words}")
    until(lambda: Store.default().list_runs(), "run")
    folder = Store.default().find("last")
    trains(folder)
    cluster.says("scancel", "--signal=USR1", job)
    until(lambda: "checkpoint: saved at step" in log.read_text(), "checkpoint")
    cluster.says("scancel", "--signal=TERM", job)
    ends(folder, Status.STOPPED)
    assert read_report(folder).cause is Cause.REQUESTED and "SIGTERM: stopping" in log.read_text()


def test_a_script_that_is_not_requeued_is_stopped(cluster: Cluster) -> None:
    arguments = ["--detach", *SUBMIT, "--slurm", "no-requeue", "--grace", "2", "--", "sleep", "300"]
    assert command(["run", *arguments]) == 0
    folder = Store.default().find("last")
    until(lambda: status_of(folder) is Status.RUNNING, "start")
    cluster.says("scancel", "--batch", "--signal=USR1", job_of(folder))
    ends(folder, Status.STOPPED)
    report = read_report(folder)
    assert report.cause is Cause.SIGNAL and "does not start it again" in (report.reason or "")


def test_a_changed_batch_script_is_submitted_as_it_is(
    cluster: Cluster, busy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = train(*SHORT, "--slurm", "comment=mine")
    assert "#SBATCH --comment=mine" in folder.slurm_script.read_text()
    assert command(["stop", "last"]) == 0
    own = folder.slurm_script.read_text().replace(
        "\nexport ", f"\necho changed >{folder.path}/mark\nexport ", 1
    )
    folder.slurm_script.write_text(own)
    cluster.says("scancel", busy)
    assert command(["resume", "last", "--slurm", "time=5"]) == 0
    assert "was changed, and is submitted as it is" in capsys.readouterr().err
    assert folder.slurm_script.read_text() == own and (folder.path / "mark").read_text() == "changed\n"
    limit = ("squeue", "--noheader", "--states=all", f"--jobs={job_of(folder)}", "--format=%l")
    assert status_of(folder) is Status.FINISHED and cluster.says(*limit) == "5:00"


def test_a_failed_node_is_told_and_the_run_resumed(cluster: Cluster) -> None:
    folder = train(*LONG, "--slurm", "no-requeue")
    trains(folder)
    node = ("scontrol", "update", f"nodename={cluster.node}")
    cluster.says(*node, "state=down", "reason=test")
    worker, supervisor = (locks.holder_pid(folder.lock, byte) for byte in (locks.WRITER, locks.SUPERVISOR))
    assert worker and supervisor
    for pid, number in ((supervisor, signal.SIGSTOP), (worker, signal.SIGKILL), (supervisor, signal.SIGKILL)):
        os.kill(pid, number)  # so that neither records the end of the other
    ends(folder, Status.CRASHED)
    assert "its node failed (NODE_FAIL); workbench resume" in (read_report(folder).reason or "")
    cluster.says(*node, "state=resume")
    assert command(["resume", folder.id, "--set", "train.epochs=100001", "--detach"]) == 0
    until(lambda: len(attempts(folder)) == 2, "second attempt")
    assert command(["stop", folder.id]) == 0
    assert attempts(folder)[1].overrides == {"train.epochs": 100001}


def test_what_slurm_refuses_is_said_in_one_line(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["--repeat", "2"]):
        words = ["train", "digits-mlp", *SUBMIT, "--slurm", "partition=nowhere", *arguments]
        assert command(words) == 2
        assert "invalid partition specified: nowhere" in capsys.readouterr().err
        assert Store.default().list_runs() == []


def test_the_doctor_describes_slurm(
    cluster: Cluster, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    capsys.readouterr()
    command(["doctor"])
    shown = capsys.readouterr().out
    assert "its controller answers; this is inside its job 7" in shown and "urgent" in shown
    command(["doctor", "--json"])
    slurm = json.loads(capsys.readouterr().out)["slurm"]
    assert slurm["answers"] and [row["name"] for row in slurm["partitions"]] == ["main", "urgent", "pair"]


def test_repeats_of_a_batch_script_go_on_too(cluster: Cluster, uncut: RunFolder, tmp_path: Path) -> None:
    log = tmp_path / "batch.log"
    assert command(["queue", "slots", "1"]) == 0
    words = " ".join(["srun", *WORKBENCH, "train", "digits-mlp", *EPOCHS, "--repeat", "2"])
    options = ("--requeue", "--open-mode=append", f"--output={log}", f"--wrap={words}")
    job = cluster.says("sbatch", "--parsable", *options)
    until(lambda: len(Store.default().list_runs()) == 2, f"runs of job {job}")
    second, first = (Store.default().folder(row.id) for row in Store.default().list_runs())
    trains(first)
    cluster.says("scancel", "--signal=USR1", job)
    until(lambda: status_of(first) is Status.STOPPED, "stop")
    assert status_of(second) is Status.QUEUED and read_report(second).waits_for == "its release (held)"
    for folder in (first, second):
        ends(folder)
    assert [len(attempts(folder)) for folder in (first, second)] == [2, 1]
    assert f"Slurm has started job {job} again: {second.id} continues." in log.read_text()
    rows = Store.default().list_runs()
    assert len(rows) == 2 and len({row.group for row in rows}) == 1 and same(outcome(first), outcome(uncut))


@pytest.mark.parametrize("arguments", [("--slurm", "ntasks=2"), ("--processes", "2")])
def test_two_tasks_train_together(cluster: Cluster, arguments: tuple[str, ...]) -> None:
    folder = train(*SHORT, *arguments)
    ends(folder)
    (attempt,) = attempts(folder)
    assert (attempt.processes, attempt.job) == (2, job_of(folder))
    row = cluster.says(
        "squeue", "--noheader", "--states=all", f"--jobs={job_of(folder)}", "--Format=NumTasks,NumCPUs"
    )
    assert row.split() == ["2", "2"]


def test_two_nodes_train_together_and_go_on_after_a_warning(cluster: Cluster) -> None:
    """Each node has a supervisor as a task of srun; the run goes back into the queue as one on a single node."""
    folder = train(*EPOCHS, "--slurm", "nodes=2", "--slurm", "partition=pair")
    assert (
        "srun" in folder.slurm_script.read_text() and "#SBATCH --nodes=2" in folder.slurm_script.read_text()
    )
    until(lambda: step_of(folder) > 20, "steps", 180)
    cluster.says("scancel", "--batch", "--signal=USR1", job_of(folder))
    waits_again(folder)
    until(lambda: status_of(folder) is Status.FINISHED, "end", 240)
    first, second = attempts(folder)
    assert (first.nodes, first.processes, first.job) == (2, 2, job_of(folder)) == (
        second.nodes, second.processes, second.job
    )  # fmt: skip
    assert second.from_step and read_report(folder).exact
