"""Runs that recover from a failed step: by a rollback, or with micro-batches."""

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
from workbench.engine.nan_guard import NonFiniteGuard
from workbench.engine.train_state import TrainState
from workbench.runs.journal import SettingChange
from workbench.runs.metrics import StepRow
from workbench.runs.run_folder import RunFolder
from workbench.worker.recovery import OutOfMemory, largest_fitting_batch, parse_out_of_memory

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
    """Those that the worker made without a request."""
    return [change for change in all_changes(folder) if change.cause is not None]


@pytest.mark.parametrize(("deferred", "every"), [(False, 4), (True, 4), (True, 1000)])
def test_a_bad_loss_names_its_step_and_keeps_the_last_good_checkpoint(
    home: Path, deferred: bool, every: int
) -> None:
    folder = wild_run(home, log_every=every)
    trainer = prepared(folder)
    trainer.state.guard = NonFiniteGuard(CPU, deferred=deferred)
    trainer.state._create_optimizer()
    with pytest.raises(RunFailed, match=r"at step 5[1-9]; the last good checkpoint is kept"):
        trainer.train(trainer.step_callback)
    trainer.checkpoints.close()
    kept = last_checkpoint(folder)
    assert kept["step"] == 41
    assert all(torch.isfinite(t).all() for t in kept["model"].values())
    assert all(torch.isfinite(t).all() for t in trainer.state.module.state_dict().values())
    assert all(math.isfinite(row.loss or 0) for row in metrics(folder))
    assert {row.epoch for row in metrics(folder) if not isinstance(row, StepRow)} == {1}


def test_rollbacks_halve_the_learning_rate_until_training_is_stable(home: Path) -> None:
    folder = make_run(home, {**WILD, "lr": 30.0, "on_nan": "rollback"}, DEEP)
    run_until(folder, None)
    made = changes(folder)
    assert [c.value for c in made] == [15.0 / 2**n for n in range(len(made))]
    assert 0 < len(made) <= 5
    assert {c.step for c in made} == {0}
    steps = [row.step for row in step_rows(folder)]
    assert steps == sorted(set(steps))
    assert all(math.isfinite(row.loss or 0) for row in metrics(folder))
    assert "half the learning rate, 15 (rollback 1 of 5" in texts(folder)[0]


def test_a_run_with_rollbacks_resumes_exactly(home: Path) -> None:
    settings = {**WILD, "lr": 30.0, "on_nan": "rollback"}
    uncut, cut = make_run(home, settings, DEEP), make_run(home, settings, DEEP)
    run_until(uncut, None)
    run_until(cut, 60)
    run_until(cut, None)
    assert changes(cut)
    assert same(outcome(cut), outcome(uncut))


def test_a_rollback_halves_the_rate_of_the_head_too(home: Path) -> None:
    folder = make_run(home, {**WILD, "lr": 30.0, "head_lr": 60.0, "on_nan": "rollback"}, DEEP)
    run_until(folder, None)
    rates: dict[str, list[Any]] = {"train.lr": [], "train.head_lr": []}
    for change in changes(folder):
        rates[change.setting].append(change.value)
    assert rates["train.lr"] and rates["train.head_lr"] == [2 * value for value in rates["train.lr"]]


def test_a_bad_last_checkpoint_causes_a_rollback(home: Path) -> None:
    folder = make_run(home, {**WILD, "epochs": 1, "on_nan": "rollback"}, DEEP)
    trainer = prepared(folder)

    class Spoils:
        """Makes the weights no numbers after the last step, the first time it gets there."""

        done = False

        def after_step(self, state: TrainState) -> None:
            if state.step == trainer.components.epochs.steps and not self.done:
                self.done = True
                torch.nn.init.constant_(next(state.module.parameters()), float("nan"))

    trainer.train(Spoils())
    trainer.evaluator.evaluate_result()
    trainer.checkpoints.close()
    trainer.metrics.lines.close()
    assert [(c.step, c.value) for c in changes(folder)] == [(0, 0.05)]
    assert all(torch.isfinite(t).all() for t in last_checkpoint(folder)["model"].values())
    assert all(math.isfinite(row.loss or 0) for row in metrics(folder))


def test_the_number_of_rollbacks_is_limited(home: Path) -> None:
    folder = make_run(home, {**WILD, "lr": 1000.0, "on_nan": "rollback"}, DEEP)
    with pytest.raises(RunFailed, match="after 5 rollbacks in this epoch"):
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


def custom_model(folder: Path, **options: Any) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    path = folder / "net.py"
    path.write_text(NET)
    return {"name": f"{path}:Net", **options}


def test_out_of_memory_reports_sizes_and_a_fitting_batch_size(home: Path, tmp_path: Path) -> None:
    folder = make_run(
        home, {"epochs": 1, "batch_size": 48}, custom_model(tmp_path / "own", training_limit=20)
    )
    with pytest.raises(RunFailed) as failed:
        run_until(folder, None)
    assert "out of memory on cpu with 48 samples at once (21.0 MB requested, 12.6 MB free)" in str(
        failed.value
    )
    assert "train.batch_size=16 should fit" in str(failed.value)
    assert "train.auto_micro_batch=yes" in str(failed.value)


