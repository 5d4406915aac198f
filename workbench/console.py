"""How commands speak: results on stdout, progress on stderr, everything from outside made fit to show."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Sequence
from typing import Any

import msgspec

from workbench import text
from workbench.io.progress import Progress, Report
from workbench.runs import launch
from workbench.runs.attempts import number_of
from workbench.runs.layout import RunFolder
from workbench.runs.reader import RunReader, RunView
from workbench.runs.records import epoch_of, number
from workbench.runs.report import effective_experiment
from workbench.runs.status import Status, status_of
from workbench.tables import print_table
from workbench.text import safe

POLL_SECONDS = 0.2
MARKS = {"best", "final", "wall"}
"""Of an evaluation's row: what is no figure."""


def say(line: str) -> None:
    """One line for a person, on stderr."""
    print(safe(line), file=sys.stderr, flush=True)


def tell(line: str) -> None:
    """One line of a result, on stdout."""
    print(safe(line))


def print_json(document: Any) -> None:
    """The one JSON document of a command, on stdout; NaN and infinities become null, as JSON has no others."""
    try:
        said = msgspec.json.format(msgspec.json.encode(document, enc_hook=str), indent=2).decode()
    except UnicodeEncodeError:  # names that are no UTF-8
        said = json.dumps(_plain(document), indent=2, ensure_ascii=False).encode("utf-8", "replace").decode()
    print(said)


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value


class Follower:
    """Shows a run's progress on stderr until it ends: one moving line on a terminal, else a line an epoch.

    `since`: only epochs that were evaluated after this time (a resume tells no epochs of attempts before).
    """

    def __init__(self, folder: RunFolder, since: float = 0.0) -> None:
        self._reader, self._since = RunReader(folder), since
        self._moving = sys.stderr.isatty()
        self._told = self._heard = 0
        self._last: dict[str, Any] = {}
        self._figures: dict[str, Any] = {}
        self._line = ""

    def follow(self) -> Status:
        """Return how the run ended. `KeyboardInterrupt` passes through."""
        while True:
            view = self._reader.poll()
            self._tell_notices(view)
            self._tell_evaluations(view)
            if not view.status.live:
                if self._reader.behind:
                    continue
                self._clear()
                return view.status
            self._tell_progress(view)
            time.sleep(POLL_SECONDS)

    def _tell_notices(self, view: RunView) -> None:
        """What this attempt has to say to people: a checkpoint passed over, not exact any more."""
        newest = max(map(number_of, view.attempts), default=0)
        for record in view.journal[self._heard :]:
            if record.get("kind") == "notice" and number_of(record) == newest:
                self._clear()
                say("  " + safe(record.get("text")))
        self._heard = len(view.journal)

    def _tell_evaluations(self, view: RunView) -> None:
        rows = view.evaluations
        if self._told and rows[self._told - 1 : self._told] != [self._last]:
            # A resume, or a step back, has begun the record anew: what it keeps was told.
            self._told, self._since = 0, max(self._since, _time(self._last) + 0.001)
        for row in rows[self._told :]:
            if _time(row) >= self._since:
                self._tell_evaluation(view, row)
        self._told, self._last = len(rows), rows[-1] if rows else self._last

    def _tell_evaluation(self, view: RunView, row: dict[str, Any]) -> None:
        """One line; the result is not told again where it is the figures of the last epoch."""
        figures = {name: value for name, value in row.items() if name not in MARKS}
        if figures != self._figures:
            self._clear()
            say("  " + evaluation_line(view, row))
        self._figures = figures

    def _tell_progress(self, view: RunView) -> None:
        line = progress_line(view)
        if self._moving and line != self._line:
            print("\r\x1b[K" + text.cut(line, 79), end="", file=sys.stderr, flush=True)
            self._line = line

    def _clear(self) -> None:
        if self._line:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
            self._line = ""


def _time(row: dict[str, Any]) -> float:
    """When a row was written."""
    return number((row.get("wall") or {}).get("time")) or 0.0


