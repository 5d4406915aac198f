"""Runs that go wrong in a step and go on: back to a checkpoint, or in smaller parts."""

from __future__ import annotations

import math
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.worker.support import (
    change_lr,
    epoch_rows,
    last_checkpoint,
    make_run,
    metrics,
    notices,
    outcome,
    prepared,
    run_until,
    same,
    step_rows,
)
from tests.worker.support import changes as all_changes
from workbench.core.errors import NotEnoughMemory, RunFailed
from workbench.engine.nan_guard import Guard
from workbench.engine.train_state import TrainState
from workbench.runs.journal import SettingChange
from workbench.runs.metrics import StepRow
from workbench.runs.run_folder import RunFolder
from workbench.worker.recovery import Shortage, fitting, shortage

CPU = torch.device("cpu")
DEEP = {"name": "mlp", "widths": [64, 64, 64], "dropout": 0.1}
WILD = {"optimizer": "sgd", "lr": 0.1, "momentum": 0.9, "epochs": 3}
"""Learns well until a change of the learning rate makes it diverge."""


def wild_run(home: Path, **settings: Any) -> Any:
    folder = make_run(home, {**WILD, **settings}, DEEP)
    change_lr(folder, 400.0, step=50)
    return folder


def texts(folder: RunFolder) -> list[str]:
    return [notice.text for notice in notices(folder)]


def changes(folder: RunFolder) -> list[SettingChange]:
    """Those that the worker made by itself."""
    return [change for change in all_changes(folder) if change.cause is not None]


@pytest.mark.parametrize(("deferred", "every"), [(False, 4), (True, 4), (True, 1000)])
def test_the_step_is_named_and_the_last_good_checkpoint_kept(home: Path, deferred: bool, every: int) -> None:
    folder = wild_run(home, report_every=every)
    attempt = prepared(folder)
    attempt.state.guard = Guard(CPU, deferred=deferred)
    attempt.state._renew_optimizer()
    with pytest.raises(RunFailed, match=r"at step 5[1-9]; the last good checkpoint is kept"):
        attempt.train(attempt.steering)
    attempt.checkpoints.close()
    kept = last_checkpoint(folder)
    assert kept["step"] == 41
    assert all(torch.isfinite(t).all() for t in kept["model"].values())
    assert all(torch.isfinite(t).all() for t in attempt.state.module.state_dict().values())
    assert all(math.isfinite(row.loss or 0) for row in metrics(folder))
    assert {row.epoch for row in metrics(folder) if not isinstance(row, StepRow)} == {1}


def test_it_goes_back_with_half_the_learning_rate_until_that_holds(home: Path) -> None:
    folder = make_run(home, {**WILD, "lr": 30.0, "on_nan": "go_back"}, DEEP)
    run_until(folder, None)
    made = changes(folder)
    assert [c.value for c in made] == [15.0 / 2**n for n in range(len(made))]
    assert 0 < len(made) <= 5
    assert {c.step for c in made} == {0}
    steps = [row.step for row in step_rows(folder)]
    assert steps == sorted(set(steps))
    assert all(math.isfinite(row.loss or 0) for row in metrics(folder))
    assert "half the learning rate, 15 (1 of 5" in texts(folder)[0]


def test_a_run_that_went_back_resumes_exactly(home: Path) -> None:
    settings = {**WILD, "lr": 30.0, "on_nan": "go_back"}
    uncut, cut = make_run(home, settings, DEEP), make_run(home, settings, DEEP)
    run_until(uncut, None)
    run_until(cut, 60)
    run_until(cut, None)
    assert changes(cut)
    assert same(outcome(cut), outcome(uncut))


def test_it_goes_back_also_from_the_last_checkpoint(home: Path) -> None:
    folder = make_run(home, {**WILD, "epochs": 1, "on_nan": "go_back"}, DEEP)
    attempt = prepared(folder)

    class Spoils:
        """Makes the weights no numbers after the last step, the first time it gets there."""

        done = False

        def answer(self, state: TrainState) -> None:
            if state.step == attempt.epochs.steps and not self.done:
                self.done = True
                torch.nn.init.constant_(next(state.module.parameters()), float("nan"))

    attempt.train(Spoils())
    attempt.measure()
    attempt.checkpoints.close()
    attempt.report.metrics.close()
    assert [(c.step, c.value) for c in changes(folder)] == [(0, 0.05)]
    assert all(torch.isfinite(t).all() for t in last_checkpoint(folder)["model"].values())
    assert all(math.isfinite(row.loss or 0) for row in metrics(folder))


