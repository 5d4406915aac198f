"""Captured and replayed steps, without a GPU: the fake recorder computes a step again to replay it."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.worker.support import (
    last_checkpoint,
    make_run,
    metrics,
    notices,
    outcome,
    prepared,
    run_until,
    same,
    setup_of,
)
from workbench.engine import accelerate, cuda_graphs
from workbench.engine.cuda_graphs import WARMUP_STEPS, select_recorder
from workbench.engine.device import Precision
from workbench.engine.train_state import TrainState
from workbench.runs.records import Feature

CPU = torch.device("cpu")
SETTINGS: list[dict[str, Any]] = [
    {"optimizer": "adam", "epochs": 3, "max_grad_norm": 1.0},
    {
        "optimizer": "rmsprop",
        "momentum": 0.5,
        "epochs": 3,
        "schedule": "cosine",
        "augment": ["flip", "mixup"],
    },
    {"optimizer": "nadam", "epochs": 3, "ema": 0.99},
]


class Recomputing:
    """Replays a step by computing it again, with the batch in the static tensors of the capture."""

    def __init__(self) -> None:
        self.replayed = 0

    def warm_up(self, step: Callable[[], None]) -> None:
        for _ in range(WARMUP_STEPS):
            step()

    def record(self, step: Callable[[], None]) -> Callable[[], None]:
        step()

        def play() -> None:
            self.replayed += 1
            step()

        return play


class Synchronizing(Recomputing):
    """Fails in the last warm-up step, as a step does that synchronizes with the device."""

    def warm_up(self, step: Callable[[], None]) -> None:
        super().warm_up(step)
        raise RuntimeError("called a synchronizing CUDA operation")


class OnlyOnce(Recomputing):
    """Can capture once, but not again after something has changed."""

    recorded = False

    def record(self, step: Callable[[], None]) -> Callable[[], None]:
        if self.recorded:
            raise RuntimeError("no memory for a second recording")
        self.recorded = True
        return super().record(step)


class ReplaysNothing(Recomputing):
    """Replays nothing."""

    def record(self, step: Callable[[], None]) -> Callable[[], None]:
        super().record(step)
        return lambda: None


def recorded_by(recorder: Recomputing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accelerate, "select_recorder", lambda module, settings, precision: (recorder, ""))


@pytest.mark.parametrize("settings", SETTINGS)
def test_replayed_steps_equal_computed_steps(
    home: Path, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = make_run(home, settings)
    whole = run_until(plain, None).components.epochs.steps
    recorder = Recomputing()
    recorded_by(recorder, monkeypatch)
    replayed = make_run(home, settings)
    run_until(replayed, whole + 5)
    assert setup_of(replayed).cuda_graph == Feature(enabled=True)
    before = recorder.replayed
    trainer = run_until(replayed, None)
    assert metrics(replayed) == metrics(plain)
    assert same(outcome(replayed), outcome(plain))
    # A last, smaller batch of each epoch is computed by itself; two steps are compared after each recording.
    assert recorder.replayed - before == 2 + (whole - 1) - 5 + (whole - 1)
    assert trainer.state.graphed_step is not None


def test_unfreezing_the_backbone_captures_a_new_graph(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, model = {"epochs": 2, "freeze_epochs": 1}, {"name": "resnet", "depth": 8, "width": 2}
    plain = make_run(home, settings, model)
    run_until(plain, None)
    recorder = Recomputing()
    recorded_by(recorder, monkeypatch)
    replayed = make_run(home, settings, model)
    steps = run_until(replayed, None).components.epochs.steps
    assert same(last_checkpoint(replayed)["model"], last_checkpoint(plain)["model"])
    assert recorder.replayed == 2 * (2 + steps - 1)


def test_a_failed_later_capture_is_reported(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, model = {"epochs": 2, "freeze_epochs": 1}, {"name": "resnet", "depth": 8, "width": 2}
    recorded_by(OnlyOnce(), monkeypatch)
    folder = make_run(home, settings, model)
    trainer = run_until(folder, None)
    assert trainer.state.step == 2 * trainer.components.epochs.steps
    messages = [notice.text for notice in notices(folder)]
    assert messages == [
        "steps can't be captured as a CUDA graph and run eagerly: no memory for a second recording"
    ]


@pytest.mark.parametrize(
    ("recorder", "why"),
    [
        (Synchronizing(), "called a synchronizing CUDA operation"),
        (ReplaysNothing(), "the replayed step gives another loss"),
    ],
)
def test_steps_that_cannot_be_replayed_run_eagerly_and_are_reported(
    home: Path, recorder: Recomputing, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = make_run(home, {"epochs": 1})
    run_until(plain, None)
    recorded_by(recorder, monkeypatch)
    folder = make_run(home, {"epochs": 1})
    trainer = run_until(folder, None)
    assert trainer.state.graphed_step is None
    assert same(outcome(folder), outcome(plain))
    messages = [notice.text for notice in notices(folder)]
    assert any("steps can't be captured" in text and why in text for text in messages)
    setup = setup_of(folder)
    assert setup.cuda_graph.enabled is False
    assert why in setup.cuda_graph.reason


def test_without_cuda_a_requested_graph_is_reported_as_unavailable(home: Path) -> None:
    trainer = prepared(make_run(home, {"cuda_graph": "yes"}))
    trainer.metrics.lines.close()
    messages = [notice.text for notice in notices(trainer.context.folder)]
    assert messages == [
        "train.cuda_graph: steps are not captured as a CUDA graph: CUDA graphs need a CUDA device"
    ]


def test_conditions_for_a_cuda_graph(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = prepared(make_run(home, {}))
    trainer.metrics.lines.close()
    state: TrainState = trainer.state
    cuda = torch.device("cuda")

    def why(precision: str = "bf16", **changes: Any) -> str:
        settings = type(state.settings)(**changes)
        return select_recorder(state.module, settings, Precision(precision, cuda))[1]  # type: ignore[arg-type]

    assert "train.cuda_graph is no" in why(cuda_graph="no")
    assert "fp16" in why("fp16")
    assert "undo" in why(auto_micro_batch=True)
    assert "again" in why(activation_checkpointing=True)
    assert "adagrad" in why(optimizer="adagrad") and "muon" in why(optimizer="muon")
    monkeypatch.setattr(cuda_graphs, "MAX_PARAMETERS", 10)
    assert "0 million parameters keep the device busy (train.cuda_graph=yes forces it)" in why()


def test_a_model_that_cannot_be_compiled_runs_uncompiled(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = make_run(home, {"epochs": 1})
    run_until(plain, None)
    # What was compiled before, here or by another process, needs no compiler.
    torch.compiler.reset()
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "compiled"))
    monkeypatch.setattr(importlib.import_module("torch._inductor.config").cpp, "cxx", ("/nowhere/c++",))
    folder = make_run(home, {"epochs": 1, "compile": True})
    run_until(folder, None)
    setup = setup_of(folder)
    assert setup.compile.enabled is False
    messages = [notice.text for notice in notices(folder)]
    assert any(text.startswith("train.compile: the model can't be compiled") for text in messages)
    assert same(outcome(folder), outcome(plain))
