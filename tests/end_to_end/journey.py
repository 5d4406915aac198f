"""`python -m tests.end_to_end.journey`: every key of every pane in true terminals, and what each changes on the screen.

The keys are those that the product declares, of which `?`, key bar and frames are made. A key without an effect fails.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import psutil
import pyte

from tests.benchmarks.measure import say
from tests.end_to_end.places import PLACES, Place, classes_with_keys, declared, reached_classes, sequence
from tests.end_to_end.terminal import Terminal
from workbench.cli.tables import print_table
from workbench.runs.status import Status, status_of
from workbench.runs.store import Store
from workbench.ui.app import WorkbenchApp
from workbench.ui.base.layout import PANES, PaneId

SIZES = [(80, 24), (120, 36), (200, 50)]
CHANGES_BY_ITSELF = re.compile(
    r"[━╸─=-]* +[\d.]+( [A-Z]?B free|%)|load +[\d.]+|\d+[smh] ago|\d\d:\d\d|\d+ s\b"
)
"""Free memory, load, ages and clocks: no effect of a key."""
NEUTRAL = "f12"
"""A key that nothing declares; it removes what is shown until the next key."""
EFFECT_SECONDS = (0.7, 4.0)
"""Most keys that have no effect here have one after another key: that is tried first, patience comes second."""
WAIT_SECONDS, QUIET_SECONDS = 60.0, 0.06
FIRST = ((), ("down",), ("up",), ("right",), ("left", "left"), ("end",), (">",), ("space",), ("enter",))
"""What is pressed before a key until it has an effect: at the first row, `up` rightly has none."""
TRAINING = ["train", "digits-mlp", "--set", "train.epochs=2", "--name", "first"]
Cell = tuple[object, ...]
NONE = "no effect"
ATTEMPTS = 12
SIDEWAYS = ("move_cursor('left')", "move_cursor('right')")
AT_WORK = "oading|Counting"
"""What is shown while another process is at work: `esc` would cancel it."""
MACHINE = next(place for place in PLACES if place.path == (PANES[PaneId.MACHINE].key,))
"""Its figures change all the time."""


@dataclass(frozen=True)
class Kind:
    """A kind of terminal."""

    name: str
    environment: Mapping[str, str] = field(default_factory=dict)
    tmux: str = ""
    """`TERM` inside of tmux; not in tmux if empty."""
    options: tuple[str, ...] = ()
    """Of the tmux client."""


KINDS = [
    Kind("pty"),
    Kind("no-color", {"NO_COLOR": "1"}),
    Kind("ascii", {"LC_ALL": "C", "LANG": "C"}),
    Kind("linux", {"TERM": "linux", "COLORTERM": ""}),
    Kind("vt100", {"TERM": "vt100", "COLORTERM": ""}),
    Kind("tmux-8", {"TERM": "screen", "COLORTERM": ""}, "screen"),
    Kind("tmux-256", {"TERM": "screen-256color", "COLORTERM": ""}, "tmux-256color"),
    Kind("tmux-true", {"TERM": "screen-256color", "COLORTERM": "truecolor"}, "tmux-256color", ("-T", "RGB")),
    Kind("tmux-ascii", {"TERM": "screen", "COLORTERM": "", "LC_ALL": "C", "LANG": "C"}, "screen"),
]


class Shown:
    """The product in a terminal of some kind, and what a person sees of it."""

    def __init__(self, kind: Kind, columns: int, rows: int) -> None:
        self.kind, self.columns, self.rows = kind, columns, rows
        command: Sequence[str] = (sys.executable, "-m", "workbench")
        if kind.tmux:
            self._folder = tempfile.TemporaryDirectory()
            settings = Path(self._folder.name, "tmux.conf")
            settings.write_text(
                f"set -g status off\nset -g default-terminal {kind.tmux}\nset -sg escape-time 20\n"
            )
            self._tmux = ["tmux", "-S", str(settings.with_name("socket")), "-f", str(settings)]
            command = [*self._tmux, *kind.options, "new-session", *command]
        environment = {"TMUX": "", **kind.environment}
        self.terminal = Terminal(columns, rows, command=command, changed=environment)

    def __enter__(self) -> Shown:
        return self

    def __exit__(self, *_: object) -> None:
        self.terminal.process.close(force=True)
        if self.kind.tmux:
            subprocess.run([*self._tmux, "kill-server"], capture_output=True, check=False)
            self._folder.cleanup()

    def _rows(self) -> list[list[Cell]]:
        screen = self.terminal.screen
        if self.kind.tmux:
            command = [*self._tmux, "capture-pane", "-p", "-e"]
            captured = subprocess.run(command, capture_output=True, check=False).stdout
            screen = pyte.Screen(self.columns, self.rows)
            pyte.ByteStream(screen).feed(captured.rstrip(b"\n").replace(b"\n", b"\x1b[0m\r\n"))
        return [[tuple(screen.buffer[y][x]) for x in range(self.columns)] for y in range(self.rows)]

    @property
    def cells(self) -> list[list[Cell]]:
        """Every cell with its style; what changes by itself is blank."""
        rows = self._rows()
        for row in rows:
            for match in CHANGES_BY_ITSELF.finditer(_text(row)):
                row[match.start() : match.end()] = [(" ",)] * (match.end() - match.start())
        return rows

    @property
    def text(self) -> str:
        """The text on the screen."""
        return "\n".join(_text(row).rstrip() for row in self._rows())

    def press(self, *keys: str) -> None:
        """Press keys by Textual's names; each waits until the screen is quiet."""
        for key in keys:
            self.terminal.process.send(sequence(key))
            self.settle()

    def settle(self, limit: float = 3.0) -> list[list[Cell]]:
        """Return what is on the screen when nothing but what changes by itself has changed for a moment."""
        until, before = time.monotonic() + limit, self.cells
        while True:
            self.terminal.read(QUIET_SECONDS)
            if (after := self.cells) == before or time.monotonic() > until:
                return after
            before = after

    def has_effect(self, key: str, seconds: float, ignored: set[tuple[int, int]]) -> bool:
        """Whether something on the screen changes within `seconds` after a key."""
        before, until = self.settle(), time.monotonic() + seconds
        self.terminal.process.send(sequence(key))
        while time.monotonic() < until:
            self.terminal.read(0.04)
            if differing(before, self.cells) - ignored:
                return True
        return False

    def wait_for(self, pattern: str) -> None:
        """Wait until the text of the screen contains a match of `pattern`."""
        self.until(lambda: re.search(pattern, self.text) is not None, repr(pattern))

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for a condition."""
        until = time.monotonic() + WAIT_SECONDS
        while not condition():
            assert time.monotonic() < until, f"no {what} on:\n{self.text}"
            self.terminal.read(0.1)

    def scribble(self, text: str) -> None:
        """Let another program write to the terminal."""
        if self.kind.tmux:
            command = [*self._tmux, "display-message", "-p", "#{pane_tty}"]
            tty = subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip()
            Path(tty).write_text(text)
        else:
            self.terminal.show(text.encode())


def _text(row: list[Cell]) -> str:
    return "".join(str(cell[0])[:1] or " " for cell in row)


def differing(before: list[list[Cell]], after: list[list[Cell]]) -> set[tuple[int, int]]:
    """The cells that differ between two screens."""
    return {
        (y, x)
        for y, (old, new) in enumerate(zip(before, after, strict=True))
        if old != new
        for x, (a, b) in enumerate(zip(old, new, strict=True))
        if a != b
    }


class Journey:
    """Tries the keys of places in one terminal; starts the product again where a key led too far away."""

    def __init__(self, kind: Kind, size: tuple[int, int], template: Path) -> None:
        self.kind, self.size, self._template = kind, size, template
        self._stack = ExitStack()
        self.shown = self._start()

    def __enter__(self) -> Journey:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _start(self) -> Shown:
        self._stack.close()
        self._stack.enter_context(fresh_home(self._template))
        shown = self._stack.enter_context(Shown(self.kind, *self.size))
        shown.wait_for("finished")
        return shown

    def try_keys(self, place: Place, keys: Sequence[str]) -> dict[str, str]:
        """What has to be pressed before each of these keys so that it has an effect in a place; or `NONE`."""
        self._arrive(place, place.path)
        ignored = self._changing_cells() if place.classes == MACHINE.classes else set()
        return {key: self._effect(place, key, ignored) for key in keys}

    def _effect(self, place: Place, key: str, ignored: set[tuple[int, int]]) -> str:
        for seconds, first in product(EFFECT_SECONDS, FIRST):
            self.shown.press(NEUTRAL, *first)
            has_effect = self.shown.has_effect(key, seconds, ignored)
            self._arrive(place, place.path if place.again is None else place.again)
            if has_effect:
                return " ".join(first) or "-"
        return NONE

    def _arrive(self, place: Place, path: Sequence[str]) -> None:
        """Leave dialogs, inputs and what is being typed, and go to a place."""
        for attempt in range(ATTEMPTS):
            if not self.shown.terminal.process.isalive() or attempt == ATTEMPTS // 2:
                say(f"  started again, as {place.name} was not reached from:\n{self.shown.text}")
                self.shown, path = self._start(), place.path
            self.shown.press("escape", *path)
            until = time.monotonic() + attempt + 1
            while time.monotonic() < until:
                if re.search(place.shown, text := self.shown.text):
                    return
                self.shown.terminal.read(0.2)
                if re.search(AT_WORK, text):
                    until = max(until, time.monotonic() + 1)
            path = place.path
        raise AssertionError(f"{place.name} was not reached:\n{self.shown.text}")

    def _changing_cells(self) -> set[tuple[int, int]]:
        found, before = set[tuple[int, int]](), self.shown.cells
        for _ in range(20):
            self.shown.terminal.read(0.25)
            found |= differing(before, self.shown.cells)
        return found


def keys_to_try(place: Place, kind: Kind, *, own: bool = False) -> list[str]:
    """The declared keys that this terminal can send, without those that leave the screen."""
    plain = kind.environment.get("LC_ALL") == "C" and bool(kind.tmux)
    keys = place.own_keys() if own else place.keys()
    return [
        key for key, binding in keys.items()
        if binding.action not in LEFT and not (plain and "fullwidth" in key)
    ]  # fmt: skip


@contextmanager
def fresh_home(template: Path) -> Iterator[Path]:
    """A copy of `template` is the workbench home; what still runs in it at the end is killed."""
    before = os.environ.get("WORKBENCH_HOME")
    with tempfile.TemporaryDirectory(prefix="journey-", ignore_cleanup_errors=True) as folder:
        home = Path(folder) / "home"
        shutil.copytree(template, home)
        os.environ["WORKBENCH_HOME"] = str(home)
        try:
            yield home
        finally:
            for process in psutil.process_iter(["cmdline"]):
                if any(str(home) in argument for argument in process.info["cmdline"] or []):
                    process.kill()
            if before is None:
                del os.environ["WORKBENCH_HOME"]
            else:
                os.environ["WORKBENCH_HOME"] = before


def make_template(folder: Path) -> Path:
    """A home with two finished runs: one that the product trains, and a copy of it with another name."""
    command = [sys.executable, "-m", "workbench", *TRAINING]
    subprocess.run(
        command, check=True, capture_output=True, env={**os.environ, "WORKBENCH_HOME": str(folder)}
    )
    (run,) = (folder / "runs").iterdir()
    copy = run.with_name(run.name.replace("first", "second"))
    shutil.copytree(run, copy)
    experiment = copy / "experiment.json"
    experiment.write_text(experiment.read_text().replace('"first"', '"second"'))
    return folder


def leaving_keys(kind: Kind, size: tuple[int, int], template: Path) -> dict[str, str]:
    """What the keys do that leave the screen, each in a screen of its own: quit ends it, redraw repairs it, …"""
    found = {}
    for key, binding in declared(WorkbenchApp):
        if binding.action not in LEFT:
            continue
        with fresh_home(template), Shown(kind, *size) as shown:
            shown.wait_for("finished")
            shown.settle()
            found[key] = "-" if LEFT[binding.action](shown, key) else NONE
    return found


def _ends(shown: Shown, key: str) -> bool:
    shown.terminal.process.send(sequence(key))
    shown.terminal.wait_until_gone(30)
    return True


def _stops(shown: Shown, key: str) -> bool:
    """tmux itself continues what stops in its window, and the screen is drawn again."""
    if shown.kind.tmux:
        return True
    shown.terminal.process.send(sequence(key))
    _, status = os.waitpid(shown.terminal.process.pid, os.WUNTRACED)
    os.kill(shown.terminal.process.pid, signal.SIGCONT)
    shown.wait_for("finished")
    return os.WIFSTOPPED(status)


def _repairs(shown: Shown, key: str) -> bool:
    """Output of another program is overwritten."""
    shown.scribble("garbage")
    shown.wait_for("garbage")
    shown.terminal.process.send(sequence(key))
    shown.until(lambda: "garbage" not in shown.text, "redrawn screen")
    return True


LEFT: dict[str, Callable[[Shown, str], bool]] = {
    "quit": _ends,
    "suspend_process": _stops,
    "redraw": _repairs,
}
"""What the keys do that don't just change the screen, by action; `False` without an effect."""


