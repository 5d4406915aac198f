"""A run cut after any step ends as one that was never cut, whatever is switched on."""

from __future__ import annotations

import json
import shutil
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.worker.support import (
    change_lr,
    epoch_rows,
    evaluation_rows,
    last_checkpoint,
    make_run,
    metrics,
    notices,
    outcome,
    prepared,
    run_until,
    same,
    step_rows,
)
from workbench.core.errors import UserError
from workbench.engine.autotune import TunedExecution
from workbench.runs.journal import attempts_of, read_journal
from workbench.runs.restart import archive_record
from workbench.runs.run_folder import RunFolder
from workbench.runs.run_report import Change, read_report
from workbench.worker import components
from workbench.worker.resume import nondeterminism_sources

RESNET = {"name": "resnet", "depth": 8, "width": 2}
AUGMENT = ["altflip", "colour", "translate", "mixup", "cutmix"]
CASES: list[tuple[dict[str, Any], dict[str, Any] | None]] = [
    ({"optimizer": "adam"}, None),
    ({"optimizer": "rmsprop", "momentum": 0.5, "schedule": "step", "step_every": 1}, None),
    ({"optimizer": "adamw", "weight_decay": 0.1, "schedule": "cosine", "warmup": 0.5, "log_every": 7}, None),
    ({"optimizer": "sgd", "momentum": 0.9, "augment": AUGMENT, "batch_size": 60}, RESNET),
    ({"class_weights": "balanced", "balanced_sampling": True, "label_smoothing": 0.1, "patience": 1}, None),
    ({"ema": 0.99, "lookahead": 3, "optimizer": "sgd", "momentum": 0.9}, RESNET),
    ({"optimizer": "muon", "layer_decay": 0.5, "head_lr": 0.01, "weight_decay": 0.1}, None),
    ({"optimizer": "nadam", "schedule": "restarts", "restart_every": 0.7, "restart_factor": 2}, None),
    ({"optimizer": "radam", "decay_all": True, "weight_decay": 0.1}, None),
    ({"optimizer": "adagrad", "unfreeze_every": 1, "head_lr": 0.01, "batch_size": 100}, RESNET),
    ({"swa": 0.3, "swa_lr": 0.01, "batch_size": 60}, RESNET),
    ({"freeze_epochs": 1, "validation": 0.0, "precision": "bf16", "batch_size": 100}, RESNET),
]  # fmt: skip


@pytest.mark.parametrize(("settings", "model"), CASES)
def test_a_run_interrupted_after_any_step_ends_the_same(
    home: Path, settings: dict[str, Any], model: dict[str, Any] | None
) -> None:
    settings = {"epochs": 3, **settings}
    uncut = make_run(home, settings, model)
    steps = run_until(uncut, None).components.epochs.steps
    cut = make_run(home, settings, model)
    for step in (1, steps - 1, steps, 2 * steps + 3):
        assert run_until(cut, step).state.step == step
    run_until(cut, None)
    assert_same_outcome(cut, uncut)


def assert_same_outcome(folder: RunFolder, uncut: RunFolder) -> None:
    """Weights, metrics and all else that does not depend on time are equal."""
    assert same(outcome(folder), outcome(uncut))


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_a_change_is_replayed_at_its_step(home: Path) -> None:
    uncut, cut = (make_run(home, {"epochs": 2, "log_every": 1}) for _ in range(2))
    for folder in (uncut, cut):
        change_lr(folder, 0.01, step=50)
    run_until(uncut, None)
    run_until(cut, 45)
    run_until(cut, None)
    assert metrics(cut) == metrics(uncut)
    rates = {row.step: row.lr for row in step_rows(cut)}
    assert (rates[50], rates[51]) == (0.001, 0.01)


def test_a_resume_with_more_epochs_continues(home: Path) -> None:
    folder = make_run(home, {"epochs": 2})
    run_until(folder, None)
    assert [row.final for row in evaluation_rows(folder)].count(True) == 1
    trainer = run_until(folder, None, overrides={"train.epochs": 3, "train.lr": 0.5})
    assert trainer.state.epoch == 3
    assert [row.epoch for row in epoch_rows(folder)] == [1, 2, 3]
    assert step_rows(folder)[-1].lr == 0.5
    assert [row.final for row in evaluation_rows(folder)].count(True) == 1


