"""`workbench plan`: the command and its process, from real steps to the message about what is missing."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from workbench.config.experiment import build_experiment
from workbench.core.errors import UserError
from workbench.core.progress import Cancelled, ignore_progress
from workbench.io.record_codec import read_record
from workbench.planning.client import PlanProcess, without_downloads
from workbench.planning.plan import Measurement
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


def test_a_plan_matches_the_run_and_creates_none(digits_run: RunFolder, home: Path, temporary: Path) -> None:
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
    assert 0 <= found["cpu_wait"] < 1
    assert found["fits"] and found["disk"]["total"] > sum(
        p.stat().st_size for p in digits_run.path.rglob("*")
    )
    assert {"train.batch_size=64", "train.batch_size=128", "train.precision=bf16"} <= set(found["tried"])
    assert {row["key"] + "=" + row["value"] for row in found["proposals"]} <= set(found["tried"])
    assert all(row["factor"] >= 1.1 for row in found["proposals"])
    assert [path.name for path in (home / "runs").iterdir()] == [digits_run.id]
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["mnist-mlp"],
            "the dataset mnist is not downloaded (11.6 MB): workbench fetch mnist-mlp downloads it",
        ),
        (["--dataset", "svhn", "--model", "mlp"], "the dataset svhn is not downloaded"),
        (["digits-mlp", "--set", "train.epochs=0"], "train.epochs"),
        (["photo-alexnet"], "classifies an image"),
        (["digits-mlp", "--device", "cuda"], "no device cuda on this host"),
        (["digits-mlp", "--set", "train.precision=fp16"], "train.precision fp16 needs a GPU"),
    ],
)
def test_invalid_requests_fail_with_one_line(
    arguments: list[str], message: str, home: Path, temporary: Path
) -> None:
    done = plan(*arguments)
    last = done.stderr.splitlines()[-1]
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert last.startswith("workbench: ") and message in last
    assert not (home / "runs").exists() and list(temporary.iterdir()) == []


def test_own_code_that_fails_in_a_step_is_one_line_with_its_place(temporary: Path, tmp_path: Path) -> None:
    code = """
import itertools
from torch import nn

class Net(nn.Sequential):
    def __init__(self, outputs):
        super().__init__(nn.Flatten(), nn.LazyLinear(outputs))
        self.passes = itertools.count()
    def forward(self, x):
        if self.training and next(self.passes) > 4:
            raise RuntimeError("my own mistake")
        return super().forward(x)
"""
    (tmp_path / "net.py").write_text(code)
    done = plan("--dataset", "digits", "--model", f"{tmp_path}/net.py:Net", "--set", "train.threads=1")
    line = code[: code.index("raise")].count("\n") + 1
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    assert (
        done.stderr.splitlines()[-1] == f"workbench: RuntimeError: my own mistake ({tmp_path}/net.py:{line})"
    )
    assert "Traceback" not in done.stderr and list(temporary.iterdir()) == []


def test_a_cancelled_plan_leaves_nothing_behind(temporary: Path) -> None:
    with PlanProcess(build_experiment("digits-mlp")) as planning:
        threading.Timer(0.2, planning.cancel).start()
        with pytest.raises(Cancelled):
            planning.wait(ignore_progress)
    assert list(temporary.iterdir()) == []


def test_missing_weights_are_not_downloaded() -> None:
    experiment = build_experiment(dataset="digits", model="resnet18", sets=["model.pretrained=yes"])
    tried, notices = without_downloads(experiment)
    assert tried.model.options["pretrained"] is False
    assert "the weights of resnet18 are not downloaded yet" in notices[0]
    assert tried.model.options["input_size"] == 224, "as with the weights"
    with pytest.raises(UserError, match="random ones need another learning rate"):
        without_downloads(experiment, Measurement.LEARNING_RATES)
    plain = build_experiment("digits-mlp")
    assert without_downloads(plain) == (plain, ())


def test_a_dataset_without_a_recipe_names_a_way_to_download_it() -> None:
    with pytest.raises(UserError, match=r"workbench fetch ./RECIPE.toml"):
        without_downloads(build_experiment(dataset="svhn", model="mlp"))
