"""Two hosts train like two processes of one; a host that is killed and comes back changes nothing."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.nodes.hosts import LIMIT, PORT, Host, wait_for
from tests.worker.kill_many import finished
from tests.worker.support import outcome, same, step_rows
from workbench.cli.commands.train import experiment_of
from workbench.cli.main import parse
from workbench.core.errors import UserError
from workbench.io.record_codec import read_record
from workbench.launcher import launch
from workbench.runs.checkpoint_index import newest_checkpoint_step
from workbench.runs.enums import NodeEvent, Phase, RequestKind
from workbench.runs.journal import NodeChange, attempts_of, read_journal
from workbench.runs.nodes import Nodes
from workbench.runs.records import Heartbeat, RequestValues
from workbench.runs.run_folder import RunFolder
from workbench.runs.run_report import read_report

SETTINGS = {
    "threads": 1, "device": "cpu", "epochs": 3, "batch_size": 37, "log_every": 1, "optimizer": "sgd", "lr": 0.05,
    "momentum": 0.9, "checkpoint_seconds": 0.05,
}  # fmt: skip
STEPS = 35
"""Of an epoch."""
STEP_SECONDS = "0.02"


@pytest.fixture(scope="module")
def train(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command, on any host; its model is in no repository, which might be changed meanwhile."""
    model = tmp_path_factory.mktemp("model") / "digests.py"
    shutil.copyfile(Path(__file__).with_name(model.name), model)
    sets = [part for key, value in SETTINGS.items() for part in ("--set", f"train.{key}={value}")]
    return ["train", "--dataset", "digits", "--model", f"{model}:Net", "--name", "together", *sets]


def node_options(first: Host, timeout: float = 100) -> list[str]:
    return ["--nnodes", "2", "--rdzv", f"{first.address}:{PORT}", "--node-timeout", f"{timeout:g}"]


