"""Processes that are forked from one that has imported PyTorch."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from tests.cli.test_control import until
from tests.gpus import StubDriver, driver, gpu
from tests.idle_model import IDLE_MODEL
from tests.worker.support import same
from workbench.cli.follow import wait_for_end
from workbench.config.experiment import build_experiment
from workbench.launcher import fork_client, launch
from workbench.launcher.fork_client import ForkServer, start_python
from workbench.launcher.fork_protocol import FORKED, Program
from workbench.runs import locks
from workbench.runs.checkpoint_index import newest_checkpoint_step
from workbench.runs.enums import Cause, RequestKind
from workbench.runs.journal import attempts_of, read_journal
from workbench.runs.jsonl import read_lines
from workbench.runs.metrics import MetricLine, Wall
from workbench.runs.records import RequestValues
from workbench.runs.run_folder import RunFolder
from workbench.runs.run_report import read_report
from workbench.runs.status import Status, status_of

__all__ = ["driver"]

LONG = "train.epochs=100000"
ENVIRONMENT, CODE_FOLDERS = dict(os.environ), fork_client._code_folders
"""As they are outside of every test."""


@pytest.fixture
def server() -> None:
    """The server of this process, ready."""
    fork_client.wait_for_fork_server(lambda: False)


@pytest.fixture
def own_server() -> Iterator[None]:
    """A server that is started within the test, in its environment, and no other test's."""
    fork_client.stop_fork_server()
    yield
    fork_client.stop_fork_server()
    with pytest.MonkeyPatch.context() as patch:  # what the test has patched is still so
        patch.setattr(fork_client, "_code_folders", CODE_FOLDERS)
        for name in os.environ.keys() - ENVIRONMENT.keys():
            patch.delenv(name)
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        fork_client.start_fork_server()


def start(*sets: str) -> RunFolder:
    model = IDLE_MODEL if LONG in sets else None
    return launch.start_run(
        build_experiment("digits-mlp", model=model, sets=["train.threads=1", *sets]), "test"
    )


def is_forked(run: RunFolder) -> bool:
    return FORKED in attempts_of(read_journal(run.journal))[-1].command


def weights(run: RunFolder) -> Any:
    file = run.checkpoints / f"step-{newest_checkpoint_step(run)}.pt"
    return torch.load(file, weights_only=True)["model"]


def rows(run: RunFolder) -> list[Any]:
    return [(type(row), {**{name: getattr(row, name) for name in row.__struct_fields__}, "wall": Wall()})
            for row in read_lines(run.metrics, MetricLine)]  # fmt: skip


