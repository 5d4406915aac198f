"""The client of the compute process: sends requests, awaits responses, and restarts a process that died."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import IO, TypeVar, cast

from workbench.compute.pipes import start_server
from workbench.compute.protocol import (
    AnyRequest,
    Call,
    Cancel,
    ClientMessage,
    OpenImage,
    ProgressUpdate,
    Request,
    Result,
    ServerMessage,
    decode_server_message,
    encode,
)
from workbench.compute.protocol_responses import Response
from workbench.core.progress import Progress
from workbench.launcher.fork_client import start_fork_server, wait_for_fork_server

A = TypeVar("A", bound=Response)
OnProgress = Callable[[Progress], None]


class ComputeError(Exception):
    """A request failed; the message is one line."""


class ComputeClient:
    """Sends requests to a compute process, which is started by the first one and ends with `close` or this process.

    `log`: file for its stderr; `None` discards it.
    """

    def __init__(self, log: Path | None = None) -> None:
        self._log = log
        self._numbers = itertools.count(1)
        self._starting = threading.Lock()
        self._process: _Process | None = None
        self._closed = False

    async def request(self, request: Request[A], progress: OnProgress | None = None) -> A:
        """The response to `request`. Cancelling the awaiting task cancels the request.

        `progress` is called in this event loop. Raises `ComputeError`.
        """
        loop = asyncio.get_running_loop()
        report = _in_loop(loop, progress) if progress else None
        number = next(self._numbers)
        process = await asyncio.to_thread(self._running_process, isinstance(request, OpenImage))
        future = process.expect(number, report)
        try:
            await asyncio.to_thread(process.send, Call(number, cast(AnyRequest, request)))
            return cast(A, await asyncio.wrap_future(future))
        except asyncio.CancelledError:
            process.send(Cancel(number))
            raise

    def close(self) -> None:
        """Kill the process; running requests fail."""
        self._closed = True
        with self._starting:
            if self._process is not None:
                self._process.kill()
                self._process = None

    def _running_process(self, immediately: bool) -> _Process:
        """The process; a new one has imported PyTorch already, unless it is needed `immediately`."""
        with self._starting:
            if self._process is None or self._process.ended:
                start_fork_server() if immediately else wait_for_fork_server(lambda: self._closed)
                self._process = _Process(self._log)
            return self._process


def _in_loop(loop: asyncio.AbstractEventLoop, progress: OnProgress) -> OnProgress:
    def report(values: Progress) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has been closed
            loop.call_soon_threadsafe(progress, values)

    return report


class _Process:
    """One instance of the compute process."""

    def __init__(self, log: Path | None) -> None:
        self._expected: dict[int, tuple[Future[Response], OnProgress | None]] = {}
        self._lock, self._writing = threading.Lock(), threading.Lock()
        self.ended = False
        with _open_log(log) as errors:
            self._server = start_server(stderr=errors.fileno())
        self._reader = threading.Thread(target=self._read, daemon=True, name="compute")
        self._reader.start()

    def expect(self, number: int, progress: OnProgress | None) -> Future[Response]:
        """A future for the response to the request of this number."""
        future: Future[Response] = Future()
        with self._lock:
            if self.ended:
                future.set_exception(ComputeError(self._exit_message()))
            else:
                self._expected[number] = (future, progress)
        return future

    def send(self, message: ClientMessage) -> None:
        """Write a message. If the process has died, its reader thread fails the request."""
        with contextlib.suppress(OSError, ValueError), self._writing:
            print(encode(message), file=self._server.requests, flush=True)

    def kill(self) -> None:
        """Kill the process and its children."""
        self._end()
        self._reader.join(5)

    def _end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._server.process.pid, signal.SIGKILL)

    def _read(self) -> None:
        try:
            for line in self._server.responses:
                self._receive(decode_server_message(line))
        except ValueError:  # truncated, or of another version: later responses would be lost
            self._end()
        # Closing flushes the buffer, which fails as the process is gone.
        with contextlib.suppress(OSError), self._writing, self._server.responses:
            self._server.requests.close()
        self._server.process.wait()
        with self._lock:
            self.ended = True
            pending, self._expected = list(self._expected.values()), {}
        for future, _ in pending:
            _settle(future, ComputeError(self._exit_message()))

    def _receive(self, message: ServerMessage) -> None:
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
            _settle(future, message.response)
        else:
            _settle(future, ComputeError(message.error))

    def _exit_message(self) -> str:
        code = self._server.process.returncode or 0
        cause = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return f"the compute process ended ({cause}); the next request restarts it"


def _settle(future: Future[Response], result: Response | ComputeError) -> None:
    # A cancelled future takes no result.
    if not future.set_running_or_notify_cancel():
        return
    if isinstance(result, ComputeError):
        future.set_exception(result)
    else:
        future.set_result(result)


def _open_log(log: Path | None) -> IO[bytes]:
    if log is not None:
        # Without a log file the process still works.
        with contextlib.suppress(OSError):
            log.parent.mkdir(parents=True, exist_ok=True)
            return log.open("ab")
    return Path(os.devnull).open("ab")
