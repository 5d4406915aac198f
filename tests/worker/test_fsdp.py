"""A model that is sharded over two processes trains like others, with the same checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.worker import ranks
from tests.worker.kill_many import ended, finished
from tests.worker.support import (
    evaluation_rows,
    last_checkpoint,
    make_run,
    notices,
    run_until,
    setup_of,
    step_rows,
)
from workbench.io.record_codec import read_record
from workbench.launcher import launch
from workbench.runs.enums import Cause
from workbench.runs.metrics import StepRow
from workbench.runs.records import Exit
from workbench.runs.run_folder import RunFolder
from workbench.runs.run_report import read_report
from workbench.runs.status import Status

WIDE = {"name": "mlp", "widths": [1024, 1024], "dropout": 0.0}
"""Its second layer has a million parameters: a unit of its own."""
PLAIN = {"name": "mlp", "widths": [32], "dropout": 0.0}
RESNET = {"name": "resnet", "depth": 8, "width": 2}
STEPS = 35
"""Of an epoch."""
SETTINGS: dict[str, Any] = {
    "batch_size": 37,
    "epochs": 2,
    "log_every": 1,
    "optimizer": "sgd",
    "lr": 0.05,
    "momentum": 0.9,
}


def sharded(model: dict[str, Any], **settings: Any) -> RunFolder:
    return finished(ranks.start(model, fsdp=True, **{**SETTINGS, **settings}))


def compare(ours: RunFolder, theirs: RunFolder) -> None:
    """The losses and norms of 50 steps, and all evaluations."""
    pairs = list(zip(step_rows(ours), step_rows(theirs), strict=True))
    assert len(pairs) == 2 * STEPS
    for one, other in pairs[:50]:
        assert one.loss == pytest.approx(other.loss, rel=1e-4), one.step
        assert one.grad_norm == pytest.approx(other.grad_norm, rel=1e-2), one.step
    assert [r.update_ratio is None for r, _ in pairs] == [r.update_ratio is None for _, r in pairs]
    assert measured(ours) == pytest.approx(measured(theirs), rel=1e-2)
    for our, their in zip(evaluation_rows(ours), evaluation_rows(theirs), strict=True):
        assert our.accuracy == pytest.approx(their.accuracy, abs=0.01)
        assert (our.step, our.split) == (their.step, their.split)


def measured(folder: RunFolder) -> list[float]:
    """The relative sizes of updates in the first 50 steps."""
    rows: list[StepRow] = step_rows(folder)
    return [row.update_ratio for row in rows[:50] if row.update_ratio is not None]


@pytest.mark.parametrize(
    ("settings", "model"),
    [
        # Of 143 samples, one process evaluates 71, which is one batch, and the other 72, which are two.
        ({"max_grad_norm": 1.0, "micro_batch": 10, "lookahead": 3, "evaluation_batch": 71}, WIDE),
        ({"optimizer": "rmsprop", "lr": 0.0002, "log_grad_norm": True}, PLAIN),
    ],
)
def test_a_sharded_model_trains_like_one_in_a_single_process(
    home: Path, settings: dict[str, Any], model: dict[str, Any]
) -> None:
    one = make_run(home, {**SETTINGS, **settings}, model)
    run_until(one, None)
    two = sharded(model, **settings)
    compare(two, one)
    assert shapes(two) == shapes(one)
    assert torch.allclose(weights(two), weights(one), atol=0.02)
    if model is WIDE:
        execution = setup_of(two).execution
        assert execution["step"].startswith("2 processes with FSDP, fp32 on cpu")
        assert execution["model"] == (
            "sharded over 2 processes: 563,205 of 1,126,410 parameters in each, gathered in 2 units"
        )


def shapes(folder: RunFolder) -> Any:
    """The types of everything in a checkpoint, and the shapes of its tensors."""

    def shape(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return (type(value), value.shape, value.dtype)
        if isinstance(value, dict):
            return {key: shape(inner) for key, inner in value.items() if key not in {"ranks", "random"}}
        return [shape(inner) for inner in value] if isinstance(value, list | tuple) else type(value)

    content = shape(last_checkpoint(folder))
    for group in content["optimizer"]["param_groups"]:
        group |= {"fused": None, "foreach": None}
    return content


def weights(folder: RunFolder) -> torch.Tensor:
    return torch.cat([value.flatten().float() for value in last_checkpoint(folder)["model"].values()])


def test_a_network_with_batch_norm_trains_like_a_replicated_one() -> None:
    """Each process has statistics of its own samples, so that both are of two processes."""
    settings = {"optimizer": "adamw", "lr": 0.001, "freeze_epochs": 1, "log_grad_norm": True}
    settings["activation_checkpointing"] = True
    replicated = finished(ranks.start(RESNET, **{**SETTINGS, **settings}))
    compare(sharded(RESNET, **settings), replicated)


def test_one_process_and_both_ways_of_several_read_each_others_checkpoints() -> None:
    folder = sharded(RESNET)
    for count, fsdp, epochs in ((1, True, 3), (2, False, 4), (2, True, 5)):
        settings = {"train.processes": count, "train.fsdp": fsdp, "train.epochs": epochs}
        launch.resume_run(folder, settings, "test")
        finished(folder)
        assert (setup_of(folder).processes, "model" in setup_of(folder).execution) == (
            count,
            count == 2 and fsdp,
        )
    inexact = [notice.text for notice in notices(folder) if not notice.exact]
    assert inexact == [
        "resumed, but not exactly: world size 1 instead of 2",
        "resumed, but not exactly: train.fsdp=no instead of yes",
        "resumed, but not exactly: world size 2 instead of 1",
        "resumed, but not exactly: train.fsdp=yes instead of no",
    ]
    assert "train.fsdp is not used: one process trains alone" in [notice.text for notice in notices(folder)]
    losses = [row.loss or 0.0 for row in step_rows(folder)]
    assert len(losses) == 5 * STEPS
    for epoch in range(1, 5):  # no jump where another reads it
        before, after = losses[epoch * STEPS - 20 : epoch * STEPS], losses[epoch * STEPS : epoch * STEPS + 20]
        assert sum(after) < 1.2 * sum(before), epoch
    assert not read_report(folder).exact


def test_a_model_that_can_not_be_sharded_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "net.py"
    source.write_text(SCALED)
    folder = launch.start_run(ranks.experiment({"name": f"{source}:Net"}, fsdp=True, **SETTINGS), "test")
    assert ended(folder) is Status.FAILED
    end = read_record(folder.exit, Exit)
    assert end is not None and end.cause is Cause.INVALID_INPUT
    assert (end.reason or "").startswith("train.fsdp: the model's parameter scale is a single number"), end


SCALED = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, classes, shape):
        super().__init__()
        self.layer, self.scale = nn.Linear(64, classes), nn.Parameter(torch.ones(()))

    def forward(self, x):
        return self.layer(x.flatten(1)) * self.scale
"""


