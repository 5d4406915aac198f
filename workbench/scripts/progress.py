"""The progress of a script as a whole, from the lines that it prints."""

from __future__ import annotations

import time
from collections.abc import Callable

from workbench.core.progress import Progress
from workbench.scripts.progress_lines import LineProgress, parse_progress


class ScriptProgress:
    """Takes lines in any thread; its values are those of the newest ones."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began: tuple[float, float] | None = None
        """Time and part done at the first line with a known part."""
        self._epoch: int | None = None
        self.progress: Progress | None = None
        self.epoch = 0
        """Completed epochs."""
        self.epochs_total: int | None = None
        self.eta: float | None = None
        """Seconds to the end of the script where its lines count epochs, else to the end of its progress bar."""

    def add_line(self, text: str) -> None:
        """Take note of a line of output."""
        line = parse_progress(text)
        if line is None:
            return
        if line.epochs is not None and line.epoch is not None:
            self._epoch, self.epochs_total = line.epoch, line.epochs
            self.epoch = max(0, min(line.epoch, line.epochs) - 1)
        if line.total:
            self.progress = Progress(line.what or self._epoch_name(line), line.done, line.total)
        self.eta = self._estimate(line)

    def _epoch_name(self, line: LineProgress) -> str:
        epoch = line.epoch if line.epoch is not None else self._epoch
        return "running" if epoch is None else f"epoch {epoch}"

    def _estimate(self, line: LineProgress) -> float | None:
        if not self.epochs_total:
            return line.eta
        inside = line.done / line.total if line.total else 0.0
        done = (self.epoch + min(1.0, inside)) / self.epochs_total
        if self._began is None:
            self._began = (self._clock(), done)
        began, done_before = self._began
        if done <= done_before:
            return self.eta
        return (self._clock() - began) / (done - done_before) * max(0.0, 1.0 - done)
