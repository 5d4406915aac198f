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
from workbench.runs.layout import RunFolder
from workbench.runs.reader import RunReader, RunView
from workbench.runs.records import number
from workbench.runs.status import Status, status_of
from workbench.tables import print_table
from workbench.text import safe

POLL_SECONDS = 0.2


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


def shown(value: object) -> str:
    """A setting or a figure as a cell of a table."""
    if isinstance(value, tuple | list):
        return ",".join(str(part) for part in value) or "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None or value == "" else str(value)


class Follower:
    """Shows a run's progress on stderr until it ends: one moving line on a terminal, else a line an epoch."""

    def __init__(self, folder: RunFolder) -> None:
        self._reader = RunReader(folder)
        self._moving = sys.stderr.isatty()
        self._told = self._heard = 0
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
        for record in view.journal[self._heard :]:
            if record.get("kind") == "notice" and record.get("attempt") == len(view.attempts):
                self._clear()
                say("  " + safe(record.get("text")))
        self._heard = len(view.journal)

    def _tell_evaluations(self, view: RunView) -> None:
        for row in view.evaluations[self._told :]:
            self._clear()
            say("  " + evaluation_line(view, row))
        self._told = len(view.evaluations)

    def _tell_progress(self, view: RunView) -> None:
        line = progress_line(view)
        if self._moving and line != self._line:
            print("\r\x1b[K" + text.cut(line, 79), end="", file=sys.stderr, flush=True)
            self._line = line

    def _clear(self) -> None:
        if self._line:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
            self._line = ""


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
    total = (view.experiment.get("train") or {}).get("epochs")
    parts = [f"epoch {row.get('epoch')}/{total}", str(row.get("split"))]
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


def wait_or_stop(folder: RunFolder) -> tuple[Status, bool]:
    """Follow a run; Ctrl-C asks it to stop, a second one leaves it. Returns its status and if it was interrupted."""
    follower = Follower(folder)
    try:
        return follower.follow(), False
    except KeyboardInterrupt:
        print(file=sys.stderr)  # behind the terminal's own ^C
        say(f"stopping {folder.id} after a checkpoint; Ctrl-C again leaves it running")
    try:
        launch.ask(folder, "stop")
        return follower.follow(), True
    except ValueError:
        return follower.follow(), True
    except KeyboardInterrupt:
        print(file=sys.stderr)  # behind the terminal's own ^C
        say(f"{folder.id} goes on; see it with 'workbench watch {folder.id}' or in 'workbench'")
        return Status.RUNNING, True


def tell_result(document: dict[str, Any]) -> None:
    """A run's result for a person."""
    tell(f"{document['name']} ({document['run']}): {document['status']}")
    if document["reason"]:
        tell(f"  {document['reason']}")
    if written := "  ".join(filter(None, [", ".join(document["tags"]), document["notes"]])):
        tell(f"  {written}")
    if document["test"]:
        figures = "  ".join(
            f"{name} {value:.4f}" for name, value in document["test"].items() if value is not None
        )
        tell(f"  test  {figures}")
    reference = document["reference"] or {}
    if reference:
        _tell_reference(reference)
    _print_classes(document["per_class"] or [], reference.get("per_class"))
    for name, way in document["ways"].items():
        tell(f"  {name}  {way}")
    if document["system"]:
        tell(f"  {usage_line(document['system'])}")
    tell(f"  kept in {document['directory']}  ({text.duration(document['seconds']['total'])})")


def usage_line(system: dict[str, Any]) -> str:
    """What a run took of its machine, by its samples: means, and the most of memory."""
    parts = []
    if "cpu" in system:
        parts.append(f"{system['cpu']:.1f} cores busy")
    if "rss" in system:
        parts.append(f"{text.size(system['rss'])} memory")
    if "gpu_load" in system:
        parts.append(f"GPU {system['gpu_load']:.0%}")
    if "gpu_memory" in system:
        parts.append(f"{text.size(system['gpu_memory'])} of {text.size(system.get('gpu_total'))} GPU memory")
    return f"used  {', '.join(parts)} ({system['samples']} sample{'' if system['samples'] == 1 else 's'})"


def _tell_reference(reference: dict[str, Any]) -> None:
    """The published figures beside ours: the one that is judged, its curves, its first examples."""
    tell(f"  {reference_line(reference)}")
    if reference.get("formula"):
        ours = _figure(reference["ours_by_formula"])
        tell(f"  as published ({reference['formula']}): ours {ours}, published {reference['published']:.4f}")
    if note := reference.get("note"):
        tell(f"  {note}")
    for curve in reference.get("curves") or ():
        tell(f"  {curve['metric']} by {curve['by']}  ours      {'  '.join(map(_figure, curve['ours']))}")
        tell(
            f"  {' ' * len(curve['metric'] + curve['by'])}      published {'  '.join(map(_figure, curve['published']))}"
        )
    if examples := reference.get("examples"):
        said = ",  ".join(
            f"{e['truth']}: {e['ours']}" + (f" (published: {e['published']})" if e["published"] else "")
            for e in examples
        )
        tell(f"  first test examples  {said}")


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _print_classes(rows: list[dict[str, Any]], published: Sequence[dict[str, Any]] | None = None) -> None:
    """Figures class by class; where some were `published`, those beside ours."""
    figures = ("accuracy", "precision", "recall", "f1")
    theirs = {row["class"]: text.fraction(row["published"]) for row in published or ()}
    if 0 < len(rows) <= 30:
        print_table(
            ("  class", *figures, "support", *(["published"] if theirs else [])),
            [
                ("  " + safe(r["class"]), *(text.fraction(r[name]) for name in figures), r["support"],
                 *([theirs.get(r["class"], "-")] if theirs else []))
                for r in rows
            ],
        )  # fmt: skip


def reference_line(reference: dict[str, Any]) -> str:
    """The published figure beside ours."""
    ours = "not measured" if reference["ours"] is None else _figure(reference["ours"])
    verdict = {True: "within", False: "outside", None: "to be held against"}[reference["within"]]
    return (
        f"{reference['metric']}: ours {ours}, published {reference['published']:.4f} "
        f"({verdict} ±{reference['tolerance']:g}; {safe(reference['source'])})"
    )


def tell_evaluation(document: dict[str, Any]) -> None:
    """A fresh evaluation of a run for a person."""
    figures = "  ".join(
        f"{name} {value:.4f}" for name, value in document["metrics"].items() if isinstance(value, float)
    )
    tell(f"{document['run']}  step {document['step']}  {document['split']}  {figures}")
    _print_classes(document["per_class"] or [])


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
