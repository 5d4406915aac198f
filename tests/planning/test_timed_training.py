"""Timed training, the basis of a plan: the worker's loop for a limited time, timed by phase."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.busy_core import busy_core, counts_waits
from tests.worker.support import make_run, open_attempt, same
from workbench.core.errors import RunFailed
from workbench.planning.plan import describe_cpu_wait
from workbench.planning.timed_training import Throughput, TimedTraining
from workbench.planning.worker import Planner, candidate_settings, first_samples
from workbench.runs.run_folder import RunFolder
from workbench.worker.checkpoints import CheckpointManager
from workbench.worker.components import TrainingComponents
from workbench.worker.context import make_context
from workbench.worker.resume import StartPoint

__all__ = ["busy_core"]


class Bench:
    """Training components of a run in this process."""

    def __init__(self, home: Path, **settings: Any) -> None:
        self.folder: RunFolder = make_run(home, settings)
        open_attempt(self.folder)
        self.context = make_context(self.folder, 1, 0.0)
        self.journal = self.context.journal
        self.components = TrainingComponents(
            self.context, StartPoint(self.context, CheckpointManager(self.folder))
        )
        self.trainings: list[TimedTraining] = []

    def training(self, **changes: Any) -> TimedTraining:
        components = self.components.with_settings(**changes) if changes else self.components
        self.trainings.append(TimedTraining(components, self.folder, self.context.requests))
        return self.trainings[-1]


@pytest.fixture
def bench(home: Path) -> Iterator[Any]:
    made: list[Bench] = []

    def make(**settings: Any) -> Bench:
        made.append(Bench(home, **settings))
        return made[-1]

    yield make
    for one in made:
        one.journal.close()
        for training in one.trainings:
            training.close()


def test_steps_and_samples_are_counted_and_timed_by_phase(bench: Any) -> None:
    training = bench(batch_size=32).training()
    before = [p.clone() for p in training.state.module.parameters()]
    throughput = training.run(0.1, by_phase=True)
    short = 32 * throughput.steps - throughput.samples  # the last batch of an epoch has 14 samples
    assert throughput.steps >= 1 and 0 <= short <= 18 * (
        throughput.steps // training.state.steps_per_epoch + 1
    )
    assert sum(throughput.by_phase.values()) == pytest.approx(throughput.seconds)
    assert not all(torch.equal(a, b) for a, b in zip(before, training.state.module.parameters(), strict=True))


def test_other_settings_share_data_and_model(bench: Any) -> None:
    made = bench(batch_size=32)
    training = made.training(batch_size=128, threads=1)
    assert training.state.module is made.components.model.module
    assert made.components.settings.batch_size == 32
    throughput = training.run(0.05)
    assert throughput.samples > 64 * throughput.steps


def test_a_frozen_epoch_is_timed_frozen(bench: Any) -> None:
    training = bench(freeze_epochs=1, epochs=3).training()
    training.run(0.02, epoch=0)
    assert not all(p.requires_grad for p in training.state.module.parameters())
    training.run(0.02, epoch=2)
    assert all(p.requires_grad for p in training.state.module.parameters())


def test_diverging_training_raises_in_the_plan(bench: Any) -> None:
    training = bench(lr=1000.0, optimizer="sgd", momentum=0.99).training()
    with pytest.raises(RunFailed, match="loss became"):
        training.run(3.0)


def test_candidate_batch_sizes_do_not_exceed_the_data(bench: Any) -> None:
    keys = dict(candidate_settings(bench(batch_size=500).components))
    assert keys["batch_size"] == 1000  # 1,294 are there: 2,000 are not
    assert keys["precision"] == "bf16"


def test_first_samples_of_a_split(bench: Any) -> None:
    source = bench().components.splits["test"]
    assert len(first_samples(source, 7)) == 7 and torch.equal(
        first_samples(source, 7).inputs, source.inputs[:7]
    )


def test_frozen_epochs_and_patience_count_in_the_plan(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made = bench(freeze_epochs=2, epochs=5, patience=3)
    monkeypatch.setattr("workbench.planning.worker.BASE_SECONDS", 0.05)
    monkeypatch.setattr("workbench.planning.worker.ALL_TRIALS_SECONDS", -1.0)
    training, throughputs = made.training(), list[Throughput]()
    run = training.run
    monkeypatch.setattr(
        training, "run", lambda *args, **kwargs: throughputs.append(run(*args, **kwargs)) or throughputs[-1]
    )
    found = Planner(made.context, made.components, training, 1.5).plan()
    frozen, whole = (
        len(made.components.splits["train"]) / throughput.samples_per_second for throughput in throughputs[:2]
    )
    assert found.seconds["train"] == pytest.approx(2 * frozen + 3 * whole)
    assert found.seconds["load"] == 1.5
    assert found.tried == () and found.proposals == ()
    assert "3 epochs without improvement" in found.notices[-1]


@counts_waits
def test_waits_for_a_busy_processor_are_left_out_and_said(bench: Any, busy_core: None) -> None:
    found = bench(threads=1).training().run(0.5)
    assert 0.2 < found.cpu_wait < 0.9
    assert found.samples_per_second > 1.2 * found.samples / found.seconds
    assert f"waited for one {100 * found.cpu_wait:.0f} % of the time" in describe_cpu_wait(found.cpu_wait)
    assert describe_cpu_wait(0.01) == ""


def weights_of(training: TimedTraining) -> Any:
    assert training.state.lookahead is not None
    return training.state.module.state_dict(), training.state.lookahead.state_dict()


def test_weights_are_restored_between_measurements(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made = bench(batch_size=32, optimizer="sgd", lr=0.01, momentum=0.99, lookahead=2)
    monkeypatch.setattr("workbench.planning.worker.TRIAL_SECONDS", 0.05)
    training = made.training()
    planner = Planner(made.context, made.components, training, 0.0)
    training.run(0.05)
    before = copy.deepcopy(weights_of(training))
    planner._speedup("lr", 1000.0)
    assert same(before, weights_of(training))
    assert planner._speedup("batch_size", 64) is not None


def test_out_of_memory_is_recovered_from_while_timing(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    training = bench(batch_size=64).training()
    sizes, whole = list[int](), training.state.module.forward

    def small_only(x: torch.Tensor) -> torch.Tensor:
        sizes.append(len(x))
        if len(x) > 32:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return whole(x)

    monkeypatch.setattr(training.state.module, "forward", small_only)
    with pytest.raises(torch.OutOfMemoryError):
        training.run(0.05)
    training.recover = lambda _: monkeypatch.setattr(training.state.module, "forward", whole)
    assert training.run(0.05).steps > 0
