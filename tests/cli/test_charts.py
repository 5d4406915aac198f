from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from workbench.cli.main import run

LOG = """
import workbench
for name in ("one", "two"):
    run = workbench.init(name=name)
    for step in range(20):
        run.log({"train/loss": 1 / (step + 1), "lr": 0.1}, step=step)
    run.finish()
"""


@pytest.fixture
def two_runs(home: Path) -> Path:
    subprocess.run([sys.executable, "-c", LOG], check=True, capture_output=True)
    return home


def test_the_charts_of_runs_are_printed_or_written(
    two_runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["charts", "one", "two", "--metrics", "loss"]) == 0
    printed = capsys.readouterr().out
    assert "train/loss 1 .050 2 .050" in printed and "lr" not in printed.split()
    assert run(["charts", "one", "--format", "csv", "--smooth", "0.9"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "metric,run,name,step,low,high,smoothed"
    target = tmp_path / "charts.svg"
    assert run(["charts", "one", "two", "--format", "svg", "--to", str(target)]) == 0
    assert len(list(ElementTree.parse(target).getroot().iter("{http://www.w3.org/2000/svg}polyline"))) == 4
    picture = tmp_path / "charts.png"
    assert run(["charts", "one", "--format", "png", "--no-outliers", "--to", str(picture)]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    capsys.readouterr()
    assert run(["charts", "one", "--metrics", "lr", "--y", "0..0.5"]) == 0
    assert ".4┤" in capsys.readouterr().out, "not only up to .1"
    assert run(["charts", "one", "--format", "svg", "--to", str(target)]) != 0
    assert "already exists" in capsys.readouterr().err


def test_what_can_not_be_drawn_is_said_in_a_line(two_runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["charts", "one", "--metrics", "nothing"]) != 0
    assert capsys.readouterr().err == "workbench: there is nothing to draw: no metric matches 'nothing'\n"
    assert run(["charts", "no-such-run"]) != 0
    capsys.readouterr()
    assert run(["charts", "one", "--format", "png"]) == 2
    assert capsys.readouterr().err == "workbench: a PNG is written to a file: add --to FILE.png\n"
    assert run(["charts", "one", "--y", "1..0"]) == 2
    assert "LOW..HIGH" in capsys.readouterr().err
    for wrong in ("2", "x", "-1"):
        assert run(["charts", "one", "--smooth", wrong]) != 0
        assert "--smooth" in capsys.readouterr().err
