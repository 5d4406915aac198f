from __future__ import annotations

from pathlib import Path

from tests.worker.support import make_run, prepared, setup_of


def test_setup_says_what_the_experiment_became(home: Path) -> None:
    folder = make_run(home, {"epochs": 2, "batch_size": 50, "validation": 0.1})
    attempt = prepared(folder)
    attempt.report.metrics.close()
    attempt.context.journal.close()
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
