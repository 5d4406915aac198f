"""Real worker processes on real digits."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import torch

from tests.worker.support import (
    Worker,
    change_lr,
    changes,
    last_checkpoint,
    make_run,
    notices,
    outcome,
    same,
)
from workbench.io.record_codec import read_record
from workbench.runs import requests
from workbench.runs.checkpoint_index import read_entries
from workbench.runs.enums import Cause, Ending, Outcome, Phase, RequestKind
from workbench.runs.journal import PhaseChange, read_journal
from workbench.runs.reader import RunReader
from workbench.runs.records import Heartbeat, RequestValues
from workbench.runs.requests import NO_VALUES, Answer
from workbench.ui.plots.pane import facts

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
    "max_grad_norm": 5.0,
}


def test_a_killed_run_ends_like_an_uninterrupted_one(home: Path) -> None:
    uncut = make_run(home, FULL)
    assert Worker(uncut).finishes()

    cut = make_run(home, FULL)
    first = Worker(cut)
    first.wait_for(lambda: first.step() > 0)
    first.signal(signal.SIGKILL)
    assert first.ended() is None
    reached = first.step()
    assert 0 < reached < 12 * 41

    second = Worker(cut)
    second.wait_for(lambda: second.step() > reached)
    second.signal(signal.SIGTERM)
    end = second.ended()
    assert end is not None
    assert (end.status, end.cause, end.attempt) == (Ending.STOPPED, Cause.SIGNAL, 2)
    assert end.reason == "stopped by SIGTERM"

    third = Worker(cut)
    assert third.finishes()
    assert same(outcome(cut), outcome(uncut))
    assert all(notice.exact for notice in notices(cut))
    phases = [line for line in read_journal(cut.journal) if isinstance(line, PhaseChange)]
    training = [line for line in phases if line.phase is Phase.TRAINING]
    assert [(line.attempt, line.device, line.threads) for line in training] == [
        (n, "cpu", 1) for n in (1, 2, 3)
    ]


def test_a_nan_loss_fails_and_keeps_the_last_good_checkpoint(home: Path) -> None:
    deep = {"name": "mlp", "widths": [64, 64, 64], "dropout": 0.0}
    folder = make_run(home, {"optimizer": "sgd", "lr": 0.1, "momentum": 0.9, "epochs": 20}, deep)
    change_lr(folder, 1000.0, step=60)
    worker = Worker(folder)
    end = worker.ended()
    assert worker.process.returncode == 1
    assert end is not None and end.reason is not None
    assert (end.status, end.cause) == (Ending.FAILED, Cause.NON_FINITE_LOSS)
    found = re.search(r"the loss became (NaN|infinite) at step (\d+)", end.reason)
    assert found
    assert int(found[2]) > 60
    assert "\n" not in end.reason
    kept = last_checkpoint(folder)
    assert kept["step"] == 41
    assert all(torch.isfinite(t).all() for t in kept["model"].values())
    assert "Traceback" not in folder.log.read_text()


def test_the_plots_pane_shows_the_age_of_the_newest_checkpoint(home: Path) -> None:
    folder = make_run(home, {"epochs": 100_000, "checkpoint_seconds": 1000.0})
    worker = Worker(folder)
    reader = RunReader(folder)

    worker.wait_for(lambda: reader.poll().heartbeat.checkpoint_saved_at)
    requests.send_request(folder, RequestKind.PAUSE, 1)
    worker.wait_for(lambda: reader.poll().heartbeat.phase is Phase.PAUSED)
    newest = read_entries(folder)[-1]
    worker.wait_for(lambda: reader.poll().heartbeat.checkpoint_saved_at == newest.time)
    assert "saved 40s ago" in facts(reader.poll(), 400, now=newest.time + 45.0).plain
    requests.send_request(folder, RequestKind.STOP, 1)
    end = worker.ended()
    assert end is not None and end.status is Ending.STOPPED
    reader.close()


def test_requests_are_answered(home: Path) -> None:
    folder = make_run(home, {"epochs": 100_000})
    worker = Worker(folder)
    worker.wait_for(lambda: worker.step() > 0)

    def asked(kind: RequestKind, values: RequestValues = NO_VALUES) -> Answer:
        request = requests.send_request(folder, kind, 1, values)
        worker.wait_for(lambda: requests.read_answer(folder, request) is not None)
        answer = requests.read_answer(folder, request)
        assert answer is not None
        return answer

    saved = worker.step()
    worker.signal(signal.SIGUSR1)
    worker.wait_for(lambda: worker.step() > saved)
    assert asked(RequestKind.PAUSE).text.startswith("paused at step")
    assert asked(RequestKind.CONTINUE) == Answer(Outcome.DONE, "training continues")
    assert "0.001 → 0.0005" in asked(RequestKind.LR, RequestValues(times=0.5)).text
    outcome, text = asked(RequestKind.LR, RequestValues(value=-1.0))
    assert (outcome, text[:8]) == (Outcome.REJECTED, "train.lr")
    assert "epochs 100000 → 90000" in asked(RequestKind.EPOCHS, RequestValues(add=-10_000)).text
    assert asked(RequestKind.CHECKPOINT).text.startswith("saved at step")
    request = requests.send_request(folder, RequestKind.STOP, 1)
    end = worker.ended()
    assert end is not None and (end.cause, end.reason) == (Cause.REQUESTED, "stopped on request")
    assert requests.read_answer(folder, request) == Answer(Outcome.DONE, "checkpointing and stopping")
    assert [(c.setting, c.value) for c in changes(folder)] == [("train.lr", 0.0005), ("train.epochs", 90_000)]
    heartbeat = read_record(folder.heartbeat, Heartbeat)
    assert heartbeat is not None
    assert heartbeat.phase is Phase.STOPPED
    assert heartbeat.step == last_checkpoint(folder)["step"]
    assert heartbeat.steps_total == 90_000 * 41
    assert heartbeat.checkpoint_saved_at == last_checkpoint(folder)["wall"]["time"]


def test_a_worker_stops_when_its_supervisor_ends(home: Path) -> None:
    folder = make_run(home, {"epochs": 100_000})
    worker = Worker(folder)
    worker.wait_for(lambda: worker.step() > 0)
    worker.supervisor.close()
    end = worker.ended()
    assert end is not None and end.cause is Cause.SUPERVISOR_ENDED
    assert last_checkpoint(folder)["step"] > 0


def test_a_second_worker_exits(home: Path) -> None:
    folder = make_run(home, {"epochs": 100_000})
    first = Worker(folder)
    first.wait_for(lambda: first.step() > 0)
    second = Worker(folder)
    assert second.ended() is None
    assert second.process.returncode == 1
    assert "another process is already writing" in folder.log.read_text()
    first.signal(signal.SIGKILL)
    first.ended()


def test_an_invalid_experiment_fails_with_one_line(home: Path) -> None:
    folder = make_run(home, {})
    folder.experiment.write_text('{"v": 1, "data": {"name": "nothing"}}')
    end = Worker(folder).ended()
    assert end is not None and end.reason is not None
    assert (end.status, end.cause) == (Ending.FAILED, Cause.INVALID_INPUT)
    assert "\n" not in end.reason
    assert "Traceback" not in folder.log.read_text()