@pytest.fixture(scope="module")
def uncut(train: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunFolder]:
    """The same training in two processes of one host."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_HOME", str(tmp_path_factory.mktemp("uncut")))
        experiment = experiment_of(parse([*train, "--processes", "2"]))
        yield finished(launch.start_run(experiment, "test"))


def ended(process: subprocess.Popen[str], code: int = 0) -> str:
    """What a command has printed until its end with this exit code."""
    output, errors = process.communicate(timeout=LIMIT)
    assert process.returncode == code, errors
    return output + errors


def run_of(host: Host) -> RunFolder:
    wait_for(host.runs)
    (folder,) = host.runs()
    return folder


def second_folder(host: Host) -> RunFolder:
    """Where the other host records what it does."""
    (path,) = (host.home / "nodes").iterdir()
    return RunFolder(path)


def events(folder: RunFolder) -> list[tuple[NodeEvent, str]]:
    return [(line.event, line.host) for line in read_journal(folder.journal) if isinstance(line, NodeChange)]


def beat(folder: RunFolder) -> Heartbeat:
    return read_record(folder.heartbeat, Heartbeat) or Heartbeat()


def waits_for(folder: RunFolder) -> str:
    """What the run waits for."""
    now = beat(folder)
    return now.progress.what if now.phase is Phase.WAITING_FOR_NODES and now.progress else ""


@pytest.mark.parametrize("shared", [False, True], ids=["own homes", "a shared home"])
def test_a_killed_node_that_comes_back_changes_nothing(
    hosts: tuple[Host, Host], train: list[str], uncut: RunFolder, tmp_path: Path, shared: bool
) -> None:
    first, second = hosts
    if shared:
        second.home = first.home
    digests = tmp_path / "digests"
    digests.mkdir()
    command = [*train, "--processes", "1", *node_options(first)]
    variables = {"STEP_SECONDS": STEP_SECONDS, "DIGESTS": str(digests)}
    leading = first.start(*command, "--json", **variables)
    folder = run_of(first)
    wait_for(lambda: waits_for(folder) == "waiting for 1 of 2 nodes", folder)
    second.start(*command, **variables)
    wait_for(lambda: newest_checkpoint_step(folder) > 0, folder)

    second.kill_all()
    wait_for(lambda: waits_for(folder).startswith("node gpu02 is lost since "), folder)
    assert waits_for(folder).endswith(": waiting")
    stopped_at = newest_checkpoint_step(folder)
    joined = second.start(*command, **variables)
    output, errors = leading.communicate(timeout=LIMIT)
    assert leading.returncode == 0, errors
    ended(joined)

    assert f"On the other node: workbench {command[0]} " in errors
    assert f"node gpu02 is back: resumed from step {stopped_at}" in errors
    assert same(outcome(folder), outcome(uncut))
    document = json.loads(output)
    assert (document["status"], document["exact"], document["processes"]) == ("finished", True, 2)
    assert [node["host"] for node in document["nodes"]["nodes"]] == ["gpu01", "gpu02"]
    assert events(folder) == [
        (NodeEvent.JOINED, "gpu02"), (NodeEvent.LOST, "gpu02"), (NodeEvent.BACK, "gpu02"),
    ]  # fmt: skip
    weights = [(digests / str(rank)).read_text().splitlines()[-1] for rank in (0, 1)]
    assert weights[0] == weights[1]
    nodes = read_record(folder.nodes, Nodes)
    assert nodes is not None
    assert all(node.usage.cores > 0 and node.usage.memory_total for node in nodes.nodes)
    assert not list(second.home.glob("nodes/*/run/checkpoints/*")), "copies are removed at the end"


def test_requests_reach_both_nodes(hosts: tuple[Host, Host], train: list[str]) -> None:
    first, second = hosts
    command = [*train, "--processes", "1", "--set", "train.epochs=5000", *node_options(first)]
    processes = [host.start(*command) for host in hosts]
    folder = run_of(first)
    wait_for(lambda: step_rows(folder), folder)
    for kind, values in (
        (RequestKind.LR, RequestValues(value=0.01)), (RequestKind.PAUSE, RequestValues()),
        (RequestKind.CONTINUE, RequestValues()),
    ):  # fmt: skip
        name = launch.send_request(folder, kind, values)
        wait_for(lambda name=name: (folder.answered_requests / f"{name}.json").exists(), folder)
    # Paused without processes, and continued with those of both nodes.
    launch.send_request(folder, RequestKind.PAUSE, RequestValues(suspend=True))
    wait_for(
        lambda: waits_for(second_folder(second)) == f"{folder.id} is paused: waiting until it continues",
        folder,
    )
    paused = newest_checkpoint_step(folder)
    launch.send_request(folder, RequestKind.CONTINUE)
    wait_for(lambda: newest_checkpoint_step(folder) > paused, folder)
    processes[1].terminate()  # the second node hands it on to the first one
    for process in processes:
        ended(process, 130)
    report, node = read_report(folder), second_folder(second)
    assert (report.status, report.exact, read_report(node).status) == ("stopped", True, "stopped")
    assert len(attempts_of(read_journal(node.journal))) == 2, "one before the pause, and one after it"
    stopped = newest_checkpoint_step(folder)
    assert step_rows(folder)[-1].step == stopped
    # Resumed on one host, with the same number of processes.
    epochs = stopped // STEPS + 2
    resumed = first.start("resume", folder.id, "--nnodes", "1", "--set", f"train.epochs={epochs}", "--json")
    output, errors = resumed.communicate(timeout=LIMIT)
    assert resumed.returncode == 0, errors
    document = json.loads(output)
    assert document["exact"], document["notices"]
    assert document["nodes"] is None


def test_a_run_of_one_host_is_resumed_on_two(hosts: tuple[Host, Host], uncut: RunFolder) -> None:
    first, second = hosts
    second.home = first.home
    folder = RunFolder(first.home / "runs" / uncut.id)
    shutil.copytree(uncut.path, folder.path)
    command = ["resume", folder.id, "--set", "train.epochs=4", *node_options(first)]
    leading, joined = first.start(*command, "--json"), second.start(*command)
    output, errors = leading.communicate(timeout=LIMIT)
    assert leading.returncode == 0, errors
    ended(joined)
    document = json.loads(output)
    assert (document["epoch"], document["exact"]) == (4, True), document["notices"]
    assert document["nodes"]["command"].startswith("workbench train --dataset digits ")
    assert step_rows(folder)[-1].step == 4 * STEPS
    # Its screen, and a plain `resume`, use both nodes again, and only where they met.
    with pytest.raises(UserError, match="trains on 2 nodes"):
        launch.resume_run(folder, {"train.epochs": 5}, "test")


def test_another_experiment_is_refused(hosts: tuple[Host, Host], train: list[str]) -> None:
    first, second = hosts
    command = [*train, "--processes", "1", *node_options(first)]
    leading = first.start(*command)
    joining = [second.start(*command, "--set", change) for change in ("seed=8", "train.lr=0.1")]
    for process, reason in zip(
        joining, ("seed is 8 here and 0 on gpu01", "train.lr is 0.1 here and 0.05 on gpu01"), strict=True
    ):
        printed = ended(process, 2)
        assert f"workbench: not joined: another experiment: {reason}; use the same command" in printed, (
            printed
        )
    folder = run_of(first)
    wait_for(lambda: events(folder) == 2 * [(NodeEvent.REFUSED, "gpu02")], folder)
    wait_for(lambda: waits_for(folder) == "waiting for 1 of 2 nodes", folder)
    leading.terminate()
    ended(leading, 130)


DATA = """
import os
import torch