def test_it_gives_up_after_five_times(home: Path) -> None:
    folder = make_run(home, {**WILD, "lr": 1000.0, "on_nan": "go_back"}, DEEP)
    with pytest.raises(RunFailed, match="after going back 5 times"):
        run_until(folder, None)
    assert len(changes(folder)) == 5


NET = """
import torch
from torch import nn

class Net(nn.Module):
    'Fails as a device does when more than LIMIT examples come at once.'

    def __init__(self, classes, shape, training_limit=1000000, evaluation_limit=1000000):
        super().__init__()
        self.first, self.last = nn.Linear(torch.Size(shape).numel(), 32), nn.Linear(32, classes)
        self.norm, self.drop = nn.BatchNorm1d(32), nn.Dropout(0.1)
        self.training_limit, self.evaluation_limit = training_limit, evaluation_limit

    def forward(self, x):
        hidden = self.drop(self.norm(self.first(x.flatten(1))))
        if len(x) > (self.training_limit if self.training else self.evaluation_limit):
            raise torch.OutOfMemoryError(
                "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 79.15 GiB "
                "of which 12.00 MiB is free. Of the allocated memory 78 GiB is allocated by PyTorch."
            )
        return self.last(hidden.relu())
"""


def own_model(folder: Path, **options: Any) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    path = folder / "net.py"
    path.write_text(NET)
    return {"name": f"{path}:Net", **options}


def test_out_of_memory_says_wanted_and_free_and_what_would_fit(home: Path, tmp_path: Path) -> None:
    folder = make_run(home, {"epochs": 1, "batch_size": 48}, own_model(tmp_path / "own", training_limit=20))
    with pytest.raises(RunFailed) as failed:
        run_until(folder, None)
    assert (
        "out of memory on cpu with 48 examples at once (21.0 MB more were wanted, 12.6 MB were free)"
        in str(failed.value)
    )
    assert "train.batch_size=16 should fit" in str(failed.value)
    assert "train.auto_micro_batch=yes" in str(failed.value)


def test_a_batch_that_does_not_fit_is_computed_in_parts(home: Path, tmp_path: Path) -> None:
    model = own_model(tmp_path / "own", training_limit=20, evaluation_limit=100)
    settings = {"epochs": 2, "batch_size": 48, "auto_micro_batch": True, "class_weights": "balanced"}
    uncut, cut = make_run(home, settings, model), make_run(home, settings, model)
    run_until(uncut, None)
    found = [(c.setting, c.value, c.step) for c in changes(uncut)]
    assert found[0] == ("train.micro_batch", 16, 0)
    assert {setting for setting, _, _ in found[1:]} == {"train.evaluation_batch"}
    assert found[-1][1] == 64
    assert "batch norm sees the smaller batches" in texts(uncut)[0]
    first, second = epoch_rows(uncut)
    assert first.count == second.count
    for step in (1, 20, 40):
        run_until(cut, step)
    run_until(cut, None)
    assert same(outcome(cut), outcome(uncut))


def test_parts_of_a_batch_learn_what_the_whole_learns(home: Path) -> None:
    """Without dropout and batch norm only rounding differs, class weights and a ragged last part included."""
    settings = {"epochs": 1, "batch_size": 50, "class_weights": "balanced", "optimizer": "sgd", "lr": 0.1}
    model = {"name": "mlp", "widths": [32], "dropout": 0.0}
    whole, parts = make_run(home, settings, model), make_run(home, {**settings, "micro_batch": 16}, model)
    for folder in (whole, parts):
        run_until(folder, None)
    one, other = last_checkpoint(whole), last_checkpoint(parts)
    for name, weights in one["model"].items():
        assert torch.allclose(weights, other["model"][name], atol=1e-5), name
    epochs = [epoch_rows(folder)[0] for folder in (whole, parts)]
    assert epochs[0].count == epochs[1].count
    assert epochs[0].loss == pytest.approx(epochs[1].loss, rel=0.02)


