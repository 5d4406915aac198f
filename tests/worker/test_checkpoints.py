from __future__ import annotations

import json
import math
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.worker.support import make_run, run_until
from workbench.config.training_settings import TrainingSettings
from workbench.core.errors import RunFailed, UserError
from workbench.engine.rng_state import random_states, restore_random_states
from workbench.inference.run_checkpoint import load_run_checkpoint
from workbench.runs.checkpoint_index import read_entries
from workbench.runs.run_folder import RunFolder, create_run_folder
from workbench.worker.checkpoint_content import MetricsPlace
from workbench.worker.checkpoint_reader import LoadedCheckpoint
from workbench.worker.checkpoints import CheckpointManager, estimate_checkpoint_bytes


@pytest.fixture
def folder(home: Path) -> RunFolder:
    return create_run_folder(home / "runs", "run")


def content(step: int, position: int = 0, epoch: int | None = None) -> Any:
    """What the thread that writes looks at of a checkpoint's content."""
    weight = torch.full((3,), float(step) + position / 10)
    return {
        "model": {"w": weight},
        "step": step,
        "epoch": step // 10 if epoch is None else epoch,
        "position": position,
        "best": None,
    }


def save(checkpoints: CheckpointManager, *steps: int, best: bool = False) -> None:
    for step in steps:
        checkpoints.save(content(step), MetricsPlace(step * 100), best=best, sync=lambda: None)
    checkpoints.wait()


def newest(checkpoints: CheckpointManager) -> LoadedCheckpoint:
    found = checkpoints.newest()
    assert found is not None
    return found


def files(folder: RunFolder) -> set[str]:
    return {path.name for path in folder.checkpoints.iterdir()}


def test_the_last_two_and_the_best_are_kept(folder: RunFolder) -> None:
    checkpoints = CheckpointManager(folder)
    save(checkpoints, 10)
    save(checkpoints, 20, best=True)
    save(checkpoints, 30, 40, 50)
    assert files(folder) == {"step-20.pt", "step-40.pt", "step-50.pt", "manifest.json"}
    assert [(e.step, e.best, e.metrics_offset) for e in read_entries(folder)] == [
        (20, True, 2000),
        (40, False, 4000),
        (50, False, 5000),
    ]
    save(checkpoints, 60, best=True)
    assert [e.step for e in read_entries(folder) if e.best] == [60]
    assert "step-20.pt" not in files(folder)
    checkpoints.close()


def test_one_of_every_k_epochs_is_kept(folder: RunFolder) -> None:
    checkpoints = CheckpointManager(folder)
    checkpoints.keep_checkpoint_every = 2
    save(checkpoints, 10, 20)
    checkpoints.save(content(25, 5), MetricsPlace(0), best=False, sync=lambda: None)  # within an epoch
    save(checkpoints, 30, 40, 50, 60, 70)
    assert [e.step for e in read_entries(folder)] == [20, 40, 60, 70]
    checkpoints.close()


def test_the_newest_and_the_best_checkpoint_are_known(folder: RunFolder) -> None:
    folder.checkpoints.rmdir()
    checkpoints = CheckpointManager(folder)
    assert stat.S_IMODE(folder.checkpoints.stat().st_mode) == 0o700
    assert (checkpoints.saved_at, checkpoints.best(), checkpoints.busy) == (None, None, False)
    before = checkpoints.last_started
    save(checkpoints, 20, best=True)
    save(checkpoints, 10)
    assert checkpoints.last_started > before
    other, last = checkpoints.entries
    assert (other.step, last.step) == (10, 20)
    assert checkpoints.saved_at == last.time
    assert checkpoints.best() == last
    assert checkpoints.load(other)["step"] == 10
    assert checkpoints.load(last)["wall"] == {"time": last.time, "metrics_offset": 2000, "row_seconds": 0.0}
    checkpoints.close()


