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


RUNS = [f"workbench.{m}" for m in (
    "runs.run_folder", "runs.locks", "runs.records", "runs.requests", "runs.status", "runs.reader", "runs.run_report",
    "runs.store", "runs.comparison", "runs.checkpoint_index", "runs.metric_direction", "launcher.launch",
    "launcher.supervisor", "system.gpu", "system.machine_info",
)]  # fmt: skip


def test_the_contract_between_processes_needs_none_of_them() -> None:
    assert brought_in(*RUNS) == set()


def test_the_description_of_experiments_needs_none_of_them() -> None:
    modules = [
        "cli.main", "cli.console", "cli.follow", "cli.tables", "cli.commands.runs", "cli.commands.train",
        "cli.commands.catalogs", "core.text", "core.paths", "config.experiment", "datasets.catalog", "models.catalog",
        "compute.client", "compute.protocol", "io.atomic_files", "io.record_codec",
    ]  # fmt: skip
    assert brought_in(*(f"workbench.{m}" for m in modules)) == set()


def test_the_screen_has_no_torch() -> None:
    assert not brought_in("workbench.ui.app") & {"torch", "torchvision", "numpy", "sklearn"}


@pytest.mark.parametrize("module", ["workbench.worker.main", "workbench.inference.classifier"])
def test_workers_have_no_screen_and_no_torchvision_until_it_is_used(module: str) -> None:
    assert not brought_in(module) & {"textual", "plotext", "torchvision", "sklearn"}


def test_the_session_server_has_no_screen() -> None:
    assert not brought_in("workbench.compute.server") & {"textual", "plotext"}
