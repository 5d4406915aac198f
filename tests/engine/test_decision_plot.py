from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from tests.worker.support import run_until
from workbench.config.experiment import build_experiment
from workbench.datasets.dataset import Split
from workbench.engine.data_placement import place_split
from workbench.engine.decision_plot import GRID_COLUMNS, GRID_ROWS, MAX_POINTS, decision_plot
from workbench.engine.device import Precision
from workbench.engine.evaluate import evaluate
from workbench.engine.task import Classification, Regression, Task
from workbench.io.atomic_files import write_json
from workbench.io.record_codec import read_record
from workbench.runs.metrics import Drawing, EvaluationFile, LineDrawing
from workbench.runs.run_folder import RunFolder, create_run_folder

CPU = torch.device("cpu")


def drawn(module: nn.Module, split: Split, task: Task, before: Drawing | None = None) -> Any:
    source = place_split(split, lambda raw, _: raw, CPU)
    found = evaluate(module, source, task, split="test", classes="abc"[: task.num_outputs],
                     precision=Precision("fp32", CPU))  # fmt: skip
    return decision_plot(module, source, found, before)


def test_a_line_drawing_has_sorted_points() -> None:
    x = torch.rand(1000, 1)
    module = nn.Linear(1, 1)
    before = drawn(module, Split(x, 2 * x), Regression(1))
    found = drawn(module, Split(x, 2 * x), Regression(1), before)
    assert isinstance(found, LineDrawing)
    assert (len(found.x), found.before) == (MAX_POINTS, before.predicted)
    assert list(found.x) == sorted(found.x)
    assert torch.allclose(torch.tensor(found.y), 2 * torch.tensor(found.x), atol=1e-4)
    predictions = module(torch.tensor(found.x)[:, None])[:, 0]
    assert torch.allclose(torch.tensor(found.predicted), predictions, atol=1e-4)


def test_regions_are_the_models_predictions_and_leave_it_unchanged() -> None:
    module = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 2)).train()
    with torch.no_grad():
        module[1].weight.copy_(torch.tensor([[-1.0, 0.0], [1.0, 0.0]]))
        module[1].bias.zero_()
    points = torch.randn(50, 2)
    labels = (points[:, 0] > 0).long()
    statistics = module[0].running_mean.clone()
    found = drawn(module, Split(points, labels), Classification(2))
    cells = torch.tensor(found.cells).reshape(GRID_ROWS, GRID_COLUMNS)
    xs = torch.linspace(*found.x_range, GRID_COLUMNS)
    assert torch.equal(cells, (xs > 0).long().expand(GRID_ROWS, GRID_COLUMNS))
    assert found.label == tuple(labels.tolist())
    assert found.x_range[0] < min(found.x)
    assert module.training
    assert torch.equal(module[0].running_mean, statistics)


def test_other_data_has_no_decision_plot() -> None:
    assert drawn(nn.Linear(3, 3), Split(torch.randn(9, 3), torch.arange(9) % 3), Classification(3)) is None
    assert drawn(nn.Linear(2, 1), Split(torch.randn(9, 2), torch.randn(9, 1)), Regression(1)) is None


def line_of(folder: RunFolder, step: int) -> LineDrawing:
    found = read_record(folder.evaluation(step, "test"), EvaluationFile)
    assert found is not None and isinstance(found.draw, LineDrawing)
    return found.draw


def test_a_resumed_run_records_the_drawing_before_training(home: Path) -> None:
    folder = create_run_folder(home / "runs", "line")
    sets = ["train.epochs=4", "train.device=cpu"]
    write_json(folder.experiment, build_experiment("line-regression", sets=sets).to_dict())
    run_until(folder, 10)
    run_until(folder, None)
    first, last = line_of(folder, 0), line_of(folder, 32)
    assert first.before is None
    assert last.before == first.predicted != last.predicted
