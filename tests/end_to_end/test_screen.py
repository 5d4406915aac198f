"""The main workflow in the app, by keys alone, in a real terminal; and what happens when that terminal closes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from PIL import Image

from tests.end_to_end.terminal import Terminal
from tests.idle_model import IDLE_MODEL
from workbench.launcher import launch
from workbench.runs.enums import RequestKind
from workbench.runs.records import RequestValues
from workbench.runs.run_folder import RunFolder
from workbench.runs.run_report import read_report
from workbench.runs.status import Status, status_of
from workbench.runs.store import Store

SIZES = [(80, 24), (120, 36)]


@pytest.fixture(autouse=True)
def _kill_leftover_processes(home: Path) -> Iterator[None]:
    yield
    for process in processes_with(str(home)):
        process.kill()


def processes_with(text: str) -> list[psutil.Process]:
    """The processes that have `text` in their command line."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if any(text in argument for argument in process.info["cmdline"] or []):
            found.append(process)
    return found


def until(condition: Callable[[], bool], what: str, seconds: float = 90) -> None:
    """Wait for a condition outside the app."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"no {what} within {seconds} s"
        time.sleep(0.05)


def epoch(text: str) -> int:
    """The completed epochs in the status line."""
    found = re.search(r"(\d+)/\d+", text.splitlines()[0])
    return int(found[1]) if found else 0


def drawn(text: str) -> int:
    """The number of cells with braille characters, of which curves are drawn."""
    return sum("\u2801" <= character <= "\u28ff" for character in text)


def start_long_run(terminal: Terminal) -> RunFolder:
    """Choose another model and more epochs by keys alone, and train.

    First a model of the list, then a file: a model that leaves the processors to the processes of the screen.
    """
    terminal.wait_for("digits-mlp").press("2").wait_for("recipe" if terminal.columns < 100 else "data")
    terminal.press("m").wait_for("built-in").press("lin")
    terminal.wait(lambda text: "convnet" not in text, "one row").press("enter")
    terminal.wait(lambda text: "linear" in text and "enter choose" not in text, "the chosen model")
    terminal.press("m").wait_for("built-in").press(IDLE_MODEL, "enter")
    terminal.wait(lambda text: "linear" not in text and "enter choose" not in text, "the model of the file")
    if "▸ recipe" not in terminal.text:  # the pane is low: a summary, which opens into the form
        terminal.press("enter").wait_for("▸ recipe")
    open_row(terminal, "epochs")
    terminal.press("20000", "enter").wait_for("20000").press("esc", "t")
    terminal.wait_for("trains in the background")
    return Store.default().find("last")


def row_of_form(text: str) -> str:
    """The name of the row under the cursor; empty while it moves."""
    found = re.search(r"▸ +(\w+) ", text)
    return found[1] if found else ""


def open_row(terminal: Terminal, name: str) -> None:
    """Move down to a row of the form and open it for typing."""
    for _ in range(40):
        row, end = row_of_form(terminal.text), time.monotonic() + 2
        if row == name:
            break
        terminal.press("down")
        while row_of_form(terminal.text) in {"", row} and time.monotonic() < end:
            terminal.read(0.1)
    assert row_of_form(terminal.text) == name, terminal.text
    terminal.press("enter").wait_for("passes over")


@pytest.mark.parametrize(("columns", "rows"), SIZES)
def test_the_main_workflow(columns: int, rows: int, tmp_path: Path) -> None:
    """Configure, train, watch, classify, quit, reopen, stop, resume, finish."""
    path = tmp_path / "seven.png"
    Image.new("L", (8, 8), 200).save(path)
    with Terminal(columns, rows) as terminal:
        run = start_long_run(terminal)
        terminal.press("3").wait(lambda text: epoch(text) >= 2 and drawn(text) > 0, "a plot at epoch 2")
        before = terminal.text
        terminal.wait(
            lambda text: epoch(text) > epoch(before) + 5 and text != before, "a plot that continues"
        )
        terminal.press("4").wait(lambda text: "recall" in text and text.count("▇") > 20, "a table of classes")
        terminal.press("6").wait_for("f test samples").press("enter", str(path), "enter")
        terminal.wait_for("by digits-Idle").wait_for("seven.png 8×8")
        terminal.press("ctrl+q").wait_until_gone()
    assert status_of(run) is Status.RUNNING
    left_at = read_report(run)
    with Terminal(columns, rows) as terminal:
        terminal.wait(lambda text: epoch(text) > left_at.epoch, "the same run, further along")
        terminal.press("3").wait(lambda text: drawn(text) > columns // 8, "the whole curve")
        terminal.press("s").wait_for("Stop digits-Idle?").press("y")
        terminal.wait(lambda _: status_of(run) is Status.STOPPED, "a stopped run").wait_for("r resume")
        stopped_at = read_report(run).step
        terminal.press("r").wait(lambda _: status_of(run) is Status.RUNNING, "a resumed run")
        terminal.wait(lambda text: "1 resume" in text or read_report(run).step > stopped_at, "more steps")
        terminal.press("ctrl+q").wait_until_gone()
    # Far enough ahead: a number of epochs that the run has passed meanwhile would be rejected.
    launch.send_request(run, RequestKind.EPOCHS, RequestValues(value=read_report(run).epoch + 5))
    until(lambda: status_of(run) is Status.FINISHED, "end of the run")
    report = read_report(run)
    assert report.exact
    assert report.test is not None and (report.test["accuracy"] or 0) > 0.9


def test_a_run_survives_its_terminal_and_the_app_does_not() -> None:
    """The pty closes: the app ends, and the run keeps running."""
    with Terminal(80, 24) as terminal:
        run = start_long_run(terminal)
        screen = terminal.process.pid
        until(lambda: read_report(run).epoch >= 1, "first epoch")
        terminal.hang_up()
        until(lambda: ended(screen), "end of the screen")
    before = read_report(run).epoch
    until(lambda: read_report(run).epoch > before, "more epochs")
    assert status_of(run) is Status.RUNNING


def ended(pid: int) -> bool:
    """Whether a process has ended (it may be a zombie)."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_killed_app_harms_no_run_that_it_started() -> None:
    with Terminal(80, 24) as terminal:
        terminal.wait_for("digits-mlp").press("t").wait_for("trains in the background")
        run = Store.default().find("last")
        os.kill(terminal.process.pid, signal.SIGKILL)
        terminal.wait_until_gone()
    until(lambda: status_of(run) is Status.FINISHED, "end of the run")


