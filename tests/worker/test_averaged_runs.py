"""A run that averages its weights evaluates, exports and predicts with the average."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.worker.support import evaluation_rows, last_checkpoint, make_run, run_until, same, setup_of
from workbench.config.experiment import build_experiment
from workbench.core.errors import UserError
from workbench.core.progress import ignore_progress
from workbench.export import export_run
from workbench.inference.evaluate_run import evaluate_run
from workbench.inference.run_checkpoint import load_run_model

RESNET = {"name": "resnet", "depth": 8, "width": 2}


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"ema": 0.98}, "exponential moving average"), ({"swa": 0.4}, "each epoch from 2 on (SWA)")],
)
def test_the_average_is_the_result(home: Path, tmp_path: Path, settings: dict[str, Any], said: str) -> None:
    folder = make_run(
        home, {"epochs": 3, "batch_size": 128, "lr": 0.01, "precision": "fp32", **settings}, RESNET
    )
    run_until(folder, None)
    assert said in setup_of(folder).execution["weights"]
    final = evaluation_rows(folder)[-1]
    assert final.final
    averaged = evaluate_run(folder, "test", "cpu", ignore_progress)
    raw = evaluate_run(folder, "test", "cpu", ignore_progress, raw=True)
    assert averaged.metrics["loss"] == pytest.approx(final.loss, rel=1e-5)
    assert raw.metrics["loss"] != pytest.approx(final.loss, rel=1e-3)
    content = last_checkpoint(folder)
    average = content["average"]
    assert average is not None
    state = load_run_model(folder.path, "last").module.state_dict()
    assert same({name: state[name] for name in average["weights"]}, average["weights"])
    exported = torch.load(export_run(folder, "pytorch", str(tmp_path / "out.pt")), weights_only=True)["model"]
    assert same(dict(exported), dict(load_run_model(folder.path).module.state_dict()))


def test_the_statistics_of_averaged_weights_are_their_own(home: Path) -> None:
    """Neither a mean of the former statistics nor those of the last weights."""
    folder = make_run(home, {"epochs": 2, "swa": 0.5, "lr": 0.05}, RESNET)
    run_until(folder, None)
    content = last_checkpoint(folder)
    average = content["average"]
    assert average is not None and average["updates"] == 1
    for name, value in average["weights"].items():
        if "running" not in name:
            assert torch.equal(value, content["model"][name]), name
    assert any(
        not torch.allclose(value, content["model"][name], rtol=1e-3)
        for name, value in average["weights"].items()
        if "running_var" in name
    )


def test_averages_leave_the_training_alone(home: Path) -> None:
    plain, averaged = (make_run(home, {"epochs": 2, **more}, RESNET) for more in ({}, {"swa": 0.4}))
    for folder in (plain, averaged):
        run_until(folder, None)
    assert same(last_checkpoint(plain)["model"], last_checkpoint(averaged)["model"])
    assert last_checkpoint(plain)["average"] is None


def test_two_averages_are_refused() -> None:
    with pytest.raises(UserError, match=r"train\.ema and train\.swa"):
        build_experiment("digits-mlp", sets=["train.ema=0.9", "train.swa=0.5"])
