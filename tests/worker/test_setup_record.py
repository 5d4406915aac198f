from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.worker.support import make_run, notices, prepared, setup_of
from workbench.runs.records import Setup
from workbench.worker.previous_environment import PreviousEnvironment, recorded_environment


def test_setup_describes_data_model_and_environment(home: Path) -> None:
    folder = make_run(home, {"epochs": 2, "batch_size": 50, "validation": 0.1})
    trainer = prepared(folder)
    trainer.metrics.lines.close()
    trainer.context.journal.close()
    setup = setup_of(folder)
    counts = setup.counts
    assert sum(counts.values()) == 1797
    assert {name: sum(per_class) for name, per_class in setup.class_counts.items()} == counts
    assert setup.classes == tuple(str(digit) for digit in range(10))
    assert setup.shape == (1, 8, 8)
    assert len(setup.fingerprint) == 64
    assert setup.parameters == setup.trainable == 64 * 32 + 32 + 32 * 10 + 10
    assert sum(layer.parameters for layer in setup.layers) == setup.parameters
    assert setup.steps_per_epoch == -(-counts["train"] // 50)
    assert setup.steps_total == 2 * setup.steps_per_epoch
    assert (setup.device, setup.threads, setup.precision) == ("cpu", 1, "fp32")


def test_a_model_without_stochastic_depth_has_no_drop_path(home: Path) -> None:
    folder = make_run(home, {"epochs": 1, "drop_path": 0.2})
    prepared(folder).close()
    assert [n.text for n in notices(folder)] == [
        "train.drop_path: without effect: mlp has no stochastic depth"
    ]


def test_a_later_attempt_keeps_the_recorded_environment_if_it_is_complete() -> None:
    setup = Setup(device="cpu", threads=3, log_every=5, channels_last=True)
    assert recorded_environment(setup) == PreviousEnvironment("cpu", 3, True, 5)


@pytest.mark.parametrize("missing", [{"threads": 0}, {"log_every": 0}, {"device": ""}, {"device": "cuda"}])
def test_an_incomplete_recorded_environment_is_ignored(missing: dict[str, object]) -> None:
    setup = Setup(device="cpu", threads=3, log_every=5)
    assert recorded_environment(replace(setup, **missing)) is None
