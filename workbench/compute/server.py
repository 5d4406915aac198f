"""The compute process: messages of `protocol` on stdin and stdout, one per line.

It exits when stdin closes, so that it never outlives the screen. User code does not run in it: requests that need
user code are delegated to a short-lived subprocess of the same kind.
"""

from __future__ import annotations

import contextlib
import os
import queue
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterable
from typing import IO

from workbench.compute.handlers import images
from workbench.compute.protocol import (
    Call,
    Cancel,
    Failure,
    OpenImage,
    Result,
    ServerMessage,
    decode_client_message,
    decode_server_message,
    encode,
)
from workbench.compute.task import Task
from workbench.core.errors import RunFailed, UserError
from workbench.core.progress import Cancelled, Progress
from workbench.core.text import one_line
from workbench.system.processes import python_command

USER_CODE = "--user-code"


class Server:
    """Computes requests one at a time in a thread; a second thread opens images."""

    def __init__(self, output: IO[str], run_user_code: bool = False) -> None:
        self._output, self._run_user_code = output, run_user_code
        self._writing = threading.Lock()
        self._compute_tasks: queue.SimpleQueue[Task] = queue.SimpleQueue()
        self._image_tasks: queue.SimpleQueue[Task] = queue.SimpleQueue()
        self._tasks: dict[int, Task] = {}

    def serve(self, lines: Iterable[str]) -> None:
        """Handle messages until the input ends."""
        for tasks in (self._compute_tasks, self._image_tasks):
            threading.Thread(target=self._work, args=(tasks,), daemon=True, name="work").start()
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
            outcome = self._outcome(task)
            self._tasks.pop(task.id, None)
            self._write(outcome)

    def _outcome(self, task: Task) -> str:
        """The encoded result or failure of a task. A response that can't be encoded is a failure, too."""
        try:
            if task.cancelled():
                raise Cancelled
            return encode(self._compute(task))
        except Cancelled:
            error = "cancelled"
        except (UserError, RunFailed) as reason:
            error = one_line(reason, 1000)
        except Exception as reason:
            traceback.print_exc()
            error = f"{type(reason).__name__}: {one_line(reason, 1000)}"
        return encode(Failure(task.id, error))

    def _compute(self, task: Task) -> Result | Failure:
        if isinstance(task.request, OpenImage):
            return Result(task.id, images.open_for_display(task.request, task))
        from workbench.compute.handlers import models  # noqa: PLC0415  (imports torch, which takes seconds)

        if not self._run_user_code and models.runs_user_code(task.request):
            return self._run_in_subprocess(task)
        if self._run_user_code:
            task.progress(Progress("running user code", 0, None, "images"))
        return Result(task.id, models.handle(task))

    def _run_in_subprocess(self, task: Task) -> Result | Failure:
        """Compute the request in a subprocess that may run user code."""
        command = python_command("workbench.compute.server", USER_CODE)
        task.progress(Progress("starting a process for user code", 0, None, "images"))
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
            task.child = child
            if task.cancelled():
                child.kill()
            assert child.stdin and child.stdout
            # It may exit before it reads the request; the missing response is reported below.
            with contextlib.suppress(BrokenPipeError):
                print(encode(Call(task.id, task.request)), file=child.stdin, flush=True)
            outcome = self._relay(child.stdout)
            child.kill()
            if outcome is not None:
                return outcome
        if task.cancelled():
            raise Cancelled
        raise UserError(f"user code ended its process (exit code {child.returncode})")

    def _relay(self, lines: Iterable[str]) -> Result | Failure | None:
        """Forward progress, and return the result or failure; `None` if the process ends before that."""
        with contextlib.suppress(ValueError):  # a line truncated by the end of the process
            for line in lines:
                message = decode_server_message(line)
                if isinstance(message, Result | Failure):
                    return message
                self._send(message)
        return None

    def _send(self, message: ServerMessage) -> None:
        self._write(encode(message))

    def _write(self, line: str) -> None:
        with self._writing:
            print(line, file=self._output, flush=True)


def _private_stdout() -> IO[str]:
    """The pipe to the client. Redirects stdout to stderr, so that printing libraries can't corrupt the messages."""
    pipe = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return pipe


def main() -> None:
    """Serve until stdin closes."""
    output = _private_stdout()
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        Server(output, USER_CODE in sys.argv[1:]).serve(sys.stdin)
    # Skip waiting for running computations: their results are no longer needed.
    os._exit(0)


if __name__ == "__main__":
    main()