@pytest.mark.parametrize("threads", [1, 2])
def test_a_forked_run_has_the_bits_of_one_that_imports_pytorch_itself(
    server: None, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets = ("train.epochs=2", f"train.threads={threads}")
    forked = start(*sets)
    # A variable that libraries read when they are loaded needs a fresh interpreter.
    monkeypatch.setenv("OMP_DYNAMIC", "false")
    fresh = start(*sets)
    for run in (forked, fresh):
        wait_for_end(run)
    assert (is_forked(fresh), is_forked(forked)) == (False, True)
    assert same(weights(fresh), weights(forked)) and rows(fresh) == rows(forked)


def test_a_forked_run_outlives_the_server(own_server: None) -> None:
    fork_client.wait_for_fork_server(lambda: False)
    run = start(LONG)
    until(lambda: newest_checkpoint_step(run), "a checkpoint")
    fork_client.stop_fork_server()
    step = newest_checkpoint_step(run)
    until(lambda: newest_checkpoint_step(run) > step, "progress without the server")
    launch.stop_run(run)
    wait_for_end(run)
    assert read_report(run).status is Status.STOPPED


def test_a_killed_worker_harms_no_other_run(server: None) -> None:
    first, second = start(LONG), start(LONG)
    try:
        for run in (first, second):
            until(lambda run=run: newest_checkpoint_step(run), "a checkpoint")
        worker = locks.holder_pid(first.lock, locks.WRITER)
        assert worker
        os.kill(worker, signal.SIGKILL)
        wait_for_end(first)
        report = read_report(first)
        assert (report.status, report.cause) == (Status.FAILED, Cause.CRASH)
        assert report.reason and report.reason.startswith("the worker was killed by SIGKILL")
        assert status_of(second) is Status.RUNNING
    finally:
        launch.stop_run(second)
        wait_for_end(second)


def test_a_worker_ends_with_its_supervisor(server: None) -> None:
    run = start(LONG)
    until(lambda: newest_checkpoint_step(run), "a checkpoint")
    supervisor, worker = (locks.holder_pid(run.lock, byte) for byte in (locks.SUPERVISOR, locks.WRITER))
    assert supervisor and worker and psutil.Process(worker).ppid() == supervisor
    os.kill(supervisor, signal.SIGKILL)
    wait_for_end(run)
    assert read_report(run).cause is Cause.SUPERVISOR_ENDED


def test_forked_processes_show_their_own_commands(server: None) -> None:
    run = start(LONG)
    try:
        until(lambda: locks.holder_pid(run.lock, locks.WRITER), "worker")
        supervisor, worker = (
            [part for part in psutil.Process(locks.holder_pid(run.lock, byte)).cmdline() if part]
            for byte in (locks.SUPERVISOR, locks.WRITER)
        )
        assert supervisor[3:5] == ["workbench.launcher.supervisor", str(run.path)]
        assert worker == [sys.executable, "-P", "-m", "workbench.worker.main", str(run.path)]
    finally:
        launch.stop_run(run)
        wait_for_end(run)


def test_a_suspended_run_continues_in_a_fresh_interpreter(server: None) -> None:
    run = start(LONG)
    try:
        until(lambda: newest_checkpoint_step(run), "a checkpoint")
        worker = locks.holder_pid(run.lock, locks.WRITER)
        launch.send_request(run, RequestKind.PAUSE, RequestValues(suspend=True))
        until(
            lambda: locks.holder_pid(run.lock, locks.WRITER) not in {worker, None},
            "the supervisor to hold it",
        )
        step = newest_checkpoint_step(run)
        launch.send_request(run, RequestKind.CONTINUE)
        until(lambda: newest_checkpoint_step(run) > step, "progress")
    finally:
        launch.stop_run(run)
        wait_for_end(run)
    first, second = attempts_of(read_journal(run.journal))
    assert FORKED in first.command and first.pid == second.pid


def test_a_forked_run_sees_only_its_gpu(
    own_server: None, driver: StubDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.write([gpu(0)])
    (tmp_path / "data.py").write_text(
        "import os\nimport torch\n"
        "def make():\n"
        f"    open({str(tmp_path / 'seen')!r}, 'w').write(os.environ['CUDA_VISIBLE_DEVICES'])\n"
        "    assert not torch.cuda.is_initialized()\n"
        "    x = torch.rand(8, 1, 4, 4)\n"
        "    return (x, torch.arange(8) % 2), (x, torch.arange(8) % 2)\n"
    )
    fork_client.wait_for_fork_server(lambda: False)
    run = start("train.epochs=1", f"data.name={tmp_path}/data.py:make")
    wait_for_end(run)
    assert is_forked(run)
    assert (tmp_path / "seen").read_text() == attempts_of(read_journal(run.journal))[-1].gpu.uuid  # type: ignore[union-attr]


def test_changed_code_needs_a_fresh_interpreter_and_a_new_server(
    own_server: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fork_client, "_code_folders", lambda: (str(tmp_path),))
    (tmp_path / "module.py").touch()
    fork_client.wait_for_fork_server(lambda: False)
    os.utime(tmp_path / "module.py", ns=(0, 0))
    run = start("train.epochs=1")
    wait_for_end(run)
    assert not is_forked(run)
    fork_client.wait_for_fork_server(lambda: False)
    run = start("train.epochs=1")
    wait_for_end(run)
    assert is_forked(run)


def test_bytecode_that_python_writes_is_no_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "module.py").touch()
    monkeypatch.setattr(fork_client, "_code_folders", lambda: (str(tmp_path), str(tmp_path / "package")))
    before = fork_client._code_stamp()
    (tmp_path / "package" / "__pycache__").mkdir()
    os.utime(tmp_path / "package", ns=(1, 1))
    assert fork_client._code_stamp() == before


def test_a_program_gets_its_arguments_directory_streams_and_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    fork_client.wait_for_fork_server(lambda: False)
    with Path("output").open("wb") as output:
        process = start_python(
            "json.tool", ["--no-such-option"], stdout=output.fileno(), stderr=output.fileno()
        )
    assert process.wait() == 2 == process.poll() == process.returncode
    assert "--no-such-option" in Path("output").read_text()
    process = start_python("http.server", ["0"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert process.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL


def test_forked_programs_draw_different_random_numbers(tmp_path: Path, server: None) -> None:
    (tmp_path / "data.py").write_text(
        "import random\nimport numpy\nimport torch\n"
        "def make():\n"
        f"    with open({str(tmp_path / 'drawn')!r}, 'a') as drawn:\n"
        "        print(random.random(), numpy.random.rand(), float(torch.rand(1)), file=drawn)\n"
        "    x = torch.zeros(8, 1, 4, 4)\n"
        "    return (x, torch.arange(8) % 2), (x, torch.arange(8) % 2)\n"
    )
    for _ in range(2):
        run = start("train.epochs=1", f"data.name={tmp_path}/data.py:make")
        wait_for_end(run)
        assert is_forked(run)
    first, second = (line.split() for line in (tmp_path / "drawn").read_text().splitlines())
    assert all(one != other for one, other in zip(first, second, strict=True))


def test_a_fresh_interpreter_takes_the_place_of_a_process_that_has_lost_cuda() -> None:
    code = (
        "import os, sys, types\n"
        "from workbench.launcher.fork_protocol import FORKED, Program\n"
        "sys.modules['torch'] = types.SimpleNamespace(cuda=types.SimpleNamespace(_is_in_bad_fork=lambda: True))\n"
        'shown = \'import os, sys; print(os.getpid(), "torch" in sys.modules, os.environ["NEW"])\'\n'
        "arguments = ('-n1', '-r1', shown, FORKED)\n"
        "Program(module='timeit', arguments=arguments, environment={**os.environ, 'NEW': 'value'}).run()\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        output, _ = process.communicate()
    assert output.splitlines()[0] == f"{process.pid} False value"


def test_a_server_that_has_ended_forks_nothing() -> None:
    before = set(psutil.Process().children())
    server = ForkServer.start()
    until(server.ready, "server")
    (process,) = set(psutil.Process().children()) - before
    process.kill()
    process.wait()
    program = Program(module="json.tool", environment=dict(os.environ))
    assert server.fork(program, []) is None and server.ended
    server.close()


def test_a_server_ends_with_its_client(tmp_path: Path) -> None:
    code = (
        "from workbench.launcher import fork_client\n"
        "import psutil\n"
        "fork_client.wait_for_fork_server(lambda: False)\n"
        "print(psutil.Process().children()[0].pid, flush=True)\n"
        "input()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as client:
        assert client.stdout
        server = psutil.Process(int(client.stdout.readline()))
        client.kill()
    server.wait(10)


def test_an_environment_that_is_not_utf8_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: None
) -> None:
    monkeypatch.setitem(os.environ, "WORKBENCH_NOTE", os.fsdecode(b"caf\xe9"))
    (tmp_path / "data.py").write_text(
        "import os\nimport torch\n"
        "def make():\n"
        "    assert os.environb[b'WORKBENCH_NOTE'] == b'caf\\xe9'\n"
        "    x = torch.rand(8, 1, 4, 4)\n"
        "    return (x, torch.arange(8) % 2), (x, torch.arange(8) % 2)\n"
    )
    run = start("train.epochs=1", f"data.name={tmp_path}/data.py:make")
    wait_for_end(run)
    assert is_forked(run) and read_report(run).status is Status.FINISHED, read_report(run).reason
