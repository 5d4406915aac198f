"""Runs on photographs that are stored larger than inputs, with every augmentation and progressive resizing."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.worker.support import Worker, make_run, notices, outcome, run_until, same, setup_of
from workbench.config.experiment import experiment_from_dict
from workbench.core.errors import UserError
from workbench.datasets.augmentation import NAMES
from workbench.io.atomic_files import write_json
from workbench.runs.run_folder import RunFolder
from workbench.runs.run_report import read_report

SETTINGS: dict[str, Any] = {
    "epochs": 4, "batch_size": 10, "augment": list(NAMES), "jitter_hue": 0.1, "resize": "24@0,28@0.25,32@0.5",
    "optimizer": "sgd", "lr": 0.01, "momentum": 0.9, "log_every": 1, "checkpoint_seconds": 0.01,
}  # fmt: skip
RESNET = {"name": "resnet", "depth": 8, "width": 2}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two classes of noise, of several aspect ratios."""
    rng, root = np.random.default_rng(0), tmp_path / "photos"
    for name in ("cat", "dog"):
        (root / name).mkdir(parents=True)
        for i in range(30):
            size = [(60, 45), (45, 60), (90, 30)][i % 3]
            noise = rng.integers(0, 128 if name == "cat" else 256, (9, 12, 3), np.uint8)
            Image.fromarray(noise).resize(size).save(root / name / f"{i:02}.jpg")
    return root


def make(home: Path, photos: Path, **changed: Any) -> RunFolder:
    """A run on stored images of 40 × 40 with inputs of 32 × 32."""
    folder = make_run(home, {**SETTINGS, **changed}, RESNET)
    data = {"name": f"folder:{photos}", "size": 32, "store": 40}
    train = {"threads": 1, "device": "cpu", **SETTINGS, **changed}
    content = {"name": "photos", "seed": 7, "data": data, "model": RESNET, "train": train}
    write_json(folder.experiment, experiment_from_dict(content).to_dict())
    return folder


def kill_at(worker: Worker, step: int) -> None:
    """SIGKILL once the checkpoint of a step is there."""
    worker.wait_for(lambda: worker.step() >= step)
    worker.signal(signal.SIGKILL)
    assert worker.ended() is None


def test_a_run_with_every_augmentation_ends_the_same_after_kills(home: Path, photos: Path) -> None:
    """SIGKILL while images of each size are trained on; another run that was never cut has the same bits."""
    wanted = [make(home, photos) for _ in range(2)]
    for folder in wanted:
        steps = run_until(folder, None).components.epochs.steps
    assert same(outcome(wanted[0]), outcome(wanted[1]))
    killed = make(home, photos)
    for step in (2, steps + 2, 2 * steps + 1):
        kill_at(Worker(killed), step)
    assert Worker(killed).finishes()
    assert same(outcome(killed), outcome(wanted[0]))
    assert read_report(killed).exact
    assert setup_of(killed).shape == (3, 32, 32)


@pytest.mark.parametrize("step", [1, 6, 11, 17])
def test_a_run_that_is_cut_at_any_size_continues_exactly(home: Path, photos: Path, step: int) -> None:
    wanted, cut = make(home, photos, augment=["resized-crop"]), make(home, photos, augment=["resized-crop"])
    run_until(wanted, None)
    run_until(cut, step)
    run_until(cut, None)
    assert same(outcome(cut), outcome(wanted))


def test_images_grow_with_the_training(home: Path, photos: Path) -> None:
    trainer = run_until(make(home, photos, augment=[]), 1)
    epochs, state = trainer.components.epochs, trainer.state
    sides = []
    for epoch in range(4):
        state.epoch, state.position = epoch, 0
        sides.append(next(epochs.batches(epoch, state.training_side).iter_from(0)).inputs.shape[-1])
    assert sides == [24, 28, 32, 32]
    assert trainer.components.splits["test"].inputs.shape[-1] == 32


def test_a_model_that_takes_one_size_is_named_before_training(home: Path, photos: Path) -> None:
    folder = make_run(home, {"resize": "20@0,28@0.5"}, {"name": "lenet"})
    with pytest.raises(
        UserError, match=r"train\.resize: lenet does not accept inputs of shape \[1, 20, 20\]"
    ):
        run_until(folder, 1)
    folder = make(home, photos, resize="")
    run_until(folder, 1)
    assert not any("train.resize" in notice.text for notice in notices(folder))


def test_a_changed_length_applies_from_the_next_epoch_on(home: Path, photos: Path) -> None:
    """The batches of an epoch under way stay what they were."""
    folder = make(home, photos, augment=[])
    steps = run_until(folder, 1).components.epochs.steps
    run_until(folder, steps + 2)
    state = run_until(folder, steps + 3, overrides={"train.epochs": 40}).state
    assert (state.epoch, state.position, state.training_side) == (1, 3, 28)
    state.step, state.epoch, state.position = 2 * steps, 2, 0
    assert state.training_side == 24