def test_what_the_failed_try_changed_is_taken_back(home: Path, tmp_path: Path) -> None:
    """A run that splits by itself ends as one that was told the parts from the start."""
    model = own_model(tmp_path / "own", training_limit=20)
    told = make_run(home, {"epochs": 1, "batch_size": 48, "micro_batch": 16}, own_model(tmp_path / "own"))
    found = make_run(home, {"epochs": 1, "batch_size": 48, "auto_micro_batch": True}, model)
    for folder in (told, found):
        run_until(folder, None)
    assert changes(found)
    assert metrics(told) == metrics(found)
    assert same(last_checkpoint(told)["model"], last_checkpoint(found)["model"])


def test_memory_that_is_short_in_an_evaluation_splits_no_batch(home: Path, tmp_path: Path) -> None:
    settings = {"epochs": 1, "batch_size": 48, "auto_micro_batch": True}
    folder = make_run(home, settings, own_model(tmp_path / "own"))
    attempt = prepared(folder)
    attempt.state.module.evaluation_limit = 0  # type: ignore[assignment]
    with pytest.raises(NotEnoughMemory, match=r"evaluating 1 examples .* not even one fits"):
        attempt.train(attempt.steering)
    attempt.checkpoints.close()
    attempt.report.metrics.close()
    assert {c.setting for c in changes(folder)} == {"train.evaluation_batch"}


def test_memory_that_is_short_between_two_steps_undoes_none(home: Path) -> None:
    attempt = prepared(make_run(home, {"epochs": 1, "auto_micro_batch": True}))

    class Short:
        def answer(self, state: TrainState) -> None:
            raise MemoryError

    with pytest.raises(MemoryError):
        attempt.train(Short())
    attempt.checkpoints.close()
    attempt.report.metrics.close()
    assert changes(attempt.folder) == []


def test_the_fewest_examples_do_not_fit(home: Path, tmp_path: Path) -> None:
    settings = {"epochs": 1, "batch_size": 4, "auto_micro_batch": True}
    folder = make_run(home, settings, own_model(tmp_path / "own", training_limit=0))
    with pytest.raises(NotEnoughMemory, match=r"with 2 examples at once .*: no fewer can be learned from"):
        run_until(folder, None)


def test_an_allocation_that_fails_for_real_is_understood() -> None:
    """In a process of its own whose address space is limited."""
    code = """
import torch
from workbench.worker.recovery import free_memory, shortage
cpu = torch.device("cpu")
wanted = free_memory(cpu) + 2**30
try:
    torch.empty(wanted, dtype=torch.uint8)
except (RuntimeError, MemoryError) as error:
    short = shortage(error, cpu)
    assert short.wanted == wanted, error
    assert 0 < short.free < wanted, short
    print(short)
"""

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))

    done = subprocess.run(
        [sys.executable, "-c", code], preexec_fn=limited, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "more were wanted" in done.stdout


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ("CUDA out of memory. Tried to allocate 1.50 GiB. GPU", 3 << 29),
        ("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried to allocate "
         "4096 bytes. Error code 12", 4096),
        ("MPS backend out of memory (MPS allocated: 1.00 GB). Tried to allocate 256 bytes on private pool", 256),
        ("std::bad_alloc", None),
    ],
)  # fmt: skip
def test_what_errors_say_of_memory(said: str, wanted: int | None) -> None:
    short = shortage(RuntimeError(said), CPU)
    assert short is not None
    assert short.wanted == wanted
    assert shortage(RuntimeError("mat1 and mat2 shapes cannot be multiplied"), CPU) is None
    assert shortage(RunFailed(said), CPU) is None


def test_what_should_fit() -> None:
    assert fitting(64, Shortage(None, None), None) == 32
    assert fitting(64, Shortage(900, 100), 1000) == 32
    assert fitting(64, Shortage(9000, 100), 1000) == 4
    assert fitting(1, Shortage(9000, 100), 1000) == 1