def answer_dialogs(kind: Kind, size: tuple[int, int], template: Path) -> None:
    """Move a run to the trash and back; train, stop and resume; each dialog is answered, and the runs are checked."""
    with fresh_home(template), Shown(kind, *size) as shown:
        shown.wait_for("second")
        shown.press("x", "y")
        shown.until(lambda: len(Store.default().list_runs()) == 1, "a run in the trash")
        shown.press("u")
        shown.until(lambda: len(Store.default().list_runs()) == 2, "the run taken back")
        shown.press("t")
        shown.until(lambda: len(Store.default().list_runs()) == 3, "a new run")
        run = Store.default().find("last")
        shown.until(lambda: status_of(run) is Status.RUNNING, "a running run")
        shown.wait_for("s stop")
        shown.press("s", "y")
        shown.until(lambda: status_of(run) is Status.STOPPED, "a stopped run")
        shown.wait_for("r resume")
        shown.press("r")
        shown.until(lambda: status_of(run) is Status.RUNNING, "a resumed run")
        shown.wait_for("s stop")
        shown.press("s", "y")
        shown.until(lambda: status_of(run) is Status.STOPPED, "a run stopped again")
        shown.press("q")
        shown.terminal.wait_until_gone(30)


def main() -> None:
    """Try the keys that are asked for and print a table."""
    parser = argparse.ArgumentParser(prog="python -m tests.end_to_end.journey", description=__doc__)
    parser.add_argument(
        "--kind", action="append", choices=[kind.name for kind in KINDS], help="only this terminal"
    )
    parser.add_argument(
        "--size", action="append", choices=[f"{c}x{r}" for c, r in SIZES], help="only this size"
    )
    parser.add_argument("--place", action="append", help="only places whose names begin so, e.g. `3`")
    parser.add_argument(
        "--own", action="store_true", help="only the keys of each place, not those of the app"
    )
    options = parser.parse_args()
    missing = sorted(cls.__name__ for cls in classes_with_keys() - reached_classes())
    failed = bool(missing)
    print(f"classes whose keys are tried nowhere: {', '.join(missing) or 'none'}")
    with tempfile.TemporaryDirectory(prefix="journey-") as folder:
        template = make_template(Path(folder) / "template")
        for kind in KINDS:
            if kind.name not in (options.kind or [kind.name]):
                continue
            found = {
                f"{columns}x{rows}": _whole_journey(kind, (columns, rows), template, options)
                for columns, rows in SIZES
                if f"{columns}x{rows}" in (options.size or [f"{columns}x{rows}"])
            }
            keys = dict.fromkeys(key for effects in found.values() for key in effects)
            rows = [(*key, *(effects.get(key, "") for effects in found.values())) for key in keys]
            print(f"\n{kind.name}: what is pressed first so that a key has an effect ('-': nothing)")
            print_table(("place", "key", "action", *found), rows)
            failed |= any(_fails(effects, key) for effects in found.values() for key in keys)
    sys.exit(1 if failed else 0)


