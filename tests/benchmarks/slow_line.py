"""The bytes that the whole screen sends, and how soon a key is answered over a line of 4 kB/s."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

from tests.benchmarks.measure import Row, Scale, say
from tests.end_to_end.emulator import Repeats
from tests.end_to_end.journey import fresh_home, make_template
from tests.end_to_end.terminal import Terminal
from workbench.ui.base.layout import WIDE

SIZES = [(80, 24), (120, 36)]
PANES = "2345671"
IMAGES = "5"
DIALOGS = "?:!N="
SLOW_PIPE = (sys.executable, "-m", "tests.end_to_end.slow_pipe")
QUIET_SECONDS, IDLE_SECONDS, TRAINING_SECONDS = 1.0, 20.0, 15.0
KEYS = [
    ("4", "m table/matrix"),
    ("2", "a recipe"),
    ("?", "the selected run"),
    ("esc", "a recipe"),
    (":", "Search for commands"),
    ("esc", "a recipe"),
    ("5", "samples of each class|m split"),
    ("6", "m classifier"),
    ("7", "training device"),
    ("1", "ETA/age"),
    ("3", "a smooth"),
]
"""Keys, and what shows that they were answered, as regular expressions."""


def rows(place: Path, scale: Scale) -> list[Row]:
    """All measurements, with two finished runs."""
    template, found = make_template(place / "template"), list[Row]()
    for size in SIZES:
        say(f"  {size[0]}x{size[1]}")
        with fresh_home(template):
            found += (
                _bytes(size)
                + _bytes(size, repeats="none")
                + _bytes(size, is_slow=True)
                + _while_training(size)
            )
    return found


def _bytes(size: tuple[int, int], *, repeats: Repeats = "all", is_slow: bool = False) -> list[Row]:
    """What is sent to a terminal that can repeat characters or not; `is_slow`: over a line of 4 kB/s."""
    command = SLOW_PIPE if is_slow else (sys.executable, "-m", "workbench")
    with Terminal(*size, answers=True, repeats=repeats, command=command) as terminal:
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
        dialogs = {}
        for key in DIALOGS:
            dialogs[key] = _sent_by(terminal, key)
            dialogs[f"esc after {key}"] = _sent_by(terminal, "esc")
        idle = _rate(terminal, IDLE_SECONDS)[0]
    kind = (
        ", over a line of 4 kB/s" if is_slow else "" if repeats == "all" else ", characters are not repeated"
    )
    images = switches.pop(IMAGES)
    return [
        _row(size, f"first frame{kind}", f"{first:,} B", "≤ 20 kB"),
        _row(
            size,
            f"worst switch of panes (to {_worst(switches)}){kind}",
            f"{max(switches.values()):,} B",
            "≤ 4 kB",
        ),
        _row(size, f"switch to the pane of images ({IMAGES}){kind}", f"{images:,} B", "≤ 4 kB"),
        _row(size, f"`?`{kind}", f"{dialogs['?']:,} B", "≤ 4 kB"),
        _row(size, f"worst dialog (`{_worst(dialogs)}`){kind}", f"{max(dialogs.values()):,} B", "≤ 4 kB"),
        _row(size, f"idle{kind}", f"{idle:.0f} B/s", "≤ 50 B/s"),
    ]


def _worst(figures: Mapping[str, float]) -> str:
    return max(figures, key=lambda name: figures[name])


def _while_training(size: tuple[int, int]) -> list[Row]:
    with _training():
        with Terminal(*size, answers=True) as terminal:
            terminal.wait_for("train").press("3").wait_for("samples/s")
            _rate(terminal, 3)
            training, busiest = _rate(terminal, TRAINING_SECONDS)
        with Terminal(*size, answers=True, command=SLOW_PIPE) as terminal:
            terminal.wait_for("train").press("3").wait_for("a smooth")
            for key in PANES:  # loads what they show
                terminal.press(key)
                _rate(terminal, 3)
            answers = {f"{number} {key}": _seconds_to_answer(terminal, key, shown)
                       for number, (key, shown) in enumerate(KEYS, 1)}  # fmt: skip
    return [
        _row(size, "plots of a small model that trains", f"{training:,.0f} B/s", "≤ 2 kB/s"),
        _row(size, "the same, in the busiest second", f"{busiest:,.0f} B/s", "-"),
        _row(
            size,
            f"key to answer at 4 kB/s while it trains, worst of {len(KEYS)} ({_worst(answers).split()[1]})",
            f"{max(answers.values()):.2f} s",
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


def _rate(terminal: Terminal, seconds: float) -> tuple[float, float]:
    """Bytes per second, and bytes in the busiest second."""
    counts, began = [len(terminal.received)], time.monotonic()
    for second in range(1, round(seconds) + 1):
        while (left := began + second - time.monotonic()) > 0:
            terminal.read(left)
        counts.append(len(terminal.received))
    sent = [after - before for before, after in pairwise(counts)]
    return sum(sent) / len(sent), max(sent)


def _seconds_to_answer(terminal: Terminal, key: str, shown: str) -> float:
    """From a key to its answer, while the training goes on."""
    _rate(terminal, 2)
    began = time.monotonic()
    terminal.process.send({"esc": "\x1b"}.get(key, key))
    while not re.search(shown, terminal.text):
        assert time.monotonic() < began + 60, f"{key}: no {shown!r} on\n{terminal.text}"
        terminal.read_some(1 << 12, 0.02)
    return time.monotonic() - began
