"""Live changes of a real run from the command line, and that its record and weights follow them."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.runs.test_status import holding
from tests.worker.support import make_run, outcome, run_until, same
from workbench.cli.commands import control
from workbench.cli.commands.control import epochs_request_values, lr_request_values
from workbench.cli.follow import wait_for_end
from workbench.cli.main import run
from workbench.core.errors import UserError
from workbench.io.record_codec import read_record, write_record
from workbench.runs import locks
from workbench.runs.enums import Cause, Outcome, Phase
from workbench.runs.journal import Journal, SettingChange, read_journal
from workbench.runs.records import Heartbeat, RequestValues
from workbench.runs.run_folder import RunFolder
from workbench.runs.run_report import read_report
from workbench.runs.status import Status, status_of

SETTINGS = {"epochs": 100_000, "log_every": 5, "optimizer": "sgd", "momentum": 0.9, "lr": 0.01}


def until(condition: Callable[[], Any], what: str, seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"no {what} within {seconds} s"
        time.sleep(0.02)


@pytest.fixture
def live_run(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunFolder]:
    """A long run in real processes, started from a folder with a module that must not be imported."""
    (tmp_path / "msgspec.py").write_text("raise SystemExit('imported from the working directory')")
    monkeypatch.chdir(tmp_path)
    folder = make_run(home, SETTINGS)
    assert run(["resume", folder.id, "--detach"]) == 0
    until(lambda: written(folder) > 5000, "first epochs")
    yield folder
    for process in processes_of(folder):
        process.kill()


def written(folder: RunFolder) -> int:
    """Bytes of metrics: they grow with the steps."""
    return folder.metrics.stat().st_size if folder.metrics.exists() else 0


def beat_of(folder: RunFolder) -> Heartbeat:
    return read_record(folder.heartbeat, Heartbeat) or Heartbeat()


def changes_of(folder: RunFolder) -> list[SettingChange]:
    return [record for record in read_journal(folder.journal) if isinstance(record, SettingChange)]


def request(capsys: pytest.CaptureFixture[str], *command: str) -> dict[str, Any]:
    """Run a command with `--json` and return the document that it printed."""
    capsys.readouterr()
    code = run([*command, "--json"])
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert (code == 0) == document["done"], document
    return document


def test_a_changed_and_paused_run_is_reproduced_by_its_journal(
    live_run: RunFolder, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = live_run
    assert "0.01 → 0.02" in request(capsys, "lr", "last", "x2")["answer"]
    assert request(capsys, "pause", "last")["phase"] == "paused"
    assert "0.02 → 0.005" in request(capsys, "lr", "last", "/4")["answer"]
    assert "100000 → 99999" in request(capsys, "epochs", "last", "-1")["answer"]
    assert request(capsys, "continue", "last")["outcome"] == Outcome.DONE
    saved = request(capsys, "checkpoint", "last")["answer"]
    (step,) = re.findall(r"step (\d+)", saved)
    assert int(step) > max(change.step for change in changes_of(folder))
    refused = request(capsys, "lr", "last", "5000")
    assert (refused["done"], refused["outcome"]) == (False, Outcome.REJECTED)
    assert run(["epochs", "last", "-999999"]) == 2
    assert re.search(rf"{folder.id}: epochs -999999: .*train\.epochs", capsys.readouterr().err)
    assert request(capsys, "continue", "last")["done"]
    assert read_report(folder).phase is not Phase.PAUSED

    assert run(["show", "last"]) == 0
    shown = capsys.readouterr().out
    for words in (
        "running, ",
        "  best val accuracy ",
        "  now   lr 0.005",
        "  lr 0.01 → 0.02\n",
        "  paused\n",
    ):
        assert words in shown

    suspend_and_continue(folder, capsys)
    end_soon(folder, capsys)
    wait_for_end(folder)
    assert read_report(folder).status is Status.FINISHED and read_report(folder).exact

    uncut = make_run(home, SETTINGS)
    journal = Journal(uncut.journal)
    for change in changes_of(folder):
        journal.append(change)
    journal.close()
    run_until(uncut, None)
    assert same(outcome(folder), outcome(uncut))


def end_soon(folder: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    """Request few more epochs; a number that the run has passed meanwhile is rejected."""
    more = 2
    while not request(capsys, "epochs", "last", str(read_report(folder).epoch + more))["done"]:
        more *= 2


def suspend_and_continue(folder: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    """Pause with `--suspend`: the worker is gone, the run is still live and answers."""
    assert "its memory is free" in request(capsys, "pause", "last", "--suspend")["answer"]
    until(lambda: len(processes_of(folder)) == 1, "end of the worker")
    until(lambda: locks.holder_pid(folder.lock, locks.WRITER), "holder of the paused run")
    before = written(folder)
    assert (status_of(folder), read_report(folder).phase) == (Status.RUNNING, Phase.PAUSED)
    assert run(["runs"]) == 0 and " paused " in capsys.readouterr().out
    assert "0.005 → 0.01 from step" in request(capsys, "lr", "last", "x2")["answer"]
    assert not request(capsys, "lr", "last", "5000")["done"]
    assert request(capsys, "epochs", "last", "-9")["epochs_total"] == 99_990
    beat = beat_of(folder)
    assert beat.epochs_total == 99_990
    until(lambda: beat_of(folder).counter > beat.counter, "heartbeat")
    assert request(capsys, "continue", "last")["done"]
    until(lambda: written(folder) > before, "more steps")


def processes_of(folder: RunFolder) -> list[psutil.Process]:
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if str(folder.path) in (process.info["cmdline"] or ())
    ]


def test_a_suspended_run_is_stopped(live_run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    request(capsys, "pause", "last", "--release")  # the name of --suspend in 0.1.0
    request(capsys, "lr", "last", "/2")
    assert locks.holder_pid(live_run.lock, locks.WRITER), "no other process may write while it is paused"
    assert run(["stop", "last", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["status"], document["cause"]) == (Status.STOPPED, Cause.REQUESTED)
    until(lambda: not processes_of(live_run), "end of all processes")
    assert run(["pause", "last"]) == 2
    assert "accepts no requests" in capsys.readouterr().err


def test_a_run_that_does_not_answer_is_named_with_its_phase(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A process that holds the run's locks, as a worker does, and reads no requests."""
    monkeypatch.setattr(control, "ANSWER_TIMEOUT", 0.3)
    folder = make_run(home, SETTINGS)
    write_record(folder.heartbeat, Heartbeat(phase=Phase.LOADING))
    with holding(folder, locks.SUPERVISOR, locks.WRITER):
        assert run(["checkpoint", folder.id]) == 1
    output = capsys.readouterr()
    assert output.out == "" and len(output.err.splitlines()) == 1
    assert "no answer within 0 s because the run is loading" in output.err


def test_accepted_learning_rates_and_epochs() -> None:
    assert lr_request_values("0.01") == RequestValues(value=0.01)
    assert lr_request_values("x2") == lr_request_values("×2") == RequestValues(times=2.0)
    assert lr_request_values("/4") == RequestValues(times=0.25)
    assert epochs_request_values("20") == RequestValues(value=20)
    assert (epochs_request_values("+5"), epochs_request_values("-3")) == (
        RequestValues(add=5),
        RequestValues(add=-3),
    )
    for wrong in ("", "x", "abc", "nan", "-1", "0", "/0", "1e999"):
        with pytest.raises(UserError, match="lr must be"):
            lr_request_values(wrong)
    for wrong in ("", "+", "2.5", "x2", "٣", "9" * 40):
        with pytest.raises(UserError, match="epochs must be"):
            epochs_request_values(wrong)
