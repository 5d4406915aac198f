"""A run folder for tests that need no worker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from workbench.config.experiment import build_experiment
from workbench.io.atomic_files import write_json
from workbench.runs.journal import Attempt, Journal
from workbench.runs.run_folder import RunFolder, create_run_folder
from workbench.system.processes import this_process

DEAD_PID = 2**22 + 1
"""Larger than any pid the kernel gives."""


@pytest.fixture
def folder(home: Path) -> RunFolder:
    """A run's folder as the launcher leaves it, with one attempt of a process that is gone."""
    made = create_run_folder(home / "runs", "digits-mlp")
    write_json(made.experiment, build_experiment("digits-mlp", sets=["train.epochs=3"]).to_dict())
    attempt(made, 1, pid=DEAD_PID)
    return made


def attempt(folder: RunFolder, number: int, **changed: Any) -> None:
    """Add the journal line of a start."""
    journal = Journal(folder.journal)
    journal.append(Attempt(attempt=number, **{**msgspec.structs.asdict(this_process()), **changed}))
    journal.close()
