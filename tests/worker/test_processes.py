"""Two processes train like one; whatever is killed, the run continues from its last checkpoint with the same bits."""

from __future__ import annotations

import math
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.folder_data import draw_classes
from tests.idle_model import IDLE_MODEL
from tests.worker import ranks
from tests.worker.kill_many import ended, finished
from tests.worker.support import (
    changes,
    evaluation_rows,
    last_checkpoint,
    make_run,
    notices,
    open_attempt,
    outcome,
    run_until,
    same,
    setup_of,
    step_rows,
)
from workbench.io.record_codec import read_record
from workbench.launcher import launch
from workbench.runs.checkpoint_index import newest_checkpoint_step, read_entries
from workbench.runs.enums import Cause, RequestKind
from workbench.runs.journal import attempts_of, read_journal
from workbench.runs.records import Exit, RequestValues
from workbench.runs.run_folder import RunFolder
from workbench.runs.run_report import read_report
from workbench.runs.status import Status

RESNET = {"name": "resnet", "depth": 8, "width": 2}
PLAIN = {"name": "mlp", "widths": [32], "dropout": 0.0}
IDLE = {"name": IDLE_MODEL}
STEPS = 35
"""Of an epoch with batches of 37: the last one has 32 samples; none can be halved evenly."""
SETTINGS = {"batch_size": 37, "epochs": 2, "log_every": 1, "optimizer": "sgd", "lr": 0.05, "momentum": 0.9}


@pytest.mark.parametrize(
    ("settings", "model"),
    [
        ({}, PLAIN),
        ({"class_weights": "balanced", "balanced_sampling": True, "micro_batch": 5}, PLAIN),
        ({"augment": ["crop", "mixup"], "label_smoothing": 0.1, "max_grad_norm": 1.0}, PLAIN),
    ],
)
def test_two_processes_train_like_one(home: Any, settings: dict[str, Any], model: dict[str, Any]) -> None:
    one = make_run(home, {**SETTINGS, **settings}, model)
    run_until(one, None)
    two = finished(ranks.start(model, **SETTINGS, **settings))
    pairs = list(zip(step_rows(one), step_rows(two), strict=True))
    assert len(pairs) == 2 * STEPS
    for alone, together in pairs[:50]:
        assert together.loss == pytest.approx(alone.loss, rel=1e-4), alone.step
        assert together.accuracy == pytest.approx(alone.accuracy, abs=0.03), alone.step
    for alone, together in zip(evaluation_rows(one), evaluation_rows(two), strict=True):
        assert together.accuracy == pytest.approx(alone.accuracy, abs=0.01)
        assert (together.step, together.split) == (alone.step, alone.split)


@pytest.mark.parametrize(
    ("settings", "model"),
    [
        ({"optimizer": "adam", "augment": ["crop"], "log_every": 7, "ema": 0.99}, None),
        ({"freeze_epochs": 1, "lookahead": 3, "augment": ["mixup"], "batch_size": 128, "swa": 0.3}, RESNET),
        (
            {
                "fsdp": True,
                "optimizer": "adam",
                "lookahead": 3,
                "augment": ["crop"],
                "log_every": 7,
                "ema": 0.99,
            },
            RESNET,
        ),
    ],
)
def test_a_killed_rank_leads_back_to_the_last_checkpoint(
    settings: dict[str, Any], model: dict[str, Any] | None
) -> None:
    settings = {**SETTINGS, "epochs": 4, "checkpoint_seconds": 0.05, **settings}
    uncut = finished(ranks.start(model, **settings))
    cut = ranks.start(model, **settings)
    chance = random.Random()
    for kills in range(2):
        before = newest_checkpoint_step(cut)
        ranks.wait_for(lambda before=before: newest_checkpoint_step(cut) > before or not_live(cut), cut)
        if not_live(cut):
            break
        pids, victim = ranks.processes(cut), chance.choice((0, 1))
        os.kill(ranks.ranks(cut)[victim], signal.SIGKILL)
        assert ended(cut) is Status.FAILED, kills
        ranks.wait_for(lambda pids=pids: ranks.all_gone(pids), cut)
        end = read_record(cut.exit, Exit)
        assert end is not None
        assert (end.cause, f"rank {victim} was killed by SIGKILL" in (end.reason or "")) == (
            Cause.CRASH,
            True,
        ), end
        launch.resume_run(cut, {}, "test")
    assert same(outcome(finished(cut)), outcome(uncut))
    assert read_report(cut).exact