def _fails(effects: Mapping[tuple[str, str, str], str], tried: tuple[str, str, str]) -> bool:
    """Whether a key has no effect; one that moves sideways needs one only in some place: lists have one column."""
    _, key, action = tried
    everywhere = {effect for (_, other, _), effect in effects.items() if other == key}
    return effects.get(tried) == NONE and (action not in SIDEWAYS or everywhere == {NONE})


def _whole_journey(
    kind: Kind, size: tuple[int, int], template: Path, options: argparse.Namespace
) -> dict[tuple[str, str, str], str]:
    found = dict[tuple[str, str, str], str]()
    with Journey(kind, size, template) as journey:
        for place in PLACES:
            if (place.sizes and size not in place.sizes) or not place.name.startswith(
                tuple(options.place or [""])
            ):
                continue
            say(f"{kind.name} {size[0]}x{size[1]} {place.name}")
            actions = place.keys()
            for key, effect in journey.try_keys(place, keys_to_try(place, kind, own=options.own)).items():
                found[place.name, key, actions[key].action] = effect
    if not options.place:
        say(f"{kind.name} {size[0]}x{size[1]} quit, suspend, redraw, and the dialogs")
        actions = dict(declared(WorkbenchApp))
        for key, effect in leaving_keys(kind, size, template).items():
            found["everywhere", key, actions[key].action] = effect
        answer_dialogs(kind, size, template)
    return found


if __name__ == "__main__":
    main()
