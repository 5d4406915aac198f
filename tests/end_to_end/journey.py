"""`python -m tests.end_to_end.journey`: every key of every pane in true terminals, and what each changes on the screen.

The keys are those that the product declares, of which `?`, key bar and frames are made. A key without an effect fails.
"""

from __future__ import annotations

import argparse
import json
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
from itertools import product
from pathlib import Path

import psutil

from tests.benchmarks.measure import say
from tests.end_to_end.kinds import AT_WORK, KINDS, Kind, Shown, differing
from tests.end_to_end.places import PLACES, Place, classes_with_keys, declared, reached_classes, sequence
from tests.idle_model import IDLE_MODEL
from tests.sweep_folders import write_sweep
from workbench.cli.tables import print_table
from workbench.core.plain_text import to_plain
from workbench.runs.status import Status, status_of
from workbench.runs.store import Store
from workbench.runs.tickets import Ticket, TicketQueue
from workbench.ui.app import WorkbenchApp
from workbench.ui.base.layout import PANES, PaneId

SIZES = [(80, 24), (120, 36), (200, 50)]
NEUTRAL = "f12"
"""A key that nothing declares; it removes what is shown until the next key."""
EFFECT_SECONDS = (0.7, 4.0)
"""Most keys that have no effect here have one after another key: that is tried first, patience comes second."""
WALK_SECONDS, MAX_ROWS = 2.0, 90
"""So long a row may take to show the cursor, and so many rows of a list are tried."""
FIRST = ((), ("down",), ("up",), ("right",), ("left", "left"), ("end",), (">",), ("space",), ("enter",))
"""What is pressed before a key until it has an effect: at the first row, `up` rightly has none."""
TRAINING = ["train", "digits-mlp", "--set", "train.epochs=2", "--name", "first"]
ENDLESS = ["train", "digits-mlp", "--model", IDLE_MODEL, "--set", "train.epochs=5000", "--name", "endless",
           "--detach"]  # fmt: skip
NONE = "no effect"
ATTEMPTS = 12
ELSEWHERE = ("move_cursor('left')", "move_cursor('right')", "move('first')", "move('last')")
"""What has an effect in some places only: lists have one column, and a short text does not scroll."""
MACHINE = next(place for place in PLACES if place.path == (PANES[PaneId.MACHINE].key,))
"""Its figures change all the time."""


class Journey:
    """Tries the keys of places in one terminal; starts the product again where a key led too far away."""

    def __init__(self, kind: Kind, size: tuple[int, int], template: Path) -> None:
        self.kind, self.size, self._template = kind, size, template
        self._first = list(FIRST)
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
        self._first = list(FIRST)
        ignored = self._changing_cells() if place.classes == MACHINE.classes else set()
        return {key: self._effect(place, key, ignored) for key in keys}

    def walk(self, place: Place) -> bool:
        """Whether every row of a list shows that the cursor is on it: down to the last one, and up to the first."""
        self._return(place)
        self.shown.press_and_wait("home")
        for key, end in (("down", "end"), ("up", "home")):
            for _ in range(MAX_ROWS):
                if not self.shown.has_effect(key, WALK_SECONDS, set()):
                    in_grid = "right" in place.own_keys()  # there `end` may also move along the last row
                    if not in_grid and self.shown.has_effect(end, EFFECT_SECONDS[0], set()):
                        say(f"  {end} still moves the cursor:\n{self.shown.text}")
                        return False
                    break
        return True

    def _effect(self, place: Place, key: str, ignored: set[tuple[int, int]]) -> str:
        for seconds, first in list(product(EFFECT_SECONDS, self._first)):
            self.shown.press(NEUTRAL)
            self.shown.press_and_wait(*first)
            has_effect = self._is_at(place) and self.shown.has_effect(key, seconds, ignored)
            self._return(place)
            if has_effect:
                if first:  # it may suit the next keys too
                    self._first.remove(first)
                    self._first.insert(1, first)
                return " ".join(first) or "-"
        return NONE

    def _arrive(self, place: Place, path: Sequence[str]) -> None:
        """Leave dialogs, inputs and what is being typed, and go to a place."""
        for attempt in range(ATTEMPTS):
            assert self.shown.terminal.process.isalive(), (
                f"the product ended:\n{self.shown.text}\n{_traceback()}"
            )
            if attempt == ATTEMPTS // 2:
                say(f"  started again, as {place.name} was not reached from:\n{self.shown.text}")
                self.shown, path = self._start(), place.path
            self.shown.press("escape", *path[:1])
            self.shown.press_and_wait(*path[1:])  # a late effect would lead away again
            until = time.monotonic() + attempt + 1
            while time.monotonic() < until:
                if self._is_at(place):
                    return
                self.shown.terminal.read(0.2)
                if re.search(AT_WORK, self.shown.text):
                    until = max(until, time.monotonic() + 1)
            path = place.retry or place.path
        raise AssertionError(f"{place.name} was not reached:\n{self.shown.text}")

    def _return(self, place: Place) -> None:
        self._arrive(place, place.path if place.again is None else place.again)

    def _is_at(self, place: Place) -> bool:
        # Some terminals get plain characters for borders and marks.
        return re.search(to_plain(place.shown), to_plain(self.shown.text)) is not None

    def _changing_cells(self) -> set[tuple[int, int]]:
        found, before = set[tuple[int, int]](), self.shown.cells
        for _ in range(20):
            self.shown.terminal.read(0.25)
            found |= differing(before, self.shown.cells)
        return found