def make():
    inputs = torch.rand(64, 4, generator=torch.manual_seed(int(os.environ["DATA_SEED"])))
    return (inputs[:48], torch.arange(48) % 2), (inputs[48:], torch.arange(16) % 2)
"""


def test_another_dataset_and_other_code_are_refused(hosts: tuple[Host, Host], tmp_path: Path) -> None:
    first, second = hosts
    source = tmp_path / "data.py"
    source.write_text(DATA)
    command = [
        "train",
        "--dataset",
        f"{source}:make",
        "--model",
        "mlp",
        "--set",
        "train.device=cpu",
        *node_options(first),
    ]
    processes = [
        first.start(*command, DATA_SEED="1"), second.start(*command, DATA_SEED="2"),
    ]  # fmt: skip
    for process in processes:
        errors = ended(process, 2)
        assert "workbench: node gpu02 has another dataset than gpu01: " in errors, errors


def test_a_node_that_does_not_come_ends_the_run(hosts: tuple[Host, Host], train: list[str]) -> None:
    first, second = hosts
    errors = ended(first.start(*train, *node_options(first, 1)), 1)
    assert "1 of 2 nodes did not come within 1s; no step was made" in errors, errors
    errors = ended(second.start(*train, *node_options(first, 1)), 1)
    assert f"no run has started at {first.address}:{PORT} within 1s" in errors, errors


SCRIPT = """
import torch
import torch.distributed as dist

dist.init_process_group("gloo")
total = torch.ones(1)
dist.all_reduce(total)
print(f"rank {dist.get_rank()} of {dist.get_world_size()}: the sum is {total.item():.0f}")
"""


def test_a_script_runs_below_torchrun_on_both_nodes(hosts: tuple[Host, Host], tmp_path: Path) -> None:
    first, second = hosts
    source = tmp_path / "script.py"
    source.write_text(SCRIPT)
    options, command = [*node_options(first), "--processes", "1"], ["--", sys.executable, str(source)]
    processes = [host.start("run", *options, *command) for host in (first, second)]
    for rank, process in enumerate(processes):
        printed = ended(process)
        assert f"rank {rank} of 2: the sum is 2" in printed, printed
    assert len(first.runs()) == 1 and not second.runs()


def test_addresses_that_are_of_no_use(hosts: tuple[Host, Host], train: list[str]) -> None:
    first, _ = hosts
    for address, message in (
        ("10.77.0.9:29400", "10.77.0.9:29400 can't be reached: "),
        ("192.0.2.1:29400", "192.0.2.1:29400 can't be reached: Network is unreachable"),
    ):
        errors = ended(first.start(*train, "--nnodes", "2", "--rdzv", address), 2)
        (line,) = [line for line in errors.splitlines() if line.startswith("workbench:")]
        assert message in line
