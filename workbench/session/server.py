"""The process that computes for the screen: requests on stdin, answers on stdout, a JSON object a line.

A request is `{"id": 1, "do": "classify", ...}`; `{"cancel": 1}` takes it back. While it works it says
`{"id": 1, "progress": {"what", "done", "total", "unit"}}`, at the end `{"id": 1, "ok": true, ...}` or
`{"id": 1, "ok": false, "error": "one line"}`. What can be asked stands in `work`. The process ends when stdin
closes, whatever it is doing, so that it never outlives its screen.

Somebody's own code never runs in here: such requests go to a short-lived process of the same kind.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import queue
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterable
from typing import IO, Any

from workbench.errors import BadInput, RunFailed
from workbench.io.progress import Interrupted, Progress
from workbench.runs.processes import python
from workbench.session import pictures
from workbench.session.task import Task
from workbench.text import one_line

OWN_CODE = "--own-code"


class Server:
    """Reads requests and answers them one after another in a thread of its own; pictures in another."""

    def __init__(self, output: IO[str], own_code: bool = False) -> None:
        self._output, self._own_code = output, own_code
        self._writing = threading.Lock()
        self._waiting: queue.SimpleQueue[Task] = queue.SimpleQueue()
        self._pictures: queue.SimpleQueue[Task] = queue.SimpleQueue()
        self._tasks: dict[Any, Task] = {}

    def serve(self, lines: Iterable[str]) -> None:
        """Take requests until there are no more lines."""
        for waiting in (self._waiting, self._pictures):
            threading.Thread(target=self._work, args=(waiting,), daemon=True, name="work").start()
        for line in lines:
            self._take(line)

    def _take(self, line: str) -> None:
        try:
            request = json.loads(line)
            number = request.get("cancel", request.get("id"))
        except (ValueError, AttributeError):
            self._say({"id": None, "ok": False, "error": "a request is a JSON object on one line"})
            return
        if "cancel" not in request:
            self._tasks[number] = Task(number, request, self._say)
            waiting = self._pictures if request.get("do") in pictures.REQUESTS else self._waiting
            waiting.put(self._tasks[number])
        elif number in self._tasks:
            self._tasks[number].take_back()

    def _work(self, waiting: queue.SimpleQueue[Task]) -> None:
        while True:
            task = waiting.get()
            answer = self._answer(task)
            self._tasks.pop(task.id, None)
            if answer is not None:
                self._say({"id": task.id, **answer})

    def _answer(self, task: Task) -> dict[str, Any] | None:
        """What to say in the end; `None` where another process has said it."""
        try:
            if task.cancelled():
                raise Interrupted
            if task.request.get("do") in pictures.REQUESTS:
                return {"ok": True, **pictures.answer(task)}
            work = importlib.import_module("workbench.session.work")  # with torch, which takes seconds
            if not self._own_code and work.is_own_code(task.request):
                return self._elsewhere(task)
            if self._own_code:
                task.progress(Progress("running your code", 0, None, "pictures"))
            return {"ok": True, **work.answer(task)}
        except Interrupted:
            return {"ok": False, "error": "cancelled"}
        except (BadInput, RunFailed) as error:
            return {"ok": False, "error": one_line(error, 1000)}
        except Exception as error:
            traceback.print_exc()
            return {"ok": False, "error": f"{type(error).__name__}: {one_line(error, 1000)}"}

    def _elsewhere(self, task: Task) -> dict[str, Any] | None:
        """Have a process of its own answer, which may run the code that the request names."""
        command = python("workbench.session.server", OWN_CODE)
        task.progress(Progress("starting a process for your code", 0, None, "pictures"))
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
            task.child = child
            if task.cancelled():
                child.kill()
            assert child.stdin and child.stdout
            # It may be gone before it reads; the answer that is missing then says so.
            with contextlib.suppress(BrokenPipeError):
                print(json.dumps(task.request), file=child.stdin, flush=True)
            for line in child.stdout:
                self._say(json.loads(line))
                if '"ok"' in line and "ok" in json.loads(line):
                    child.kill()
                    return None
        if task.cancelled():
            raise Interrupted
        raise BadInput(f"your own code ended the process that ran it (exit {child.returncode})")

    def _say(self, message: dict[str, Any]) -> None:
        with self._writing:
            print(json.dumps(message), file=self._output, flush=True)


def _private_stdout() -> IO[str]:
    """The pipe to the screen, and stdout made stderr: what libraries print can't get between the answers."""
    pipe = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return pipe


def main() -> None:
    """Serve until stdin closes."""
    output = _private_stdout()
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        Server(output, OWN_CODE in sys.argv[1:]).serve(sys.stdin)
    # Whatever is being computed is wanted by nobody now.
    os._exit(0)


if __name__ == "__main__":
    main()
