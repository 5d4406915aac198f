"""`add`, and `show`, `watch` and `compare` on logs of other programs where they lie."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.logs.writers import EXPECTED, SAMPLES
from workbench.cli.main import run
from workbench.core.paths import runs

Document = Callable[..., Any]


@pytest.fixture
def document(capsys: pytest.CaptureFixture[str]) -> Document:
    """What a command prints with `--json`."""

    def run_command(*arguments: object) -> Any:
        assert run([*map(str, arguments), "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return run_command


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for temporary files, of which none may be left."""
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    return place


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    """A folder with two runs, each in a CSV file."""
    for name, loss in (("lr1", 0.5), ("lr2", 0.25)):
        (tmp_path / "logs" / name).mkdir(parents=True)
        (tmp_path / "logs" / name / "log.csv").write_text(f"step,loss\n1,1\n2,{loss}\n")
    return tmp_path / "logs"


def test_add_lists_each_run_of_a_folder_once(tables: Path, document: Document) -> None:
    added = document("add", tables, "--group", "lrs", "--tag", "old")
    assert [(row["name"], row["format"], row["added"]) for row in added] == [
        ("lr1", "csv", True),
        ("lr2", "csv", True),
    ]
    again = document("add", tables / "lr1", tables)
    assert [(row["run"], row["added"]) for row in again] == [(row["run"], False) for row in added]
    listed = {row["name"]: row for row in document("runs")}
    assert {name: (row["status"], row["group"], row["tags"]) for name, row in listed.items()} == {
        "lr1": ("log", "lrs", ["old"]),
        "lr2": ("log", "lrs", ["old"]),
    }
    report = document("show", "lr2")
    assert (report["run"], report["format"], report["directory"]) == (
        added[1]["run"],
        "csv",
        str(tables / "lr2"),
    )


def test_add_takes_a_name_for_one_run(
    tables: Path, document: Document, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["add", str(tables), "--name", "x"]) == 2
    assert "--name names one run" in capsys.readouterr().err
    document("add", tables / "lr1", "--name", "first")
    assert document("show", "first")["step"] == 2


def test_show_has_format_config_and_metrics(document: Document) -> None:
    expected = json.loads((SAMPLES / "lightning" / EXPECTED).read_text())
    report = document("show", SAMPLES / "lightning")
    assert (report["format"], report["name"], report["status"]) == ("lightning", "version_0", "log")
    assert report["config"].items() >= expected["config"].items()
    assert report["metrics"].keys() == expected["series"].keys()
    for name, points in expected["series"].items():
        values = [value for _, value in points]
        assert report["metrics"][name] == {
            "last": pytest.approx(values[-1], rel=1e-6),
            "min": pytest.approx(min(values), rel=1e-6),
            "max": pytest.approx(max(values), rel=1e-6),
            "count": len(points),
            "last_step": points[-1][0],
        }


def test_show_of_a_folder_shows_every_run(tables: Path, document: Document, temporary: Path) -> None:
    reports = document("show", tables)
    assert [(report["name"], report["run"]) for report in reports] == [
        (name, str(tables / name / "log.csv")) for name in ("lr1", "lr2")
    ]
    assert list(temporary.iterdir()) == []
    assert not runs().exists(), "nothing was added"


