"""Logs that real packages wrote, read without these packages."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.logs.reading import comparable, points, read
from tests.logs.writers import EXPECTED, SAMPLES
from workbench.logs.source import LogFormat

FORMATS = [
    LogFormat.LIGHTNING, LogFormat.KERAS, LogFormat.HUGGING_FACE, LogFormat.WANDB, LogFormat.TIMM,
    LogFormat.ULTRALYTICS,
]  # fmt: skip


@pytest.fixture(params=FORMATS)
def sample(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[LogFormat, Path, dict]:
    folder = Path(shutil.copytree(SAMPLES / request.param, tmp_path / "log"))
    expected = json.loads((folder / EXPECTED).read_text())
    (folder / EXPECTED).unlink()
    return request.param, folder, expected


def test_values_logged_by_packages_are_read(sample: tuple[LogFormat, Path, dict]) -> None:
    format, folder, expected = sample
    log = read(folder)
    assert log.source.format is format
    assert points(log) == {name: comparable(map(tuple, pairs)) for name, pairs in expected["series"].items()}
    assert log.config.items() >= expected["config"].items()
    assert log.summary.items() >= expected["summary"].items()
    assert log.notices == {}


def test_epochs_and_wall_times_are_read_where_the_format_has_them() -> None:
    lightning, wandb = read(SAMPLES / "lightning"), read(SAMPLES / "wandb")
    assert list(lightning.series["val_loss"].epochs) == [0, 1]
    times = wandb.series["loss"].wall_times
    assert list(times) == sorted(times)
    assert times[0] > 1.7e9
    assert len(wandb.series["loss"].epochs) == 0


def test_only_the_last_checkpoint_of_a_trainer_is_read(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(SAMPLES / "hugging-face", tmp_path / "log"))
    (folder / "trainer_state.json").unlink()
    assert read(folder).series["loss"].steps.tolist() == [2, 4, 6, 8, 10, 12]
    shutil.rmtree(folder / "checkpoint-12")
    assert read(folder).series["loss"].steps.tolist() == [2, 4, 6, 8]
    assert read(folder / "checkpoint-4").series["loss"].steps.tolist() == [2, 4]
