"""Steps that are recorded and played back: without a GPU, by a recorder that makes them anew."""

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
from workbench.engine.cuda_graphs import WARM_UP, recorder_for
from workbench.engine.device import Precision
from workbench.engine.train_state import TrainState
from workbench.runs.records import Feature

CPU = torch.device("cpu")
SETTINGS: list[dict[str, Any]] = [
    {"optimizer": "adam", "epochs": 3, "clip_norm": 1.0},
    {
        "optimizer": "rmsprop",
        "momentum": 0.5,
        "epochs": 3,
        "schedule": "cosine",
        "augment": ["flip", "mixup"],
    },
]


class Again:
    """Plays a step back by making it again, from where the recording read its batch."""

    def __init__(self) -> None:
        self.played = 0

    def warm_up(self, step: Callable[[], None]) -> None:
        for _ in range(WARM_UP):
            step()

    def record(self, step: Callable[[], None]) -> Callable[[], None]:
        step()

        def play() -> None:
            self.played += 1
            step()

        return play


class Reads(Again):
    """Finds in the last step of the warm-up that it reads the device."""

    def warm_up(self, step: Callable[[], None]) -> None:
        super().warm_up(step)
        raise RuntimeError("called a synchronizing CUDA operation")


class OnlyOnce(Again):
    """Can record a first time, but not once something has changed."""

    recorded = False

    def record(self, step: Callable[[], None]) -> Callable[[], None]:
        if self.recorded:
            raise RuntimeError("no memory for a second recording")
        self.recorded = True
        return super().record(step)


class PlaysNothing(Again):
    """Records everything but what was done."""

    def record(self, step: Callable[[], None]) -> Callable[[], None]:
        super().record(step)
        return lambda: None


def recorded_by(recorder: Again, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accelerate, "recorder_for", lambda module, settings, precision: (recorder, ""))


@pytest.mark.parametrize("settings", SETTINGS)
def test_steps_played_back_are_the_steps(
    home: Path, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = make_run(home, settings)
    whole = run_until(plain, None).epochs.steps
    recorder = Again()
    recorded_by(recorder, monkeypatch)
    played = make_run(home, settings)
    run_until(played, whole + 5)
    assert setup_of(played).cuda_graph == Feature(used=True)
    before = recorder.played
    attempt = run_until(played, None)
    assert metrics(played) == metrics(plain)
    assert same(outcome(played), outcome(plain))
    # A last, smaller batch of each epoch is computed by itself; two steps are compared after each recording.
    assert recorder.played - before == 2 + (whole - 1) - 5 + (whole - 1)
    assert attempt.state.captured is not None


def test_a_backbone_that_thaws_is_recorded_anew(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, model = {"epochs": 2, "freeze_epochs": 1}, {"name": "resnet", "depth": 8, "width": 2}
    plain = make_run(home, settings, model)
    run_until(plain, None)
    recorder = Again()
    recorded_by(recorder, monkeypatch)
    played = make_run(home, settings, model)
    steps = run_until(played, None).epochs.steps
    assert same(last_checkpoint(played)["model"], last_checkpoint(plain)["model"])
    assert recorder.played == 2 * (2 + steps - 1)


def test_a_later_recording_that_fails_is_said(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, model = {"epochs": 2, "freeze_epochs": 1}, {"name": "resnet", "depth": 8, "width": 2}
    recorded_by(OnlyOnce(), monkeypatch)
    folder = make_run(home, settings, model)
    attempt = run_until(folder, None)
    assert attempt.state.step == 2 * attempt.epochs.steps
    said = [notice.text for notice in notices(folder)]
    assert said == [
        "steps can't be recorded as a CUDA graph, and are computed one by one: no memory for a second recording"
    ]


@pytest.mark.parametrize(
    ("recorder", "why"),
    [
        (Reads(), "called a synchronizing CUDA operation"),
        (PlaysNothing(), "played back it gives other numbers"),
    ],
)
def test_what_can_not_be_played_back_is_computed_and_said(
    home: Path, recorder: Again, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = make_run(home, {"epochs": 1})
    run_until(plain, None)
    recorded_by(recorder, monkeypatch)
    folder = make_run(home, {"epochs": 1})
    attempt = run_until(folder, None)
    assert attempt.state.captured is None
    assert same(outcome(folder), outcome(plain))
    said = [notice.text for notice in notices(folder)]
    assert any("steps can't be recorded" in text and why in text for text in said)
    setup = setup_of(folder)
    assert setup.cuda_graph.used is False
    assert why in setup.cuda_graph.why


def test_without_cuda_nothing_is_recorded_and_who_asks_is_told(home: Path) -> None:
    attempt = prepared(make_run(home, {"cuda_graph": "yes"}))
    attempt.report.metrics.close()
    said = [notice.text for notice in notices(attempt.folder)]
    assert said == ["train.cuda_graph: steps are not played back: CUDA graphs are for CUDA devices"]


def test_what_is_recorded_is_small_and_can_be(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    attempt = prepared(make_run(home, {}))
    attempt.report.metrics.close()
    state: TrainState = attempt.state
    cuda = torch.device("cuda")

    def why(precision: str = "bf16", **changes: Any) -> str:
        settings = type(state.settings)(**changes)
        return recorder_for(state.module, settings, Precision(precision, cuda))[1]  # type: ignore[arg-type]

    assert "train.cuda_graph is no" in why(cuda_graph="no")
    assert "fp16" in why("fp16")
    assert "undo" in why(auto_micro_batch=True)
    monkeypatch.setattr(cuda_graphs, "MOST_PARAMETERS", 10)
    assert "0 million parameters keep the device busy (train.cuda_graph=yes all the same)" in why()


def test_a_model_that_can_not_be_compiled_is_computed_as_it_is(
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
    assert setup.compile.used is False
    said = [notice.text for notice in notices(folder)]
    assert any(text.startswith("train.compile: the model can't be compiled") for text in said)
    assert same(outcome(folder), outcome(plain))
