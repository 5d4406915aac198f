from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from workbench.config.experiment import Experiment, build_experiment
from workbench.io.atomic_files import write_bytes, write_json
from workbench.io.record_codec import write_record
from workbench.runs.jsonl import LineWriter
from workbench.runs.metrics import (
    ClassMetrics,
    EpochRow,
    EvaluationFile,
    EvaluationRow,
    MetricLine,
    RecordLayout,
    StepRow,
)
from workbench.runs.published_reference import (
    ClassComparison,
    CurveComparison,
    ExampleComparison,
    ReferenceReport,
    floor_percent,
    floor_percent_batches,
)
from workbench.runs.records import Setup
from workbench.runs.run_folder import RunFolder, create_run_folder
from workbench.runs.run_report import read_report

CIFAR = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
RECORD = np.dtype([("index", "<u4"), ("label", "<u2"), ("top", "<u2", (5,)), ("probability", "<f4")])
LAYOUT = "<IH5Hf"


def compared(
    home: Path,
    experiment: Experiment,
    predictions: list[tuple[int, int]],
    rows: Sequence[MetricLine] = (),
) -> ReferenceReport | None:
    """The comparison of a run with these `predictions` (true class, predicted class) for its test data."""
    folder = create_run_folder(home / "runs", experiment.name)
    write_json(folder.experiment, experiment.to_dict())
    write_record(folder.setup, Setup(classes=CIFAR, counts={"train": 50_000, "test": len(predictions)}))
    accuracy = sum(label == top for label, top in predictions) / len(predictions)
    lines = LineWriter(folder.metrics)
    final = EvaluationRow(step=9, epoch=2, split="test", accuracy=accuracy, final=True)
    for row in [*rows, final]:
        lines.write(row)
    lines.close()
    write_records(folder, predictions)
    return read_report(folder).reference


def measured(
    home: Path, name: str, predictions: list[tuple[int, int]], rows: Sequence[MetricLine] = ()
) -> ReferenceReport:
    """The same for a recipe that has a published result."""
    found = compared(home, build_experiment(name), predictions, rows)
    assert found is not None
    return found


def write_records(folder: RunFolder, predictions: list[tuple[int, int]]) -> None:
    records = np.zeros(len(predictions), RECORD)
    records["label"] = [label for label, _ in predictions]
    records["top"][:, 0] = [top for _, top in predictions]
    path = folder.evaluation(9, "test")
    write_bytes(path.with_suffix(".bin"), records.tobytes())
    fields = (("index", 1), ("label", 1), ("top", 5), ("probability", 1))
    evaluation = EvaluationFile(
        step=9,
        epoch=2,
        split="test",
        per_class=tuple(ClassMetrics(name=name, accuracy=0.5) for name in CIFAR),
        records=RecordLayout(file=path.with_suffix(".bin").name, struct=LAYOUT, fields=fields),
    )
    write_record(path, evaluation)


def test_per_cents_are_cut_not_rounded() -> None:
    assert (
        floor_percent(0.5499),
        floor_percent(0.55),
        floor_percent(0.29),
        floor_percent(1.0),
        floor_percent(0.0),
    ) == (0.54, 0.55, 0.29, 1.0, 0.0)


def test_batches_are_cut_and_divided_by_one_too_few() -> None:
    right = [True] * 31 + [False] + [True] * 32 + [True] * 3 + [False]  # 96.875 %, 100 %, 75 %
    assert floor_percent_batches(right, 32) == pytest.approx((0.96 + 1.0 + 0.75) / 2)
    assert floor_percent_batches(right[:32], 32) is None


def test_a_published_metric_is_judged_by_its_own_formula(home: Path) -> None:
    predictions = [(n % 10, n % 10 if n < 598 else (n + 1) % 10) for n in range(1000)]
    found = measured(home, "cifar10-convnet", predictions)
    assert (found.metric, found.published, found.tolerance) == ("test.accuracy", 0.54, 0.05)
    assert found.ours == 0.598
    assert found.ours_by_formula == 0.59
    assert found.within  # 59.8 would not be
    assert found.formula and "truncated" in found.formula
    assert found.note and "50,000 + 1,000" in found.note