def test_a_batch_that_does_not_fit_is_computed_in_micro_batches(home: Path, tmp_path: Path) -> None:
    model = custom_model(tmp_path / "own", training_limit=20, evaluation_limit=100)
    settings = {"epochs": 2, "batch_size": 48, "auto_micro_batch": True, "class_weights": "balanced"}
    uncut, cut = make_run(home, settings, model), make_run(home, settings, model)
    run_until(uncut, None)
    found = [(c.setting, c.value, c.step) for c in changes(uncut)]
    assert found[0] == ("train.micro_batch", 16, 0)
    assert {setting for setting, _, _ in found[1:]} == {"train.evaluation_batch"}
    assert found[-1][1] == 64
    assert "batch norm uses the statistics of the micro-batches" in texts(uncut)[0]
    first, second = epoch_rows(uncut)
    assert first.count == second.count
    for step in (1, 20, 40):
        run_until(cut, step)
    run_until(cut, None)
    assert same(outcome(cut), outcome(uncut))


def test_micro_batches_train_like_the_whole_batch(home: Path) -> None:
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


def test_changes_of_a_failed_step_are_undone(home: Path, tmp_path: Path) -> None:
    """A run that splits its batches automatically ends like one with that micro-batch size from the start."""
    model = custom_model(tmp_path / "own", training_limit=20)
    configured = make_run(
        home, {"epochs": 1, "batch_size": 48, "micro_batch": 16}, custom_model(tmp_path / "own")
    )
    found = make_run(home, {"epochs": 1, "batch_size": 48, "auto_micro_batch": True}, model)
    for folder in (configured, found):
        run_until(folder, None)
    assert changes(found)
    assert metrics(configured) == metrics(found)
    assert same(last_checkpoint(configured)["model"], last_checkpoint(found)["model"])


def test_out_of_memory_in_an_evaluation_splits_no_training_batch(home: Path, tmp_path: Path) -> None:
    settings = {"epochs": 1, "batch_size": 48, "auto_micro_batch": True}
    folder = make_run(home, settings, custom_model(tmp_path / "own"))
    trainer = prepared(folder)
    trainer.state.module.evaluation_limit = 0  # type: ignore[assignment]
    with pytest.raises(NotEnoughMemory, match=r"evaluating 1 samples .* not even one fits"):
        trainer.train(trainer.step_callback)
    trainer.checkpoints.close()
    trainer.metrics.lines.close()
    assert {c.setting for c in changes(folder)} == {"train.evaluation_batch"}


def test_out_of_memory_between_steps_undoes_no_step(home: Path) -> None:
    trainer = prepared(make_run(home, {"epochs": 1, "auto_micro_batch": True}))

    class Short:
        def after_step(self, state: TrainState) -> None:
            raise MemoryError

    with pytest.raises(MemoryError):
        trainer.train(Short())
    trainer.checkpoints.close()
    trainer.metrics.lines.close()
    assert changes(trainer.context.folder) == []


def test_the_smallest_batch_does_not_fit(home: Path, tmp_path: Path) -> None:
    settings = {"epochs": 1, "batch_size": 4, "auto_micro_batch": True}
    folder = make_run(home, settings, custom_model(tmp_path / "own", training_limit=0))
    with pytest.raises(
        NotEnoughMemory, match=r"with 2 samples at once .*: this is the smallest possible batch"
    ):
        run_until(folder, None)


def test_a_real_allocation_failure_is_parsed() -> None:
    """In a process of its own whose address space is limited."""
    code = """
import torch
from workbench.worker.recovery import free_memory, parse_out_of_memory
cpu = torch.device("cpu")
wanted = free_memory(cpu) + 2**30
try:
    torch.empty(wanted, dtype=torch.uint8)
except (RuntimeError, MemoryError) as error:
    short = parse_out_of_memory(error, cpu)
    assert short.requested == wanted, error
    assert 0 < short.free < wanted, short
    print(short)
"""

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))

    done = subprocess.run(
        [sys.executable, "-c", code], preexec_fn=limited, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert " requested" in done.stdout


@pytest.mark.parametrize(
    ("message", "wanted"),
    [
        ("CUDA out of memory. Tried to allocate 1.50 GiB. GPU", 3 << 29),
        ("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried to allocate "
         "4096 bytes. Error code 12", 4096),
        ("MPS backend out of memory (MPS allocated: 1.00 GB). Tried to allocate 256 bytes on private pool", 256),
        ("std::bad_alloc", None),
        ("cuDNN error: CUDNN_STATUS_ALLOC_FAILED", None),
        ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", None),
    ],
)  # fmt: skip
def test_requested_sizes_are_parsed_from_messages(message: str, wanted: int | None) -> None:
    short = parse_out_of_memory(RuntimeError(message), CPU)
    assert short is not None
    assert short.requested == wanted
    assert parse_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"), CPU) is None
    assert parse_out_of_memory(RunFailed(message), CPU) is None


def test_largest_fitting_batch() -> None:
    assert largest_fitting_batch(64, OutOfMemory(None, None), None) == 32
    assert largest_fitting_batch(64, OutOfMemory(900, 100), 1000) == 32
    assert largest_fitting_batch(64, OutOfMemory(9000, 100), 1000) == 4
    assert largest_fitting_batch(1, OutOfMemory(9000, 100), 1000) == 1
