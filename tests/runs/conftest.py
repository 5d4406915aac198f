from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from workbench.experiment import build
from workbench.io.atomic import write_json
from workbench.runs.journal import Attempt, Journal
from workbench.runs.layout import RunFolder, create_run_folder
from workbench.runs.processes import this_process

DEAD_PID = 2**22 + 1
"""Larger than any pid the kernel gives."""


@pytest.fixture
def folder(home: Path) -> RunFolder:
    """A run's folder as the launcher leaves it, with one attempt of a process that is gone."""
    made = create_run_folder(home / "runs", "digits-mlp")
    write_json(made.experiment, build("digits-mlp", sets=["train.epochs=3"]).to_dict())
    attempt(made, 1, pid=DEAD_PID)
    return made


def attempt(folder: RunFolder, number: int, **changed: Any) -> None:
    """Add the journal line of a start."""
    journal = Journal(folder.journal)
    journal.note(Attempt(attempt=number, **{**msgspec.structs.asdict(this_process()), **changed}))
    journal.close()
