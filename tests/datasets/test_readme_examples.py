"""The examples of README.md on tables, archives and arrays work as they stand there."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest

from tests.datasets.test_packed_datasets import samples, shard
from tests.datasets.test_packed_datasets import table as parquet_table
from tests.folder_data import draw_images
from workbench.cli.commands.train import experiment_of
from workbench.cli.main import parser, run
from workbench.config.cross_validation import chosen_fold
from workbench.datasets.loader import load

README = Path(__file__).parents[2] / "README.md"
SECTION = README.read_text(encoding="utf-8").partition("### Tables, archives and arrays\n")[2]
COMMANDS = [shlex.split(line, comments=True)[1:] for line in SECTION.partition("```\n")[0].splitlines()[2:]]


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    draw_images(tmp_path / "img", 20)
    rows = [f"img/{i}.png,{('beagle', 'pug')[i % 2]},p{i // 2}" for i in range(20)]
    Path("labels.csv").write_text("\n".join(["file,breed,patient", *rows]))
    for name in ("cat", "dog"):
        for image in draw_images(tmp_path / "drawn", 10).iterdir():
            target = tmp_path / "flat" / f"{name}_{image.name}"
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(image.read_bytes())
    np.savez("digits.npz", x=np.zeros((20, 8, 8), np.uint8), y=np.arange(20) % 10)
    Path("shards").mkdir()
    for number in (0, 1):
        shard(Path(f"shards/train-{number:04}.tar"), samples(10 * number, 10))
    parquet_table(Path("data/train-00000-of-00001.parquet"), range(20))


def test_all_kinds_have_an_example() -> None:
    text = " ".join(word for command in COMMANDS for word in command)
    assert all(
        word in text for word in ("csv:", "folder:", "data.pattern", "npz:", "tar:", "parquet:", "--folds")
    )


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command[1:4]))
def test_an_example_finds_its_data(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    options = parser().parse_args(command)
    if command[0] == "datasets":
        assert run(command) == 0
        assert "splits: train 16 (" in capsys.readouterr().out
        return
    experiment = experiment_of(options)
    data = load(experiment.data, fold=chosen_fold(experiment.train))
    assert sum(map(len, data.splits.values())) == 20
    assert len(data.classes) == (10 if "npz" in command[2] else 2)
