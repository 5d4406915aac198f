"""Scripts as runs: started, stopped, resumed and killed as real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workbench.core.errors import UserError
from workbench.io.record_codec import read_record
from workbench.launcher import launch
from workbench.runs import locks
from workbench.runs.enums import Cause
from workbench.runs.records import Exit, Heartbeat
from workbench.runs.run_folder import RunFolder
from workbench.runs.run_report import read_report
from workbench.runs.scores import Score
from workbench.runs.script import Script, script_name
from workbench.runs.status import Status, status_of
from workbench.runs.store import Store

LIMIT = 60.0


def workbench(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    result = subprocess.run(
        [sys.executable, "-m", "workbench", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert not check or result.returncode == 0, result.stderr
    return result


def start(script: Path, **settings: Any) -> RunFolder:
    """Start a Python script in the background; its run."""
    command = (sys.executable, str(script))
    return launch.start_script(Script(command=command, working_directory=str(Path.cwd()), **settings), "test")


def stop(folder: RunFolder) -> Exit:
    """Stop a script; the record of its end."""
    launch.stop_run(folder)
    wait_for_end(folder)
    ended = read_record(folder.exit, Exit)
    assert ended is not None
    return ended


def wait_until(condition: Callable[[], bool], what: str) -> None:
    limit = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < limit, what
        time.sleep(0.02)


def wait_for_end(folder: RunFolder) -> Status:
    wait_until(lambda: not status_of(folder).live, "the run does not end")
    return status_of(folder)


def wait_for_output(folder: RunFolder, text: str) -> None:
    wait_until(lambda: folder.log.exists() and text in folder.log.read_text(), f"no {text!r} in the log")


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def write_script(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str, name: str = "job.py") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


WAITING = "import time\nprint('ready')\nwhile True:\n    time.sleep(0.05)\n"
IGNORING = (
    "import signal\nfor name in (signal.SIGINT, signal.SIGTERM):\n    signal.signal(name, signal.SIG_IGN)\n"
)
STUBBORN = IGNORING + WAITING


def test_the_output_the_exit_code_and_the_end_are_recorded(write_script: Callable[[str], Path]) -> None:
    script = write_script("import sys\nprint('out')\nprint('err', file=sys.stderr)\nsys.exit(3)\n")
    command = ("--", sys.executable, str(script))
    result = workbench(
        "run", "--json", "--name", "three", "--group", "g", "--tag", "a", *command, check=False
    )
    report = json.loads(result.stdout)
    assert result.returncode == 1
    assert (report["name"], report["group"], report["tags"], report["status"]) == (
        "three",
        "g",
        ["a"],
        "failed",
    )
    assert (report["exit_code"], report["cause"], report["reason"]) == (3, "error", "exit code 3: err")
    assert report["script"]["command"] == [sys.executable, str(script)]
    folder = RunFolder(Path(report["directory"]))
    assert folder.log.read_text().splitlines()[:2] == ["out", "err"]
    assert "out" in result.stderr, "the output is shown while the command waits"


@pytest.mark.parametrize(("text", "signals"), [(WAITING, "SIGINT"), (STUBBORN, "SIGKILL")])
def test_stop_interrupts_then_terminates_then_kills(
    write_script: Callable[[str], Path], text: str, signals: str
) -> None:
    folder = start(write_script(text), grace_seconds=0.3)
    wait_for_output(folder, "ready")
    stopped = stop(folder)
    assert (stopped.status, stopped.cause) == ("stopped", Cause.REQUESTED)
    assert stopped.exit_code in {-signal.Signals[signals], 130}


def test_nothing_that_a_script_started_outlives_it(write_script: Callable[[str], Path]) -> None:
    """A child in the process group, and one that has left it and was orphaned."""
    folder = start(write_script(
        "import os, subprocess, sys, time\n"
        "code = 'import os, time; os.write(1, str(os.getpid()).encode() + bytes([10])); time.sleep(600)'\n"
        "loop = [sys.executable, '-c', code]\n"
        "subprocess.Popen(loop)\n"
        "if os.fork() == 0:\n"
        "    subprocess.Popen(loop, start_new_session=True)\n"
        "    os._exit(0)\n" + WAITING
    ))  # fmt: skip
    wait_until(lambda: len(folder.log.read_text().split()) >= 3, "the children have started")
    pids = [int(word) for word in folder.log.read_text().split() if word.isdigit()]
    assert len(pids) == 2
    assert all(map(alive, pids))
    stop(folder)
    assert not any(map(alive, pids))


@pytest.mark.parametrize("victim", ["worker", "supervisor", "both"])
def test_a_script_ends_with_the_processes_that_watch_it(
    write_script: Callable[[str], Path], victim: str
) -> None:
    folder = start(write_script("import os\nprint(os.getpid())\n" + WAITING), grace_seconds=0.3)
    wait_for_output(folder, "ready")
    script = int(folder.log.read_text().split()[0])
    pids = {name: locks.holder_pid(folder.lock, byte) for name, byte in (("supervisor", 0), ("worker", 1))}
    for name, pid in pids.items():
        if victim in {name, "both"} and pid:
            os.kill(pid, signal.SIGKILL)
    expected = {"worker": Status.FAILED, "supervisor": Status.STOPPED, "both": Status.CRASHED}
    assert wait_for_end(folder) is expected[victim]
    wait_until(lambda: not alive(script), "the script lives on")


def test_resume_runs_the_command_again_in_the_same_folder(
    write_script: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its environment says so, and its working directory is the first one's."""
    monkeypatch.chdir(tmp_path)
    folder = start(write_script(
        "import os\nprint(os.environ['WORKBENCH_RUN'], os.environ.get('WORKBENCH_RESUME'), os.getcwd())\n"
    ))  # fmt: skip
    assert wait_for_end(folder) is Status.FINISHED
    monkeypatch.chdir("/")
    launch.resume_run(folder, {}, "test")
    assert wait_for_end(folder) is Status.FINISHED
    first, second = (line for line in folder.log.read_text().splitlines() if line.startswith("/"))
    assert (first, second) == (f"{folder.path} None {tmp_path}", f"{folder.path} 1 {tmp_path}")
    with pytest.raises(UserError, match="is a script"):
        launch.resume_run(folder, {"train.lr": 1.0}, "test")


