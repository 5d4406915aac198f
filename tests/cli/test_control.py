"""Steering a real run from the command line, and that its record and its weights are what it says."""

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
from workbench.cli.commands.control import epoch_values, rate_values
from workbench.cli.follow import wait_for_end
from workbench.cli.main import run
from workbench.core.errors import BadInput
from workbench.io.record_codec import read_record, write_record
from workbench.runs import locks
from workbench.runs.enums import Cause, Outcome, Phase
from workbench.runs.journal import Journal, SettingChange, read_journal
from workbench.runs.records import Heartbeat, RequestValues
from workbench.runs.run_folder import RunFolder
from workbench.runs.run_report import report_of
from workbench.runs.status import Status, status_of

SETTINGS = {"epochs": 100_000, "report_every": 5, "optimizer": "sgd", "momentum": 0.9, "lr": 0.01}


def until(condition: Callable[[], Any], what: str, seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"no {what} within {seconds} s"
        time.sleep(0.02)


@pytest.fixture
def going_on(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunFolder]:
    """A long run in real processes, started from a folder that holds a file which must not be taken for code."""
    (tmp_path / "msgspec.py").write_text("raise SystemExit('taken for code')")
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


def asked(capsys: pytest.CaptureFixture[str], *command: str) -> dict[str, Any]:
    """Run a command with `--json`; what it printed, once the run has answered."""
    capsys.readouterr()
    code = run([*command, "--json"])
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert (code == 0) == document["done"], document
    return document


def test_steered_paused_without_memory_and_the_same_in_the_end(
    going_on: RunFolder, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = going_on
    assert "0.01 → 0.02" in asked(capsys, "lr", "last", "x2")["answer"]
    assert asked(capsys, "pause", "last")["phase"] == "paused"
    assert "0.02 → 0.005" in asked(capsys, "lr", "last", "/4")["answer"]
    assert "100000 → 99999" in asked(capsys, "epochs", "last", "-1")["answer"]
    assert asked(capsys, "continue", "last")["outcome"] == Outcome.DONE
    saved = asked(capsys, "checkpoint", "last")["answer"]
    (step,) = re.findall(r"step (\d+)", saved)
    assert int(step) > max(change.step for change in changes_of(folder))
    refused = asked(capsys, "lr", "last", "5000")
    assert (refused["done"], refused["outcome"]) == (False, Outcome.REJECTED)
    assert run(["epochs", "last", "-999999"]) == 2
    assert re.search(rf"{folder.id}: epochs -999999: .*train\.epochs", capsys.readouterr().err)
    assert asked(capsys, "continue", "last")["done"]
    assert report_of(folder).phase is not Phase.PAUSED

    assert run(["show", "last"]) == 0
    shown = capsys.readouterr().out
    for words in ("running, ", "  best accuracy ", "  now   lr 0.005", "  lr 0.01 → 0.02\n", "  paused\n"):
        assert words in shown

    release_and_go_on(folder, capsys)
    asked(capsys, "epochs", "last", str(report_of(folder).epoch + 2))
    wait_for_end(folder)
    assert report_of(folder).status is Status.FINISHED and report_of(folder).exact

    uncut = make_run(home, SETTINGS)
    journal = Journal(uncut.journal)
    for change in changes_of(folder):
        journal.note(change)
    journal.close()
    run_until(uncut, None)
    assert same(outcome(folder), outcome(uncut))


def release_and_go_on(folder: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    """Pause with the memory given back: no worker is left, the run is still live, and answers."""
    assert "memory is given back" in asked(capsys, "pause", "last", "--release")["answer"]
    until(lambda: len(processes_of(folder)) == 1, "end of the worker")
    until(lambda: locks.holder_of(folder.lock, locks.WRITER), "holder of the paused run")
    before = written(folder)
    assert (status_of(folder), report_of(folder).phase) == (Status.RUNNING, Phase.PAUSED)
    assert run(["runs"]) == 0 and " paused " in capsys.readouterr().out
    assert "0.005 → 0.01 from step" in asked(capsys, "lr", "last", "x2")["answer"]
    assert not asked(capsys, "lr", "last", "5000")["done"]
    assert asked(capsys, "epochs", "last", "-9")["epochs_total"] == 99_990
    beat = beat_of(folder)
    assert beat.epochs_total == 99_990
    until(lambda: beat_of(folder).counter > beat.counter, "heartbeat")
    assert asked(capsys, "continue", "last")["done"]
    until(lambda: written(folder) > before, "more steps")


def processes_of(folder: RunFolder) -> list[psutil.Process]:
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if str(folder.path) in (process.info["cmdline"] or ())
    ]


def test_a_released_run_is_stopped(going_on: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    asked(capsys, "pause", "last", "--release")
    asked(capsys, "lr", "last", "/2")
    assert locks.holder_of(going_on.lock, locks.WRITER), "nobody else may write while it is paused"
    assert run(["stop", "last", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["status"], document["cause"]) == (Status.STOPPED, Cause.REQUESTED)
    until(lambda: not processes_of(going_on), "end of all processes")
    assert run(["pause", "last"]) == 2
    assert "takes no requests" in capsys.readouterr().err


def test_a_run_that_does_not_answer_is_named_with_what_it_does(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A process that holds the run's locks, as a worker does, and reads no requests."""
    monkeypatch.setattr(control, "PATIENCE", 0.3)
    folder = make_run(home, SETTINGS)
    write_record(folder.heartbeat, Heartbeat(phase=Phase.LOADING))
    with holding(folder, locks.SUPERVISOR, locks.WRITER):
        assert run(["checkpoint", folder.id]) == 1
    said = capsys.readouterr()
    assert said.out == "" and len(said.err.splitlines()) == 1
    assert "no answer within 0 s: it is loading" in said.err


def test_what_rates_and_epochs_can_be() -> None:
    assert rate_values("0.01") == RequestValues(value=0.01)
    assert rate_values("x2") == rate_values("×2") == RequestValues(times=2.0)
    assert rate_values("/4") == RequestValues(times=0.25)
    assert epoch_values("20") == RequestValues(value=20)
    assert (epoch_values("+5"), epoch_values("-3")) == (RequestValues(add=5), RequestValues(add=-3))
    for wrong in ("", "x", "abc", "nan", "-1", "0", "/0", "1e999"):
        with pytest.raises(BadInput, match="lr takes"):
            rate_values(wrong)
    for wrong in ("", "+", "2.5", "x2", "٣", "9" * 40):
        with pytest.raises(BadInput, match="epochs takes"):
            epoch_values(wrong)