@pytest.mark.parametrize(
    "settings", [{"optimizer": "adam", "lookahead": 5}, {"optimizer": "rmsprop", "momentum": 0.9}]
)
def test_the_estimated_checkpoint_size_is_accurate(home: Path, settings: dict[str, Any]) -> None:
    run = make_run(home, {"epochs": 1, **settings}, {"name": "mlp", "widths": [512]})
    trainer = run_until(run, None)
    estimate = estimate_checkpoint_bytes(trainer.state.module, trainer.state.settings)
    assert estimate < next(run.checkpoints.glob("step-*.pt")).stat().st_size < 1.1 * estimate


def test_the_estimated_checkpoint_has_the_copies_of_each_optimizer() -> None:
    module = nn.Sequential(nn.Linear(9, 10), nn.Linear(10, 10))  # of 400 and 440 bytes
    module[0].requires_grad_(False)
    copies = {("sgd", 0.0): 0, ("sgd", 0.9): 1, ("rmsprop", 0.0): 1, ("rmsprop", 0.9): 2, ("adam", 0.9): 2}
    for (optimizer, momentum), moments in copies.items():
        settings: dict[str, Any] = {"optimizer": optimizer, "momentum": momentum}
        assert estimate_checkpoint_bytes(module, TrainingSettings(**settings)) == 840 + moments * 440
        with_lookahead = TrainingSettings(**settings, lookahead=5)
        assert estimate_checkpoint_bytes(module, with_lookahead) == 2 * 840 + moments * 440


def test_a_truncated_newest_checkpoint_is_skipped(folder: RunFolder) -> None:
    checkpoints = CheckpointManager(folder)
    save(checkpoints, 10, 20)
    torn = folder.checkpoints / "step-20.pt"
    torn.write_bytes(torn.read_bytes()[:-100])
    again = CheckpointManager(folder)
    found = newest(again)
    assert (found.content["step"], found.entry.step) == (10, 10)
    assert len(found.notices) == 1
    assert "step-20.pt" in found.notices[0]
    save(again, 20)
    assert newest(CheckpointManager(folder)).notices == ()
    (folder.checkpoints / "step-10.pt").unlink()
    (folder.checkpoints / "step-20.pt").write_bytes(b"")
    with pytest.raises(UserError, match=r"step-20\.pt is empty.*restarts from step 0"):
        CheckpointManager(folder).newest()


def test_two_checkpoints_of_one_step_do_not_overwrite_each_other(folder: RunFolder) -> None:
    checkpoints = CheckpointManager(folder)
    for position, epoch in ((10, 0), (0, 1)):
        checkpoints.save(content(10, position, epoch), MetricsPlace(0), best=False, sync=lambda: None)
    checkpoints.wait()
    entries = read_entries(folder)
    assert [(e.position, e.epoch) for e in entries] == [(10, 0), (0, 1)]
    assert all((folder.checkpoints / e.file).exists() for e in entries)
    assert newest(CheckpointManager(folder)).content["epoch"] == 1
    checkpoints.close()


def test_metrics_are_durable_before_a_checkpoint_counts(folder: RunFolder) -> None:
    checkpoints = CheckpointManager(folder)

    def full() -> None:
        assert not folder.manifest.exists()
        raise OSError(28, "No space left on device")

    checkpoints.save(content(10), MetricsPlace(0), best=False, sync=full)
    with pytest.raises(OSError, match="No space"):
        checkpoints.wait()
    assert files(folder) == set()
    checkpoints.close()


def test_a_checkpoint_that_could_not_be_written_is_retried(folder: RunFolder) -> None:
    checkpoints, errors = CheckpointManager(folder), [OSError(28, "No space left on device")] * 3

    def sync() -> None:
        if errors:
            raise errors.pop()

    checkpoints.save(content(10), MetricsPlace(0), best=False, sync=sync)
    checkpoints._executor.submit(int).result()  # the thread is done
    assert not checkpoints.busy
    for left in (2, 1, 0):
        with pytest.raises(OSError, match="No space"):
            checkpoints.flush()
        assert (len(errors), files(folder)) == (left, set())
    save(checkpoints, 20)
    assert files(folder) == {"step-10.pt", "step-20.pt", "manifest.json"}
    errors.append(OSError(28, "No space left on device"))
    checkpoints.save(content(30), MetricsPlace(0), best=False, sync=sync)
    with pytest.raises(OSError, match="No space"):
        checkpoints.close()
    assert all(not thread.is_alive() for thread in checkpoints._executor._threads)


