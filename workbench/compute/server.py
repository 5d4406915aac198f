"""The process that computes for the screen: messages of `protocol` on stdin and stdout, one a line.

It ends when stdin closes, whatever it is doing, so that it never outlives its screen. User code never runs in here:
requests that would run some go to a short-lived process of the same kind.
"""

from __future__ import annotations

import contextlib
import importlib
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
    FromProcess,
    OpenImage,
    Result,
    decode_from_process,
    decode_from_screen,
    encode,
)
from workbench.compute.task import Task
from workbench.core.errors import BadInput, RunFailed
from workbench.core.progress import Interrupted, Progress
from workbench.core.text import one_line
from workbench.system.processes import python

OWN_CODE = "--own-code"


class Server:
    """Computes requests one after another in one thread; images are opened in another."""

    def __init__(self, output: IO[str], own_code: bool = False) -> None:
        self._output, self._own_code = output, own_code
        self._writing = threading.Lock()
        self._waiting: queue.SimpleQueue[Task] = queue.SimpleQueue()
        self._images: queue.SimpleQueue[Task] = queue.SimpleQueue()
        self._tasks: dict[int, Task] = {}

    def serve(self, lines: Iterable[str]) -> None:
        """Take messages until there are no more lines."""
        for waiting in (self._waiting, self._images):
            threading.Thread(target=self._work, args=(waiting,), daemon=True, name="work").start()
        for line in lines:
            self._receive(line)

    def _receive(self, line: str) -> None:
        try:
            message = decode_from_screen(line)
        except ValueError as error:
            self._send(Failure(None, one_line(error, 1000)))
            return
        if isinstance(message, Cancel):
            if message.id in self._tasks:
                self._tasks[message.id].cancel()
            return
        task = self._tasks[message.id] = Task(message.id, message.request, self._send)
        (self._images if isinstance(message.request, OpenImage) else self._waiting).put(task)

    def _work(self, waiting: queue.SimpleQueue[Task]) -> None:
        while True:
            task = waiting.get()
            outcome = self._outcome(task)
            self._tasks.pop(task.id, None)
            self._write(outcome)

    def _outcome(self, task: Task) -> str:
        """The result or failure of a task, encoded: an answer that can't be is a failure too."""
        try:
            if task.cancelled():
                raise Interrupted
            return encode(self._computed(task))
        except Interrupted:
            error = "cancelled"
        except (BadInput, RunFailed) as reason:
            error = one_line(reason, 1000)
        except Exception as reason:
            traceback.print_exc()
            error = f"{type(reason).__name__}: {one_line(reason, 1000)}"
        return encode(Failure(task.id, error))

    def _computed(self, task: Task) -> Result | Failure:
        if isinstance(task.request, OpenImage):
            return Result(task.id, images.open_image(task.request, task))
        work = importlib.import_module("workbench.compute.handlers.models")  # with torch, which takes seconds
        if not self._own_code and work.runs_user_code(task.request):
            return self._run_in_subprocess(task)
        if self._own_code:
            task.progress(Progress("running your code", 0, None, "pictures"))
        return Result(task.id, work.answer(task))

    def _run_in_subprocess(self, task: Task) -> Result | Failure:
        """Have a process of its own answer, which may run the code that the request names."""
        command = python("workbench.compute.server", OWN_CODE)
        task.progress(Progress("starting a process for your code", 0, None, "pictures"))
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
            task.child = child
            if task.cancelled():
                child.kill()
            assert child.stdin and child.stdout
            # It may be gone before it reads; the answer that is missing then says so.
            with contextlib.suppress(BrokenPipeError):
                print(encode(Call(task.id, task.request)), file=child.stdin, flush=True)
            outcome = self._relay(child.stdout)
            child.kill()
            if outcome is not None:
                return outcome
        if task.cancelled():
            raise Interrupted
        raise BadInput(f"your own code ended the process that ran it (exit {child.returncode})")

    def _relay(self, lines: Iterable[str]) -> Result | Failure | None:
        """Pass progress on, up to the result or failure; `None` where the process ends before that."""
        with contextlib.suppress(ValueError):  # a line that was cut off by its death
            for line in lines:
                message = decode_from_process(line)
                if isinstance(message, Result | Failure):
                    return message
                self._send(message)
        return None

    def _send(self, message: FromProcess) -> None:
        self._write(encode(message))

    def _write(self, line: str) -> None:
        with self._writing:
            print(line, file=self._output, flush=True)


def _private_stdout() -> IO[str]:
    """The pipe to the screen, and stdout made stderr: what libraries print can't get between the messages."""
    pipe = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return pipe


def main() -> None:
    """Serve until stdin closes."""
    output = _private_stdout()
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        Server(output, OWN_CODE in sys.argv[1:]).serve(sys.stdin)
    # Nobody waits for what is still being computed.
    os._exit(0)


if __name__ == "__main__":
    main()