def not_live(folder: RunFolder) -> bool:
    return folder.exit.exists() and read_report(folder).status is Status.FINISHED


@pytest.mark.parametrize("victim", ["agent", "supervisor"])
def test_no_process_is_left_behind(victim: str) -> None:
    folder = ranks.start(IDLE, **{**SETTINGS, "epochs": 5000})
    ranks.wait_for(lambda: newest_checkpoint_step(folder), folder)
    pids = ranks.processes(folder)
    assert len(pids) == 4
    os.kill(ranks.agent(folder) if victim == "agent" else ranks.supervisor(folder), signal.SIGKILL)
    ranks.wait_for(lambda: ranks.all_gone(pids), folder)
    if victim == "supervisor":  # the ranks saw it and saved a checkpoint
        end = read_record(folder.exit, Exit)
        assert end is not None and end.cause is Cause.SUPERVISOR_ENDED


def test_another_world_size_resumes_and_is_not_exact() -> None:
    folder = finished(ranks.start(**SETTINGS))
    for count, epochs in ((1, 3), (2, 4)):
        launch.resume_run(folder, {"train.processes": count, "train.epochs": epochs}, "test")
        finished(folder)
        assert setup_of(folder).processes == last_checkpoint(folder)["processes"] == count
    inexact = [notice.text for notice in notices(folder) if not notice.exact]
    assert inexact == [
        "resumed, but not exactly: world size 1 instead of 2",
        "resumed, but not exactly: world size 2 instead of 1",
    ]
    assert [row.step for row in step_rows(folder)] == list(range(1, 4 * STEPS + 1))
    assert not read_report(folder).exact


