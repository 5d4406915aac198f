"""Heavy packages that modules import: each one in a fresh interpreter."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

IMPORT_AND_LIST = """
import importlib, json, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
heavy = ("torch", "torchvision", "numpy", "sklearn", "textual", "plotext", "PIL", "optuna")
print(json.dumps([name for name in heavy if name in sys.modules]))
"""


def heavy_imports(*modules: str) -> set[str]:
    process = subprocess.run(
        [sys.executable, "-c", IMPORT_AND_LIST, *modules], capture_output=True, text=True, check=True
    )
    return set(json.loads(process.stdout))


RUNS = [f"workbench.{m}" for m in (
    "runs.run_folder", "runs.locks", "runs.records", "runs.requests", "runs.status", "runs.reader", "runs.run_report",
    "runs.store", "runs.comparison", "runs.checkpoint_index", "runs.metric_direction", "launcher.launch",
    "launcher.supervisor", "sweeps.sweep_folder", "sweeps.control", "system.gpu", "system.machine_info",
)]  # fmt: skip


def test_the_run_folder_and_the_launcher_import_no_heavy_package() -> None:
    assert heavy_imports(*RUNS) == set()


def test_the_command_line_and_the_catalogs_import_no_heavy_package() -> None:
    modules = [
        "cli.main", "cli.console", "cli.follow", "cli.tables", "cli.commands.runs", "cli.commands.train",
        "cli.commands.sweep", "cli.commands.catalogs", "core.text", "core.paths", "config.experiment",
        "datasets.catalog", "models.catalog", "compute.client", "compute.protocol", "io.atomic_files",
        "io.record_codec",
    ]  # fmt: skip
    assert heavy_imports(*(f"workbench.{m}" for m in modules)) == set()


def test_the_screen_imports_no_torch() -> None:
    assert not heavy_imports("workbench.ui.app") & {"torch", "torchvision", "numpy", "sklearn", "optuna"}


@pytest.mark.parametrize("module", ["workbench.worker.main", "workbench.inference.classifier"])
def test_workers_import_no_screen_and_no_torchvision_before_it_is_used(module: str) -> None:
    assert not heavy_imports(module) & {"textual", "plotext", "torchvision", "sklearn"}


def test_the_compute_process_imports_no_screen() -> None:
    assert not heavy_imports("workbench.compute.server") & {"textual", "plotext"}
