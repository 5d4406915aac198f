"""Commands on folders of images: what is said before a run, what it skips, and data that has moved."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from tests.folder_data import draw_classes, draw_images
from workbench.cli.main import run
from workbench.config.data_location import FILE_NAME
from workbench.runs.run_folder import RunFolder
from workbench.runs.run_report import read_report
from workbench.runs.store import Store


def document(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str, str]:
    """The home, the data and the output of one short run on a littered, unbalanced folder."""
    base = tmp_path_factory.mktemp("folder")
    data = base / "pets"
    draw_classes(data / "training_set", (32, 32), cat=30, doggy=30, ow=1)
    draw_classes(data / "validation", (32, 32), cat=4, doggy=4)
    draw_classes(data / "test_set", (32, 32), cat=6, doggy=6)
    draw_images(data / "test1", 4)
    (data / "training_set" / "cat" / "phone.HEIC").write_bytes(b"\0")
    (data / "training_set" / "cat" / "text.png").write_text("not an image")
    (data / "labels.csv").write_text("x")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_HOME", str(base / "home"))
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            command = [
                "train",
                "--dataset",
                f"folder:{data}",
                "--model",
                "convnet",
                "--set",
                "train.epochs=1",
            ]
            assert run([*command, "--json"]) == 0
    return base / "home", data, out.getvalue(), err.getvalue()


@pytest.fixture
def finished(trained: tuple[Path, Path, str, str], monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    monkeypatch.setenv("WORKBENCH_HOME", str(trained[0]))
    return Store.default().find("last")


def test_train_reports_classes_and_splits_before_the_start(trained: tuple[Path, Path, str, str]) -> None:
    before = trained[3].partition("Started")[0].splitlines()
    assert "data: 3 classes: cat, doggy, ow" in before
    assert "data: splits: train 62 (training_set/), validation 8 (validation/), test 12 (test_set/)" in before
    assert "data: ignored, not images: 1 .csv" in before
    assert "data: left out: test1 (test split, 4 images without class folders)" in before
    assert "data: images: 32×32, not resized" in before
    assert any(line.startswith("data: skipped: 1 file: 1 × in HEIC format, ") for line in before)
    assert any("ow has 1 of 62 training images, none in validation; consider" in line for line in before)


def test_the_report_lists_every_skipped_file(
    trained: tuple[Path, Path, str, str], finished: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    report = json.loads(trained[2])
    assert report["skipped"]["count"] == 2
    reasons = {Path(file["path"]).name: file["reason"] for file in report["skipped"]["files"]}
    assert set(reasons) == {"phone.HEIC", "text.png"} and "HEIC" in reasons["phone.HEIC"]
    assert report["class_counts"]["train"] == [30, 30, 1]
    assert any("left out: test1" in line for line in report["data_notices"])
    assert run(["show", finished.id]) == 0
    shown = capsys.readouterr().out
    assert "phone.HEIC: in HEIC format, which can't be read here" in shown and "text.png: " in shown
    row = next(line.split() for line in shown.splitlines() if line.split()[:1] == ["cat"])
    assert row[-1] == "30"  # of training, beside the support


def test_data_that_has_moved_is_named_and_found_again(
    trained: tuple[Path, Path, str, str],
    finished: RunFolder,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _, data, out, _ = trained
    copy = tmp_path / "copy"
    shutil.copytree(data, copy, copy_function=shutil.copyfile)  # other modification times
    aside = data.rename(data.with_name("aside"))
    try:
        for command in (["evaluate", "last"], ["resume", "last", "--set", "train.epochs=2"]):
            assert run(command) == 2
            error = capsys.readouterr().err
            assert error.count("\n") == 1 and "--data PATH" in error and str(data) in error
        assert not (finished.path / FILE_NAME).exists()
        assert run(["evaluate", "last", "--data", str(copy), "--json"]) == 0
        assert document(capsys)["metrics"]["accuracy"] == json.loads(out)["test"]["accuracy"]
        assert run(["evaluate", "last", "--json"]) == 0  # remembered
        capsys.readouterr()
        other = draw_classes(tmp_path / "other", bird=3, whale=3)
        assert run(["resume", "last", "--set", "train.epochs=2", "--data", str(other)]) == 2
        assert "has the classes bird, whale, but" in capsys.readouterr().err
        moved = copy.rename(tmp_path / "again")
        assert run(["resume", "last", "--set", "train.epochs=2", "--data", str(moved), "--json"]) == 0
        report = document(capsys)
        assert (report["status"], report["epoch"], report["exact"]) == ("finished", 2, True)
        assert report["experiment"]["data"]["name"] == f"folder:{moved}"
    finally:
        aside.rename(data)
        (finished.path / FILE_NAME).unlink(missing_ok=True)


def resume_error(capsys: pytest.CaptureFixture[str], *options: str) -> str:
    """The line of a resume that exits with 2."""
    assert run(["resume", "last", "--set", "train.epochs=3", *options]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def test_data_that_has_changed_is_refused_before_a_worker_starts(
    trained: tuple[Path, Path, str, str],
    finished: RunFolder,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    journal, exit_record = finished.journal.read_bytes(), finished.exit.read_bytes()
    image = trained[1] / "training_set" / "cat" / "3.png"
    original = image.read_bytes()
    copy = Path(shutil.copytree(trained[1], tmp_path / "copy"))
    draw_images(tmp_path / "another", 1).joinpath("0.png").rename(image)
    try:
        error = resume_error(capsys)
        assert f"{trained[1]} is not what {finished.id} was trained on" in error
        assert "(1 of 82 files is changed: training_set/cat/3.png)" in error
        assert "--data PATH" in error and "--accept-changed-data" in error
        assert run(["evaluate", "last"]) == 2
        error = capsys.readouterr().err
        assert "1 of 82 files is changed: training_set/cat/3.png" in error and "--accept" not in error
        (copy / "test_set" / "doggy" / "5.png").unlink()
        shutil.copy(copy / "training_set" / "cat" / "3.png", copy / "validation" / "cat" / "new.png")
        error = resume_error(capsys, "--data", str(copy))
        assert f"{copy} is not what" in error
        assert (
            "1 of 82 files is missing: test_set/doggy/5.png; 1 file is new: validation/cat/new.png" in error
        )
    finally:
        image.write_bytes(original)
    assert not (finished.path / FILE_NAME).exists(), "the place is recorded only once it was checked"
    assert (finished.journal.read_bytes(), finished.exit.read_bytes()) == (journal, exit_record)


def test_a_dataset_that_can_not_change_is_named_where_it_is_now(
    finished: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    for key in ("data.name", "data", "dataset"):
        assert "--data PATH where the same data is now" in resume_error(capsys, "--set", f"{key}=folder:/new")
    assert "--data PATH" not in resume_error(capsys, "--set", "data.test=0.5")


RANDOM = """
import torch