def test_requests_reach_all_processes_at_the_same_step() -> None:
    folder = ranks.start(PLAIN, **{**SETTINGS, "epochs": 5000, "log_every": 5})
    ranks.wait_for(lambda: step_rows(folder), folder)
    for kind, values in (
        (RequestKind.LR, RequestValues(value=0.01)),
        (RequestKind.PAUSE, RequestValues()),
        (RequestKind.CONTINUE, RequestValues()),
        (RequestKind.CHECKPOINT, RequestValues()),
        (RequestKind.EPOCHS, RequestValues(value=4000)),
        (RequestKind.STOP, RequestValues()),
    ):
        name = launch.send_request(folder, kind, values)
        ranks.wait_for(lambda name=name: answer_of(folder, name), folder)
    assert ended(folder) is Status.STOPPED
    (change, _) = changes(folder)
    assert change.setting == "train.lr"
    rows = {row.step: row for row in step_rows(folder)}
    after = min(step for step in rows if step > change.step)
    assert (rows[after].lr, rows[max(1, change.step // 5) * 5].lr) == (0.01, 0.05)
    end = read_record(folder.exit, Exit)
    assert end is not None and end.cause is Cause.REQUESTED
    # The processes have stayed in step: where the weights of the ranks differed, the loss would rise at the resume.
    stopped = newest_checkpoint_step(folder)
    launch.resume_run(folder, {"train.epochs": stopped // STEPS + 2}, "test")
    finished(folder)
    assert read_report(folder).exact


def answer_of(folder: RunFolder, name: str) -> bool:
    return (folder.answered_requests / f"{name}.json").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_signals_reach_the_run(number: signal.Signals) -> None:
    folder = ranks.start(IDLE, **{**SETTINGS, "epochs": 5000, "checkpoint_seconds": 10_000.0})
    ranks.wait_for(lambda: step_rows(folder), folder)
    before, pids = newest_checkpoint_step(folder), ranks.processes(folder)
    os.kill(ranks.supervisor(folder), number)
    if number == signal.SIGUSR1:
        ranks.wait_for(lambda: newest_checkpoint_step(folder) > before, folder)
        os.kill(ranks.supervisor(folder), signal.SIGTERM)
    assert ended(folder) is Status.STOPPED
    end = read_record(folder.exit, Exit)
    assert end is not None and end.cause is Cause.SIGNAL
    ranks.wait_for(lambda: ranks.all_gone(pids), folder)
    assert newest_checkpoint_step(folder) > before


@pytest.mark.parametrize(("on_nan", "fsdp"), [("stop", False), ("rollback", False), ("rollback", True)])
def test_a_loss_that_is_not_finite_is_seen_by_all_processes(on_nan: str, fsdp: bool, tmp_path: Path) -> None:
    """The loss of one process is NaN; neither may apply the update."""
    source = tmp_path / "net.py"
    source.write_text(SPIKE)
    settings = {**SETTINGS, "epochs": 3, "on_nan": on_nan, "fsdp": fsdp, "checkpoint_seconds": 0.05}
    folder = launch.start_run(ranks.experiment({"name": f"{source}:Net"}, **settings), "test")
    status = ended(folder)
    texts = [notice.text for notice in notices(folder)]
    if on_nan == "stop":
        end = read_record(folder.exit, Exit)
        assert status is Status.FAILED
        assert end is not None and end.cause is Cause.NON_FINITE_LOSS
        assert "the loss became NaN or infinite at step" in (end.reason or "")
    else:
        assert status is Status.FINISHED
        assert sum("rolled back to step" in text for text in texts) == 1, texts
        assert all(math.isfinite(row.loss or 0) for row in step_rows(folder))
        assert [row.step for row in step_rows(folder)] == list(range(1, 3 * STEPS + 1))
    assert all(torch.isfinite(value).all() for value in last_checkpoint(folder)["model"].values())


SPIKE = """
import os
from torch import nn

class Net(nn.Module):
    def __init__(self, classes, shape):
        super().__init__()
        self.layer, self.steps = nn.Linear(64, classes), 0

    def forward(self, x):
        self.steps += self.training
        bad = self.steps == 40 and os.environ["RANK"] == "1"
        return self.layer(x.flatten(1)) * (float("nan") if bad else 1)
"""


def test_a_failure_of_another_rank_is_the_end_of_the_run(tmp_path: Path) -> None:
    source = tmp_path / "net.py"
    source.write_text(FAILING)
    folder = launch.start_run(ranks.experiment({"name": f"{source}:Net"}, **SETTINGS), "test")
    assert ended(folder) is Status.FAILED
    end = read_record(folder.exit, Exit)
    assert end is not None
    assert (end.reason or "").startswith("rank 1: ValueError: too much"), end
    assert "ValueError: too much" in folder.rank_log(1).read_text()


FAILING = """
import os
from torch import nn

class Net(nn.Module):
    def __init__(self, classes, shape):
        super().__init__()
        self.layer, self.steps = nn.Linear(64, classes), 0

    def forward(self, x):
        self.steps += self.training
        if self.steps == 30 and os.environ.get("RANK") == "1":
            raise ValueError("too much")
        return self.layer(x.flatten(1))
"""


def test_each_process_may_have_its_own_batch_size() -> None:
    folder = finished(ranks.start(PLAIN, **{**SETTINGS, "epochs": 1, "batch_per_process": 37}))
    assert setup_of(folder).steps_per_epoch == STEPS // 2 + 1
    (notice,) = (notice.text for notice in notices(folder) if "batch_per_process" in notice.text)
    assert notice == (
        "train.batch_per_process: each step has 74 samples, 37 in each of 2 processes; the learning rate stays 0.05 "
        "(in proportion to the batch size it would be train.lr=0.1)"
    )


def test_the_ranks_can_be_programs_of_their_own(home: Path) -> None:
    """As on GPUs: there a forked process could not use CUDA."""
    folder = make_run(home, {**SETTINGS, "epochs": 1, "processes": 2}, PLAIN)
    open_attempt(folder, processes=2)
    code = f"""
from workbench.runs.journal import attempts_of, read_journal
from workbench.runs.run_folder import RunFolder
from workbench.worker import agent
from workbench.worker.elastic import run_ranks
from pathlib import Path
folder = RunFolder(Path({str(folder.path)!r}))
attempt = attempts_of(read_journal(folder.journal))[-1]
raise SystemExit(agent.end_code(folder, attempt, run_ranks(folder, attempt, forked=False)))
"""
    with subprocess.Popen([sys.executable, "-c", code, str(folder.path)], stdin=subprocess.PIPE) as process:
        assert process.wait(ranks.LIMIT) == 0
    assert setup_of(folder).processes == 2
    assert len(step_rows(folder)) == STEPS


def test_a_model_with_unused_parameters_trains(tmp_path: Path) -> None:
    source = tmp_path / "net.py"
    source.write_text(UNUSED)
    finished(
        launch.start_run(ranks.experiment({"name": f"{source}:Net"}, **{**SETTINGS, "epochs": 1}), "test")
    )


UNUSED = """
from torch import nn

class Net(nn.Module):
    def __init__(self, classes, shape):
        super().__init__()
        self.used, self.other = nn.Linear(64, classes), nn.Linear(3, 3)

    def forward(self, x):
        return self.used(x.flatten(1))
"""


def test_decoded_images_are_mapped_from_one_cache(home: Path, tmp_path: Path) -> None:
    draw_classes(tmp_path / "shapes", circle=40, square_=37)
    settings, data = {**SETTINGS, "epochs": 1, "batch_size": 10}, f"folder:{tmp_path / 'shapes'}"
    runs = [
        finished(
            launch.start_run(
                ranks.experiment({"name": "convnet"}, data=data, **settings, processes=count), "test"
            )
        )
        for count in (2, 1)
    ]
    assert setup_of(runs[0]).execution["data"] == "mapped from the cache by 2 processes"
    assert len({last_checkpoint(folder)["fingerprint"] for folder in runs}) == 1


def test_synchronized_batch_norm_is_refused_on_a_cpu() -> None:
    folder = ranks.start(RESNET, **{**SETTINGS, "sync_batch_norm": True})
    assert ended(folder) is Status.FAILED
    end = read_record(folder.exit, Exit)
    assert end is not None and end.cause is Cause.INVALID_INPUT
    assert (end.reason or "").startswith("train.sync_batch_norm needs GPUs")


def test_a_suspended_run_continues_with_all_processes() -> None:
    folder = ranks.start(IDLE, **{**SETTINGS, "epochs": 5000})
    ranks.wait_for(lambda: step_rows(folder), folder)
    before = ranks.ranks(folder)
    launch.send_request(folder, RequestKind.PAUSE, RequestValues(suspend=True))
    ranks.wait_for(lambda: ranks.all_gone(before), folder)
    ranks.wait_for(lambda: read_report(folder).phase == "paused", folder)
    paused = newest_checkpoint_step(folder)
    launch.send_request(folder, RequestKind.CONTINUE)
    ranks.wait_for(lambda: newest_checkpoint_step(folder) > paused, folder)
    assert len(ranks.ranks(folder)) == 2, "copies of a fresh interpreter show their whole commands too"
    launch.stop_run(folder)
    assert ended(folder) is Status.STOPPED
    assert [attempt.processes for attempt in attempts_of(read_journal(folder.journal))] == [2, 2]
    assert read_report(folder).exact


def test_a_stop_during_an_evaluation_ends_all_processes(tmp_path: Path) -> None:
    source = tmp_path / "net.py"
    source.write_text(SLOW)
    settings = {**SETTINGS, "epochs": 2, "evaluation_batch": 4}
    folder = launch.start_run(ranks.experiment({"name": f"{source}:Net"}, **settings), "test")
    ranks.wait_for(lambda: read_report(folder).phase == "evaluating", folder)
    launch.stop_run(folder)
    assert ended(folder) is Status.STOPPED
    (entry,) = read_entries(folder)
    assert (entry.step, entry.epoch) == (STEPS, 0), "the epoch is not counted before it is evaluated"
    source.write_text(SLOW.replace("0.05", "0"))
    launch.resume_run(folder, {}, "test")
    finished(folder)
    assert [row.step for row in step_rows(folder)] == list(range(1, 2 * STEPS + 1))


SLOW = """
import time
from torch import nn

class Net(nn.Module):
    def __init__(self, classes, shape):
        super().__init__()
        self.layer = nn.Linear(64, classes)

    def forward(self, x):
        time.sleep(0 if self.training else 0.05)
        return self.layer(x.flatten(1))
"""