def test_show_prints_settings_and_metrics(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["show", str(SAMPLES / "timm")]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("timm (") and "log, timm" in shown
    assert (
        "eval_top1" in shown
        and "  model = resnet18" in shown
        and str(SAMPLES / "timm" / "summary.csv") in shown
    )


def test_compare_sets_the_newest_values_side_by_side(
    tables: Path, document: Document, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = document("compare", tables)
    assert [(row["name"], row["loss"]) for row in rows] == [("lr1", 0.5), ("lr2", 0.25)]
    document("add", tables / "lr1")
    assert [row["name"] for row in document("compare", "lr1", tables / "lr2")] == ["lr1", "lr2"]
    assert run(["compare", str(tables / "lr1")]) == 2
    assert "at least two" in capsys.readouterr().err


def test_logs_that_are_not_added_are_drawn(
    tables: Path, temporary: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(["charts", str(tables), "--metrics", "loss"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("1 lr1  2 lr2") and "loss 1 .500 2 .250" in printed
    picture = tmp_path / "a.png"
    assert run(["charts", str(tables / "lr2"), "--format", "png", "--to", str(picture)]) == 0
    assert picture.exists() and list(temporary.iterdir()) == []
    assert not runs().exists(), "nothing was added"


def test_settings_that_differ_are_compared(tmp_path: Path, document: Document) -> None:
    for name, rate in (("a", 0.1), ("b", 0.2)):
        folder = tmp_path / name / "version_0"
        folder.mkdir(parents=True)
        (folder / "metrics.csv").write_text("epoch,step,loss\n0,1,2\n")
        (folder / "hparams.yaml").write_text(f"lr: {rate}\nseed: 1\n")
    first, second = document("compare", tmp_path)
    assert (float(first["lr"]), float(second["lr"])) == (0.1, 0.2)
    assert "seed" not in first


def test_a_name_of_a_run_wins_over_a_path_of_that_name(
    tables: Path, document: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tables)
    assert document("show", "lr1")["run"] == str(tables / "lr1" / "log.csv")
    added = document("add", "lr1")
    assert document("show", "lr1")["run"] == added[0]["run"]
    assert document("show", "./lr1")["run"] == str(tables / "lr1" / "log.csv")


@pytest.mark.parametrize("command", [["add"], ["show"], ["watch"], ["compare"], ["charts"], []])
def test_a_path_without_a_log_is_one_line_and_exit_code_2(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], temporary: Path
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.csv").write_text("hello\n")
    for name, reason in (
        ("missing", "no such file or folder"),
        ("empty", "is empty"),
        ("text.csv", "no log found"),
    ):
        assert run([*command, str(tmp_path / name)]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert (
            captured.err.count("\n") == 1 and reason in captured.err and str(tmp_path / name) in captured.err
        )
    assert list(temporary.iterdir()) == []


def test_what_is_neither_a_run_nor_a_path_is_said(capsys: pytest.CaptureFixture[str], tables: Path) -> None:
    run(["add", str(tables)])
    for command in (["show", "lr3"], ["frobnicate"]):
        assert run(command) == 2
    assert "no run 'lr3' (did you mean 'lr" in capsys.readouterr().err


def test_watch_shows_new_values_until_it_is_interrupted(tables: Path) -> None:
    log = tables / "lr1" / "log.csv"
    with subprocess.Popen(
        [sys.executable, "-m", "workbench", "watch", str(tables)], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        lines = [process.stderr.readline(), process.stderr.readline()]
        assert sorted(lines) == ["lr1:  step 2  loss 0.5000\n", "lr2:  step 2  loss 0.2500\n"]
        with log.open("a") as file:
            file.write("3,0.125\n")
        assert process.stderr.readline() == "lr1:  step 3  loss 0.1250\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130


def test_watch_ends_where_nothing_was_written_for_long(
    tables: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = time.time() - 3600
    os.utime(tables / "lr1" / "log.csv", (before, before))
    assert run(["watch", str(tables / "lr1")]) == 0
    assert "loss    0.5000" in capsys.readouterr().out


def test_other_commands_refuse_a_log_in_one_line(tables: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(["add", str(tables / "lr1")])
    for command in (["stop"], ["pause"], ["resume"], ["log"], ["checkpoint"]):
        capsys.readouterr()
        assert run([*command, "lr1"]) == 2
        assert capsys.readouterr().err.endswith("is a log of another program, which can only be read\n")


def test_a_log_is_exported_as_a_table(tables: Path, tmp_path: Path) -> None:
    (tables / "lr1" / "log.csv").write_text("step,loss,acc\n1,4,\n1,3,0.5\n2,2,\n")
    run(["add", str(tables / "lr1")])
    assert run(["export", "lr1", "--format", "csv", "--to", str(tmp_path / "out.csv")]) == 0
    with (tmp_path / "out.csv").open() as file:
        rows = [(row["kind"], row["step"], row["loss"], row["acc"]) for row in csv.DictReader(file)]
    assert rows == [("log", "1", "4.0", "0.5"), ("log", "1", "3.0", ""), ("log", "2", "2.0", "")]
