"""Which GPU a run is given: the environment of its real worker, the journal, and claims, with a stub of the driver."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.test_control import until
from tests.gpus import FOREIGN_PID, GB, StubDriver, driver, gpu, mig_slice, uuid
from tests.idle_model import IDLE_MODEL
from workbench.cli.follow import wait_for_end
from workbench.cli.main import run as command
from workbench.config.experiment import build_experiment
from workbench.core.errors import UserError
from workbench.launcher import launch
from workbench.launcher.gpu_assignment import GpuAssigner, claimed_gpu
from workbench.planning.client import PlanProcess
from workbench.runs.enums import RequestKind
from workbench.runs.journal import Notice, attempts_of, read_journal
from workbench.runs.locks import WRITER, holder_pid
from workbench.runs.records import RequestValues
from workbench.runs.run_folder import RunFolder
from workbench.runs.run_report import read_report
from workbench.runs.status import Status, status_of
from workbench.system.device_claims import live_claims

__all__ = ["driver"]

ASSIGN = """
import sys
from workbench.launcher.gpu_assignment import GpuAssigner
gpus = GpuAssigner(sys.argv[1])
print(gpus.assign(sys.argv[2]).uuid, flush=True)
input()
"""


@pytest.fixture
def runs() -> Iterator[list[RunFolder]]:
    """Runs that are stopped at the end of the test."""
    started: list[RunFolder] = []
    yield started
    for folder in started:
        if status_of(folder).live:
            launch.stop_run(folder)
    for folder in started:
        wait_for_end(folder)


def start(runs: list[RunFolder], device: str = "auto") -> RunFolder:
    sets = ["train.epochs=100000", "train.threads=1", f"train.device={device}"]
    folder = launch.start_run(build_experiment("digits-mlp", model=IDLE_MODEL, sets=sets), "test")
    runs.append(folder)
    return folder


def given(folder: RunFolder) -> str | None:
    """The name of the GPU in the journal."""
    choice = attempts_of(read_journal(folder.journal))[-1].gpu
    return choice and choice.device


def visible_to_worker(folder: RunFolder) -> str | None:
    """`CUDA_VISIBLE_DEVICES` in the environment of the worker process."""
    until(lambda: holder_pid(folder.lock, WRITER), "worker")
    environment = Path(f"/proc/{holder_pid(folder.lock, WRITER)}/environ").read_bytes().split(b"\0")
    values = [
        line.partition(b"=")[2].decode() for line in environment if line.startswith(b"CUDA_VISIBLE_DEVICES=")
    ]
    return values[0] if values else None


def test_three_quick_starts_take_three_of_four_idle_gpus(driver: StubDriver, runs: list[RunFolder]) -> None:
    driver.write([gpu(0), gpu(1), gpu(2), gpu(3)])
    for _ in range(3):
        start(runs)
    assert [given(folder) for folder in runs] == ["cuda:0", "cuda:1", "cuda:2"]
    assert [visible_to_worker(folder) for folder in runs] == [uuid(0), uuid(1), uuid(2)]
    assert {name: [claim.run for claim in claims] for name, claims in live_claims().items()} == {
        uuid(number): [folder.id] for number, folder in enumerate(runs)
    }
    launch.stop_run(runs[1])
    wait_for_end(runs[1])
    assert uuid(1) not in live_claims()


def test_twenty_starts_in_a_second_spread_over_four_gpus(driver: StubDriver, home: Path) -> None:
    """The part of twenty supervisors that claims a GPU, at once; one of the five GPUs is somebody else's."""
    driver.write([gpu(0), gpu(1), gpu(2, pids=[FOREIGN_PID]), gpu(3), gpu(4)])
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", ASSIGN, f"run{number}", "auto"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(20)
    ]  # fmt: skip
    try:
        taken = [process.stdout.readline().strip() for process in processes if process.stdout]
        assert Counter(taken) == {uuid(number): 5 for number in (0, 1, 3, 4)}
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    assert live_claims() == {}


