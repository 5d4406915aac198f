"""`log`, `note`, `tag` and `rename` do what the screen's keys `!` and `i` do."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from workbench.cli.main import run
from workbench.io.record_codec import read_record
from workbench.runs.records import Notes
from workbench.runs.run_folder import RunFolder

Document = Callable[..., Any]


@pytest.fixture
def document(capsys: pytest.CaptureFixture[str]) -> Document:
    """What a command prints with `--json`."""

    def run_command(*arguments: str) -> Any:
        assert run([*arguments, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return run_command


def test_note_tag_and_rename(
    folder: RunFolder, document: Document, capsys: pytest.CaptureFixture[str]
) -> None:
    assert document("note", "last", "a", "better one")["notes"] == "a better one"
    assert document("tag", "last", "paper", "x,y", "paper")["tags"] == ["paper", "x", "y"]
    assert document("tag", "last", "x", "--remove")["tags"] == ["paper", "y"]
    assert document("rename", "last", "second")["name"] == "second"
    assert read_record(folder.notes, Notes) == Notes(name="second", tags=("paper", "y"), notes="a better one")
    assert run(["note", "second", ""]) == 0
    assert capsys.readouterr().out == f"{folder.id}: second · paper, y\n"
    assert run(["rename", "last", "  "]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert run(["tag", "no-such-run", "x"]) == 2


def test_log_prints_the_log(
    folder: RunFolder, document: Document, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["log", "last"]) == 2
    assert "worker.log" in capsys.readouterr().err
    folder.log.write_text("".join(f"line {i}\n" for i in range(100)) + "10%\r20%\r\x1b[31mred\n")
    assert run(["log", "last", "--lines", "2"]) == 0
    assert capsys.readouterr().out == "line 99\n\ufffd[31mred\n"
    assert len(document("log", "last")["lines"]) == 40
    assert run(["log", "last", "--lines", "0"]) == 2
