"""The user's commands at the end of a run, through real supervisors and workers."""

from __future__ import annotations

import json
from pathlib import Path

import psutil
import pytest
from msgspec.structs import replace

from tests.cli.test_control import until
from workbench.cli.main import run
from workbench.config.experiment import build_experiment
from workbench.io.record_codec import read_record
from workbench.launcher import hooks, launch
from workbench.launcher.watchdog import StallDetector
from workbench.runs.enums import Cause, Ending, Phase, RequestKind
from workbench.runs.journal import Notice, read_journal
from workbench.runs.records import Heartbeat
from workbench.runs.run_folder import RunFolder
from workbench.runs.status import Status, status_of


def notices(folder: RunFolder) -> list[str]:
    return [record.text for record in read_journal(folder.journal) if isinstance(record, Notice)]


def test_the_command_of_a_finished_run_gets_its_metrics(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = home / "output"
    command = f"env | grep ^WORKBENCH_ > {output}.part && mv {output}.part {output}; exit 3"
    assert run(["train", "line-regression", "--name", "a-b", "--json",
                "--set", f"on_finish={command}"]) == 0  # fmt: skip
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert f"on_finish: the run will execute the command: {command}" in captured.err
    until(output.exists, "output of the command")
    values = dict(line.split("=", 1) for line in output.read_text().splitlines())
    assert values["WORKBENCH_STATUS"] == "finished"
    assert (values["WORKBENCH_RUN"], values["WORKBENCH_NAME"]) == (document["run"], "a-b")
    assert values["WORKBENCH_DIRECTORY"] == document["directory"]
    assert float(values["WORKBENCH_TEST_LOSS"]) == document["test"]["loss"]
    folder = RunFolder(Path(document["directory"]))
    until(lambda: any("on_finish exited with code 3" in text for text in notices(folder)), "notice")
    assert status_of(folder) is Status.FINISHED


SLOW_MODEL = """
import time
from torch import nn

class Net(nn.Module):
    def __init__(self, classes, shape):
        super().__init__()
        time.sleep(1000)
"""


def test_a_stalled_run_is_reported_once(tmp_path: Path, home: Path) -> None:
    (tmp_path / "net.py").write_text(SLOW_MODEL)
    output = home / "output"
    sets = [f"on_fail=echo $WORKBENCH_STATUS >> {output}", "stall_seconds=0.5"]
    folder = launch.start_run(
        build_experiment(dataset="digits", model=f"{tmp_path}/net.py:Net", sets=sets), "test"
    )
    until(lambda: any("no progress" in text for text in notices(folder)), "notice of the stall")
    until(output.exists, "output of the command")
    worker = read_record(folder.heartbeat, Heartbeat)
    assert worker is not None and worker.phase is Phase.LOADING
    launch.send_request(folder, RequestKind.STOP)
    assert output.read_text().splitlines()[0] == "stalled"
    end_by_force(folder)


def end_by_force(folder: RunFolder) -> None:
    """A worker that sleeps in user code reads no requests."""
    for process in psutil.process_iter(["cmdline"]):
        if str(folder.path) in (process.info["cmdline"] or ()):
            process.kill()
    until(lambda: not status_of(folder).live, "end")


def test_stalls_are_reported_once_and_again_after_progress() -> None:
    stall = StallDetector(10, now=0)
    beat = Heartbeat(attempt=1, phase=Phase.TRAINING, step=5)
    assert not stall.update(beat, 0)
    assert not stall.update(replace(beat, counter=7), 9)
    assert stall.update(beat, 11)
    assert not stall.update(beat, 30)
    assert not stall.update(replace(beat, step=6), 31)
    assert stall.update(replace(beat, step=6), 42)
    paused = replace(beat, phase=Phase.PAUSED)
    assert not stall.update(paused, 43)
    assert not stall.update(paused, 1000)
    never = StallDetector(0, now=0)
    assert not never.update(beat, 10**6)


@pytest.mark.parametrize(
    ("status", "cause", "setting"),
    [
        (Ending.FINISHED, Cause.COMPLETED, "on_finish"),
        (Ending.FINISHED, Cause.EARLY_STOPPING, "on_finish"),
        (Ending.FAILED, Cause.OUT_OF_MEMORY, "on_fail"),
        (Ending.FAILED, Cause.CRASH, "on_fail"),
        (Ending.FAILED, None, "on_fail"),
        (Ending.STOPPED, Cause.REQUESTED, None),
        (Ending.STOPPED, Cause.SIGNAL, None),
        (Ending.STOPPED, Cause.SUPERVISOR_ENDED, None),
        (Ending.STOPPED, Cause.DISK_FULL, "on_fail"),
    ],
)
def test_the_command_for_each_end(status: Ending, cause: Cause | None, setting: str | None) -> None:
    assert hooks.hook_setting(status, cause) == setting


def test_a_recipe_with_commands_has_start_warnings(tmp_path: Path) -> None:
    recipe = tmp_path / "mine.toml"
    recipe.write_text('on_fail = "curl \\u001b[31m"\n[data]\nname = "digits"\n[model]\nname = "mlp"\n')
    assert "on_fail: the run will execute the command: curl \x1b[31m" in launch.start_warnings(
        build_experiment(str(recipe))
    )
    assert not [line for line in launch.start_warnings(build_experiment("digits-mlp")) if "command" in line]


def test_a_command_that_hangs_is_killed(digits_run: RunFolder) -> None:
    assert hooks.run_hook(digits_run, "finished", "sleep 100 & wait", limit=0.3) == "timed out after 0 s"
    assert hooks.run_hook(digits_run, "finished", "test $WORKBENCH_TEST_ACCURACY") is None
    assert hooks.run_hook(digits_run, "finished", "kill -TERM $$") == "was killed by SIGTERM"
