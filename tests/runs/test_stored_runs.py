"""Runs that released versions wrote are still runs: see tests/stored_runs/README.md."""

from __future__ import annotations

import csv
import json
import re
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from textual.pilot import Pilot

from workbench.cli.main import run
from workbench.config.setting_aliases import upgrade_experiment
from workbench.runs.run_folder import RunFolder
from workbench.runs.store import Store
from workbench.ui.app import WorkbenchApp

STORED = Path(__file__).parents[1] / "stored_runs"
NAMES = ("stored-digits", "stored-stopped", "stored-line")
MOVED = {"directory", "created", "changed"}
"""Keys that name a place or a file's time."""
WORDS = {"reason", "what"}
"""Keys whose values are for people to read."""
RENAMED = {"ways": "execution"}
"""Keys of 0.1.0 and their current names."""
CAUSES = {"finished": "completed", "stopped": "requested"}
"""The key `cause`, which 0.1.0 did not have, by the status of its runs."""
ADDED: dict[str, Any] = {
    "unreadable_files": [],
    "notices": [],
    "data_notices": [],
    "skipped": {"count": 0, "files": []},
    "weights": None,
    "group": "",
    "script": None,
    "exit_code": None,
    "config": {},
    "summary": {},
    "refused": None,
    "source": None,
    "format": None,
    "log_notices": [],
    "nodes": None,
    "logs": [],
    "position": None,
    "waits_for": None,
    "processes": 1,
    "slurm": None,
}
"""Other keys of `show` that 0.1.0 did not have."""


@pytest.fixture(params=sorted(path.name for path in STORED.iterdir() if path.is_dir()))
def stored(request: pytest.FixtureRequest, home: Path) -> Path:
    """The folder of a version, after its `home` was copied to where this test's runs are."""
    place = STORED / str(request.param)
    shutil.copytree(place / "home", home)
    return place


