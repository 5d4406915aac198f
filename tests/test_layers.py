"""Who may import whom: each module in a fresh interpreter, and what it brought in."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

LOOK = """
import importlib, json, sys
found = {}
for name in sys.argv[1:]:
    importlib.import_module(name)
heavy = ("torch", "torchvision", "numpy", "sklearn", "textual", "plotext", "PIL")
print(json.dumps([name for name in heavy if name in sys.modules]))
"""


def brought_in(*modules: str) -> set[str]:
    done = subprocess.run([sys.executable, "-c", LOOK, *modules], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


RUNS = [f"workbench.runs.{m}" for m in (
    "layout", "locks", "records", "control", "status", "reader", "report", "store", "launch", "supervise", "compare",
    "gpus", "machine", "checkpoint_index", "metric_direction",
)]  # fmt: skip


def test_the_contract_between_processes_needs_none_of_them() -> None:
    assert brought_in(*RUNS) == set()


def test_the_description_of_experiments_needs_none_of_them() -> None:
    modules = [
        "cli",
        "console",
        "tables",
        "commands.runs",
        "commands.training",
        "commands.lists",
        "text",
        "paths",
        "experiment",
        "datasets.catalogue",
        "models.catalogue",
    ]
    assert brought_in(*(f"workbench.{m}" for m in [*modules, "session.client", "io.atomic"])) == set()


def test_the_screen_has_no_torch() -> None:
    assert not brought_in("workbench.ui.app") & {"torch", "torchvision", "numpy", "sklearn"}


@pytest.mark.parametrize("module", ["workbench.training.worker", "workbench.inference.classifier"])
def test_workers_have_no_screen_and_no_torchvision_until_it_is_used(module: str) -> None:
    assert not brought_in(module) & {"textual", "plotext", "torchvision", "sklearn"}


def test_the_session_server_has_no_screen() -> None:
    assert not brought_in("workbench.session.server") & {"textual", "plotext"}