def test_bf16_metrics_of_the_model_and_decision_plots(tmp_path: Path) -> None:
    """What needs all parameters of a model, in all processes, beside its outputs."""
    source = tmp_path / "net.py"
    source.write_text(MEASURED)
    experiment = ranks.experiment(
        {"name": f"{source}:Net"},
        data="clusters",
        fsdp=True,
        **{**SETTINGS, "epochs": 1, "precision": "bf16"},
    )
    folder = finished(launch.start_run(experiment, "test"))
    assert setup_of(folder).precision == "bf16"
    for row in evaluation_rows(folder):
        assert set(row.model) == {"weight_norm"} and row.model["weight_norm"] > 0
    expected = last_checkpoint(folder)["model"]["layer.weight"].norm()
    norm = evaluation_rows(folder)[-1].model["weight_norm"]
    assert norm == pytest.approx(float(expected), rel=1e-2), "of weights that are gathered in bf16"


MEASURED = """
from torch import nn

class Net(nn.Module):
    def __init__(self, classes, shape):
        super().__init__()
        self.layer, self.norm, self.head = nn.Linear(2, 16), nn.LayerNorm(16), nn.Linear(16, classes)

    def forward(self, x):
        return self.head(self.norm(self.layer(x).relu()))

    def extra_metrics(self):
        return {"weight_norm": float(self.layer.weight.detach().float().norm())}
"""
