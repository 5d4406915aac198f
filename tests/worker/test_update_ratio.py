"""The recorded update-to-weight ratio: that of the weights before and after the step, also after a resume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.worker.support import last_checkpoint, make_run, metrics, run_until, step_rows
from workbench.runs.metric_series import metric_series
from workbench.runs.reader import read_view
from workbench.worker.metrics_writer import MIN_UPDATE_EVERY

EVERY = 6
MEASURED = 24
"""The first multiple of `EVERY` that is not below `MIN_UPDATE_EVERY`."""


def weights_at(home: Path, step: int, settings: dict[str, Any]) -> Tensor:
    """All trained weights of a run that was stopped after `step`."""
    folder = make_run(home, settings)
    module = run_until(folder, step).state.module
    return torch.cat([p.detach().flatten() for p in module.parameters()]).double()


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "sgd", "micro_batch": 5, "lookahead": 0},
        {"optimizer": "adam", "max_grad_norm": 0.1, "lookahead": 100},
    ],
)
def test_it_is_the_norm_of_the_update_by_that_of_the_weights(home: Path, settings: dict[str, Any]) -> None:
    assert MEASURED - EVERY < MIN_UPDATE_EVERY <= MEASURED
    settings = {**settings, "log_every": EVERY, "epochs": 2}
    before, after = (weights_at(home, step, settings) for step in (MEASURED - 1, MEASURED))
    folder = make_run(home, settings)
    run_until(folder, MEASURED + 1)  # between two rows
    run_until(folder, None)
    ratios = {row.step: row.update_ratio for row in step_rows(folder) if row.update_ratio is not None}
    assert list(ratios) == list(range(MEASURED, step_rows(folder)[-1].step + 1, MEASURED))
    assert ratios[MEASURED] == pytest.approx(float((after - before).norm() / after.norm()), rel=1e-4)
    uncut = make_run(home, settings)
    run_until(uncut, None)
    assert metrics(folder) == metrics(uncut) and last_checkpoint(uncut)["step"] >= 2 * MEASURED
    series = metric_series(read_view(folder))["train/update_ratio"]
    assert list(series.values) == list(ratios.values())
