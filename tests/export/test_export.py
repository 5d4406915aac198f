from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from workbench.cli.main import run
from workbench.core.distribution import install_hint
from workbench.core.errors import UserError
from workbench.core.settings_schema import Choice
from workbench.datasets.loader import load
from workbench.export import unused_name
from workbench.inference.run_checkpoint import load_run_checkpoint
from workbench.models.preprocessing import Preprocessing
from workbench.runs.run_folder import RunFolder
from workbench.runs.run_report import read_report


def accuracy_of(folder: RunFolder) -> float:
    test = read_report(folder).test
    assert test is not None and test["accuracy"] is not None
    return test["accuracy"]


def export(folder: RunFolder, form: str, target: Path) -> Path:
    assert run(["export", folder.id, "--format", form, "--to", str(target)]) == 0
    return target


def test_csv_has_every_row_of_the_record(digits_run: RunFolder, tmp_path: Path) -> None:
    with export(digits_run, "csv", tmp_path / "out.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(digits_run.metrics.read_bytes().splitlines())
    final = [row for row in rows if row["final"] == "True"]
    assert float(final[0]["accuracy"]) == accuracy_of(digits_run)


def test_pytorch_and_safetensors_hold_the_best_weights(digits_run: RunFolder, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    best = load_run_checkpoint(digits_run.path)[0]["model"]
    plain = torch.load(export(digits_run, "pytorch", tmp_path / "out.pt"), weights_only=True)["model"]
    safe = load_file(export(digits_run, "safetensors", tmp_path / "out.safetensors"))
    for name, value in best.items():
        assert torch.equal(plain[name], value)
        assert torch.equal(safe[name], value)


def test_onnx_takes_raw_images_and_gives_our_accuracy(digits_run: RunFolder, tmp_path: Path) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(export(digits_run, "onnx", tmp_path / "out.onnx"))
    test = load(Choice("digits"), seed=0).test
    predicted = session.run(None, {"inputs": test.inputs.numpy()})[0].argmax(1)
    accuracy = (predicted == test.targets.numpy()).mean()
    assert accuracy == pytest.approx(accuracy_of(digits_run))
    assert len(json.loads(session.get_modelmeta().custom_metadata_map["classes"])) == 10


def test_tensorboard_has_the_scalars(digits_run: RunFolder, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(export(digits_run, "tensorboard", tmp_path / "board")))
    events.Reload()
    assert events.Scalars("test/accuracy")[-1].value == pytest.approx(accuracy_of(digits_run))
    assert len(events.Scalars("validation/loss")) == 6


def test_nothing_is_overwritten_and_nothing_half_written(digits_run: RunFolder, tmp_path: Path,
                                                         capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    mine = tmp_path / "mine.csv"
    mine.write_text("mine")
    assert run(["export", "last", "--format", "csv", "--to", str(mine)]) == 2
    assert mine.read_text() == "mine"
    assert run(["export", "last", "--format", "csv", "--to", str(tmp_path / "no" / "such" / "x.csv")]) == 2
    assert all(line.startswith("workbench: ") for line in capsys.readouterr().err.splitlines())


def test_a_free_name_holds_the_runs_name_and_what_makes_it_unique(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert unused_name("2026-mlp-d430", "mlp", "csv") == "2026-mlp-d430.csv"
    assert unused_name("2026-mlp-d430", "better", "onnx") == "better-2026-mlp-d430.onnx"
    assert unused_name("2026-mlp-d430", "-../a b/\x1b[1m" + "猫" * 300, "csv").startswith("a-b-1m猫")
    Path("2026-mlp-d430.csv").touch()
    Path(unused_name("2026-mlp-d430", "猫" * 300, "tensorboard")).touch()
    Path("2026-mlp-d430-2.csv").symlink_to("nowhere")
    assert unused_name("2026-mlp-d430", "mlp", "csv") == "2026-mlp-d430-3.csv"


def test_a_package_that_is_missing_is_named(
    digits_run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.delitem(sys.modules, "workbench.export.onnx_graph", raising=False)
    assert run(["export", "last", "--format", "onnx", "--to", str(tmp_path / "x.onnx")]) == 2
    expected = f"workbench: exporting to onnx needs the package 'onnx': {install_hint('export')}\n"
    assert capsys.readouterr().err == expected


def test_a_graph_that_answers_otherwise_is_not_exported() -> None:
    from workbench.export.onnx_graph import check_answers

    ours = np.full((4, 3), 1 / 3, np.float32)
    check_answers(ours + 1e-6, ours)
    for wrong in (ours + 0.01, ours[:2], np.full_like(ours, np.nan)):
        with pytest.raises(UserError, match=r"answers otherwise than the run .* nothing was written"):
            check_answers(wrong, ours)


@pytest.mark.parametrize("size", [(8, 8), (33, 20)])
def test_images_in_a_graph_are_resized_as_in_torch(size: tuple[int, int]) -> None:
    from workbench.export.onnx_graph import ExportablePreprocessing

    images = torch.randint(0, 256, (2, 3, 20, 17), generator=torch.manual_seed(0), dtype=torch.uint8)
    settings = Preprocessing(size, 3, (0.5,), (0.25,))
    found = ExportablePreprocessing.from_dict(settings.to_dict())(images)
    torch.testing.assert_close(found, settings(images), atol=1e-5, rtol=0)
