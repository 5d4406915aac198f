"""The recipes as their command runs them, from the start of a worker to the published figure."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from workbench.runs.jsonl import read_lines
from workbench.runs.metrics import EvaluationRow, MetricLine
from workbench.runs.run_folder import RunFolder


def train(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "workbench", "train", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


def evaluations(document: dict[str, Any]) -> list[EvaluationRow]:
    rows = read_lines(RunFolder(Path(document["directory"])).metrics, MetricLine)
    return [row for row in rows if isinstance(row, EvaluationRow)]


@pytest.mark.parametrize(
    ("recipe", "figure", "before"),
    [("line-regression", "weight", 0.1), ("two-clusters", "accuracy", None)],
)
def test_recipes_of_points_end_in_seconds(recipe: str, figure: str, before: float | None) -> None:
    start = time.monotonic()
    document = json.loads(train(recipe, "--json").stdout)
    assert time.monotonic() - start < 60  # 5 s on an idle machine
    assert (document["status"], document["seconds"]["train"] < 10) == ("finished", True)
    reference = document["reference"]
    assert reference["within"]
    assert abs(reference["ours"] - reference["published"]) <= reference["tolerance"]
    first, *_, last = evaluations(document)
    assert (first.step, first.epoch) == (0, 0)
    assert first.metric(figure) == (pytest.approx(before) if before else pytest.approx(0.5, abs=0.5))
    assert last.final
    assert last.metric(figure) == reference["ours"]
    assert len(evaluations(document)) == document["epochs_total"] + 2


def test_our_result_is_shown_beside_the_published_one(mnist: Path) -> None:
    output = train("mnist-mlp", "--set", "train.epochs=1").stdout
    assert "test.accuracy: ours" in output
    assert "published 0.9632" in output
    assert "as published" in output
    assert "train.loss by epoch" in output
    assert "1,438 + 359 samples of mnist's 60,000 + 10,000" in output