def folder_of(name: str) -> RunFolder:
    return Store.default().find(name)


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    """What a command prints with `--json`."""
    capsys.readouterr()
    assert run([*arguments, "--json"]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


def comparable(value: Any) -> Any:
    """A JSON value with every key, but without the values that depend on the place or on the wording."""
    if isinstance(value, dict):
        return {
            key: ... if key in MOVED | WORDS and each is not None else comparable(each)
            for key, each in value.items()
        }
    return [comparable(each) for each in value] if isinstance(value, list) else value


def was_answered(stored: Path, name: str) -> Any:
    return json.loads((stored / "answers" / f"{name}.json").read_text(encoding="utf-8"))


def as_now(run: dict[str, Any]) -> dict[str, Any]:
    """What 0.1.0 answered about an ended run, in today's keys; its phase was "" in lists and null elsewhere."""
    answered = {RENAMED.get(key, key): value for key, value in run.items()}
    if isinstance(answered.get("experiment"), dict):
        answered["experiment"] = upgrade_experiment(answered["experiment"])
        answered["experiment"]["train"] |= {
            "activation_checkpointing": False,
            "crop_scale": 0.08,
            "crop_ratio": 1.333,
            "rotate_degrees": 15.0,
            "jitter": 0.4,
            "jitter_hue": 0.0,
            "erase_chance": 0.5,
            "rand_ops": 2,
            "rand_magnitude": 9,
            "resize": "",
            "log_grad_norm": False,
            "batch_per_process": 0,
            "ema": 0.0,
            "swa": 0.0,
            "swa_lr": 0.0,
            "hours": 0.0,
            "decay_all": False,
            "head_lr": 0.0,
            "layer_decay": 1.0,
            "restart_every": 10.0,
            "restart_factor": 1,
            "unfreeze_every": 0,
            "drop_path": "auto",
            "processes": 1,
            "sync_batch_norm": False,
            "fsdp": False,
            "folds": 0,
            "fold": 0,
            "fold_seed": 0,
        }
    assert not answered["phase"] and "cause" not in answered
    return {**answered, "cause": CAUSES[answered["status"]], "phase": None}


def as_listed_now(run: dict[str, Any], shown: dict[str, Any]) -> dict[str, Any]:
    """A row of the list: the test metrics that `show` answered, and the single figure that 0.1.0 listed as `test`."""
    figure = run["test"]
    latest = None if figure is None else {"split": "test", "metric": "loss", "value": figure, "epoch": None}
    return {**as_now(run), "test": shown["test"], "latest_test": latest, "logged": None, "command": "",
            "test_count": 0, "group": "", "logs": [], "format": "", "log_stamp": "", "opened": False, "host": "atlas",
            "notes": shown["notes"], "seconds": shown["seconds"]["total"],
            "position": None, "held": False, "waits_for": None, "slurm_job": "", "slurm_reason": ""}  # fmt: skip


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_stored_runs_are_listed_as_before(stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answered = was_answered(stored, "runs")
    wanted = comparable([as_listed_now(row, was_answered(stored, row["name"])) for row in answered])

    def listed() -> Any:
        rows = answer(capsys, "runs")
        for row in rows:
            assert row.pop("settings")["data.name"] == row["dataset"]
            assert "train/loss" in row.pop("metrics")
        return comparable(rows)

    assert listed() == wanted
    index = folder_of("last").path.parent / "index.json"
    index.unlink()
    assert listed() == wanted
    assert index.exists()


@pytest.mark.parametrize("name", NAMES)
def test_stored_runs_are_shown_as_before(name: str, stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = answer(capsys, "show", name)
    assert document.pop("metrics").keys() >= {"train/loss"}
    assert document.pop("environment").keys() >= {"host", "device", "torch", "python"}
    assert document.pop("class_counts").keys() >= {"train", "test"} or not document["per_class"]
    assert comparable(document) == comparable(as_now(was_answered(stored, name)) | ADDED)
    assert document["directory"] == str(folder_of(name).path)
    assert run(["show", name]) == 0
    assert name in capsys.readouterr().out


def test_shown_figures_equal_the_stored_ones(stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, document = folder_of("stored-digits"), answer(capsys, "show", "stored-digits")
    final = next(row for row in lines(folder.metrics) if row.get("final"))
    assert document["test"] == {key: final[key] for key in document["test"]}
    record = json.loads((folder.evaluations / f"step-{final['step']}-test.json").read_text())
    assert document["per_class"] == record["per_class"]
    notes = json.loads(folder.notes.read_text())
    assert [document[key] for key in ("tags", "notes")] == [notes[key] for key in ("tags", "notes")]
    changed = [row["step"] for row in lines(folder.journal) if row["kind"] == "change"]
    assert len(changed) == 2 and set(changed) < {change["step"] for change in document["changes"]}


def test_stored_runs_are_compared(stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compare", *NAMES]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in NAMES)


@pytest.mark.parametrize(
    ("name", "epochs"), [("stored-digits", 9), ("stored-stopped", 5), ("stored-line", 5)]
)
def test_stored_runs_resume_where_they_ended(
    name: str, epochs: int, stored: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = folder_of(name)
    before, kept = was_answered(stored, name), folder.journal.read_bytes()
    rows = lines(folder.metrics)
    document = answer(capsys, "resume", name, "--set", f"train.epochs={epochs}")
    assert (document["status"], document["epoch"], document["epochs_total"]) == ("finished", epochs, epochs)
    assert document["step"] == document["steps_total"] > before["step"]
    assert folder.journal.read_bytes().startswith(kept)
    assert all(
        row["step"] > before["step"] for row in lines(folder.metrics)[len(rows) :] if row["kind"] == "step"
    )
    newest = [row for row in lines(folder.journal) if row["kind"] == "attempt"][-1]
    assert newest["from_step"] == before["step"] and newest["overrides"] == {"train.epochs": epochs}
    if "r2" in document["test"]:
        assert document["test"]["loss"] <= before["test"]["loss"]
    else:
        assert document["test"]["accuracy"] > 0.85


def test_stored_runs_resume_with_former_setting_names(
    stored: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = folder_of("stored-line")
    document = answer(
        capsys, "resume", "stored-line", "--set", "train.epochs=5", "--set", "train.clip_norm=9"
    )
    assert document["experiment"]["train"]["max_grad_norm"] == 9.0
    newest = [row for row in lines(folder.journal) if row["kind"] == "attempt"][-1]
    assert newest["overrides"] == {"train.epochs": 5, "train.max_grad_norm": 9.0}


def test_the_metrics_are_exported(stored: Path, tmp_path: Path) -> None:
    target = tmp_path / "metrics.csv"
    assert run(["export", "stored-digits", "--format", "csv", "--to", str(target)]) == 0
    with target.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    wanted = lines(folder_of("stored-digits").metrics)
    assert [(row["kind"], int(row["step"])) for row in rows] == [(row["kind"], row["step"]) for row in wanted]
    assert [float(row["loss"]) for row in rows] == [row["loss"] for row in wanted]


def test_the_weights_are_exported(stored: Path, tmp_path: Path) -> None:
    """The best checkpoint's, as they lie in its file."""
    folder = folder_of("stored-digits")
    best = next(c for c in json.loads(folder.manifest.read_text())["checkpoints"] if c["best"])
    wanted = torch.load(folder.checkpoints / best["file"], weights_only=True)["model"]
    paths = {form: tmp_path / f"weights.{form}" for form in ("pytorch", "safetensors")}
    for form, path in paths.items():
        assert run(["export", "stored-digits", "--format", form, "--to", str(path)]) == 0
    safetensors = pytest.importorskip("safetensors.torch")
    exported = torch.load(paths["pytorch"], weights_only=True)
    for found in (exported.get("model", exported), safetensors.load_file(paths["safetensors"])):
        assert found.keys() == wanted.keys()
        assert all(torch.equal(found[key], wanted[key]) for key in wanted)


@pytest.mark.parametrize("name", ["stored-digits", "stored-stopped"])
def test_stored_runs_classify_as_before(name: str, stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = stored / "answers" / "six.png"
    document = answer(capsys, "classify", str(image), "--run", name, "--device", "cpu")
    before = was_answered(stored, f"classify-{name}")
    assert document["model"] == before["model"]
    found, wanted = document["results"][0], before["results"][0]
    assert found.keys() == wanted.keys() and found["error"] is None
    assert [row["label"] for row in found["top"]] == [row["label"] for row in wanted["top"]]
    shares = [row["probability"] for row in wanted["top"]]
    assert [row["probability"] for row in found["top"]] == pytest.approx(shares, abs=1e-4)


def test_stored_runs_are_evaluated_as_before(stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = answer(capsys, "evaluate", "stored-digits", "--device", "cpu")
    wanted = was_answered(stored, "evaluate-stored-digits")
    assert found.keys() == wanted.keys()
    for key in ("run", "step", "epoch", "split", "count", "confusion", "per_class"):
        assert found[key] == wanted[key], key
    assert found["metrics"] == pytest.approx(wanted["metrics"], rel=1e-4)


async def until_shown(pilot: Pilot[Any], *words: str) -> None:
    """Wait until all of `words` are on the screen."""
    ends, drawn = time.monotonic() + 60, ""
    while not all(word in drawn for word in words):
        assert time.monotonic() < ends, f"{words} not on the screen:\n{drawn}"
        await pilot.pause(0.02)
        strips = pilot.app.screen._compositor.render_strips()
        drawn = "\n".join("".join(segment.text for segment in strip) for strip in strips)


async def test_stored_runs_open_in_the_screen(stored: Path) -> None:
    names = {str(row["id"]): str(row["name"]) for row in was_answered(stored, "runs")}
    async with WorkbenchApp().run_test(size=(140, 50)) as pilot:
        for run_id, name in names.items():
            await until_shown(pilot, f"Plots──{name}", f"step {was_answered(stored, name)['step']} ")
            app = pilot.app
            assert isinstance(app, WorkbenchApp)
            assert app.runs.selected is not None and app.runs.selected.id == run_id
            await pilot.press("down")


def test_stored_runs_name_no_real_machine() -> None:
    for path in STORED.rglob("*.json*"):
        hosts = re.findall(r'"host": ?"([^"]*)"', path.read_text(encoding="utf-8"))
        assert set(hosts) <= {"atlas"}, path
