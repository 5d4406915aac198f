from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from workbench.core import paths
from workbench.runs.reader import RunReader, RunView
from workbench.runs.run_folder import RunFolder

RunScript = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run_script(tmp_path: Path) -> RunScript:
    """Run a script of a few lines in a process of its own, by itself, not under `workbench run`."""

    def run(text: str, *, code: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        script = tmp_path / "job.py"
        script.write_text("import workbench\n" + text)
        result = subprocess.run(
            [sys.executable, str(script)], capture_output=True, text=True, check=False, timeout=120, cwd=tmp_path,
            env={**os.environ, **environment},
        )  # fmt: skip
        assert result.returncode == code, result.stderr
        return result

    return run


def only_run() -> RunFolder:
    """The only run in the home of the test."""
    (path,) = (path for path in paths.runs().iterdir() if path.is_dir())
    return RunFolder(path)


def read(folder: RunFolder) -> RunView:
    reader = RunReader(folder)
    view = reader.read_all()
    reader.close()
    return view


def lines(folder: RunFolder) -> list[dict[str, object]]:
    """The lines of the metrics, each of them complete."""
    return [json.loads(line) for line in folder.metrics.read_text().splitlines()]
