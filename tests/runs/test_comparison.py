"""Runs compared by what they measured and by the settings that differ."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec

from workbench.config.experiment import build_experiment
from workbench.io.atomic_files import write_json
from workbench.io.record_codec import write_record
from workbench.runs.class_comparison import compare_classes
from workbench.runs.comparison import ComparedRun, compare_runs, differing_keys, display_names
from workbench.runs.enums import Ending
from workbench.runs.jsonl import LineWriter
from workbench.runs.metrics import ClassMetrics, EvaluationFile, EvaluationRow
from workbench.runs.reader import read_view
from workbench.runs.records import Exit, Heartbeat
from workbench.runs.run_folder import RunFolder, create_run_folder
from workbench.runs.status import Status


def finished(home: Path, accuracy: float | None, *sets: str) -> RunFolder:
    """A run with these settings; `accuracy` of its result, `None` where it was never measured."""
    folder = create_run_folder(home / "runs", "digits-mlp")
    write_json(folder.experiment, build_experiment("digits-mlp", sets=list(sets)).to_dict())
    write_record(folder.heartbeat, Heartbeat(epoch=40))
    write_record(folder.exit, Exit(status=Ending.FINISHED))
    metrics = LineWriter(folder.metrics)
    if accuracy is not None:
        metrics.write(
            EvaluationRow(step=9, epoch=40, split="test", loss=0.5, accuracy=accuracy, top5=1.0, final=True)
        )
    metrics.close()
    return folder


def compared(folders: list[RunFolder]) -> list[ComparedRun]:
    return compare_runs([read_view(folder) for folder in folders])


def evaluated(folder: RunFolder, split: str, step: int, **accuracies: float | None) -> RunFolder:
    """Adds an evaluation with the accuracy of each class."""
    rows = tuple(
        ClassMetrics(name=name, accuracy=value, recall=value, f1=0.5, support=10)
        for name, value in accuracies.items()
    )
    row = EvaluationRow(step=step, epoch=1, split=split, loss=0.5, accuracy=0.5, final=split == "test")
    metrics = LineWriter(folder.metrics)
    metrics.write(row)
    metrics.close()
    folder.evaluations.mkdir(exist_ok=True)
    write_record(
        folder.evaluation(step, split), EvaluationFile(step=step, epoch=1, split=split, per_class=rows)
    )
    return folder


def test_classes_are_compared_on_a_split_that_all_runs_have(home: Path) -> None:
    first = evaluated(finished(home, None), "validation", 5, cat=0.5, dog=0.75, owl=None)
    evaluated(first, "test", 9, cat=0.25, dog=0.25, owl=0.25)
    live = evaluated(finished(home, None), "validation", 5, cat=0.625, dog=0.25, owl=0.5)
    other = evaluated(finished(home, None), "validation", 5, cat=0.5, emu=1.0)
    comparison = compare_classes([read_view(folder) for folder in (first, live, other)])
    assert comparison.split == "validation"
    assert [
        (one.name, [(value.value, value.difference) for value in one.values]) for one in comparison.classes()
    ] == [
        ("dog", [(0.75, None), (0.25, -0.5), (None, None)]),
        ("cat", [(0.5, None), (0.625, 0.125), (0.5, 0.0)]),
        ("owl", [(None, None), (0.5, None), (None, None)]),
        ("emu", [(None, None), (None, None), (1.0, None)]),
    ]
    assert {one.largest_difference for one in comparison.classes("f1")} == {0.0}
    document = comparison.to_json(1)
    assert document is not None
    assert [row["class"] for row in document] == ["cat", "dog", "owl"]
    names = ("accuracy", "accuracy_difference", "f1_difference")
    assert [document[1][name] for name in names] == [0.25, -0.5, 0.0]


def test_without_a_shared_split_no_classes_are_compared(home: Path) -> None:
    first = evaluated(finished(home, None), "test", 9, cat=0.25)
    second = evaluated(finished(home, None), "validation", 9, cat=0.5)
    assert compare_classes([read_view(first), read_view(second)]).split == ""


def test_a_run_has_its_metrics_and_the_settings_that_differ(home: Path) -> None:
    first, second = compared(
        [finished(home, 0.91234), finished(home, None, "train.lr=0.01", "model.widths=64,32")]
    )
    assert (first.status, first.epoch) == (Status.FINISHED, 40)
    assert first.test == {"loss": 0.5, "accuracy": 0.9123, "top5": 1.0}
    assert second.test == {"loss": None, "accuracy": None, "top5": None}
    assert first.settings.keys() == second.settings.keys() == {"train.lr", "model.widths"}
    assert (first.settings["train.lr"], second.settings["train.lr"]) == (0.001, 0.01)


def test_rows_have_the_same_keys_and_a_table_only_those_that_differ(home: Path) -> None:
    runs = compared([finished(home, 0.9), finished(home, 0.8, "train.epochs=50")])
    rows = json.loads(msgspec.json.encode([run.row for run in runs]))
    assert list(rows[0]) == list(rows[1]) == [
        "run", "name", "status", "epoch", "seconds", "test.loss", "test.accuracy", "test.top5", "train.epochs",
    ]  # fmt: skip
    assert differing_keys(runs) == ["test.accuracy", "train.epochs"]


def test_runs_of_the_same_name_are_distinguished_by_their_ids(home: Path) -> None:
    runs = compared([finished(home, 0.9), finished(home, 0.8)])
    names = display_names(runs)
    assert names[0] != names[1]
    assert all(name.startswith("digits-mlp ") for name in names)


def test_a_run_without_an_experiment_is_compared_by_its_results(home: Path) -> None:
    whole, damaged = finished(home, 0.9), finished(home, 0.8)
    damaged.experiment.write_bytes(b"{")
    first, second = compared([whole, damaged])
    assert (first.settings["train.lr"], second.settings["train.lr"]) == (0.001, None)
    assert second.test["accuracy"] == 0.8
