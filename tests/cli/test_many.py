"""`workbench train --repeat` and `--grid`: several runs of one group by one command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.test_control import until
from tests.folder_data import draw_classes
from tests.idle_model import IDLE_MODEL
from workbench.cli.commands.many import GroupWaiter
from workbench.cli.main import run
from workbench.cli.signals import SignalRecorder
from workbench.cli.waiting import RunWaiter
from workbench.launcher import launch
from workbench.runs.run_folder import RunFolder
from workbench.runs.run_report import read_report
from workbench.runs.status import Status, status_of
from workbench.runs.store import Store

SHORT = ["--set", "train.epochs=1", "--set", "train.threads=1", "--device", "cpu"]
GRID = ["--grid", "train.lr=0.001,0.003,0.01", "--grid", "train.batch_size=32,64"]


def test_a_grid_with_repeats_is_one_group_of_queued_runs(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["queue", "slots", "2"]) == 0
    capsys.readouterr()
    assert run(["train", "digits-mlp", *GRID, "--repeat", "2", *SHORT, "--tag", "first", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["group"] == "digits-mlp" and len(document["runs"]) == 12
    assert {(one["status"], one["group"], *one["tags"]) for one in document["runs"]} == {
        ("finished", "digits-mlp", "first")
    }
    settings = [one["experiment"] for one in document["runs"]]
    assert [(one["train"]["lr"], one["train"]["batch_size"], one["seed"]) for one in settings] == [
        (lr, size, seed) for lr in (0.001, 0.003, 0.01) for size in (32, 64) for seed in (0, 1)
    ]

    assert run(["compare", "--groups", "group:digits-mlp", "--json"]) == 0
    groups = json.loads(capsys.readouterr().out)["groups"]
    assert [one["n"] for one in groups] == [2] * 6
    assert {(one["settings"]["train.lr"], one["settings"]["train.batch_size"]) for one in groups} == {
        (lr, size) for lr in (0.001, 0.003, 0.01) for size in (32, 64)
    }
    assert any(one["group"] == "digits-mlp batch_size=64 lr=0.01" for one in groups)

    assert run(["train", "digits-mlp", "--repeat", "1", "--detach", *SHORT]) == 0
    assert read_report(Store.default().find(capsys.readouterr().out.strip())).group == "digits-mlp-2"
    until(lambda: all(row.status is Status.FINISHED for row in Store.default().list_runs()), "the end")


def test_folds_are_one_group_and_hold_out_every_sample_once(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draw_classes(tmp_path / "pets", cat=9, dog=7)
    rows = [f"pets/{name}/{i}.png,{name},p{i // 2}" for name in ("cat", "dog") for i in range(9)]
    (tmp_path / "labels.csv").write_text("\n".join(["path,label,patient", *rows]))
    command = ["train", "--dataset", f"csv:{tmp_path}/labels.csv", "--model", "mlp", "--folds", "2", *SHORT]
    assert run([*command, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [one["experiment"]["train"]["fold"] for one in document["runs"]] == [1, 2]
    assert {one["status"] for one in document["runs"]} == {"finished"}

    files = [
        json.loads(path.read_text())
        for one in document["runs"]
        for path in Path(one["directory"]).glob("evaluations/step-*-test.json")
    ]
    assert sorted(position for file in files for position in file["positions"]) == list(range(16))
    correct = sum(file["accuracy"] * file["count"] for file in files)
    assert document["out_of_fold"]["accuracy"] == [pytest.approx(correct / 16)]

    assert run(["compare", "--groups", "--json"]) == 0
    (group,) = json.loads(capsys.readouterr().out)["groups"]
    assert group["metrics"]["out_of_fold.accuracy"]["values"] == document["out_of_fold"]["accuracy"]

    name = document["runs"][1]["name"]
    assert run(["evaluate", name, "--json"]) == 0
    assert (
        json.loads(capsys.readouterr().out)["metrics"]["accuracy"] == document["runs"][1]["test"]["accuracy"]
    )
    assert run(["resume", name, "--set", "train.epochs=2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["epoch"] == 2
    assert run(["resume", name, "--set", "train.epochs=3", "--set", "train.fold=1"]) == 2
    assert "train.fold can't change when a run is resumed" in capsys.readouterr().err


def test_a_dry_run_lists_folds_and_wrong_ones_are_refused(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", "digits-mlp", "--dry-run", "--json", *SHORT]
    assert run([*command, "--folds", "3"]) == 0
    found = json.loads(capsys.readouterr().out)["runs"]
    assert [one["settings"] for one in found] == [{"train.fold": fold} for fold in "123"]
    assert len({one["seconds"] for one in found}) == 1
    assert run([*command, "--folds", "1"]) == 2
    assert "--folds must be at least 2, not 1" in capsys.readouterr().err
    one = ["--set", "train.folds=200", "--set", "train.fold=1"]
    assert run(["train", "digits-mlp", *one, *SHORT]) == 2
    assert "digits has at most 183 samples of one class" in capsys.readouterr().err


def test_a_dry_run_lists_the_runs_and_their_time_and_starts_none(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", "digits-mlp", "--repeat", "2", "--grid", "train.lr=0.001,0.01", "--dry-run", *SHORT]
    assert run([*command, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [one["settings"] for one in document["runs"]] == [
        {"train.lr": lr, "seed": seed} for lr in ("0.001", "0.01") for seed in ("0", "1")
    ]
    assert document["at_once"] == 1 and 0 <= document["cpu_wait"] < 1
    assert document["seconds"] == pytest.approx(sum(one["seconds"] for one in document["runs"]))
    assert not Store.default().list_runs()


def test_ctrl_c_takes_those_that_wait_out_of_the_queue_and_stops_the_others(home: Path) -> None:
    command = [sys.executable, "-m", "workbench", "train", "digits-mlp", "--model", IDLE_MODEL, "--repeat", "3",
               "--device", "cpu", "--set", "train.epochs=100000", "--set", "train.threads=1"]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def folders() -> list[RunFolder]:
        return [Store.default().find(row.id) for row in Store.default().list_runs()]

    until(lambda: sum(status_of(folder) is Status.RUNNING for folder in folders()) == 1, "the first run")
    until(lambda: len(folders()) == 3, "all runs")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "2 runs taken out of the queue, 1 stopped after a checkpoint" in errors
    assert {status_of(folder) for folder in folders()} == {Status.STOPPED}


@pytest.mark.parametrize("several", [False, True], ids=["one run", "a group"])
def test_two_signals_at_once_count_as_one(
    home: Path, several: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """`timeout` sends SIGTERM to its child and to the process group."""
    repeat = ["--repeat", "2"] if several else []
    long = ["--set", "train.epochs=100000", "--set", "train.threads=1", "--device", "cpu"]
    assert run(["train", "digits-mlp", "--model", IDLE_MODEL, *repeat, *long, "--detach"]) == 0
    folders = [Store.default().find(run_id) for run_id in capsys.readouterr().out.split()]
    until(lambda: status_of(folders[0]) is Status.RUNNING, "the first run")
    with SignalRecorder() as signals:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGTERM)
        waiter = GroupWaiter(folders, signals) if several else RunWaiter(folders[0], signals, owner=True)
        waiter.wait()
    statuses = {status_of(folder) for folder in folders}
    if Status.RUNNING in statuses:
        launch.stop_run(folders[0])
    assert statuses == {Status.STOPPED}
    assert waiter.interrupted and "are left" not in capsys.readouterr().err


def test_a_wrong_grid_is_one_line_and_starts_nothing(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for options in (["--grid", "train.lr=0.1,fast"], ["--repeat", "0"], ["--grid", "train.lr=1,1"]):
        assert run(["train", "digits-mlp", *options]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1
    assert not Store.default().list_runs()


def test_a_group_with_a_run_that_cannot_be_trained_here_starts_none(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", "digits-mlp", "--grid", "train.device=cpu,GPU-12345678"]) == 2
    assert "no device GPU-12345678" in capsys.readouterr().err
    assert not Store.default().list_runs()
