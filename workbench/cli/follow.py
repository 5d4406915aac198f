"""Following a live run from the command line: progress lines and waiting for its end."""

from __future__ import annotations

import sys
import time

import msgspec

from workbench.cli.console import clear_line, print_status, show_line, terminal_width
from workbench.cli.progress_line import current_activity, evaluation_line, progress_line, waiting_text
from workbench.io.line_follower import LineFollower
from workbench.io.record_codec import encode
from workbench.launcher.queue import ensure_runner
from workbench.runs.enums import Phase
from workbench.runs.journal import NodeChange, Notice
from workbench.runs.metrics import EvaluationRow, Wall
from workbench.runs.nodes import describe_node_change
from workbench.runs.reader import RunReader, RunView
from workbench.runs.run_folder import RunFolder
from workbench.runs.status import Status, status_of, suspended_worker

POLL_SECONDS = 0.2
SHOWN_ACTIVITY_SECONDS = 2.0
"""In a file or a pipe, what a run does before its first step is a line of its own if it takes this long."""

SILENT_PHASES = {None, Phase.LOADING, Phase.TUNING, Phase.WAITING_FOR_NODES}
"""Phases without steps."""
EARLIER_OUTPUT_BYTES = 2_000


class Follower:
    """Shows a run's progress on stderr until it ends: one updating line on a terminal, and a line per epoch.

    `since`: show only epochs that were evaluated after this Unix time (a resume shows no earlier epochs). Of a script
    the output is shown: the whole one, or the end of what is already there.
    """

    def __init__(self, folder: RunFolder, since: float = 0.0, *, whole_output: bool = False) -> None:
        self._reader, self._since = RunReader(folder), since
        self._is_terminal = sys.stderr.isatty()
        self._opened = time.time()
        self._rows_shown = self._journal_shown = 0
        self._last: EvaluationRow | None = None
        self._metrics = b""
        """Encoded metrics of the last evaluation that was shown."""
        self._line = ""
        self._activity, self._activity_since, self._activity_shown = "", 0.0, False
        self._output = LineFollower(folder.log, None if whole_output else EARLIER_OUTPUT_BYTES)

    def follow(self) -> Status:
        """Follow the run until it ends and return its status. `KeyboardInterrupt` passes through."""
        while (status := self.poll()) is None:
            time.sleep(POLL_SECONDS)
        return status

    def poll(self) -> Status | None:
        """Show what is new; the status of the run once it has ended and everything is shown."""
        while True:
            view = self._reader.poll()
            self._show_notices(view)
            self._show_evaluations(view)
            if view.script is not None:
                self._show_output()
            if not view.status.ended:
                self._show_progress(view)
                return None
            if not self._reader.has_unread:
                self.clear()
                return view.status

    def _show_notices(self, view: RunView) -> None:
        """Show notices of the newest attempt, such as a skipped corrupt checkpoint."""
        newest = max((attempt.attempt for attempt in view.attempts), default=0)
        for record in view.journal[self._journal_shown :]:
            if isinstance(record, Notice) and record.attempt == newest:
                self.clear()
                print_status("  " + record.text)
            if isinstance(record, NodeChange) and record.time >= self._opened:
                self.clear()
                print_status("  " + describe_node_change(record))
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
            self.clear()
            print_status("  " + evaluation_line(view, row))
        self._metrics = metrics

    def _show_output(self) -> None:
        """Show what a script has printed."""
        for line in self._output.read():
            self.clear()
            print_status(line)

    def _show_progress(self, view: RunView) -> None:
        if view.waiting is not None:
            ensure_runner(view.folder.path.parent.parent)  # the one that was there may have been killed
        if not self._is_terminal:
            self._show_waiting(view) if view.waiting is not None else self._show_long_activity(view)
            return
        line = progress_line(view, terminal_width(), time.time())
        if line != self._line:
            show_line(line)
            self._line = line

    def _show_long_activity(self, view: RunView) -> None:
        """In a file or a pipe: a plain line about what takes long before the first step, such as an import."""
        if view.script is not None or view.heartbeat.phase not in SILENT_PHASES:
            return
        progress = view.heartbeat.progress
        activity = progress.what if progress else current_activity(view)
        if activity != self._activity:
            self._activity, self._activity_since, self._activity_shown = activity, time.monotonic(), False
        if not self._activity_shown and time.monotonic() - self._activity_since >= SHOWN_ACTIVITY_SECONDS:
            self._activity_shown = True
            print_status(f"  {activity}")

    def _show_waiting(self, view: RunView) -> None:
        """In a file or a pipe: what a queued run waits for, whenever that changes."""
        if view.waiting is not None and view.waiting.text != self._activity:
            self._activity, self._activity_shown = view.waiting.text, False
            print_status(f"  {waiting_text(view.waiting)}")

    def clear(self) -> None:
        """Remove the progress line, before another line is printed."""
        if self._line:
            clear_line()
            self._line = ""


def wait_for_end(folder: RunFolder) -> None:
    """Wait until a run has ended; says so once if that can't happen because its worker is suspended."""
    suspended = None
    while status_of(folder).live:
        if suspended is None and (suspended := suspended_worker(folder)) is not None:
            print_status(
                f"its process {suspended} is suspended (SIGSTOP) and stops once it continues: kill -CONT {suspended}"
            )
        time.sleep(POLL_SECONDS)
