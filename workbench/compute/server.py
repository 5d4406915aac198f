"""The compute process: messages of `protocol` on stdin and stdout, one per line.

It exits when stdin closes, so that it never outlives the screen. User code does not run in it: requests that need
user code are delegated to subprocesses of the same kind (`user_process`).
"""

from __future__ import annotations

import contextlib
import io
import os
import queue
import sys
import threading
import traceback
from collections.abc import Callable, Iterable
from typing import IO

from workbench.compute.handlers import images
from workbench.compute.protocol import (
    AnyResponse,
    Cancel,
    Failure,
    OpenImage,
    Result,
    ServerMessage,
    decode_client_message,
    encode,
)
from workbench.compute.task import Task
from workbench.compute.user_process import FILES_CHANGED_EXIT_CODE, USER_CODE, ImportedFiles, UserProcesses
from workbench.core.errors import RunFailed, UserError
from workbench.core.progress import Cancelled, Progress
from workbench.core.text import one_line
from workbench.core.user_code import user_code_file
from workbench.launcher.fork_client import fork_off_server
from workbench.launcher.fork_protocol import FORKED


class Server:
    """Computes requests one at a time in a thread; others open images, and wait for user code, which may take long."""

    def __init__(self, output: IO[str], run_user_code: bool = False) -> None:
        self._output, self._run_user_code = output, run_user_code
        self._writing = threading.Lock()
        self._compute_tasks: queue.SimpleQueue[Task] = queue.SimpleQueue()
        self._image_tasks: queue.SimpleQueue[Task] = queue.SimpleQueue()
        self._user_tasks: queue.SimpleQueue[tuple[tuple[str, ...], Task]] = queue.SimpleQueue()
        self._user_processes, self._imported_files = UserProcesses(), ImportedFiles()
        self._tasks: dict[int, Task] = {}

    def serve(self, lines: Iterable[str]) -> None:
        """Handle messages until the input ends."""
        for tasks in (self._compute_tasks, self._image_tasks):
            threading.Thread(target=self._work, args=(tasks,), daemon=True, name="work").start()
        threading.Thread(target=self._work_on_user_tasks, daemon=True, name="user code").start()
        for line in lines:
            self._receive(line)

    def _receive(self, line: str) -> None:
        try:
            message = decode_client_message(line)
        except ValueError as error:
            self._send(Failure(None, one_line(error, 1000)))
            return
        if isinstance(message, Cancel):
            if message.id in self._tasks:
                self._tasks[message.id].cancel()
            return
        task = self._tasks[message.id] = Task(message.id, message.request, self._send)
        (self._image_tasks if isinstance(message.request, OpenImage) else self._compute_tasks).put(task)

    def _work(self, tasks: queue.SimpleQueue[Task]) -> None:
        while True:
            task = tasks.get()
            self._finish(task, self._compute_or_delegate)

    def _work_on_user_tasks(self) -> None:
        while True:
            names, task = self._user_tasks.get()
            self._finish(task, lambda task, names=names: self._user_processes.compute(names, task))  # type: ignore[misc]

    def _finish(self, task: Task, compute: Callable[[Task], Result | Failure | None]) -> None:
        outcome = _outcome(task, compute)
        if outcome is not None:
            self._tasks.pop(task.id, None)
            self._write(outcome)

    def _compute_or_delegate(self, task: Task) -> Result | None:
        """The result of a task; `None` for one that runs user code, which is put into the queue of those."""
        names = self._user_code_names(task)
        if names:
            self._user_tasks.put((names, task))
            return None
        return Result(task.id, self._compute(task))

    def _user_code_names(self, task: Task) -> tuple[str, ...]:
        """The user code that a task runs in another process; empty for none."""
        if self._run_user_code or task.cancelled() or isinstance(task.request, OpenImage):
            return ()
        from workbench.compute.handlers import user_code  # noqa: PLC0415  (imports torch, which takes seconds)

        return user_code.names_in(task.request)

    def _compute(self, task: Task) -> AnyResponse:
        if isinstance(task.request, OpenImage):
            return images.open_for_display(task.request, task)
        from workbench.compute.handlers import models, user_code  # noqa: PLC0415  (imports torch)

        if not self._run_user_code:
            return models.handle(task)
        if self._imported_files.changed():
            os._exit(FILES_CHANGED_EXIT_CODE)
        task.progress(Progress("running user code", 0, None, "images"))
        try:
            return models.handle(task)
        finally:
            names = user_code.names_in(task.request)
            self._imported_files.note({str(user_code_file(name).parent) for name in names})

    def _send(self, message: ServerMessage) -> None:
        self._write(encode(message))

    def _write(self, line: str) -> None:
        with self._writing:
            print(line, file=self._output, flush=True)


def _outcome(task: Task, compute: Callable[[Task], Result | Failure | None]) -> str | None:
    """The encoded result or failure of a task, if there is one. A response that can't be encoded is a failure, too."""
    try:
        if task.cancelled():
            raise Cancelled
        outcome = compute(task)
        return None if outcome is None else encode(outcome)
    except Cancelled:
        error = "cancelled"
    except (UserError, RunFailed) as reason:
        error = one_line(reason, 1000)
    except Exception as reason:
        traceback.print_exc()
        error = f"{type(reason).__name__}: {one_line(reason, 1000)}"
    return encode(Failure(task.id, error))


def _private_pipes() -> tuple[IO[str], IO[str]]:
    """The pipes from and to the client. Libraries and user code get an empty stdin, and stderr as stdout."""
    reading, writing = os.fdopen(os.dup(0), encoding="utf-8"), os.fdopen(os.dup(1), "w", encoding="utf-8")
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    os.dup2(2, 1)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # what user code prints is shown while it runs
    return reading, writing


def main() -> None:
    """Serve until stdin closes."""
    if FORKED in sys.argv[1:] and USER_CODE not in sys.argv[1:]:
        fork_off_server()  # for the processes that run user code
    requests, output = _private_pipes()
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        Server(output, USER_CODE in sys.argv[1:]).serve(requests)
    # Skip waiting for running computations: their results are no longer needed.
    os._exit(0)


if __name__ == "__main__":
    main()