@pytest.mark.parametrize(
    ("visible", "device", "expected"),
    [
        (None, "auto", 3),  # the only idle one
        (None, "cuda", 3),
        (None, "cuda:1", 1),
        (None, "GPU-2222", 2),
        (None, "cpu", None),
        ("2,1", "cuda:0", 2),
        ("2,1", "cuda:1", 1),
        ("2,1", "auto", 2),
        ("GPU-1111,GPU-2222,9", "cuda", 2),
        ("", "auto", None),
        ("-1,0", "auto", None),
    ],
)
def test_the_gpu_of_a_device_name(
    visible: str | None,
    device: str,
    expected: int | None,
    driver: StubDriver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    busy = {"pids": [FOREIGN_PID], "free": 10 * GB}
    driver.write([gpu(0, **busy), gpu(1, **busy), gpu(2, **{**busy, "free": 20 * GB}), gpu(3, load=None)])
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    gpus = GpuAssigner("run")
    choice = gpus.assign(device)
    assert (choice and choice.uuid) == (None if expected is None else uuid(expected))
    gpus.release()
    assert live_claims() == {}


def test_eight_gpus_and_slices_are_given_by_the_names_that_are_listed(driver: StubDriver, home: Path) -> None:
    driver.write([*(gpu(n) for n in range(7)), gpu(7, slices=[mig_slice(1), mig_slice(2)])])
    gpus = GpuAssigner("run")
    names = ["cuda:6", "MIG-22222222"]
    choices = [gpus.assign(name) for name in names]
    assert [choice and choice.device for choice in choices] == names
    assert [choice and choice.uuid for choice in choices] == [uuid(6), mig_slice(2)["uuid"]]
    with pytest.raises(UserError, match=r"train\.device: no device cuda:7 on this host; available: cuda:0, "):
        launch.check_device("cuda:7")


def test_a_run_without_usable_cuda_warns_before_the_start_and_records_it(
    driver: StubDriver, capsys: pytest.CaptureFixture[str], home: Path
) -> None:
    """torch of this machine finds no CUDA, while the driver lists GPUs."""
    driver.write([gpu(0), gpu(1)])
    sets = ["--set", "train.epochs=1", "--set", "train.threads=1"]
    assert command(["train", "digits-mlp", *sets, "--device", "cuda:1", "--json"]) == 0
    output = capsys.readouterr()
    before, _, after = output.err.partition("Started ")
    assert (
        "WARNING: the run trains on the CPU, because torch can't use the 2 GPUs of the NVIDIA driver: "
        in before
    )
    assert "WARNING: training on the CPU, not on cuda:1: " in after
    report = json.loads(output.out)
    assert report["execution"]["device"].startswith("CPU, not on cuda:1: ")
    folder = RunFolder(Path(report["directory"]))
    assert any(
        isinstance(line, Notice) and "not on cuda:1" in line.text for line in read_journal(folder.journal)
    )
    assert attempts_of(read_journal(folder.journal))[0].gpu is not None
    assert command(["show", folder.id]) == 0
    assert "device  CPU, not on cuda:1: " in capsys.readouterr().out
    assert command(["train", "digits-mlp", "--device", "cuda:2"]) == 2
    assert (
        "no device cuda:2 on this host; available: cuda:0, cuda:1, cpu (or auto)" in capsys.readouterr().err
    )
    assert command(["train", "digits-mlp", "--device", "GPU0"]) == 2
    assert "train.device" in capsys.readouterr().err


def test_a_run_starts_within_two_seconds_of_a_hanging_driver(
    driver: StubDriver, capsys: pytest.CaptureFixture[str], home: Path, tmp_path: Path
) -> None:
    queries = tmp_path / "queries"
    driver.write([gpu(0)], hang=10, queries=str(queries))
    experiment = build_experiment("digits-mlp", sets=["train.epochs=1", "train.threads=1"])
    began = time.monotonic()
    warnings = launch.start_warnings(experiment)
    waited = time.monotonic() - began
    assert waited < 2 and "does not respond" in warnings[0]
    folder = launch.start_run(experiment, "test")
    own = f"{os.getpid()}\n"
    assert queries.read_text() == own  # neither the launcher nor the supervisor waited for it again
    wait_for_end(folder)
    report = read_report(folder)
    assert report.status is Status.FINISHED and "does not respond" in report.execution["device"]


def test_a_suspended_run_holds_no_gpu(driver: StubDriver, runs: list[RunFolder]) -> None:
    driver.write([gpu(0), gpu(1)])
    folder = start(runs, "cuda:1")
    assert visible_to_worker(folder) == uuid(1)
    until(lambda: read_report(folder).step > 0, "steps")
    launch.send_request(folder, RequestKind.PAUSE, RequestValues(suspend=True))
    until(lambda: live_claims() == {}, "the GPU to be free")
    launch.send_request(folder, RequestKind.CONTINUE)
    until(lambda: len(attempts_of(read_journal(folder.journal))) == 2, "second attempt")
    assert given(folder) == "cuda:1" and list(live_claims()) == [uuid(1)]


def test_each_process_gets_a_gpu_of_its_own(
    driver: StubDriver, runs: list[RunFolder], tmp_path: Path
) -> None:
    """torch of this machine finds no CUDA, so that both processes compute on the CPU."""
    driver.write([gpu(0, pids=[FOREIGN_PID]), gpu(1), gpu(2)])
    source = tmp_path / "net.py"
    source.write_text(NET)
    sets = ["train.epochs=100000", "train.threads=1", "train.device=cuda", "train.processes=2"]
    experiment = build_experiment(dataset="digits", model=f"{source}:Net", sets=sets)
    runs.append(folder := launch.start_run(experiment, "test"))
    until(lambda: read_report(folder).step > 0, "steps")
    assert set(live_claims()) == {uuid(1), uuid(2)}
    attempt = attempts_of(read_journal(folder.journal))[-1]
    assert [choice.uuid for choice in attempt.gpus] == [uuid(1), uuid(2)]
    assert attempt.processes == 2
    seen = {path.name: path.read_text() for path in tmp_path.glob("visible-*")}
    assert seen == {"visible-0": uuid(1), "visible-1": uuid(2)}
    launch.stop_run(folder)
    until(lambda: live_claims() == {}, "the GPUs to be free")


NET = """
import os
import time
from pathlib import Path
from torch import nn

class Net(nn.Module):
    def __init__(self, classes, shape):
        super().__init__()
        self.layer = nn.Linear(64, classes)
        rank, visible = os.environ["RANK"], os.environ["CUDA_VISIBLE_DEVICES"]
        Path(__file__).with_name(f"visible-{rank}").write_text(visible)

    def forward(self, x):
        time.sleep(0.01)
        return self.layer(x.flatten(1))
"""


def test_a_plan_takes_a_gpu_as_a_run_does(driver: StubDriver, home: Path) -> None:
    driver.write([gpu(0), gpu(1)])
    run = GpuAssigner("run")
    run.assign("auto")
    with PlanProcess(build_experiment("digits-mlp")) as planning:
        assert [claim.run for claim in live_claims()[uuid(1)]] == ["plan of digits-mlp"]
        environment = Path(f"/proc/{planning._process.pid}/environ").read_bytes().split(b"\0")
        assert f"CUDA_VISIBLE_DEVICES={uuid(1)}".encode() in environment
    assert list(live_claims()) == [uuid(0)]
    run.release()


@pytest.mark.parametrize("before", [None, "1,0"])
def test_this_process_takes_a_gpu_while_it_computes(
    before: str | None, driver: StubDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.write([gpu(0), gpu(1)])
    if before:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", before)
    expected = 1 if before else 0
    for requested, given_device in (("auto", "auto"), ("cuda:0", uuid(expected))):
        with claimed_gpu("classify", requested) as device:
            assert device == given_device
            assert [claim.run for claim in live_claims()[uuid(expected)]] == ["classify"]
            assert os.environ["CUDA_VISIBLE_DEVICES"] == uuid(expected)
    assert live_claims() == {} and os.environ.get("CUDA_VISIBLE_DEVICES") == before
    with claimed_gpu("classify", "cpu") as device:
        assert device == "cpu" and live_claims() == {}
