"""The one run that a script logs to: its start, and its end with the script."""

from __future__ import annotations

import atexit
import sys
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from workbench.core.errors import UserError
from workbench.runs.records import Notes
from workbench.tracking.metrics_writer import warn
from workbench.tracking.run import Run
from workbench.tracking.session import OwnRun, describe_run, parent_run, process_rank

DISABLED = "disabled"


class Tracker:
    """The runs of this process, one after the other, and the exception or exit code that ends the script."""

    def __init__(self) -> None:
        self.current: Run | None = None
        self._attached = False
        """Whether a run of this process was the one that `workbench run` started it for."""
        self._end: BaseException | None = None
        self._excepthook, self._exit = sys.excepthook, sys.exit
        sys.excepthook = self._note_exception
        sys.exit = self._note_exit  # type: ignore[assignment]
        atexit.register(self._finish)

    def start(self, notes: Notes, config: object) -> Run:
        """Start the next run; the one before it is finished."""
        if self.current is not None:
            self.current.finish()
        try:
            self.current = self._open(notes, config)
        except (UserError, OSError) as error:
            warn(f"nothing is recorded: {error}")
            self.current = Run(None, config=config)
        return self.current

    def ignore(self, config: object) -> Run:
        """A run that ignores everything."""
        self.current = Run(None, config=config)
        return self.current

    def _open(self, notes: Notes, config: object) -> Run:
        folder = None if self._attached else parent_run()
        if folder is not None:
            self._attached = True
            describe_run(folder, notes)
            return Run(folder, config=config)
        own = OwnRun(notes.name)
        describe_run(own.folder, Notes(group=notes.group, tags=notes.tags, notes=notes.notes))
        return Run(own.folder, own, config)

    def _note_exception(
        self, kind: type[BaseException], error: BaseException, traceback: TracebackType | None
    ) -> None:
        self._end = error
        self._excepthook(kind, error, traceback)

    def _note_exit(self, code: Any = None) -> None:
        self._end = SystemExit(code)
        self._exit(code)

    def _finish(self) -> None:
        if self.current is not None:
            self.current.finish(error=self._end)


_tracker = Tracker()


def init(
    project: str = "",
    *,
    name: str = "",
    group: str = "",
    tags: Sequence[str] = (),
    config: object = None,
    notes: str = "",
    mode: str = "",
    all_ranks: bool = False,
    **_: Any,
) -> Run:
    """Start to log, and return the run.

    Under `workbench run` it is that run, else a new one, which ends with the script. `config`: settings as a mapping,
    a namespace or a dataclass. `mode`: `disabled` records nothing. Of several processes that train together (RANK,
    SLURM_PROCID) only the first one records, unless `all_ranks`. `project`, and other arguments of other trackers, are
    accepted and ignored. It does not raise: where nothing can be recorded, it says so once.
    """
    if mode == DISABLED or (process_rank() > 0 and not all_ranks):
        return _tracker.ignore(config)
    about = Notes(name=name or "", group=group or "", tags=tuple(map(str, tags or ())), notes=notes or "")
    return _tracker.start(about, config)


def current_run() -> Run | None:
    """The run that is logged to; `None` before `init` and after `finish`."""
    run = _tracker.current
    return None if run is None or run.finished else run


def log(values: Mapping[str, object], step: int | None = None, **more: Any) -> None:
    """Log numbers by name to the current run, or to a new one before `init` and after `finish`, see `Run.log`."""
    (current_run() or init()).log(values, step, **more)


def finish(exit_code: int = 0, **_: Any) -> None:
    """End the current run, if there is one."""
    if _tracker.current is not None:
        _tracker.current.finish(exit_code or 0)