def test_the_app_never_loads_torch() -> None:
    with Terminal(120, 36) as terminal:
        terminal.wait_for("digits-mlp")
        assert not heavy_libraries(terminal.process.pid)
        terminal.press("t").wait_for("trains in the background").press("4", "6", "7", "3")
        terminal.wait(lambda text: drawn(text) > 5, "a plot")
        assert not heavy_libraries(terminal.process.pid)


def heavy_libraries(pid: int) -> list[str]:
    """The libraries of torch and numpy that a process has mapped."""
    maps = Path(f"/proc/{pid}/maps").read_text()
    return sorted({word for word in ("libtorch", "libc10", "_multiarray_umath") if word in maps})


def test_hostile_names_are_sanitized(tmp_path: Path) -> None:
    """Class folders with escape sequences, through training and the table of classes; tags, completed in a filter."""
    hostile = "\x1b]52;c;aGk=\x07red"
    for name, grey in ((hostile, 30), ("[@click=app.quit]x", 220)):
        folder = tmp_path / "data" / name
        folder.mkdir(parents=True)
        for number in range(12):
            Image.new("L", (8, 8), grey + number).save(folder / f"{number}.png")
    command = [sys.executable, "-m", "workbench", "train", "--dataset", f"folder:{tmp_path / 'data'}", "--model", "mlp",
               "--set", "train.epochs=3"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert b"\x1b" not in done.stdout + done.stderr
    command = [sys.executable, "-m", "workbench", "tag", "last", hostile]
    subprocess.run(command, capture_output=True, check=True)
    with Terminal(120, 36) as terminal:
        terminal.wait_for("finished").press("4").wait_for("[@click=app.qu")
        terminal.press("1", "/", *"tag:").wait_for("tag:\ufffd]52;c;aGk=\ufffdred")
        terminal.press("tab").wait_for("/tag:\ufffd]52;c;aGk=\ufffdred")
        assert b"\x1b]52" not in terminal.received
        terminal.press("ctrl+q").wait_until_gone()


def test_the_size_of_the_terminal_is_used_and_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever `COLUMNS` and `LINES` are, which programs with readline export."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "24")
    with Terminal(120, 36) as terminal:
        terminal.wait_for("╭─ 2 Experiment").process.setwinsize(24, 80)
        terminal.wait_for("▐1 Runs▌")
        terminal.press("ctrl+q").wait_until_gone()


@pytest.mark.parametrize(
    "changed", [{"NO_COLOR": "1"}, {"LANG": "C", "LC_ALL": "C"}, {"COLORTERM": "", "TERM": "xterm"}]
)
def test_limited_terminals(changed: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in changed.items():
        monkeypatch.setenv(name, value)
    with Terminal(80, 24) as terminal:
        terminal.wait_for("digits-mlp").press("2", "3", "4", "6", "7").press("ctrl+q").wait_until_gone()
        assert terminal.process.exitstatus == 0
