"""Real worker processes on real digits."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

import torch

from tests.training.support import Worker, last_checkpoint, make_run, outcome, same
from workbench.runs import control
from workbench.runs.records import Journal, read_lines

FULL = {
    "epochs": 12,
    "optimizer": "sgd",
    "lr": 0.05,
    "momentum": 0.9,
    "nesterov": True,
    "weight_decay": 1e-4,
    "schedule": "one-cycle",
    "augment": ["crop", "rotate", "erase"],
    "checkpoint_seconds": 0.01,
    "clip_norm": 5.0,
}


def test_a_killed_run_ends_as_one_never_cut(home: Path) -> None:
    uncut = make_run(home, FULL)
    assert Worker(uncut).ended()["status"] == "finished"

    cut = make_run(home, FULL)
    first = Worker(cut)
    first.wait_for(lambda: first.step() > 0)
    first.signal(signal.SIGKILL)
    assert first.ended() == {}
    reached = first.step()
    assert 0 < reached < 12 * 41

    second = Worker(cut)
    second.wait_for(lambda: second.step() > reached)
    second.signal(signal.SIGTERM)
    end = second.ended()
    assert (end["status"], end["reason"], end["attempt"]) == ("stopped", "stopped by SIGTERM", 2)

    third = Worker(cut)
    assert third.ended()["status"] == "finished"
    assert same(outcome(cut), outcome(uncut))
    journal = read_lines(cut.journal)
    assert not any("exact" in record for record in journal)
    training = [record for record in journal if record.get("phase") == "training"]
    assert [(r["attempt"], r["device"], r["threads"]) for r in training] == [(n, "cpu", 1) for n in (1, 2, 3)]


def test_a_loss_that_is_no_number_fails_and_keeps_the_last_good_checkpoint(home: Path) -> None:
    deep = {"name": "mlp", "widths": [64, 64, 64], "dropout": 0.0}
    folder = make_run(home, {"optimizer": "sgd", "lr": 0.1, "momentum": 0.9, "epochs": 20}, deep)
    journal = Journal(folder.journal)
    journal.note("change", setting="train.lr", value=1000.0, step=60)
    journal.close()
    worker = Worker(folder)
    end = worker.ended()
    assert worker.process.returncode == 1
    assert end["status"] == "failed"
    found = re.search(r"the loss became (NaN|infinite) at step (\d+)", end["reason"])
    assert found
    assert int(found[2]) > 60
    assert "\n" not in end["reason"]
    kept = last_checkpoint(folder)
    assert kept["step"] == 41
    assert all(torch.isfinite(t).all() for t in kept["model"].values())
    assert "Traceback" not in folder.log.read_text()


def test_requests_are_answered(home: Path) -> None:
    folder = make_run(home, {"epochs": 100_000})
    worker = Worker(folder)
    worker.wait_for(lambda: worker.step() > 0)

    def asked(what: str, **values: float) -> str:
        request = control.ask(folder, what, 1, **values)
        worker.wait_for(lambda: control.answer_to(folder, request) is not None)
        return control.answer_to(folder, request) or ""

    saved = worker.step()
    worker.signal(signal.SIGUSR1)
    worker.wait_for(lambda: worker.step() > saved)
    assert asked("pause").startswith("paused at step")
    assert asked("continue") == "going on"
    assert "0.001 → 0.0005" in asked("lr", times=0.5)
    assert asked("lr", value=-1.0).startswith("not done: train.lr")
    assert "epochs 100000 → 90000" in asked("epochs", add=-10_000)
    assert asked("checkpoint").startswith("saved at step")
    request = control.ask(folder, "stop", 1)
    assert worker.ended()["reason"] == "stopped on request"
    assert control.answer_to(folder, request) == "checkpointing and stopping"
    changes = [r for r in read_lines(folder.journal) if r["kind"] == "change"]
    assert [(c["setting"], c["value"]) for c in changes] == [("train.lr", 0.0005), ("train.epochs", 90_000)]
    heartbeat = json.loads(folder.heartbeat.read_text())
    assert heartbeat["phase"] == "stopped"
    assert heartbeat["step"] == last_checkpoint(folder)["step"]
    assert heartbeat["steps_total"] == 90_000 * 41


def test_it_ends_with_its_supervisor(home: Path) -> None:
    folder = make_run(home, {"epochs": 100_000})
    worker = Worker(folder)
    worker.wait_for(lambda: worker.step() > 0)
    assert worker.process.stdin is not None
    worker.process.stdin.close()
    assert worker.ended()["reason"] == "stopped because its supervisor ended"
    assert last_checkpoint(folder)["step"] > 0


def test_a_second_worker_keeps_away(home: Path) -> None:
    folder = make_run(home, {"epochs": 100_000})
    first = Worker(folder)
    first.wait_for(lambda: first.step() > 0)
    second = Worker(folder)
    assert second.ended() == {}
    assert second.process.returncode == 1
    assert "another process writes" in folder.log.read_text()
    first.signal(signal.SIGKILL)
    first.ended()


def test_an_experiment_that_can_not_be_is_said_in_one_line(home: Path) -> None:
    folder = make_run(home, {})
    folder.experiment.write_text('{"v": 1, "data": {"name": "nothing"}}')
    end = Worker(folder).ended()
    assert end["status"] == "failed"
    assert "\n" not in end["reason"]
    assert "Traceback" not in folder.log.read_text()