@pytest.mark.parametrize("how", ["a flipped bit", "cut short"])
def test_a_corrupt_newest_checkpoint_is_skipped_and_reported(home: Path, how: str) -> None:
    uncut, folder = make_run(home, {"epochs": 3}), make_run(home, {"epochs": 3})
    run_until(uncut, None)
    run_until(folder, 90)
    newest = folder.checkpoints / "step-90.pt"
    if how == "a flipped bit":
        damage(newest)
    else:
        newest.write_bytes(newest.read_bytes()[:-100])
    assert run_until(folder, 100).start.step == 82
    (notice,) = (notice for notice in notices(folder) if "step-90.pt" in notice.text)
    assert notice.from_step == 82
    assert read_report(folder).changes == (Change(82, "resumed"), Change(82, notice.text))
    run_until(folder, None)
    assert_same_outcome(folder, uncut)


def test_an_override_applies_from_the_checkpoint_in_use(home: Path) -> None:
    """The supervisor takes the newest for where an attempt begins; it is the worker who finds it damaged."""
    whole, folder = (make_run(home, {"epochs": 3, "log_every": 1}) for _ in range(2))
    for run in (whole, folder):
        run_until(run, 90)
    damage(folder.checkpoints / "step-90.pt")
    for run in (whole, folder):
        run_until(run, 110 if run is folder else None, overrides={"train.lr": 0.01})
    run_until(folder, None)
    rates = {row.step: row.lr for row in step_rows(folder)}
    assert [rates[step] for step in (82, 83, 110, 111)] == [0.001, 0.01, 0.01, 0.01]


def test_a_lost_manifest_is_rebuilt_on_resume(home: Path) -> None:
    uncut, folder = make_run(home, {"epochs": 3}), make_run(home, {"epochs": 3})
    run_until(uncut, None)
    run_until(folder, 90)
    kept = json.loads(folder.manifest.read_text())["checkpoints"]
    folder.manifest.write_text("{")
    trainer = run_until(folder, 95)
    assert trainer.start.step == 90
    assert json.loads(folder.manifest.read_text())["checkpoints"][:-1] == kept
    run_until(folder, None)
    assert_same_outcome(folder, uncut)


def test_without_a_readable_checkpoint_a_run_is_not_restarted_silently(home: Path) -> None:
    uncut, folder = make_run(home, {"epochs": 3}), make_run(home, {"epochs": 3})
    run_until(uncut, None)
    run_until(folder, 90)
    for path in folder.checkpoints.glob("*.pt"):
        damage(path)
    before = sorted(path.name for path in folder.checkpoints.iterdir())
    with pytest.raises(UserError, match=rf"workbench resume {folder.id} --from-start restarts from step 0"):
        prepared(folder)
    folder.manifest.unlink()
    with pytest.raises(UserError, match="all are corrupt"):
        prepared(folder)
    assert sorted(path.name for path in folder.checkpoints.iterdir()) == before[1:]
    shutil.rmtree(folder.checkpoints)
    with pytest.raises(UserError, match=r"checkpoints of .* \(90 steps\) are missing"):
        prepared(folder)
    recorded = folder.metrics.read_bytes()
    aside = archive_record(folder)
    run_until(folder, None, from_start=True)
    assert_same_outcome(folder, uncut)
    assert (aside / "metrics.jsonl").read_bytes() == recorded


def test_truncated_last_lines_change_nothing(home: Path) -> None:
    uncut, folder = make_run(home, {"epochs": 3}), make_run(home, {"epochs": 3})
    run_until(uncut, None)
    run_until(folder, 90)
    for path in (folder.metrics, folder.journal):
        with path.open("ab") as file:
            file.write(b'{"v":1,"kind":"st')
    run_until(folder, None)
    assert_same_outcome(folder, uncut)
    assert [record.attempt for record in attempts_of(read_journal(folder.journal))] == [1, 2]


def test_lost_rows_are_reported_as_inexact(home: Path) -> None:
    folder = make_run(home, {"epochs": 2})
    run_until(folder, 60)
    folder.metrics.write_bytes(folder.metrics.read_bytes()[:1000])
    run_until(folder, None)
    assert [notice.text for notice in notices(folder) if not notice.exact] == [
        "metrics.jsonl is shorter than at the checkpoint: rows of earlier steps are lost"
    ]


def test_gpu_kernels_are_reported_as_nondeterministic() -> None:
    here = {"threads": 4, "device": "cuda", "processor": "x", "torch": "2.11", "batch_size": 64}
    assert nondeterminism_sources(here, here) == [
        "GPU kernels are not deterministic unless train.deterministic is set"
    ]
    assert nondeterminism_sources(here, here, deterministic=True) == []
    assert nondeterminism_sources({**here, "device": "cpu"}, here)[0] == "on cuda instead of cpu"