def test_the_formula_of_batches_is_computed_from_every_prediction(home: Path) -> None:
    found = measured(home, "mnist-mlp", [(1, 1)] * 31 + [(1, 2)] + [(2, 2)] * 32)
    assert found.ours == pytest.approx(63 / 64)
    assert found.ours_by_formula == pytest.approx(1.96)


def test_classes_are_found_by_their_published_names(home: Path) -> None:
    found = measured(home, "cifar10-convnet", [(3, 5), (8, 8), (0, 1), (0, 0)])
    assert isinstance(found.per_class, tuple)
    rows = {row.alias: row for row in found.per_class}
    assert rows["car"] == ClassComparison("automobile", "car", published=0.85, ours=0.5)
    assert len(rows) == 10
    assert found.examples == (
        ExampleComparison("cat", ours="dog", published="cat"),
        ExampleComparison("ship", ours="ship", published="automobile"),
        ExampleComparison("airplane", ours="automobile", published=None),
        ExampleComparison("airplane", ours="airplane", published="airplane"),
    )


def curves_of(found: ReferenceReport) -> tuple[CurveComparison, ...]:
    assert isinstance(found.curves, tuple)
    return found.curves


def test_published_curves_have_ours_beside_them(home: Path) -> None:
    epochs = [EpochRow(step=n * 9, epoch=n, loss=2.0 - n / 10, accuracy=n / 10) for n in (1, 2)]
    curves = curves_of(measured(home, "mnist-mlp", [(0, 0)] * 64, epochs))
    assert [(c.metric, c.by, c.ours[:3]) for c in curves] == [
        ("train.loss", "epoch", (1.9, 1.8, None)),
        ("train.accuracy", "epoch", (0.1, 0.2, None)),
    ]
    steps = [StepRow(step=n * 2000, epoch=n / 6, loss=3.0 - n / 10) for n in range(1, 9)]
    (curve,) = curves_of(measured(home, "cifar10-convnet", [(0, 0)] * 64, steps))
    assert curve.at[:7] == (2000, 4000, 6000, 8000, 10000, 12000, 14500)
    assert curve.ours[:2] == pytest.approx((2.9, 2.8))
    assert curve.ours[6] == pytest.approx(2.3)
    assert curve.ours[8:] == (None,) * 4


def test_a_run_that_is_not_measured_yet_has_nothing_to_compare(home: Path) -> None:
    folder = create_run_folder(home / "runs", "early")
    write_json(folder.experiment, build_experiment("cifar10-convnet").to_dict())
    found = read_report(folder).reference
    assert found is not None and isinstance(found.per_class, tuple)
    assert (found.ours, found.within, found.ours_by_formula) == (None, None, None)
    assert {row.ours for row in found.per_class} == {None}


def test_a_value_of_the_model_is_found_in_the_result(home: Path) -> None:
    folder = create_run_folder(home / "runs", "line")
    write_json(folder.experiment, build_experiment("line-regression").to_dict())
    lines = LineWriter(folder.metrics)
    lines.write(EvaluationRow(step=1, split="test", model={"weight": 2.2}, r2=0.5, final=True))
    lines.close()
    found = read_report(folder).reference
    assert found is not None
    assert (found.ours, found.within, found.ours_by_formula) == (2.2, False, None)


def test_another_dataset_than_the_published_one_is_named(home: Path) -> None:
    predictions = [(0, 0)] * 64
    assert compared(home, build_experiment("digits-mlp"), predictions) is None
    other = compared(home, build_experiment("mnist-mlp", dataset="fashion-mnist"), predictions)
    assert other is not None
    assert other.note == "published for mnist; this is fashion-mnist"
