"""A process that runs user code for the compute process. It is kept, so that what the code returned is kept.

It ends by itself, to be started again, once one of the user's files has changed.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections import deque
from typing import IO

import msgspec

from workbench.compute.pipes import start_server
from workbench.compute.protocol import Call, Failure, Result, ServerMessage, decode_server_message, encode
from workbench.compute.protocol_responses import DatasetOverview
from workbench.compute.task import Task
from workbench.core.errors import UserError
from workbench.core.progress import Cancelled, Progress
from workbench.core.text import sanitize, truncate
from workbench.io.regular_files import file_stamp

USER_CODE = "--user-code"
FILES_CHANGED_EXIT_CODE = 75
"""The exit code of a process whose user code has changed since it was imported."""
PRINTED_LINES = 200
"""The last printed lines are kept."""
_PRINTED_LENGTH = 200
_MAX_PROCESSES = 3
_CANCEL_SECONDS = 2.0
"""A cancelled task may still end by itself within this time, which keeps what the user code returned."""


class UserProcess:
    """One process for requests that run the same files of the user, one request at a time."""

    def __init__(self) -> None:
        printed, stderr = os.pipe()
        with os.fdopen(stderr, "w"):
            self._server = start_server([USER_CODE], stderr=stderr, new_session=False)
        self._errors = os.fdopen(printed, encoding="utf-8", errors="replace")
        self._printed: deque[str] = deque(maxlen=PRINTED_LINES)
        self._task: Task | None = None
        self._has_answered = False
        self._reader = threading.Thread(target=self._read_printed, daemon=True, name="printed")
        self._reader.start()

    @property
    def ended(self) -> bool:
        """Whether it has exited."""
        return self._server.process.poll() is not None

    def kill(self) -> None:
        """Kill it, and wait for its end."""
        self._server.process.kill()
        self._server.process.wait()
        for pipe in (self._server.requests, self._server.responses):
            with contextlib.suppress(OSError):
                pipe.close()

    def compute(self, task: Task) -> Result | Failure | None:
        """The result or failure of a task; `None` where user files have changed, and another process must do it.

        Raises `Cancelled`, or `UserError` where the process died.
        """
        task.stop, self._task = self._cancel, task
        if task.cancelled():
            raise Cancelled
        try:
            # It may exit before it reads the request; the missing response is reported below.
            with contextlib.suppress(BrokenPipeError):
                print(encode(Call(task.id, task.request)), file=self._server.requests, flush=True)
            outcome = self._relay(self._server.responses, task)
        finally:
            self._task = task.stop = None
        if outcome is not None:
            self._has_answered = True
            return self._with_printed(outcome)
        code = self._server.process.wait()
        self._reader.join(5)
        if task.cancelled():
            raise Cancelled
        if code == FILES_CHANGED_EXIT_CODE:
            return None
        raise UserError(f"user code ended its process (exit code {code}){self._last_printed()}")

    def _cancel(self) -> None:
        """Stop the current task. One that only reads what the code returned before is done at once, and not killed."""
        task = self._task
        if not self._has_answered:
            self._server.process.kill()
            return

        def kill_if_busy() -> None:
            if self._task is task is not None:
                self._server.process.kill()

        timer = threading.Timer(_CANCEL_SECONDS, kill_if_busy)
        timer.daemon = True
        timer.start()

    def _relay(self, lines: IO[str], task: Task) -> Result | Failure | None:
        """Forward progress, and return the result or failure; `None` if the process ends before that."""
        with contextlib.suppress(ValueError):  # a line truncated by the end of the process
            for line in lines:
                message: ServerMessage = decode_server_message(line)
                if isinstance(message, Result | Failure):
                    return message
                task.send(message)
        return None

    def _with_printed(self, outcome: Result | Failure) -> Result | Failure:
        """The outcome with what the user code printed so far."""
        if isinstance(outcome, Failure):
            return msgspec.structs.replace(outcome, error=outcome.error + self._last_printed())
        if isinstance(outcome.response, DatasetOverview):
            response = msgspec.structs.replace(outcome.response, printed=tuple(self._printed))
            return msgspec.structs.replace(outcome, response=response)
        return outcome

    def _last_printed(self) -> str:
        return f"; it printed last: {truncate(self._printed[-1], _PRINTED_LENGTH)}" if self._printed else ""

    def _read_printed(self) -> None:
        """Keep what the process prints, copy it to our own log, and show its last line as progress."""
        with self._errors as lines, contextlib.suppress(ValueError, OSError):
            for line in lines:
                sys.stderr.write(line)
                sys.stderr.flush()
                # Progress bars write many states of one line.
                text = truncate(sanitize(line.rstrip().rpartition("\r")[2]), _PRINTED_LENGTH)
                if not text:
                    continue
                self._printed.append(text)
                task = self._task
                if task is not None:
                    task.progress(Progress(f"user code: {text}", 0, None, "images"))


class UserProcesses:
    """The processes for user code, by the files that they run; the least recently used one is ended."""

    def __init__(self) -> None:
        self._processes: dict[tuple[str, ...], UserProcess] = {}

    def compute(self, names: tuple[str, ...], task: Task) -> Result | Failure:
        """The result or failure of a task that runs the user code `names` (`FILE.py:NAME`)."""
        while True:
            process = self._process(names, task)
            try:
                outcome = process.compute(task)
            finally:
                if process.ended:
                    process.kill()
                    self._processes.pop(names, None)
            if outcome is not None:
                return outcome

    def _process(self, names: tuple[str, ...], task: Task) -> UserProcess:
        process = self._processes.pop(names, None)
        if process is None or process.ended:
            task.progress(Progress("starting a process for user code", 0, None, "images"))
            process = UserProcess()
        self._processes[names] = process
        while len(self._processes) > _MAX_PROCESSES:
            self._processes.pop(next(iter(self._processes))).kill()
        return process


class ImportedFiles:
    """The files of the user's folders that this process has imported, and whether one of them has changed since."""

    def __init__(self) -> None:
        self._stamps: dict[str, tuple[int, int] | None] = {}

    def note(self, folders: set[str]) -> None:
        """Note the imported files below `folders` that are new."""
        for module in list(sys.modules.values()):
            file = getattr(module, "__file__", None)
            if not isinstance(file, str) or file in self._stamps or "site-packages" in file:
                continue
            if any(file.startswith(folder + os.sep) for folder in folders):
                self._stamps[file] = file_stamp(file)

    def changed(self) -> bool:
        """Whether a noted file has changed or is gone."""
        return any(file_stamp(file) != stamp for file, stamp in self._stamps.items())
