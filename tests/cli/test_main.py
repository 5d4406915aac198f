"""What commands print, on which stream, and their exit codes."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from PIL import Image

from tests.idle_model import IDLE_MODEL
from workbench.cli import run_text
from workbench.cli.main import run
from workbench.core.distribution import install_hint
from workbench.io.record_codec import read_record, write_record
from workbench.runs.enums import Cause, Ending
from workbench.runs.journal import Journal, SettingChange
from workbench.runs.jsonl import LineWriter, read_lines
from workbench.runs.metrics import MetricLine
from workbench.runs.records import Manifest, Notes
from workbench.runs.run_folder import RunFolder
from workbench.runs.run_report import LiveMetrics, read_report
from workbench.runs.status import Status, status_of
from workbench.runs.store import Store

WORKBENCH = [sys.executable, "-m", "workbench"]


def printed_json(capsys: pytest.CaptureFixture[str]) -> Any:
    """The one JSON document on stdout."""
    return json.loads(capsys.readouterr().out)


def stdout_of(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    """The text on stdout of a command that exits with 0."""
    capsys.readouterr()
    assert run(list(command)) == 0
    return capsys.readouterr().out


def test_the_headless_main_job() -> None:
    """From nothing, without network: a real process, one JSON document on stdout, progress on stderr."""
    command = [*WORKBENCH, "train", "digits-mlp", "--json"]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    result = json.loads(process.stdout)
    assert result["status"] == "finished"
    assert result["test"]["accuracy"] >= 0.95
    assert (result["step"], result["epoch"]) == (result["steps_total"], result["epochs_total"])
    assert result["exact"] is True
    parts = result["seconds"]
    assert parts["load"] + parts["train"] + parts["evaluate"] == pytest.approx(parts["total"], abs=0.5)
    rows = result["per_class"]
    support = sum(row["support"] for row in rows)
    weighted = sum(row["accuracy"] * row["support"] for row in rows) / support
    assert weighted == pytest.approx(result["test"]["accuracy"])
    assert result["per_class_split"] == "test"


def test_a_detached_run_is_found_stopped_and_resumed(capsys: pytest.CaptureFixture[str]) -> None:
    settings = ["--set", "train.epochs=100000", "--set", "train.threads=1"]
    assert run(["train", "digits-mlp", "--detach", "--name", "long", *settings]) == 0
    run_id = capsys.readouterr().out.strip()
    assert run(["stop", "long", "--json"]) == 0
    stopped = printed_json(capsys)
    assert (stopped["run"], stopped["status"], stopped["cause"]) == (run_id, "stopped", Cause.REQUESTED)
    assert run(["stop", "long"]) == 2
    epochs = stopped["epoch"] + 2
    assert run(["resume", "long", "--set", f"train.epochs={epochs}", "--json"]) == 0
    resumed = printed_json(capsys)
    assert (resumed["status"], resumed["epoch"], resumed["exact"]) == ("finished", epochs, True)
    assert resumed["test"]["accuracy"] > 0.8
    assert resumed["seconds"]["total"] > stopped["seconds"]["total"]


def test_ctrl_c_checkpoints_and_stops(home: Path) -> None:
    long = ["--model", IDLE_MODEL, "--set", "train.epochs=100000"]
    command = [*WORKBENCH, "train", "digits-mlp", "--json", *long]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "epoch 2/" in line:
                break
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate()
    assert process.returncode == 130
    assert json.loads(out)["status"] == "stopped"
    folder = RunFolder(next((home / "runs").glob("*-digits-mlp-*")))
    assert status_of(folder) is Status.STOPPED
    manifest = read_record(folder.manifest, Manifest)
    assert manifest is not None and manifest.checkpoints


def test_a_failed_run_exits_with_1_and_its_reason(capsys: pytest.CaptureFixture[str]) -> None:
    settings = ("model.widths=64,64,64", "train.optimizer=sgd", "train.lr=1000", "train.threads=1")
    wild = [part for setting in settings for part in ("--set", setting)]
    assert run(["train", "digits-mlp", "--json", *wild]) == 1
    output = capsys.readouterr()
    result = json.loads(output.out)
    assert (result["status"], result["cause"]) == (Ending.FAILED, Cause.NON_FINITE_LOSS)
    assert re.search(r"step \d+", result["reason"])
    assert result["reason"] in output.err


def test_show_runs_compare_and_rm(digits_run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["show", "last", "--json"]) == 0
    assert printed_json(capsys) == json.loads(json.dumps(read_report(digits_run).to_json()))
    assert run(["runs", "--json"]) == 0
    (listed,) = printed_json(capsys)
    assert listed["id"] == digits_run.id
    assert listed["test"] == read_report(digits_run).to_json()["test"], "the same figures as those of show"
    for command in (["show", "last"], ["runs"]):
        assert run(command) == 0
        assert "digits-mlp" in capsys.readouterr().out
    result = read_report(digits_run)
    run_text.print_run_report(msgspec.structs.replace(result, now=LiveMetrics(None, None, None, None, None)))
    assert "now " not in capsys.readouterr().out, "a run that starts has no metrics yet"
    shown = stdout_of(capsys, "show", "last")
    assert shown.splitlines()[1].startswith("  test  loss 0."), "the result comes first"
    assert f"epoch 6/6  step {result.step}/{result.steps_total}  best val accuracy ." in shown
    assert f"per-class metrics, test data after epoch {result.per_class_epoch}\n" in shown
    assert "  class  accuracy (recall)  precision" in shown
    assert run(["rm", "last"]) == 0
    assert run(["runs", "--json"]) == 0
    assert "trash" in capsys.readouterr().out


def test_a_narrow_list_of_runs_has_the_names_and_tags_of_the_notes(
    digits_run: RunFolder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert "tags" not in stdout_of(capsys, "runs")
    write_record(digits_run.notes, Notes(name="my best one so far", tags=("keep", "paper")))
    head, row = stdout_of(capsys, "runs").splitlines()
    assert head.split() == ["run", "name", "status", "epoch", "test", "val", "tags"]
    assert "my best one so far" in row
    assert row.endswith("keep, paper")
    assert Store.default().find(row.split()[0]).id == digits_run.id


def test_evaluating_again_gives_the_same_metrics(
    digits_run: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["evaluate", "last", "--json"]) == 0
    again = printed_json(capsys)
    result = read_report(digits_run).to_json()
    assert again["metrics"]["accuracy"] == result["test"]["accuracy"]
    assert again["per_class"] == result["per_class"]
    assert run(["evaluate", "last", "--split", "train"]) == 0


def test_evaluating_a_line_again_reports_its_weight(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "line-regression", "--json"]) == 0
    ours = printed_json(capsys)["reference"]["ours"]
    head, row = stdout_of(capsys, "runs").splitlines()
    at = head.index("test")
    assert row[at:].startswith("loss .091  - "), "without validation data it has no best epoch"
    assert run(["evaluate", "last", "--json"]) == 0
    assert printed_json(capsys)["metrics"]["weight"] == pytest.approx(ours)


def test_classify_by_a_run(digits_run: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    Image.new("L", (8, 8), 128).save(good)
    bad.write_text("not an image")
    assert run(["classify", str(good), "--run", "last", "--json", "--top", "3"]) == 0
    document = printed_json(capsys)
    assert document["model"] == digits_run.id
    assert document["images_per_second"] > 0
    top = document["results"][0]["top"]
    assert len(top) == 3
    assert all(set(row) == {"index", "label", "probability"} for row in top)
    assert top[0]["probability"] >= top[1]["probability"]
    assert run(["classify", str(good), str(bad), "--run", "last", "--json"]) == 2
    results = printed_json(capsys)["results"]
    assert results[0]["error"] is None
    assert "bad.png" in results[1]["error"]
    assert run(["classify", str(good), str(bad), "--run", "last"]) == 2
    assert re.search(r"  2 images, .+ images/s on .+; 1 could not be read\n", capsys.readouterr().err)
    assert run(["classify", str(good), str(good), "--run", "last"]) == 0
    assert "could not" not in capsys.readouterr().err


def test_a_folder_is_classified_by_the_images_in_it(
    digits_run: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "photos"
    for name in ("b.png", "deep/a.png", ".hidden/c.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), 99).save(folder / name)
    for name in ("._b.jpg", "report.pdf", "drawing.eps", "deep/notes.txt"):
        (folder / name).write_bytes(b"not an image")
    assert run(["classify", str(folder), "--run", "last", "--json"]) == 0
    results = json.loads(capsys.readouterr().out)["results"]
    assert [one["path"] for one in results] == [str(folder / "b.png"), str(folder / "deep/a.png")]


@pytest.mark.parametrize("command", ["recipes", "datasets", "models", "devices"])
def test_lists_are_json_and_tables(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([command, "--json"]) == 0
    assert len(printed_json(capsys)) >= 1
    assert run([command]) == 0
    assert capsys.readouterr().out.strip()


def test_recipes_come_before_their_variants(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["recipes", "--json"]) == 0
    names = [row["recipe"] for row in printed_json(capsys)]
    assert names == sorted(names)
    assert re.search(r"^mnist-mlp +accuracy 0\.9632 +Handwritten", stdout_of(capsys, "recipes"), re.MULTILINE)


def test_doctor_reports_the_machine(capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["doctor", "--json"])
    document = printed_json(capsys)
    assert (code == 0) == (document["problems"] == [])
    assert run(["doctor"]) == code
    assert "torch" in capsys.readouterr().out


def test_settings_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "--settings"]) == 0
    output = capsys.readouterr().out
    for key in ("train.epochs", "train.lr", "train.monitor", "train.log_every", "seed"):
        assert key in output


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        "train",
        "train nonsense",
        "train digits-mlp --nonsense",
        "train digits-mlp --set train.epochs=0",
        "train digits-mlp --set nonsense",
        "train digits-mlp --set train.epochs=\udcff",
        "train digits-mlp --set train.device=gpu7",
        "train digits-mlp --device gpu7",
        "train --dataset nonsense --model mlp",
        "train --dataset digits --model nonsense",
        "train --dataset digits",
        "train --dataset folder:/no/such/place --model convnet",
        "train --dataset ./no.py:make --model mlp",
        "train --dataset digits --model ./no.py:Net",
        "train ./no.toml",
        "train digits-mlp --name ../x",
        "train digits-mlp --name -rf",
        "show",
        "show nonsense",
        "show last extra",
        "watch nonsense",
        "stop nonsense",
        "rm nonsense",
        "compare nonsense other",
        "resume nonsense",
        "evaluate nonsense",
        "evaluate nonsense --split nonsense",
        "export nonsense --format csv",
        "export nonsense --format nonsense",
        "export nonsense",
        "classify",
        "classify /no/such.png --run nonsense",
        "classify /no/such.png",
        "classify /no/such.png --model nonsense",
        "classify /no/such.png --recipe nonsense",
        "classify /no/such.png --recipe digits-mlp",
        "classify /no/such.png --run a --model b",
        "classify ~nobody-of-that-name/x.png --run nonsense",
        "train ~nobody-of-that-name/x.toml",
        "train --dataset folder:~nobody-of-that-name/x --model mlp",
        "train --dataset folder:" + "x" * 300 + " --model mlp",
        "train --dataset ./" + "x" * 300 + ".py:make --model mlp",
        "train ./" + "x" * 300 + ".toml",
        "compare one",
        "runs --nonsense",
        "recipes nonsense",
        "datasets --nonsense",
        "models --nonsense",
        "devices --nonsense",
        "doctor --nonsense",
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(
    line: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(line.split()) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("workbench: ")
    assert len(output.err.splitlines()) == 1
    assert "Traceback" not in output.err
    assert not list((home / "runs").glob("*")) if (home / "runs").exists() else True


@pytest.mark.parametrize("damage", [None, b"", b"{", b"\0" * 60])
def test_a_run_without_its_experiment_is_not_resumed(
    damage: bytes | None, digits_run: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    digits_run.experiment.unlink()
    if damage is not None:
        digits_run.experiment.write_bytes(damage)
    assert run(["resume", "last", "--set", "train.epochs=50"]) == 2
    assert "experiment.json is missing or damaged" in capsys.readouterr().err


def test_an_ascii_terminal_gets_plain_characters(digits_run: RunFolder) -> None:
    """With PYTHONIOENCODING=ascii."""
    command = [sys.executable, "-m", "workbench", "show", "last"]
    ascii_only = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    journal = Journal(digits_run.journal)
    journal.append(SettingChange(setting="train.lr", before=0.001, value=0.01, step=1))
    journal.close()
    process = subprocess.run(command, env=ascii_only, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    assert "0.001 > 0.01" in process.stdout and process.stderr == ""


@pytest.mark.parametrize(
    ("command", "setting"),
    [("resume last", "seed=3"), ("resume last", "train.epochs=abc"), ("resume last", "train.nonsense=1"),
     ("resume last", "nonsense")],
)  # fmt: skip
def test_a_resume_with_wrong_settings_changes_nothing(
    command: str, setting: str, digits_run: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    before = digits_run.journal.read_bytes()
    assert run([*command.split(), "--set", setting]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert digits_run.journal.read_bytes() == before


def test_a_folder_without_classes_starts_nothing(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "only").mkdir()
    for folder, why in ((tmp_path / "only", "has no class folders"), (tmp_path, "has no class folders")):
        assert run(["train", "--dataset", f"folder:{folder}", "--model", "mlp"]) == 2
        assert why in capsys.readouterr().err
    assert not (home / "runs").exists()


def test_hostile_text_is_never_sent_raw(home: Path, tmp_path: Path) -> None:
    """File names with escapes, in the errors of a real process."""
    hostile = "\x1b]52;c;aGk=\x07\x9b31m.png"
    command = [*WORKBENCH, "classify", str(tmp_path / hostile), "--model", "alexnet", "--weights", hostile]
    process = subprocess.run(command, capture_output=True, check=False)
    assert process.returncode == 2
    assert b"\x1b" not in process.stderr + process.stdout
    assert b"\xc2\x9b" not in process.stderr
    assert len(process.stderr.splitlines()) == 1


def test_the_screen_needs_a_terminal() -> None:
    process = subprocess.run(WORKBENCH, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert process.returncode == 2
    assert "workbench train digits-mlp" in process.stderr
    dumb = {**os.environ, "TERM": "dumb"}
    process = subprocess.run(
        WORKBENCH, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=dumb, check=False
    )
    assert process.returncode == 2


def test_a_finished_run_is_compared_with_one_that_failed(
    digits_run: RunFolder, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = RunFolder(Path(shutil.copytree(digits_run.path, home / "runs" / "failed")))
    failed.metrics.write_bytes(b"")
    assert run(["compare", digits_run.id, "failed", "--json"]) == 0
    first, second = printed_json(capsys)
    assert set(first) == set(second)
    assert second["test.accuracy"] is None
    assert "test.accuracy" in stdout_of(capsys, "compare", digits_run.id, "failed")
    assert "per_class" not in first, "only one of them has classes"
    same = {
        row.partition(" ")[0] for row in stdout_of(capsys, "compare", digits_run.id, "failed").splitlines()
    }
    assert not same & {"status", "name", "title", "teaches", "reference.source"}


def test_a_missing_extra_is_named_with_the_command_that_installs_it(
    digits_run: RunFolder, tmp_path: Path
) -> None:
    """The exporter's package is hidden from a real process."""
    hide = (
        "import sys; sys.modules['safetensors'] = None; "
        "from workbench.cli.main import run; sys.exit(run(sys.argv[1:]))"
    )
    command = [
        sys.executable,
        "-c",
        hide,
        "export",
        "last",
        "--format",
        "safetensors",
        "--to",
        str(tmp_path / "x"),
    ]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert process.returncode == 2
    assert install_hint("export") in process.stderr
    assert len(process.stderr.splitlines()) == 1


def test_a_home_that_is_a_file_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                           capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "file"))
    for line in ("train digits-mlp", "runs", "show last"):
        assert run(line.split()) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1


def test_per_class_metrics_before_a_run_has_ended(digits_run: RunFolder) -> None:
    rows = read_lines(digits_run.metrics, MetricLine)
    digits_run.metrics.unlink()
    writer = LineWriter(digits_run.metrics)
    for row in rows:
        if not getattr(row, "final", False):
            writer.write(row)
    writer.close()
    report = read_report(digits_run)
    assert report.test is None
    assert report.per_class_split == "validation"
    assert report.per_class is not None and len(report.per_class) == 10
