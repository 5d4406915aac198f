"""The recorded gradient norm: that of the step, before clipping, and none where it is not asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.worker.support import make_run, prepared, run_until, step_rows

PLAIN = {
    "optimizer": "sgd",
    "momentum": 0.0,
    "weight_decay": 0.0,
    "schedule": "constant",
    "lr": 0.1,
    "log_every": 1,
}


def first_step(home: Path, **settings: Any) -> tuple[float, float | None]:
    """The length of the update of the first step divided by the learning rate, and the recorded norm."""
    folder = make_run(home, {**PLAIN, **settings}, {"name": "mlp", "widths": [32]})
    before = [
        p.detach().clone()
        for p in prepared(make_run(home, PLAIN, {"name": "mlp", "widths": [32]})).state.module.parameters()
    ]
    after = [p.detach() for p in run_until(folder, 1).state.module.parameters()]
    update = torch.cat([(new - old).flatten() for old, new in zip(before, after, strict=True)])
    row = step_rows(folder)[0]
    return float(update.double().norm() / row.lr), row.grad_norm


def test_without_clipping_it_is_the_length_of_the_update(home: Path) -> None:
    update, norm = first_step(home, log_grad_norm=True)
    assert norm == pytest.approx(update, rel=1e-3)


def test_with_clipping_it_is_the_norm_before(home: Path) -> None:
    unclipped, _ = first_step(home)
    update, norm = first_step(home, max_grad_norm=0.1)
    assert update == pytest.approx(0.1, rel=1e-3) and norm == pytest.approx(unclipped, rel=1e-3)


def test_it_is_not_recorded_unless_it_is_asked_for(home: Path) -> None:
    assert first_step(home)[1] is None
