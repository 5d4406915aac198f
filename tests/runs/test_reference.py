from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from workbench.experiment import Experiment, build
from workbench.io.atomic import write_json
from workbench.runs.layout import RunFolder, create_run_folder
from workbench.runs.records import LineWriter
from workbench.runs.reference import cut, cut_batches
from workbench.runs.report import describe

CIFAR = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
RECORD = np.dtype([("index", "<u4"), ("label", "<u2"), ("top", "<u2", (5,)), ("probability", "<f4")])


def ended(
    home: Path,
    experiment: Experiment,
    answers: list[tuple[int, int]],
    rows: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """The document of a run that said `answers` (true class, said class) to its test data."""
    folder = create_run_folder(home / "runs", experiment.name)
    write_json(folder.experiment, experiment.to_dict())
    counts = {"train": 50_000, "test": len(answers)}
    write_json(folder.setup, {"v": 1, "classes": list(CIFAR), "counts": counts})
    accuracy = sum(label == top for label, top in answers) / len(answers)
    lines = LineWriter(folder.metrics)
    final = {
        "kind": "evaluation",
        "step": 9,
        "epoch": 2,
        "split": "test",
        "accuracy": accuracy,
        "final": True,
    }
    for row in [*(rows or []), final]:
        lines.write(row)
    lines.close()
    write_records(folder, answers)
    return describe(folder)


def write_records(folder: RunFolder, answers: list[tuple[int, int]]) -> None:
    records = np.zeros(len(answers), RECORD)
    records["label"] = [label for label, _ in answers]
    records["top"][:, 0] = [top for _, top in answers]
    (folder.evaluations / "step-9-test.bin").write_bytes(records.tobytes())
    fields = [["index", 1], ["label", 1], ["top", 5], ["probability", 1]]
    described = {"v": 1, "records": {"file": "step-9-test.bin", "struct": "<IH5Hf", "fields": fields}}
    rows = [{"class": name, "accuracy": 0.5} for name in CIFAR]
    write_json(folder.evaluations / "step-9-test.json", {**described, "per_class": rows})


def test_per_cents_are_cut_not_rounded() -> None:
    assert (cut(0.5499), cut(0.55), cut(0.29), cut(1.0), cut(0.0)) == (0.54, 0.55, 0.29, 1.0, 0.0)


def test_batches_are_cut_and_divided_by_one_too_few() -> None:
    right = [True] * 31 + [False] + [True] * 32 + [True] * 3 + [False]  # 96.875 %, 100 %, 75 %
    assert cut_batches(right, 32) == pytest.approx((0.96 + 1.0 + 0.75) / 2)
    assert cut_batches(right[:32], 32) is None


def test_a_published_figure_is_judged_by_its_own_formula(home: Path) -> None:
    answers = [(n % 10, n % 10 if n < 598 else (n + 1) % 10) for n in range(1000)]
    found = ended(home, build("cifar10-convnet"), answers)["reference"]
    assert (found["metric"], found["published"], found["tolerance"]) == ("test.accuracy", 0.54, 0.05)
    assert found["ours"] == 0.598
    assert found["ours_by_formula"] == 0.59
    assert found["within"]  # 59.8 would not be
    assert "cut" in found["formula"]
    assert "50,000 + 1,000" in found["note"]


def test_the_formula_of_batches_is_taken_from_every_answer(home: Path) -> None:
    answers = [(1, 1)] * 31 + [(1, 2)] + [(2, 2)] * 32
    found = ended(home, build("mnist-mlp"), answers)["reference"]
    assert found["ours"] == pytest.approx(63 / 64)
    assert found["ours_by_formula"] == pytest.approx(1.96)


def test_classes_are_found_by_their_published_names(home: Path) -> None:
    found = ended(home, build("cifar10-convnet"), [(3, 5), (8, 8), (0, 1), (0, 0)])["reference"]
    rows = {row["alias"]: row for row in found["per_class"]}
    assert rows["car"] == {"class": "automobile", "alias": "car", "published": 0.85, "ours": 0.5}
    assert len(rows) == 10
    assert found["examples"] == [
        {"truth": "cat", "ours": "dog", "published": "cat"},
        {"truth": "ship", "ours": "ship", "published": "automobile"},
        {"truth": "airplane", "ours": "automobile", "published": None},
        {"truth": "airplane", "ours": "airplane", "published": "airplane"},
    ]


def test_published_curves_have_ours_beside_them(home: Path) -> None:
    rows = [
        {"kind": "epoch", "step": n * 9, "epoch": n, "loss": 2.0 - n / 10, "accuracy": n / 10} for n in (1, 2)
    ]
    curves = ended(home, build("mnist-mlp"), [(0, 0)] * 64, rows)["reference"]["curves"]
    assert [(c["metric"], c["by"], c["ours"][:3]) for c in curves] == [
        ("train.loss", "epoch", [1.9, 1.8, None]),
        ("train.accuracy", "epoch", [0.1, 0.2, None]),
    ]
    rows = [{"kind": "step", "step": n * 2000, "epoch": n / 6, "loss": 3.0 - n / 10} for n in range(1, 9)]
    (curve,) = ended(home, build("cifar10-convnet"), [(0, 0)] * 64, rows)["reference"]["curves"]
    assert curve["at"][:7] == [2000, 4000, 6000, 8000, 10000, 12000, 14500]
    assert curve["ours"][:2] == pytest.approx([2.9, 2.8])
    assert curve["ours"][6] == pytest.approx(2.3)
    assert curve["ours"][8:] == [None] * 4


def test_a_run_that_is_not_measured_yet_has_nothing_of_its_own(home: Path) -> None:
    folder = create_run_folder(home / "runs", "early")
    write_json(folder.experiment, build("cifar10-convnet").to_dict())
    found = describe(folder)["reference"]
    assert (found["ours"], found["within"], found["ours_by_formula"]) == (None, None, None)
    assert {row["ours"] for row in found["per_class"]} == {None}


def test_a_figure_of_the_model_is_found_in_the_result(home: Path) -> None:
    folder = create_run_folder(home / "runs", "line")
    write_json(folder.experiment, build("line-regression").to_dict())
    lines = LineWriter(folder.metrics)
    lines.write({"kind": "evaluation", "step": 1, "split": "test", "weight": 2.2, "r2": 0.5, "final": True})
    lines.close()
    found = describe(folder)["reference"]
    assert (found["ours"], found["within"], found["ours_by_formula"]) == (2.2, False, None)


def test_another_dataset_than_the_published_one_is_named(home: Path) -> None:
    answers = [(0, 0)] * 64
    assert ended(home, build("digits-mlp"), answers)["reference"] is None
    other = ended(home, build("mnist-mlp", dataset="fashion-mnist"), answers)["reference"]
    assert other["note"] == "published for mnist; this is fashion-mnist"