def test_training_and_inference_skip_the_same_checkpoints(home: Path) -> None:
    run = make_run(home, {"epochs": 3})
    run_until(run, None)
    *_, before, last = read_entries(run)
    damaged = run.checkpoints / last.file
    damaged.write_bytes(damaged.read_bytes()[:-100])
    found = newest(CheckpointManager(run))
    content, notices = load_run_checkpoint(run.path, "last")
    assert found.entry == before
    assert content["step"] == before.step
    assert notices == found.notices
    assert last.file in notices[0]


@pytest.mark.parametrize("text", ["", "[]", '{"checkpoints": [{"file": "../x", "sha256": "a"}, 3]}'])
def test_a_damaged_manifest_of_an_empty_folder_lists_nothing(folder: RunFolder, text: str) -> None:
    folder.manifest.write_text(text)
    assert CheckpointManager(folder).newest() is None


@pytest.mark.parametrize(
    "damage",
    [
        {"file": "../checkpoints/step-10.pt"},
        {"step": -1},
        {"epoch": -1},
        {"position": -1},
        {"metrics_offset": -1},
    ],
)
def test_entries_with_impossible_values_are_ignored(folder: RunFolder, damage: dict[str, object]) -> None:
    save(CheckpointManager(folder), 10, 20)
    manifest = json.loads(folder.manifest.read_text())
    manifest["checkpoints"][0].update(damage)
    folder.manifest.write_text(json.dumps(manifest))
    assert [entry.step for entry in read_entries(folder)] == [20]


def test_random_states_are_restored() -> None:
    states = random_states()
    first = torch.rand(3)
    restore_random_states(states)
    assert torch.equal(torch.rand(3), first)


def test_random_states_of_another_number_of_gpus_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    states = random_states() | {"cuda": [torch.zeros(16, dtype=torch.uint8)] * 2}
    assert restore_random_states(states) is None  # no GPU: the device itself is reported as another one
    restored: list[object] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_rng_state_all", restored.extend)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert restore_random_states(states) is None
    assert len(restored) == 2
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert restore_random_states(states) == (
        "1 visible GPUs instead of 2, so their random numbers start anew"
    )
    assert len(restored) == 2


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_weights_with_nan_or_infinity_are_not_kept(folder: RunFolder, value: float) -> None:
    checkpoints = CheckpointManager(folder)
    save(checkpoints, 10)
    damaged = content(20)
    damaged["model"]["w"][1] = value
    checkpoints.save(damaged, MetricsPlace(0), best=False, sync=lambda: None)
    with pytest.raises(RunFailed, match="NaN or infinite at step 20; the last good checkpoint is kept"):
        checkpoints.wait()
    assert files(folder) == {"step-10.pt", "manifest.json"}
    large = content(30)
    large["model"]["w"] = torch.tensor([3e38, 3e38])  # an infinite sum of finite numbers
    checkpoints.save(large, MetricsPlace(0), best=False, sync=lambda: None)
    checkpoints.close()
    assert "step-30.pt" in files(folder)


def test_a_checkpoint_holds_the_state_at_the_call(folder: RunFolder) -> None:
    checkpoints, made, going_on = CheckpointManager(folder), content(10), threading.Event()
    checkpoints.save(made, MetricsPlace(0), best=False, sync=lambda: going_on.wait() and None)
    assert checkpoints.busy
    made["model"]["w"].fill_(99.0)
    going_on.set()
    checkpoints.close()
    kept = newest(CheckpointManager(folder))
    assert kept.content["model"]["w"].tolist() == [10.0] * 3


def test_a_lost_manifest_is_rebuilt_from_the_files(folder: RunFolder) -> None:
    checkpoints = CheckpointManager(folder)
    save(checkpoints, 10, 20)
    listed = checkpoints.entries
    folder.manifest.unlink()
    again = CheckpointManager(folder)
    found = newest(again)
    assert (found.content["step"], found.entry, again.entries) == (20, listed[1], listed)
    assert found.notices == (
        "the checkpoint manifest was missing or damaged; it was rebuilt from 2 checkpoint files",
    )