def make():
    split = torch.rand(60, 4), torch.arange(60) % 3
    return split, split
"""


def test_a_refused_resume_leaves_the_run_as_it_was(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, hooked = tmp_path / "data.py", tmp_path / "hook"
    file.write_text(RANDOM)
    hooks = [f"on_finish=echo finished >> {hooked}", f"on_fail=echo $WORKBENCH_STATUS >> {hooked}"]
    settings = [part for text in ("train.epochs=1", "train.threads=1", *hooks) for part in ("--set", text)]
    assert run(["train", "--dataset", f"{file}:make", "--model", "mlp", *settings]) == 0
    folder = Store.default().find("last")
    capsys.readouterr()
    for _ in range(2):
        assert run(["resume", "last", "--set", "train.epochs=1300"]) == 2
        said = "make returns other data than in training, and its file is unchanged: is it random?"
        assert f"workbench: not resumed: {file}:make is not what {folder.id} was trained on ({said})" in (
            capsys.readouterr().err
        )
        report = read_report(folder)
        assert (report.status, report.epochs_total, report.epoch) == ("finished", 1, 1)
        assert report.changes == () and report.steps_total == report.step
        assert report.refused is not None and report.reason == f"not resumed: {report.refused}"
    assert run(["evaluate", "last"]) == 2
    error = capsys.readouterr().err
    assert said in error and "--accept" not in error
    os.utime(file)  # as if it was saved again
    assert run(["evaluate", "last"]) == 2
    assert "its file has changed" in capsys.readouterr().err
    accepted = ["resume", "last", "--set", "train.epochs=2", "--accept-changed-data"]
    assert run(accepted) == 0
    report = read_report(folder)
    assert (report.status, report.epochs_total, report.refused) == ("finished", 2, None)
    assert [change.what for change in report.changes] == ["resumed, epochs 2"]
    deadline = time.monotonic() + 60  # nobody waits for the commands
    while len(lines := hooked.read_text().split()) < 4 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert sorted(lines) == ["failed", "failed", "finished", "finished"]


CODE = """
import torch

def make():
    inputs = torch.arange(240.0).reshape(60, 4) / 240
    split = inputs + SHIFT, torch.arange(60) % 3
    return split, split
