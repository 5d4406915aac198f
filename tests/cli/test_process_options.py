"""`--gpus`, `--processes` and `--device cuda:0,1`: how many processes train, and on which devices."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from tests import gpus
from tests.gpus import gpu
from workbench.cli.commands.train import experiment_of
from workbench.cli.main import parse, run
from workbench.config.process_count import process_count
from workbench.core import paths
from workbench.core.errors import UserError
from workbench.launcher.launch import start_warnings
from workbench.runs.nodes import Placement


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


NODES = ["--nnodes", "2", "--rdzv"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--nnodes", "1", "--rdzv", "10.0.0.1:29400"],
            "--nnodes 1 is this host alone: leave --nnodes and --rdzv out",
        ),
        (
            ["--nnodes", "two", "--rdzv", "10.0.0.1:29400"],
            "--nnodes must be a number from 2 to 4096, not 'two'",
        ),
        (["--nnodes", "2"], "--nnodes 2 needs --rdzv HOST:PORT, an address of the first node"),
        (["--rdzv", "10.0.0.1:29400"], "--rdzv is for several nodes: add --nnodes M"),
        (["--node-timeout", "9"], "--node-timeout is for several nodes: add --nnodes M"),
        (
            [*NODES, "10.0.0.1:port"],
            "--rdzv must be HOST:PORT, the address of the first node, not '10.0.0.1:port'",
        ),
        (
            [*NODES, "10.0.0.1:70000"],
            "--rdzv must be HOST:PORT, the address of the first node, not '10.0.0.1:70000'",
        ),
        ([*NODES, "no.such.host.invalid:29400"], "the host name no.such.host.invalid can't be resolved"),
        ([*NODES, "127.0.0.1:29400"], "127.0.0.1 is another host on each node"),
        ([*NODES, "HOST:29400", "--node-timeout", "0"], "--node-timeout must be a number of seconds, not 0"),
        ([*NODES, "HOST:PORT"], " of this host is in use; choose another one"),
        ([*NODES, "HOST:29411", "--queue"], "--nnodes and --queue can't be combined"),
        ([*NODES, "HOST:29411", "--repeat", "2"], "--nnodes and --repeat can't be combined"),
        ([*NODES, "HOST:29411", "--launcher", "slurm"], "--nnodes and --launcher slurm can't be combined"),
        (
            [*NODES, "HOST:29411", "--device", "cuda:0,1"],
            "--nnodes and GPUs by name (cuda:0,1) can't be combined",
        ),
        (
            [*NODES, "HOST:29411", "--device", "cpu", "--set", "train.processes=3"],
            "3 can't be divided among 2 nodes",
        ),
    ],
)
def test_bad_options_of_nodes_are_one_line(
    options: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    gpus.install(tmp_path, monkeypatch).write([gpu(0), gpu(1)])
    with socket.create_server(("", 0)) as taken:
        port = str(taken.getsockname()[1])
        options = [part.replace("HOST", socket.gethostname()).replace("PORT", port) for part in options]
        assert run(["train", "digits-mlp", *options]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("workbench:")]
    assert message in line
    assert not list(paths.runs().glob("*"))


def test_the_processes_of_a_script_are_those_of_nodes(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["run", "--processes", "2", "--", "true"]) == 2
    assert "--processes is for several nodes; on one host use torchrun" in capsys.readouterr().err


def test_processes_are_counted_on_each_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gpus.install(tmp_path, monkeypatch).write([gpu(0), gpu(1)])
    for options, processes in ((["--gpus", "all"], 6), (["--processes", "4"], 12)):
        train = experiment_of(parse(["train", "digits-mlp", *options, "--nnodes", "3"])).train
        assert process_count(train) == processes


def test_each_node_needs_the_gpus_of_its_own_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpus.install(tmp_path, monkeypatch).write([gpu(0), gpu(1)])
    experiment = experiment_of(parse(["train", "digits-mlp", "--gpus", "2", "--nnodes", "2"]))
    start_warnings(experiment, placement=Placement(nodes=2))
    with pytest.raises(UserError, match="4 processes need 4 GPUs"):
        start_warnings(experiment)


@pytest.mark.parametrize(
    "command",
    [
        ["train", "digits-mlp", "--gpus", "2"],
        ["train", "digits-mlp", "--device", "cuda"],
        ["train", "digits-mlp", "--device", "cuda", "--grid", "train.lr=0.1,0.2"],
        ["sweep", "digits-mlp", "--device", "cuda", "--param", "train.lr=1e-4..1e-2", "--trials", "2"],
    ],
)
def test_gpus_on_a_host_without_one(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line without a warning that says the same, and nothing is started."""
    gpus.install(tmp_path, monkeypatch).write([])
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "home"))
    assert run(command) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "no device cuda on this host" in line
    assert not list((tmp_path / "home").glob("*/*"))


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
