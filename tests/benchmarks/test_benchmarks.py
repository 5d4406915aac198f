"""The benchmarks at their smallest: they run, and both sides do the same work. No time decides anything here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.benchmarks import (
    charts,
    classifying,
    event_files,
    gpu,
    loops,
    material,
    measure,
    photographs,
    recipes,
    record,
    screen,
    scripts,
    starting,
)
from workbench.launcher import fork_client
from workbench.runs.jsonl import read_lines
from workbench.runs.metrics import MetricLine, StepRow
from workbench.worker.metrics_writer import auto_log_every

FEW = 320


@pytest.fixture(autouse=True)
def threads_as_they_were() -> object:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.random.fork_rng(devices=[]):
        yield
    torch.set_num_threads(before)


def by_hand(kind: str, data: Path, epochs: int) -> recipes.Trained:
    x, y = loops.tensors(kind, str(data))
    found = loops.train(loops.network(kind), x, y, loops.SETTINGS[kind], epochs=epochs)
    return recipes.Trained(found["seconds"], found["steps"], found["examples"], found["loss"])


@pytest.mark.parametrize(
    ("kind", "make"), [("mnist-mlp", material.grayscale), ("cifar10-convnet", material.color)]
)
def test_ours_the_loop_by_hand_and_the_tutorial_do_the_same_work(
    kind: str, make: object, tmp_path: Path
) -> None:
    assert callable(make)
    make(tmp_path / "data", FEW, 100)
    mine = recipes.ours(kind, tmp_path / "data", tmp_path / "home", 2, "train.threads=1")
    theirs = by_hand(kind, tmp_path / "data", 2)
    recipes.check_same_work(mine, theirs)
    result = scripts.epoch(kind, str(tmp_path / "data"))
    recipes.check_same_work(
        mine, recipes.Trained(1.0, int(result["steps"]), int(result["examples"])), epochs=2
    )
    assert 0 < mine.seconds < mine.total <= mine.outside
    for other in (
        replace(theirs, steps=1),
        replace(theirs, examples=1),
        replace(theirs, loss=2 * (mine.loss or 1)),
    ):
        with pytest.raises(AssertionError):
            recipes.check_same_work(mine, other)


def test_photographs_are_read_alike(tmp_path: Path) -> None:
    material.photographs(tmp_path / "photos", 20, size=(100, 75), test=10)
    mine = photographs.ours(tmp_path / "photos", tmp_path / "home", 1)
    theirs = photographs.epochs_by_script(str(tmp_path / "photos"), 1, workers=0)
    assert (mine["examples"], mine["classes"]) == (theirs["examples"], theirs["classes"])
    assert len(mine["seconds"]) == len(theirs["seconds"]) == 1


def test_images_are_classified_alike(tmp_path: Path) -> None:
    material.photographs(tmp_path / "photos", 6, size=(300, 260))
    classifying.make_weights(tmp_path / "weights.pth")
    mine = classifying.ours(tmp_path / "photos", tmp_path / "weights.pth", tmp_path / "home")
    theirs = classifying.one_at_a_time(str(tmp_path / "photos"), str(tmp_path / "weights.pth"))
    assert len(mine["first"]) == 6
    assert classifying.agreement(mine["first"], theirs["first"]) == 1


def test_runs_start_forked_and_in_fresh_interpreters(tmp_path: Path) -> None:
    try:
        first_step, whole = starting.rows(tmp_path, replace(measure.QUICK, rounds=1))
    finally:
        fork_client.start_fork_server()
    assert float(first_step.ratio.split()[0]) > 0 and float(whole.ratio.split()[0]) > 0


def test_four_long_curves_are_refreshed() -> None:
    rows = screen.refresh(points=2_000, times=3)
    assert [row.goal for row in rows] == ["≤ 10 ms", "about 1 kB"]


def test_a_training_on_record_and_the_bare_loop_take_the_same_steps(tmp_path: Path) -> None:
    scale = replace(measure.QUICK, grayscale=2_000, rounds=1)
    (row,) = record.rows(tmp_path, scale)
    assert float(row.ratio) > 0
    written = read_lines(next((tmp_path / "home" / "runs").iterdir()) / "metrics.jsonl", MetricLine)
    steps_a_row = auto_log_every(63, epochs=5)
    blocks = record.EPOCHS * (63 // (steps_a_row * record.ROWS_A_BLOCK))
    assert sum(isinstance(row, StepRow) for row in written) == blocks * record.ROWS_A_BLOCK


def test_without_a_gpu_the_table_reports_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "has_gpu", lambda: False)
    rows = gpu.rows(tmp_path, measure.QUICK)
    assert {row.ours for row in rows} == {gpu.NONE} and len(rows) >= 6


def test_many_runs_are_made_of_one(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    for name in material.RUN_FILES:
        (model / name).write_text("{}")
    material.many_runs(model, tmp_path / "runs", 3)
    assert len(list((tmp_path / "runs").iterdir())) == 3


def test_quotients_are_taken_round_by_round() -> None:
    found = measure.quotient([2.0, 3.0, 8.0], [1.0, 1.0, 2.0])
    assert str(found) == "3.00 (2.00–4.00)"
    calls: list[str] = []
    measure.alternate(2, {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")})
    assert calls == ["a", "b", "b", "a"]


def test_both_event_file_readers_agree(tmp_path: Path) -> None:
    event_files.write(tmp_path, FEW)
    event_files.check_same_points(event_files.ours(tmp_path), event_files.theirs(tmp_path))
    assert event_files.ours(tmp_path).point_count == FEW


def test_the_charts_of_many_metrics_are_drawn_at_every_key() -> None:
    rows = charts.measure(50, 5_000, 20)
    assert ["first frame" in row.what or "key" in row.what or "memory" in row.what for row in rows] == [
        True
    ] * 3
