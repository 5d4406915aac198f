"""The writer of a script's metrics: a buffer that a thread empties, so that logging never waits for a disk."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable

from workbench.runs.jsonl import LineWriter
from workbench.runs.metrics import EvaluationRow, LogRow, Wall
from workbench.runs.run_folder import RunFolder

FLUSH_SECONDS = 0.5
MAX_BUFFERED = 200_000
"""While nothing can be written (a full disk), so many rows are kept; older ones are lost."""

Row = tuple[int, dict[str, float], float] | EvaluationRow
"""Step, values and Unix time; or an evaluation."""


class MetricsWriter:
    """Appends rows to the metrics of a run. No error reaches the caller: each kind is one warning on stderr."""

    def __init__(self, folder: RunFolder, on_tick: Callable[[], None] = lambda: None) -> None:
        """`on_tick` is called by the writing thread, every `FLUSH_SECONDS`."""
        self._folder, self._on_tick = folder, on_tick
        self._rows: list[Row] = []
        self._writing = threading.Lock()
        self._lines: LineWriter | None = None
        self._wake = threading.Event()
        self._closed = False
        self._warned = False
        self._thread: threading.Thread | None = None

    def add(self, row: Row) -> None:
        """Buffer a row; it is on the disk after `FLUSH_SECONDS`."""
        self._rows.append(row)
        if self._thread is None:
            self.start()

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._run, name="workbench", daemon=True)
        self._thread.start()

    def restart_after_fork(self) -> None:
        """In a new child process: what is buffered is the parent's to write, and there is no thread."""
        self._rows = []
        self._writing, self._wake = threading.Lock(), threading.Event()
        self._thread = None

    def flush(self) -> None:
        """Write everything that is buffered."""
        with self._writing:
            rows, self._rows = self._rows, []
            if not rows:
                return
            try:
                if self._lines is None:
                    self._lines = LineWriter(self._folder.metrics)
                self._lines.write(*map(_to_record, rows))
                self._warned = False
            except OSError as error:
                self._rows = [*rows, *self._rows][-MAX_BUFFERED:]
                if not self._warned:
                    self._warned = True
                    warn(f"{self._folder.metrics} can't be written: {error.strerror}; trying again")

    def close(self) -> None:
        """Write the rest, and end the thread."""
        self._closed = True
        self._wake.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(5)
        self.flush()

    def _run(self) -> None:
        while not self._closed:
            self._wake.wait(FLUSH_SECONDS)
            self.flush()
            self._on_tick()


def warn(text: str) -> None:
    """Print a warning of ours among the script's output."""
    print(f"workbench: {text}", file=sys.stderr, flush=True)


def _to_record(row: Row) -> LogRow | EvaluationRow:
    if isinstance(row, EvaluationRow):
        return row
    step, values, moment = row
    return LogRow(step=step, values=values, wall=Wall(time=round(moment, 3)))