def progress_line(view: RunView) -> str:
    """What a live run does at this moment."""
    beat = view.heartbeat
    progress = beat.get("progress")
    if progress and beat.get("phase") != "training":
        how_far = amount(progress.get("done"), progress.get("total"), progress.get("unit"))
        return f"{safe(view.name)}: {safe(progress.get('what'))} {how_far}"
    step = int(view.steps.step[-1]) if len(view.steps) else int(beat.get("step") or 0)
    total = int(beat.get("steps_total") or 0)
    parts = [f"{safe(view.name)}: {safe(beat.get('phase') or view.status)}"]
    if total:
        parts.append(f"step {step}/{total}")
    if loss := view.steps.column("loss"):
        parts.append(f"loss {loss[-1]:.4f}")
    if rate := number(view.last_wall.get("samples_per_second")):
        parts.append(f"{text.count(rate)} samples/s")
    if eta := number(beat.get("eta")):
        parts.append(f"ETA {text.duration(eta)}")
    return "  ".join(parts)


def evaluation_line(view: RunView, row: dict[str, Any]) -> str:
    """One evaluation in a line."""
    total = (effective_experiment(view).get("train") or {}).get("epochs")
    parts = [f"epoch {row.get('epoch')}/{total}", str(row.get("split"))]
    if epoch_of(row) != row.get("epoch"):
        parts[0] = f"result of epoch {epoch_of(row)}"
    for name in ("loss", "accuracy", "top5", "mae", "r2"):
        if (value := number(row.get(name))) is not None:
            parts.append(f"{name} {value:.4f}")
    if row.get("best"):
        parts.append("best")
    return "  ".join(parts)


def wait_for_end(folder: RunFolder) -> None:
    """Return when a run has ended, without a word about how it goes."""
    while status_of(folder).live:
        time.sleep(POLL_SECONDS)


def wait_or_stop(folder: RunFolder, since: float = 0.0) -> tuple[Status, bool]:
    """Follow a run, `since` as `Follower` has it; Ctrl-C asks it to stop, a second one leaves it.

    Returns its status and if it was interrupted.
    """
    follower = Follower(folder, since)
    try:
        return follower.follow(), False
    except KeyboardInterrupt:
        print(file=sys.stderr)  # behind the terminal's own ^C
        say(f"stopping {folder.id} after a checkpoint; Ctrl-C again leaves it running")
    try:
        launch.stop(folder)
        return follower.follow(), True
    except ValueError:
        return follower.follow(), True
    except KeyboardInterrupt:
        print(file=sys.stderr)  # behind the terminal's own ^C
        say(f"{folder.id} goes on; see it with 'workbench watch {folder.id}' or in 'workbench'")
        return Status.RUNNING, True


def print_devices(rows: Sequence[dict[str, Any]]) -> None:
    """The devices, and which one training takes."""
    print_table(
        ("device", "name", "memory", "free", "load", "training"),
        [
            (r["device"], r["name"], text.size(r["memory_total"]), text.size(r["memory_free"]),
             "-" if r["load"] is None else f"{r['load']:.0%}", f"takes it: {r['why']}" if r["chosen"] else "")
            for r in rows
        ],
    )  # fmt: skip


def progress_printer() -> Report:
    """Shows a long step's progress as one moving line on stderr, where that is a terminal."""
    moving = sys.stderr.isatty()

    def show(progress: Progress) -> None:
        if moving:
            over = "\r\x1b[K" if progress.done == progress.total else ""
            line = f"{safe(progress.what)} {amount(progress.done, progress.total, progress.unit)}"
            print(f"\r\x1b[K{text.cut(line, 79)}{over}", end="", file=sys.stderr, flush=True)

    return show


def amount(done: float | None, total: float | None, unit: object) -> str:
    """`12 MB of 170 MB`, `950 of 5k`, or only what is done where nobody knows the whole."""
    shown = text.size if unit == "bytes" else text.count
    return shown(done) + (f" of {shown(total)}" if total else "")
