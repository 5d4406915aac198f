"""The screen's side of the session process: asks, waits without blocking, starts it again when it died."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import IO, Any

from workbench.runs.processes import python

Answer = dict[str, Any]
OnProgress = Callable[[dict[str, Any]], None]


class SessionError(Exception):
    """A request could not be answered, in one line."""


class SessionClient:
    """Asks a process that has torch. It is started by the first request and ends with `close` or with us.

    `log`: where its stderr goes; `None`: nowhere.
    """

    def __init__(self, log: Path | None = None) -> None:
        self._log = log
        self._numbers = itertools.count(1)
        self._starting = threading.Lock()
        self._process: _Process | None = None

    async def request(self, do: str, progress: OnProgress | None = None, **parameters: Any) -> Answer:
        """The answer to a request of `workbench.session.work`. Cancelling the awaiting task takes it back.

        `progress` is called in this event loop with {"what", "done", "total", "unit"}. Raises `SessionError`.
        """
        loop = asyncio.get_running_loop()
        tell = _in_loop(loop, progress) if progress else None
        number = next(self._numbers)
        process = await asyncio.to_thread(self._alive)
        future = process.expect(number, tell)
        try:
            await asyncio.to_thread(process.send, {"id": number, "do": do, **parameters})
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            process.send({"cancel": number})
            raise

    def close(self) -> None:
        """End the process at once; what is asked for is answered with an error."""
        with self._starting:
            if self._process is not None:
                self._process.kill()
                self._process = None

    def _alive(self) -> _Process:
        with self._starting:
            if self._process is None or self._process.ended:
                self._process = _Process(self._log)
            return self._process


def _in_loop(loop: asyncio.AbstractEventLoop, progress: OnProgress) -> OnProgress:
    def tell(values: dict[str, Any]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody is told
            loop.call_soon_threadsafe(progress, values)

    return tell


class _Process:
    """One life of the session process."""

    def __init__(self, log: Path | None) -> None:
        self._expected: dict[int, tuple[Future[Answer], OnProgress | None]] = {}
        self._lock, self._writing = threading.Lock(), threading.Lock()
        self.ended = False
        with _open_log(log) as errors:
            self._popen = subprocess.Popen(
                python("workbench.session.server"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                encoding="utf-8",
                start_new_session=True,
            )
        self._reader = threading.Thread(target=self._read, daemon=True, name="session")
        self._reader.start()

    def expect(self, number: int, progress: OnProgress | None) -> Future[Answer]:
        """The future answer to the request of this number."""
        future: Future[Answer] = Future()
        with self._lock:
            if self.ended:
                future.set_exception(SessionError(self._why_it_ended()))
            else:
                self._expected[number] = (future, progress)
        return future

    def send(self, message: dict[str, Any]) -> None:
        """Write a request; to a dead process nothing is written (its reader answers for it)."""
        assert self._popen.stdin
        with contextlib.suppress(OSError, ValueError), self._writing:
            print(json.dumps(message), file=self._popen.stdin, flush=True)

    def kill(self) -> None:
        """End it and what it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        self._reader.join(5)

    def _read(self) -> None:
        assert self._popen.stdout
        for line in self._popen.stdout:
            # What is cut off by its death is no message.
            with contextlib.suppress(ValueError):
                self._take(json.loads(line))
        # Closing stdin writes what it still holds, to nobody.
        with contextlib.suppress(OSError), self._writing, self._popen:
            pass
        with self._lock:
            self.ended = True
            left, self._expected = list(self._expected.values()), {}
        for future, _ in left:
            _settle(future, SessionError(self._why_it_ended()))

    def _take(self, message: dict[str, Any]) -> None:
        number = message.pop("id", None)
        with self._lock:
            future, progress = self._expected.get(number, (None, None))
            if "progress" not in message:
                self._expected.pop(number, None)
        if future is None:
            return
        if "progress" in message:
            if progress is not None:
                progress(message["progress"])
        elif message.pop("ok", False):
            _settle(future, message)
        else:
            _settle(future, SessionError(str(message.get("error", "no reason was given"))))

    def _why_it_ended(self) -> str:
        code = self._popen.returncode or 0
        word = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return (
            f"the process that computes for the screen has ended ({word}); the next request starts it again"
        )


def _settle(future: Future[Answer], result: Answer | SessionError) -> None:
    # A request that was taken back has nobody waiting.
    if not future.set_running_or_notify_cancel():
        return
    if isinstance(result, SessionError):
        future.set_exception(result)
    else:
        future.set_result(result)


def _open_log(log: Path | None) -> IO[bytes]:
    if log is not None:
        # A log that can't be kept is no reason not to work.
        with contextlib.suppress(OSError):
            log.parent.mkdir(parents=True, exist_ok=True)
            return log.open("ab")
    return Path(os.devnull).open("ab")
