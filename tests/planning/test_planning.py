"""`workbench plan`: the command and its process, from real steps to the line that says what is missing."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from workbench.config.experiment import build
from workbench.core.errors import BadInput
from workbench.core.progress import Interrupted, silent
from workbench.io.record_codec import read_record
from workbench.planning.client import Planning, without_downloads
from workbench.runs.records import Setup
from workbench.runs.run_folder import RunFolder


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for temporary files of this test alone."""
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return place


def plan(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "workbench", "plan", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_a_plan_is_of_the_run_that_would_be_and_leaves_none(
    digits_run: RunFolder, home: Path, temporary: Path
) -> None:
    done = plan("digits-mlp", "--set", "train.epochs=6", "--set", "train.threads=1", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    setup = read_record(digits_run.setup, Setup)
    assert setup is not None
    same = ("steps_total", "device", "threads", "precision")
    assert {name: found[name] for name in same} == {name: getattr(setup, name) for name in same}
    assert found["execution"].keys() == setup.execution.keys()
    assert list(found["shares"]) == ["data", "model", "optimizer", "record"]
    assert sum(found["shares"].values()) == pytest.approx(1)
    seconds = found["seconds"]
    assert seconds["total"] == pytest.approx(seconds["load"] + seconds["train"] + seconds["evaluate"])
    assert seconds["train"] == pytest.approx(found["steps_total"] * found["step_seconds"], rel=0.05)
    assert found["memory"]["process"] > 50_000_000
    # The run that was kept holds three such checkpoints at the most, and little else.
    largest = max(path.stat().st_size for path in digits_run.checkpoints.glob("*.pt"))
    assert found["disk"]["checkpoint"] == pytest.approx(largest, rel=0.05)
    assert found["fits"] and found["disk"]["total"] > sum(
        p.stat().st_size for p in digits_run.path.rglob("*")
    )
    assert {"train.batch_size=64", "train.batch_size=128", "train.precision=bf16"} <= set(found["tried"])
    assert {row["key"] + "=" + row["value"] for row in found["proposals"]} <= set(found["tried"])
    assert all(row["factor"] >= 1.1 for row in found["proposals"])
    assert [path.name for path in (home / "runs").iterdir()] == [digits_run.id]
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["mnist-mlp"], "mnist is not here (11.6 MB): workbench fetch mnist-mlp brings it"),
        (["--dataset", "svhn", "--model", "mlp"], "svhn is not here"),
        (["digits-mlp", "--set", "train.epochs=0"], "train.epochs"),
        (["photo-alexnet"], "classifies a picture"),
        (["digits-mlp", "--device", "cuda"], "there is no cuda here"),
        (["digits-mlp", "--set", "train.precision=fp16"], "train.precision fp16 needs a GPU"),
    ],
)
def test_what_can_not_be_tried_is_told_in_one_line(
    arguments: list[str], said: str, home: Path, temporary: Path
) -> None:
    done = plan(*arguments)
    last = done.stderr.splitlines()[-1]
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert last.startswith("workbench: ") and said in last
    assert not (home / "runs").exists() and list(temporary.iterdir()) == []


def test_who_cancels_gets_no_plan_and_nothing_is_left(temporary: Path) -> None:
    with Planning(build("digits-mlp")) as planning:
        threading.Timer(0.2, planning.cancel).start()
        with pytest.raises(Interrupted):
            planning.wait(silent)
    assert list(temporary.iterdir()) == []


def test_weights_that_are_not_here_are_not_downloaded() -> None:
    experiment = build(dataset="digits", model="resnet18", sets=["model.pretrained=yes"])
    tried, notices = without_downloads(experiment)
    assert tried.model.options["pretrained"] is False
    assert "the weights of resnet18 are still to be downloaded" in notices[0]
    plain = build("digits-mlp")
    assert without_downloads(plain) == (plain, ())


def test_a_dataset_that_no_recipe_has_can_be_put_into_one() -> None:
    with pytest.raises(BadInput, match=r"workbench fetch ./RECIPE.toml"):
        without_downloads(build(dataset="svhn", model="mlp"))