def _traceback() -> str:
    """What the screen wrote when it ended by an error."""
    log = Path(os.environ["WORKBENCH_HOME"], "screen.log")
    return log.read_text() if log.exists() else ""


def keys_to_try(place: Place, kind: Kind, *, own: bool = False) -> list[str]:
    """The declared keys that this terminal can send, without those that leave the screen, or only lead here."""
    plain = kind.environment.get("LC_ALL") == "C" and bool(kind.tmux)
    keys = place.own_keys() if own else place.keys()
    return [
        key for key, binding in keys.items()
        if binding.action not in LEFT and (key,) != place.path and not (plain and "fullwidth" in key)
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


LOG_IMAGES = """
import numpy, workbench
run = workbench.init(name="images")
for step in range(3):
    for name in ("inputs", "outputs"):
        run.log_image(name, numpy.full((8, 8, 3), 40 * step + 60, "uint8"), step)
workbench.finish()
"""


def make_template(folder: Path) -> Path:
    """A home with three finished runs: a script that logs images, and newer than it one that the product trains, and
    a copy of that with another name and settings; and with two sweeps.
    """
    for command in (["-c", LOG_IMAGES], ["-m", "workbench", *TRAINING]):
        environment = {**os.environ, "WORKBENCH_HOME": str(folder)}
        subprocess.run([sys.executable, *command], check=True, capture_output=True, env=environment)
    (run,) = (folder / "runs").glob("*-first-*")
    copy = run.with_name(run.name.replace("first", "second"))
    shutil.copytree(run, copy)
    file = copy / "experiment.json"
    experiment = json.loads(file.read_text())
    experiment["name"] = "second"
    experiment["train"] |= {"lr": 0.01, "weight_decay": 0.01, "label_smoothing": 0.0}
    file.write_text(json.dumps(experiment))
    for number in (1, 2):
        write_sweep(folder, [run.name, copy.name], f"sweep-{number}", trials=13, created=number)
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
        runs = len(Store.default().list_runs())
        shown.press("x", "y")
        shown.until(lambda: len(Store.default().list_runs()) == runs - 1, "a run in the trash")
        shown.press("u")
        shown.until(lambda: len(Store.default().list_runs()) == runs, "the run taken back")
        shown.press("t")
        shown.until(lambda: len(Store.default().list_runs()) == runs + 1, "a new run")
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


def order_queue(kind: Kind, size: tuple[int, int], template: Path) -> None:
    """Queue two runs behind one that trains; move, hold, release and take out the second one, and check the tickets."""
    with fresh_home(template) as home, Shown(kind, *size) as shown:
        queue = TicketQueue(home)

        def press_until(key: str, condition: Callable[[list[Ticket]], bool], what: str) -> None:
            shown.press(key)
            shown.until(lambda: condition(queue.tickets()), what)
            shown.settle()

        shown.wait_for("second")
        command = [sys.executable, "-m", "workbench", *ENDLESS]
        subprocess.run(command, check=True, capture_output=True)
        shown.wait_for("endless")
        for count in (1, 2):

            def is_queued(count: int = count) -> bool:
                if "again?" in shown.text:  # the first one was queued a moment ago
                    shown.press("y")
                return len(queue.tickets()) == count

            shown.press("T")
            shown.until(is_queued, f"{count} in the queue")
            shown.wait_for(f"queued #{count}")  # it is selected
        first, second = (ticket.run for ticket in queue.tickets())
        shown.press("1")
        press_until("K", lambda tickets: [one.run for one in tickets] == [second, first], "run moved up")
        shown.wait_for("queued #1: waits for a free CPU slot")
        press_until("J", lambda tickets: [one.run for one in tickets] == [first, second], "run moved down")
        press_until("H", lambda tickets: tickets[1].held, "held run")
        shown.wait_for("held #2")
        press_until("H", lambda tickets: not tickets[1].held, "released run")
        shown.wait_for("queued #2: waits for its turn")
        shown.press("s")
        press_until(
            "y", lambda tickets: [one.run for one in tickets] == [first], "run taken out of the queue"
        )
        shown.wait_for("stopped")


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
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # so that no terminal is left
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
    """Whether a key has no effect; some keys need one only in some place."""
    _, key, action = tried
    everywhere = {effect for (_, other, _), effect in effects.items() if other == key}
    return effects.get(tried) == NONE and (action not in ELSEWHERE or everywhere == {NONE})


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
            try:
                for key, effect in journey.try_keys(place, keys_to_try(place, kind, own=options.own)).items():
                    found[place.name, key, actions[key].action] = effect
                if {"down", "end"} <= place.own_keys().keys():
                    found[place.name, "down … up", "walk"] = "-" if journey.walk(place) else NONE
            except AssertionError as error:  # the other places are tried all the same
                say(f"  {error}")
                found[place.name, " ".join(place.path), "reach"] = NONE
    if not options.place:
        say(f"{kind.name} {size[0]}x{size[1]} quit, suspend, redraw, the dialogs and the queue")
        actions = dict(declared(WorkbenchApp))
        for key, effect in leaving_keys(kind, size, template).items():
            found["everywhere", key, actions[key].action] = effect
        answer_dialogs(kind, size, template)
        order_queue(kind, size, template)
    return found


if __name__ == "__main__":
    main()
