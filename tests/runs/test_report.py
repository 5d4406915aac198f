from __future__ import annotations

from pathlib import Path

from workbench.io.atomic import write_json
from workbench.runs.layout import RunFolder
from workbench.runs.records import epoch_of
from workbench.runs.report import read_evaluation


def test_the_result_of_earlier_weights_is_of_their_epoch(tmp_path: Path) -> None:
    """The test split is measured at the end, by the best epoch's weights: figures say that epoch, not the last."""
    folder = RunFolder(tmp_path)
    folder.evaluations.mkdir()
    write_json(folder.evaluations / "step-40-test.json", {"step": 40, "epoch": 4, "split": "test"})
    row = {"step": 40, "epoch": 4, "split": "test"}
    assert epoch_of(read_evaluation(folder, row) or {}) == 4
    found = read_evaluation(folder, {**row, "weights_step": 20, "weights_epoch": 2})
    assert found is not None
    assert epoch_of(found) == 2
    assert found["step"] == 40  # what its pictures are asked for by
    assert read_evaluation(folder, {**row, "step": 41, "weights_epoch": 2}) is None
