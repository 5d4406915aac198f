"""The installed versions of packages write logs, which are read while nothing of them is imported here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.logs.reading import comparable, points, read
from tests.logs.writers import EXPECTED


@pytest.mark.parametrize("name", ["keras", "lightning"])
def test_values_logged_by_installed_packages_are_read(tmp_path: Path, name: str) -> None:
    command = [sys.executable, "-m", "tests.logs.writers", str(tmp_path), name]
    subprocess.run(command, check=True, capture_output=True)
    expected = json.loads((tmp_path / name / EXPECTED).read_text())
    (tmp_path / name / EXPECTED).unlink()
    log = read(tmp_path)
    assert log.source.format == name
    assert points(log) == {name: comparable(map(tuple, pairs)) for name, pairs in expected["series"].items()}
    assert log.config.items() >= expected["config"].items()
