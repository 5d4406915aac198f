"""Few bytes are sent: only changed cells, and never more frames than the line carries."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial

import pytest

from tests.end_to_end.emulator import Repeats
from tests.end_to_end.slow_pipe import RATE
from tests.end_to_end.terminal import Terminal
from workbench.ui.base.diff_driver import STATUS_QUERY
from workbench.ui.base.line_pace import ANSWER_SECONDS, FIRST_WINDOW

FIRST_FRAME, SWITCH = 10_000, 4_000
IMAGE_CELL = {80: 14, 120: 5}
"""Bytes per cell of 8×8 images, by columns of the terminal: in the wider one, each pixel fills two cells."""
CONTENTS = {"2": r"85(\.\d)?k", "3": "No run selected", "4": "No run selected", "5": "▸3", "6": "no classifier",
            "7": "training device", "1": "ETA/age"}  # fmt: skip
"""What each pane shows once it is loaded, as regular expressions."""


@pytest.fixture
def terminal(request: pytest.FixtureRequest) -> Iterator[Terminal]:
    """A terminal with panes side by side; another size by `SIZES`."""
    with Terminal(*getattr(request, "param", (120, 36))) as terminal:
        terminal.wait_for("No runs yet")
        quiet(terminal)
        yield terminal


SIZES = pytest.mark.parametrize("terminal", [(80, 24), (120, 36)], ids=["80x24", "120x36"], indirect=True)


def quiet(terminal: Terminal, seconds: float = 0.6) -> None:
    """Read until the screen sends nothing for so long."""
    count, end = -1, time.monotonic() + 60
    while count != len(terminal.received):
        assert time.monotonic() < end, f"the screen never stops sending: {bytes(terminal.received[-300:])!r}"
        count = len(terminal.received)
        terminal.read(seconds)


def _contains(pattern: str, text: str) -> bool:
    return re.search(pattern, text) is not None


def ready(terminal: Terminal) -> None:
    """Wait until keys are handled: that begins when all panes are mounted."""
    terminal.wait_for("No runs yet").press("7").wait_for(CONTENTS["7"])
    terminal.press("1").wait_for(CONTENTS["1"])
    quiet(terminal)


def image_cells(terminal: Terminal) -> int:
    """The number of cells with grayscale images."""
    return sum(len(color) == 6 and color == 3 * color[:2] for color in terminal.backgrounds)


def steady(terminal: Terminal) -> str:
    """The text without what changes by itself, free memory and load, and without the widths of gaps beside it.

    A half block may be the upper or the lower one, with the colors exchanged.
    """
    text = re.sub(r"[━╸─]*  +[\d.]+( [A-Z]?B free|%)|load [\d.]+ *", "", terminal.text)
    return re.sub(r" +", " ", text).replace("▄", "▀")


@SIZES
def test_bytes_of_the_first_frame_of_panes_and_of_an_idle_screen(terminal: Terminal) -> None:
    assert len(terminal.received) <= FIRST_FRAME
    sent, images = {}, 0
    for key, content in CONTENTS.items():
        before = len(terminal.received)
        terminal.press(key).wait(partial(_contains, content), content)
        quiet(terminal)
        sent[key] = len(terminal.received) - before
        images += image_cells(terminal)
    assert images > 300
    sent["5"] -= IMAGE_CELL[terminal.columns] * images
    assert max(sent.values()) <= SWITCH, sent
    quiet(terminal, 3)


@SIZES
def test_the_cells_are_what_a_redraw_shows(terminal: Terminal) -> None:
    """After differences only, in every pane and dialog, a redraw of all cells changes nothing."""
    terminal.press("2").wait(
        lambda text: bool(re.search(r"85(\.\d)?k", text)) and "disk" in text, "the layers"
    )
    zoom = ["z"] if terminal.columns >= 100 else []  # elsewhere a passing notice says that it has no effect
    for key in ["enter", "esc", "3", "4", "5", "6", "7", "?", "esc", ":", "esc", "1", *zoom]:
        shown = steady(terminal)
        terminal.press(key).wait(
            lambda text, key=key, shown=shown: (
                steady(terminal) != shown and _contains(CONTENTS.get(key, ""), text)
            ),
            CONTENTS.get(key, f"what {key} does"),
        )
        if key == "5":
            terminal.wait(lambda _: image_cells(terminal) > 300, "images from another process")
        quiet(terminal, 1.0)
        before, sent = steady(terminal), len(terminal.received)
        terminal.press("\x0c")
        quiet(terminal)
        assert len(terminal.received) > sent + 500, "a redraw sends every cell"
        assert steady(terminal) == before, f"after {key}"


def test_a_resize_draws_everything_at_the_new_size(terminal: Terminal) -> None:
    for columns, rows in [(100, 30), (200, 50), (60, 20), (120, 36)]:
        terminal.resize(columns, rows)
        terminal.wait(lambda text: " q" in text.split("\n")[-1], "keys in the last row")
        quiet(terminal, 1.5)  # panes lay out their content after their size
        before = terminal.text
        terminal.press("\x0c")
        quiet(terminal)
        assert terminal.text == before


def test_after_a_suspend_everything_is_drawn_again(terminal: Terminal) -> None:
    before = terminal.text
    terminal.process.send("\x1a")
    _, status = os.waitpid(terminal.process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    terminal.read(0.3)
    terminal.show(b"\x1b[2J\x1b[3;1H$ fg")
    os.kill(terminal.process.pid, signal.SIGCONT)
    terminal.wait(lambda text: text == before, "the same screen")


def test_a_training_sends_little(terminal: Terminal) -> None:
    command = [sys.executable, "-m", "workbench", "train", "digits-mlp", "--detach", "--json",
               "--set", "train.epochs=500", "--set", "train.threads=1"]  # fmt: skip
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    terminal.press("3").wait(lambda text: "samples/s" in text and "epochs" in text, "curves")
    terminal.read(2)
    before, began = len(terminal.received), time.monotonic()
    while time.monotonic() < began + 8:
        terminal.read(0.2)
    sent = (len(terminal.received) - before) / (time.monotonic() - began)
    subprocess.run([sys.executable, "-m", "workbench", "stop", "last"], check=False, capture_output=True)
    assert 0 < sent <= 2_000


SLOW_PIPE = (sys.executable, "-m", "tests.end_to_end.slow_pipe", "--rate", str(RATE))


def test_a_slow_line_carries_the_last_of_many_frames_only() -> None:
    """Sixteen panes are asked for at once; a line of 4 kB/s shows the last one without all those before it."""
    with Terminal(120, 36, answers=True, command=SLOW_PIPE) as terminal:
        ready(terminal)
        before = len(terminal.received)
        terminal.process.send("3467234672346237")
        terminal.wait_for("training device")
        assert len(terminal.received) - before < 4 * RATE


def test_on_a_slow_line_little_is_on_its_way_when_a_key_is_pressed() -> None:
    """A pipe that buffers everything, as SSH does, is never filled: a terminal that does not answer gets no more."""
    with Terminal(120, 36, answers=True, command=SLOW_PIPE) as terminal:
        ready(terminal)
        terminal.process.send("3467234")
        quiet(terminal)
        terminal.answers, before = False, len(terminal.received)
        terminal.process.send("6723462372346237")
        terminal.wait(lambda _: len(terminal.received) > before, "unanswered updates")
        quiet(terminal, ANSWER_SECONDS / 4)
        unanswered = terminal.received[before:]
        assert len(unanswered) < FIRST_WINDOW
        terminal.answers = True
        terminal.process.send(b"\x1b[0n" * unanswered.count(STATUS_QUERY.encode()))
        terminal.wait_for("training device")


@pytest.mark.parametrize("repeats", ["all", "ascii", "none"])
def test_a_character_is_repeated_only_where_the_terminal_is_known_to_do_so(repeats: Repeats) -> None:
    """Borders are complete in either terminal, and take fewer bytes in one."""
    with Terminal(120, 36, answers=True, repeats=repeats) as terminal:
        ready(terminal)
        before = len(terminal.received)
        terminal.press("z").wait(lambda text: f"╭─ 1 Runs {'─' * 109}╮" in text, "a border")
        terminal.press("z")
        quiet(terminal)
        drawn = terminal.text
        repeated = {match[0] for match in re.finditer(rb"[\x80 ](?=\x1b\[\d+b)", terminal.received[before:])}
        assert repeated == ({b"\x80"} if repeats == "all" else set()), "blanks are erased here"
        terminal.press("\x0c")
        quiet(terminal)
        assert terminal.text == drawn
