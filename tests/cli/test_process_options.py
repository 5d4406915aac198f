"""`--gpus`, `--processes` and `--device cuda:0,1`: how many processes train, and on which devices."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests import gpus
from tests.gpus import gpu
from workbench.cli.commands.train import experiment_of
from workbench.cli.main import parse, run
from workbench.config.process_count import process_count


@pytest.mark.parametrize(
    ("options", "device", "processes"),
    [
        (["--processes", "2"], "cpu", 2),
        (["--gpus", "2"], "cuda", 2),
        (["--gpus", "all"], "cuda", 3),
        (["--gpus", "1"], "cuda", 1),
        (["--device", "cuda:0,2"], "cuda:0,2", 2),
        (["--device", "cuda", "--set", "train.processes=3"], "cuda", 3),
        ([], "auto", 1),
    ],
)
def test_options_become_settings(
    options: list[str], device: str, processes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpus.install(tmp_path, monkeypatch).write([gpu(0), gpu(1), gpu(2)])
    train = experiment_of(parse(["train", "digits-mlp", *options])).train
    assert (train.device, process_count(train)) == (device, processes)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--gpus", "4"], "4 processes need 4 GPUs, and this host has 2 GPUs (cuda:0, cuda:1)"),
        (["--gpus", "2", "--processes", "2"], "can't be combined"),
        (["--gpus", "2", "--device", "cuda:0"], "--gpus and --device can't be combined"),
        (["--gpus", "some"], "--gpus must be a number from 1 to 1024 or all, not 'some'"),
        (["--processes", "0"], "--processes must be a number from 1 to 1024, not '0'"),
        (["--device", "cuda:0,7"], "no device cuda:7 on this host"),
        (["--device", "cuda:1,1"], "a GPU is named twice"),
        (["--device", "cuda:0,1", "--set", "train.processes=3"], "names 2 GPUs"),
        (["--device", "cuda:0", "--set", "train.processes=2"], "several processes train on cpu, cuda"),
        (["--processes", "80"], "train.batch_size 32 can't be divided among 80 processes"),
    ],
)
def test_bad_options_are_one_line(
    options: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    gpus.install(tmp_path, monkeypatch).write([gpu(0), gpu(1)])
    assert run(["train", "digits-mlp", *options]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("workbench:")]
    assert message in line


def test_gpus_on_a_host_without_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "digits-mlp", "--gpus", "2"]) == 2
    assert "no device cuda on this host" in capsys.readouterr().err


def test_the_record_has_the_world_size(capsys: pytest.CaptureFixture[str]) -> None:
    sets = ["--set", "train.epochs=1", "--set", "train.threads=1"]
    assert run(["train", "digits-mlp", "--processes", "2", *sets, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["processes"] == 2
    assert document["execution"]["step"].startswith("2 processes, fp32 on cpu with 1 thread each")
    assert document["experiment"]["train"]["processes"] == 2


def test_a_plan_is_of_one_process(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", "digits-mlp", "--processes", "2", "--set", "train.threads=1", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["batch_size"] == 32
    assert any("each of 2 processes computes 1/2 of them" in notice for notice in document["notices"])
