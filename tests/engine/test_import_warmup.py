"""A run imports nothing after its first step has started: not in steps, evaluations, checkpoints or rollbacks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import torch

from tests.worker import imports_after_start
from tests.worker.support import changes, make_run, open_attempt
from workbench.config.training_settings import TrainingSettings
from workbench.engine.device import Precision
from workbench.engine.import_warmup import warm_up_imports
from workbench.io.record_codec import read_record
from workbench.runs.enums import Cause, ChangeCause
from workbench.runs.records import Exit


def test_a_worker_imports_nothing_after_its_first_step(home: Path) -> None:
    """The loss becomes NaN, so that a rollback loads a checkpoint too."""
    settings = {"epochs": 2, "optimizer": "sgd", "lr": 30.0, "momentum": 0.9, "on_nan": "rollback",
                "checkpoint_seconds": 0.01}  # fmt: skip
    folder = make_run(home, settings, {"name": "mlp", "widths": [64, 64, 64], "dropout": 0.1})
    open_attempt(folder)
    done = subprocess.run(
        [sys.executable, imports_after_start.__file__, str(folder.path)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, cwd=Path.cwd(),
    )  # fmt: skip
    end = read_record(folder.exit, Exit)
    assert end is not None and end.cause is Cause.COMPLETED, done.stderr
    assert any(change.cause is ChangeCause.ROLLBACK for change in changes(folder))
    assert done.stdout.split() == []


def test_warming_up_advances_no_random_generator() -> None:
    before = torch.get_rng_state()
    warm_up_imports(
        TrainingSettings(optimizer="adamw", weight_decay=0.1), Precision("fp32", torch.device("cpu"))
    )
    assert torch.equal(torch.get_rng_state(), before)
