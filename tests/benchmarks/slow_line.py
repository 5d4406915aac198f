"""The bytes that the whole screen sends, and how soon a key is answered over a line of 4 kB/s."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.benchmarks.measure import Row, Scale, say
from tests.end_to_end.journey import fresh_home, make_template
from tests.end_to_end.terminal import Terminal
from workbench.ui.base.layout import WIDE

SIZES = [(80, 24), (120, 36)]
PANES = "2345671"
QUIET_SECONDS, IDLE_SECONDS, TRAINING_SECONDS = 1.0, 20.0, 15.0
LINE = 4_000
"""Bytes per second of the slow line."""
KEYS = [
    ("4", "m table/matrix"),
    ("2", "a recipe"),
    ("?", "the selected run"),
    ("esc", "a recipe"),
    ("3", "a smooth"),
]
"""Keys, and what shows that they were answered."""


def rows(place: Path, scale: Scale) -> list[Row]:
    """All measurements, with two finished runs."""
    template, found = make_template(place / "template"), list[Row]()
    for size in SIZES:
        say(f"  {size[0]}x{size[1]}")
        with fresh_home(template):
            found += _bytes(size) + _while_training(size)
    return found


def _bytes(size: tuple[int, int]) -> list[Row]:
    with Terminal(*size, answers=True) as terminal:
        terminal.wait_for("finished")
        if size[0] >= WIDE[0]:
            terminal.wait_for("predicted as").wait_for("f test samples")
        first = _sent_until_quiet(terminal)
        for (
            key
        ) in PANES:  # each once before it is measured: what is loaded at the first visit is drawn in parts
            terminal.press(key)
            terminal.wait(lambda text: "oading" not in text, "a loaded pane")
            _sent_until_quiet(terminal)
        switches = {key: _sent_by(terminal, key) for key in PANES}
        worst = max(switches, key=lambda key: switches[key])
        keys = _sent_by(terminal, "?")
        _sent_by(terminal, "esc")
        idle = _rate(terminal, IDLE_SECONDS)
    return [
        _row(size, "first frame", f"{first:,} B", "≤ 20 kB"),
        _row(size, f"worst switch of panes (to {worst})", f"{switches[worst]:,} B", "≤ 4 kB"),
        _row(size, "`?`", f"{keys:,} B", "≤ 4 kB"),
        _row(size, "idle", f"{idle:.0f} B/s", "≤ 50 B/s"),
    ]


def _while_training(size: tuple[int, int]) -> list[Row]:
    with _training(), Terminal(*size, answers=True) as terminal:
        terminal.wait_for("train").press("3").wait_for("a smooth")
        _rate(terminal, 3)
        training = _rate(terminal, TRAINING_SECONDS)
        answers = {key: _seconds_to_answer(terminal, key, shown) for key, shown in KEYS}
    worst = max(answers, key=lambda key: answers[key])
    return [
        _row(size, "plots of a small model that trains", f"{training:,.0f} B/s", "≤ 2 kB/s"),
        _row(
            size,
            f"key to answer at 4 kB/s while it trains, worst ({worst})",
            f"{answers[worst]:.2f} s",
            "≤ 1 s",
        ),
    ]


def _row(size: tuple[int, int], what: str, ours: str, goal: str) -> Row:
    return Row(f"screen of {size[0]}×{size[1]}: {what}", ours, "-", "-", goal)


@contextmanager
def _training() -> Iterator[None]:
    command = [sys.executable, "-m", "workbench"]
    options = ["--detach", "--json", "--set", "train.epochs=5000", "--set", "train.threads=1"]
    subprocess.run([*command, "train", "digits-mlp", *options], check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run([*command, "stop", "last"], check=False, capture_output=True)


def _sent_until_quiet(terminal: Terminal) -> int:
    """All bytes that were sent until now; waits until there are no more."""
    while True:
        before = len(terminal.received)
        terminal.read(QUIET_SECONDS)
        if len(terminal.received) == before:
            return before


def _sent_by(terminal: Terminal, key: str) -> int:
    before = len(terminal.received)
    terminal.press(key)
    return _sent_until_quiet(terminal) - before


def _rate(terminal: Terminal, seconds: float) -> float:
    before, began = len(terminal.received), time.monotonic()
    while time.monotonic() < began + seconds:
        terminal.read(0.2)
    return (len(terminal.received) - before) / (time.monotonic() - began)


def _seconds_to_answer(terminal: Terminal, key: str, shown: str) -> float:
    """From a key to its answer, over a line that is read at `LINE` bytes per second from two seconds before on."""
    _read_slowly(terminal, 2.0, "")
    terminal.process.send({"esc": "\x1b"}.get(key, key))
    return _read_slowly(terminal, 60.0, shown)


def _read_slowly(terminal: Terminal, seconds: float, until: str) -> float:
    began, taken = time.monotonic(), 0
    while (spent := time.monotonic() - began) < seconds and not (until and until in terminal.text):
        taken += terminal.read_some(LINE // 20, 0.05)
        time.sleep(max(0.0, began + taken / LINE - time.monotonic()))
    return spent
