from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from workbench.io.atomic import write_json
from workbench.runs.layout import RunFolder, create_run_folder
from workbench.runs.processes import this_process
from workbench.runs.records import Journal

DEAD_PID = 2**22 + 1
"""Larger than any pid the kernel gives."""


@pytest.fixture
def folder(home: Path) -> RunFolder:
    """A run's folder as the launcher leaves it, with one attempt of a process that is gone."""
    made = create_run_folder(home / "runs", "digits-mlp")
    write_json(made.experiment, {"v": 1, "name": "digits-mlp", "train": {"epochs": 3}})
    attempt(made, 1, pid=DEAD_PID)
    return made


def attempt(folder: RunFolder, number: int, **changed: Any) -> None:
    """Add the journal line of a start."""
    journal = Journal(folder.journal)
    journal.note("attempt", attempt=number, **{**this_process(), **changed})
    journal.close()
