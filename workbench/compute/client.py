"""The screen's side of the session process: asks, waits without blocking, starts it again when it died."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import IO, TypeVar, cast

from workbench.compute.protocol import (
    Answer,
    AnyRequest,
    Call,
    Cancel,
    FromProcess,
    FromScreen,
    ProgressUpdate,
    Request,
    Result,
    decode_from_process,
    encode,
)
from workbench.core.progress import Progress
from workbench.system.processes import python

A = TypeVar("A", bound=Answer)
OnProgress = Callable[[Progress], None]


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

    async def request(self, request: Request[A], progress: OnProgress | None = None) -> A:
        """The answer to `request`. Cancelling the awaiting task cancels the request.

        `progress` is called in this event loop. Raises `SessionError`.
        """
        loop = asyncio.get_running_loop()
        report = _in_loop(loop, progress) if progress else None
        number = next(self._numbers)
        process = await asyncio.to_thread(self._alive)
        future = process.expect(number, report)
        try:
            await asyncio.to_thread(process.send, Call(number, cast(AnyRequest, request)))
            return cast(A, await asyncio.wrap_future(future))
        except asyncio.CancelledError:
            process.send(Cancel(number))
            raise

    def close(self) -> None:
        """End the process at once; open requests are answered with an error."""
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
    def report(values: Progress) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits
            loop.call_soon_threadsafe(progress, values)

    return report


class _Process:
    """One life of the session process."""

    def __init__(self, log: Path | None) -> None:
        self._expected: dict[int, tuple[Future[Answer], OnProgress | None]] = {}
        self._lock, self._writing = threading.Lock(), threading.Lock()
        self.ended = False
        with _open_log(log) as errors:
            self._popen = subprocess.Popen(
                python("workbench.compute.server"),
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

    def send(self, message: FromScreen) -> None:
        """Write a message; to a dead process nothing is written (its reader answers for it)."""
        assert self._popen.stdin
        with contextlib.suppress(OSError, ValueError), self._writing:
            print(encode(message), file=self._popen.stdin, flush=True)

    def kill(self) -> None:
        """End it and what it has started."""
        self._end()
        self._reader.join(5)

    def _end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._popen.pid, signal.SIGKILL)

    def _read(self) -> None:
        assert self._popen.stdout
        try:
            for line in self._popen.stdout:
                self._receive(decode_from_process(line))
        except ValueError:  # cut off by its death, or of another version: no request would ever be answered
            self._end()
        # Closing stdin writes what it still holds, to nobody.
        with contextlib.suppress(OSError), self._writing, self._popen:
            pass
        with self._lock:
            self.ended = True
            left, self._expected = list(self._expected.values()), {}
        for future, _ in left:
            _settle(future, SessionError(self._why_it_ended()))

    def _receive(self, message: FromProcess) -> None:
        if message.id is None:
            return
        with self._lock:
            future, progress = self._expected.get(message.id, (None, None))
            if not isinstance(message, ProgressUpdate):
                self._expected.pop(message.id, None)
        if future is None:
            return
        if isinstance(message, ProgressUpdate):
            if progress is not None:
                progress(message.progress)
        elif isinstance(message, Result):
            _settle(future, message.answer)
        else:
            _settle(future, SessionError(message.error))

    def _why_it_ended(self) -> str:
        code = self._popen.returncode or 0
        word = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return (
            f"the process that computes for the screen has ended ({word}); the next request starts it again"
        )


def _settle(future: Future[Answer], result: Answer | SessionError) -> None:
    # Nobody waits for a cancelled request.
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
