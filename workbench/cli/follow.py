"""Following a live run from the command line: progress lines and waiting for its end."""

from __future__ import annotations

import contextlib
import sys
import time

import msgspec

from workbench.cli.console import format_progress, print_status
from workbench.core import text
from workbench.core.errors import UserError
from workbench.core.text import sanitize
from workbench.io.record_codec import encode
from workbench.launcher import launch
from workbench.runs.enums import Phase
from workbench.runs.eta import eta
from workbench.runs.journal import Notice
from workbench.runs.metrics import EvaluationRow, Wall
from workbench.runs.reader import RunReader, RunView
from workbench.runs.run_folder import RunFolder
from workbench.runs.run_report import effective_experiment, throughput
from workbench.runs.status import Status, status_of

POLL_SECONDS = 0.2
SHOWN_METRICS = ("loss", "accuracy", "top5", "mae", "r2")
"""Metrics that the line of an evaluation shows, if it has them."""


class Follower:
    """Shows a run's progress on stderr until it ends: one updating line on a terminal, otherwise a line per epoch.

    `since`: show only epochs that were evaluated after this Unix time (a resume shows no earlier epochs).
    """

    def __init__(self, folder: RunFolder, since: float = 0.0) -> None:
        self._reader, self._since = RunReader(folder), since
        self._is_terminal = sys.stderr.isatty()
        self._rows_shown = self._journal_shown = 0
        self._last: EvaluationRow | None = None
        self._metrics = b""
        """Encoded metrics of the last evaluation that was shown."""
        self._line = ""

    def follow(self) -> Status:
        """Follow the run until it ends and return its status. `KeyboardInterrupt` passes through."""
        while True:
            view = self._reader.poll()
            self._show_notices(view)
            self._show_evaluations(view)
            if not view.status.live:
                if self._reader.has_unread:
                    continue
                self._clear()
                return view.status
            self._show_progress(view)
            time.sleep(POLL_SECONDS)

    def _show_notices(self, view: RunView) -> None:
        """Show notices of the newest attempt, such as a skipped corrupt checkpoint."""
        newest = max((attempt.attempt for attempt in view.attempts), default=0)
        for record in view.journal[self._journal_shown :]:
            if isinstance(record, Notice) and record.attempt == newest:
                self._clear()
                print_status("  " + record.text)
        self._journal_shown = len(view.journal)

    def _show_evaluations(self, view: RunView) -> None:
        rows, last = view.evaluations, self._last
        if last is not None and rows[self._rows_shown - 1 : self._rows_shown] != [last]:
            # A resume or a rollback has rewritten the file: rows that it kept have been shown already.
            self._rows_shown, self._since = 0, max(self._since, last.wall.time + 0.001)
        for row in rows[self._rows_shown :]:
            if row.wall.time >= self._since:
                self._show_evaluation(view, row)
        self._rows_shown, self._last = len(rows), rows[-1] if rows else last

    def _show_evaluation(self, view: RunView, row: EvaluationRow) -> None:
        """Show one line, unless the final result repeats the metrics of the last epoch."""
        # Compared in encoded form, so that NaN equals NaN.
        metrics = encode(msgspec.structs.replace(row, best=False, final=False, wall=Wall()))
        if metrics != self._metrics:
            self._clear()
            print_status("  " + evaluation_line(view, row))
        self._metrics = metrics

    def _show_progress(self, view: RunView) -> None:
        line = progress_line(view)
        if self._is_terminal and line != self._line:
            print("\r\x1b[K" + text.truncate(line, 79), end="", file=sys.stderr, flush=True)
            self._line = line

    def _clear(self) -> None:
        if self._line:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
            self._line = ""


def progress_line(view: RunView) -> str:
    """The current phase, step, loss, throughput and ETA of a live run."""
    beat = view.heartbeat
    if beat.progress and beat.phase is not Phase.TRAINING:
        return f"{sanitize(view.name)}: {format_progress(beat.progress)}"
    step = int(view.steps.step[-1]) if len(view.steps) else beat.step
    parts = [f"{sanitize(view.name)}: {beat.phase or view.status}"]
    if beat.steps_total:
        parts.append(f"step {step}/{beat.steps_total}")
    if loss := view.steps.column("loss"):
        parts.append(f"train loss {text.format_decimals(loss[-1])}")
    if rate := throughput(view):
        parts.append(f"{text.format_count(rate)} samples/s")
    if seconds := eta(beat):
        parts.append(f"ETA {text.format_duration(seconds)}")
    return "  ".join(parts)


def evaluation_line(view: RunView, row: EvaluationRow) -> str:
    """Epoch, split and metrics of an evaluation."""
    experiment = effective_experiment(view)
    total = experiment.train.epochs if experiment else None
    parts = [f"epoch {int(row.epoch)}/{total or '?'}", row.split]
    if row.weights_of_epoch != row.epoch:
        parts[0] = f"result of epoch {row.weights_of_epoch}"
    values = ((name, row.metric(name)) for name in SHOWN_METRICS)
    parts += [f"{name} {text.format_decimals(value)}" for name, value in values if value is not None]
    return "  ".join([*parts, "best"] if row.best else parts)


def wait_for_end(folder: RunFolder) -> None:
    """Wait without output until a run has ended."""
    while status_of(folder).live:
        time.sleep(POLL_SECONDS)


def wait_or_stop(folder: RunFolder, since: float = 0.0) -> tuple[Status, bool]:
    """Follow a run (`since` as in `Follower`); Ctrl-C stops it, a second Ctrl-C leaves it running.

    Returns its status and whether Ctrl-C was pressed.
    """
    follower = Follower(folder, since)
    try:
        return follower.follow(), False
    except KeyboardInterrupt:
        print(file=sys.stderr)  # ends the line on which the terminal echoed ^C
        print_status(f"Stopping {folder.id} after a checkpoint; press Ctrl-C again to leave it running.")
    try:
        with contextlib.suppress(UserError):  # it ended in this moment
            launch.stop_run(folder)
        return follower.follow(), True
    except KeyboardInterrupt:
        print(file=sys.stderr)  # ends the line on which the terminal echoed ^C
        print_status(
            f"{folder.id} keeps running; follow it with 'workbench watch {folder.id}' or in 'workbench'."
        )
        return Status.RUNNING, True