def test_progress_lines_become_progress_and_epochs(write_script: Callable[[str], Path]) -> None:
    folder = start(write_script(
        "import time\nprint('Epoch 2/4')\n"
        "print('\\r 25%|██▌       | 5/20 [00:01<00:03,  5.00it/s, loss=0.3]', end='', flush=True)\ntime.sleep(600)\n"
    ))  # fmt: skip
    wait_until(
        lambda: (read_record(folder.heartbeat, Heartbeat) or Heartbeat()).progress is not None, "no progress"
    )
    beat = read_record(folder.heartbeat, Heartbeat)
    assert beat is not None
    assert beat.progress is not None
    assert (beat.epoch, beat.epochs_total, beat.progress.done, beat.progress.total) == (1, 4, 5, 20)
    stop(folder)
    assert folder.log.read_text().count("5/20") == 1, "the last state of a progress bar is kept"


def test_a_pty_is_a_terminal_for_the_script(write_script: Callable[[str], Path]) -> None:
    script = write_script(
        "import os, sys\nprint(sys.stdout.isatty(), sys.stdout.isatty() and os.get_terminal_size().columns)\n"
    )
    plain, terminal = start(script), start(script, pty=True)
    assert wait_for_end(terminal) is wait_for_end(plain) is Status.FINISHED
    assert terminal.log.read_text().split() == ["True", "120"]
    assert plain.log.read_text().split() == ["False", "False"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--", "no-such-program"], "no-such-program is not found"),
        (["--cwd", "/no/such/folder", "--", "true"], "does not exist"),
        (["--grace", "-1", "--", "true"], "--grace"),
        (["--name", "last", "--", "true"], "invalid run name"),
        (["--device", "cuda:7", "--", "true"], "cuda:7"),
        ([], "COMMAND"),
    ],
)
def test_bad_input_is_one_line_and_leaves_no_run(arguments: list[str], words: str, home: Path) -> None:
    result = workbench("run", *arguments, check=False)
    assert result.returncode == 2
    assert words in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not list(home.glob("runs/2*"))


def test_a_script_that_is_gone_at_its_resume_is_named(write_script: Callable[[str], Path]) -> None:
    script = write_script("#!/bin/sh\nexit 0\n", "job.sh")
    script.chmod(0o700)
    folder = launch.start_script(Script(command=(str(script),), working_directory=str(script.parent)), "test")
    assert wait_for_end(folder) is Status.FINISHED
    script.unlink()
    with pytest.raises(UserError, match=r"job\.sh is not found"):
        launch.resume_run(folder, {}, "test")


def test_an_end_by_a_signal_is_named(write_script: Callable[[str], Path]) -> None:
    folder = start(write_script("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n"))
    assert wait_for_end(folder) is Status.FAILED
    ended = read_record(folder.exit, Exit)
    assert ended is not None
    assert (ended.cause, ended.exit_code, ended.reason) == (Cause.CRASH, -signal.SIGSEGV, "killed by SIGSEGV")


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (("python", "train.py", "--lr", "1"), "train"),
        (("torchrun", "--nproc-per-node", "2", "src/finetune.py"), "finetune"),
        (("python", "-m", "torch.distributed.run", "main.py"), "main"),
        (("python", "-m", "package.train"), "train"),
        (("./run.sh",), "run-sh"),
        (("make", "all"), "make"),
    ],
)
def test_the_default_name_is_the_scripts(command: tuple[str, ...], name: str) -> None:
    assert script_name(command) == name


def test_a_command_line_is_quoted_as_for_a_shell() -> None:
    assert Script(command=("python", "a b.py", "$x")).command_line == "python 'a b.py' '$x'"


@pytest.mark.parametrize("named", [True, False])
def test_logs_that_a_script_writes_by_itself_are_its_metrics(
    write_script: Callable[[str], Path], tmp_path: Path, named: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Named with `--logs`, or found to grow below the working directory; an older log there is left out."""
    monkeypatch.chdir(tmp_path)
    old = tmp_path / "old" / "metrics.csv"
    old.parent.mkdir()
    old.write_text("step,epoch,stale\n1,0,1\n")
    os.utime(old, (1e9, 1e9))
    folder = start(
        write_script(
            "from torch.utils.tensorboard import SummaryWriter\nwriter = SummaryWriter('events')\n"
            "for step in range(5):\n    writer.add_scalar('loss', 1 / (step + 1), step)\nwriter.close()\n"
        ),
        logs=(str(tmp_path / "events"),) if named else (),
    )
    assert wait_for_end(folder) is Status.FINISHED, folder.log.read_text()
    report = read_report(folder)
    assert {name for name in report.metrics if not name.startswith("machine/")} == {"loss"}
    assert (report.metrics["loss"].count, report.metrics["loss"].last_step) == (5, 4)
    assert report.metrics["loss"].last == pytest.approx(0.2)
    (row,) = Store.default().list_runs()
    assert row.newest_score == Score("", "loss", pytest.approx(0.2)) and row.step == 4
    assert Store.default().list_runs() == [row], "and from the index"