def test_an_attempt_after_one_without_a_checkpoint_keeps_its_environment(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a short timing finds can be another thing the next time."""
    found = iter([TunedExecution(threads=1, channels_last=True), TunedExecution(threads=2)])
    monkeypatch.setattr(components, "autotune", lambda *_, **__: next(found))
    folder = make_run(home, {"threads": "auto"})
    for _ in range(2):
        trainer = prepared(folder)
        trainer.metrics.lines.close()
        assert (trainer.components.threads, trainer.components.channels_last) == (1, True)
    assert next(found) == TunedExecution(threads=2)


def test_another_thread_count_is_reported_as_inexact(home: Path) -> None:
    folder = make_run(home, {"epochs": 2})
    run_until(folder, 20)
    run_until(folder, None, overrides={"train.threads": 2})
    inexact = [notice.text for notice in notices(folder) if not notice.exact]
    assert inexact == ["resumed, but not exactly: 2 CPU threads instead of 1"]


def test_another_batch_size_resumes_at_the_same_sample(home: Path) -> None:
    settings = {"epochs": 2, "batch_size": 20, "schedule": "cosine", "log_every": 1}
    folder = make_run(home, settings)
    run_until(folder, 30)
    trainer = run_until(folder, None, overrides={"train.batch_size": 40})
    rows = step_rows(folder)
    assert (
        trainer.state.step
        == rows[-1].step
        == 30 + (trainer.components.epochs.steps - 15) + trainer.components.epochs.steps
    )
    assert rows[30].epoch == pytest.approx(16 / trainer.components.epochs.steps, abs=1e-5)
    assert 0 < (rows[-1].lr or 0) < 1e-5
    assert any("batches of 40 instead of 20" in notice.text for notice in notices(folder))


def test_changed_data_is_rejected_unless_accepted(home: Path) -> None:
    folder = make_run(home, {"epochs": 2})
    run_until(folder, 20)
    text = folder.experiment.read_text()
    folder.experiment.write_text(text.replace('"test": 0.2', '"test": 0.3'))
    assert folder.experiment.read_text() != text
    with pytest.raises(UserError, match="--accept-changed-data"):
        prepared(folder)
    run_until(folder, None, accept_changed_data=True)
    assert any(not notice.exact for notice in notices(folder))


def test_early_stopping_ends_the_run_early(home: Path) -> None:
    folder = make_run(home, {"epochs": 500, "patience": 2, "lr": 0.01})
    trainer = run_until(folder, None)
    assert trainer.state.epochs_since_best == 2
    assert trainer.state.best is not None
    assert trainer.state.epoch == trainer.state.best.epoch + 2 < 500


def test_the_result_is_of_the_best_weights(home: Path) -> None:
    folder = make_run(home, {"epochs": 12, "lr": 0.02, "validation": 0.05})
    trainer = run_until(folder, None)
    final = next(row for row in evaluation_rows(folder) if row.final)
    best = trainer.checkpoints.best()
    assert best is not None
    assert trainer.state.best is not None
    assert final.weights_step == best.step == trainer.state.best.step
    kept = torch.load(folder.checkpoints / best.file, weights_only=True)["model"]
    assert same(kept, trainer.components.model.module.state_dict())
    evaluations = [row for row in evaluation_rows(folder) if row.split == "validation"]
    assert max(row.accuracy or 0 for row in evaluations) == next(
        row.accuracy for row in evaluations if row.step == best.step
    )


def test_only_the_head_learns_in_the_first_epochs(home: Path) -> None:
    folder = make_run(home, {"epochs": 3, "freeze_epochs": 2}, RESNET)
    trainer = prepared(folder)
    before = deepcopy(trainer.components.model.module.state_dict())
    steps = trainer.components.epochs.steps
    trainer.metrics.lines.close()

    def moved() -> set[str]:
        after = last_checkpoint(folder)["model"]
        return {
            name.partition(".")[0] for name, value in after.items() if not torch.equal(value, before[name])
        }

    run_until(folder, 2 * steps)
    assert moved() == {"head"}
    run_until(folder, None)
    assert len(moved()) > 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"augment": ["flop"]}, "did you mean 'flip'"),
        ({"patience": 3, "validation": 0.0}, "train.patience needs validation data"),
        ({"device": "cuda:77"}, "available: cpu"),
        ({"precision": "fp16"}, "fp16 needs a GPU"),
    ],
)
def test_invalid_settings_are_rejected_with_a_reason(
    home: Path, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        prepared(make_run(home, settings))