"""


def test_changed_data_of_own_code_is_bad_input_and_its_place_is_recorded_once_it_was_checked(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, other = tmp_path / "data.py", tmp_path / "other.py"
    file.write_text(CODE.replace("SHIFT", "0"))
    settings = [part for text in ("train.epochs=1", "train.threads=1") for part in ("--set", text)]
    assert run(["train", "--dataset", f"{file}:make", "--model", "mlp", *settings]) == 0
    folder = Store.default().find("last")
    other.write_text(CODE.replace("SHIFT", "1"))
    capsys.readouterr()
    assert run(["resume", "last", "--set", "train.epochs=2", "--data", str(other)]) == 2
    assert f"not resumed: {other}:make is not what {folder.id} was trained on" in capsys.readouterr().err
    assert not (folder.path / FILE_NAME).exists()
    assert run(["resume", "last", "--set", "train.epochs=2"]) == 0
    file.rename(tmp_path / "moved.py")
    moved = str(tmp_path / "moved.py")
    assert run(["resume", "last", "--set", "train.epochs=3", "--data", moved]) == 0
    assert json.loads((folder.path / FILE_NAME).read_text())["name"] == f"{moved}:make"


def test_data_of_datasets_with_a_name_is_not_moved(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "digits-mlp", "--set", "train.epochs=1"]) == 0
    capsys.readouterr()
    assert run(["evaluate", "last", "--data", "/elsewhere"]) == 2
    assert "WORKBENCH_DATA" in capsys.readouterr().err


def test_datasets_describes_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draw_classes(tmp_path / "train", cat=3, dog=3)
    (tmp_path / "train" / "cat" / "a.psd").write_bytes(b"8BPS")
    assert run(["datasets", f"folder:{tmp_path}", "--json"]) == 0
    facts = document(capsys)["data"]["facts"]
    assert facts["classes"] == ["cat", "dog"] and facts["counts"] == {"train": [2, 2], "test": [1, 1]}
    assert facts["skipped"]["files"][0]["path"].endswith("a.psd")
    assert run(["datasets", f"folder:{tmp_path}"]) == 0
    assert "a.psd: in Photoshop format, which can't be read here" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["train", "plan"])
def test_links_to_other_places_are_refused_before_anything_starts(
    command: str, tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draw_classes(tmp_path / "store", cat=3, dog=3)
    (tmp_path / "pets").mkdir()
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).symlink_to(tmp_path / "store" / name)
    assert run([command, "--dataset", f"folder:{tmp_path / 'pets'}", "--model", "mlp"]) == 2
    assert "--set data.links=all" in capsys.readouterr().err
    assert not list((home / "runs").glob("*"))
    described = ["datasets", f"folder:{tmp_path / 'pets'}"]
    assert run(described) == 2
    assert "--set data.links=all" in capsys.readouterr().err
    assert run([*described, "--set", "data.links=all", "--set", "data.test=0.4"]) == 0
    assert "splits: train 4 (the folder itself), test 2" in capsys.readouterr().out
    for wrong, reason in (("train.epochs=3", "only settings of the dataset"), ("data.link=all", "links")):
        assert run([*described, "--set", wrong]) == 2
        assert reason in capsys.readouterr().err
    assert run(["datasets", "--set", "data.links=all"]) == 2
    assert "needs a dataset" in capsys.readouterr().err


def test_a_stray_file_does_not_decide_the_exit_code_of_classify(
    finished: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = draw_images(tmp_path / "photos", 2)
    (folder / "phone.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    (folder / "text.png").write_text("not an image")
    (folder / "empty.jpg").touch()
    (folder / "._0.png").write_bytes(b"\0")
    shutil.copy(folder / "0.png", folder / "no_suffix")
    assert run(["classify", str(folder), "--run", finished.id, "--json"]) == 0
    output = capsys.readouterr()
    result = json.loads(output.out)
    assert [Path(one["path"]).name for one in result["results"]] == ["0.png", "1.png", "no_suffix"]
    assert {Path(one["path"]).name for one in result["skipped"]["files"]} == {
        "phone.HEIC",
        "text.png",
        "empty.jpg",
    }
    assert "skipped" in output.err and "phone.HEIC" in output.err
    (folder / "cut.png").write_bytes((folder / "0.png").read_bytes()[:45])  # an image, which has no answer
    assert run(["classify", str(folder), "--run", finished.id, "--json"]) == 2
    only = tmp_path / "only"
    only.mkdir()
    (only / "phone.HEIC").write_bytes(b"\0")
    capsys.readouterr()
    assert run(["classify", str(only), "--run", finished.id]) == 2
    assert "no images in the folder" in capsys.readouterr().err


def test_index_and_name_of_a_class_are_distinguished(
    tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "digits"
    draw_images(data / "3", 4)
    draw_images(data / "17", 4)
    command = ["train", "--dataset", f"folder:{data}", "--model", "mlp", "--set", "train.epochs=1"]
    assert run([*command, "--set", "train.validation=0"]) == 0
    capsys.readouterr()
    assert run(["classify", str(data / "3" / "0.png"), "--run", "last", "--top", "1"]) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.split()[0] == "index" and line.endswith((" class 3", " class 17"))
