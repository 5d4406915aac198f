"""Starts Python processes: forked from a process that has imported PyTorch where there is one, else afresh."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from workbench.io.record_codec import encode
from workbench.launcher import fork_server
from workbench.launcher.fork_protocol import (
    FAILED,
    FORKED,
    LENGTH_BYTES,
    READY,
    REPLY_BYTES,
    ForkRequest,
    Program,
    receive,
)
from workbench.system.process_title import PADDING
from workbench.system.processes import python_command

FIXED_VARIABLES = (
    "ATEN_", "DNNL_", "GLIBC_", "GOMP_", "KMP_", "LANG", "LC_", "LD_", "MALLOC_", "MKL_", "NUMEXPR_", "OMP_", "ONEDNN_",
    "OPENBLAS_", "PYTHON", "PYTORCH_", "TORCH",
)  # fmt: skip
"""Beginnings of the names of variables that are read when the interpreter or a library is loaded."""

READ_LATER = {"TORCH_HOME", "KMP_DUPLICATE_LIB_OK", "KMP_INIT_AT_FORK"}
"""Variables with such a name that are read when they are needed, or that scikit-learn sets as it is imported."""

UPGRADED_PACKAGES = ("torch", "torchvision", "numpy", "PIL")

POLL_SECONDS = 0.05

SERVER_ENDED = 1
"""The exit code of a process whose server ended before it: it is not known."""


class PythonProcess(Protocol):
    """A started process; `subprocess.Popen` is one."""

    pid: int
    returncode: int | None

    def poll(self) -> int | None:
        """The exit code, negative for a signal; `None` while the process lives."""

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; returns the exit code. Raises `subprocess.TimeoutExpired`."""

    def kill(self) -> None:
        """Send SIGKILL."""


class ForkedProcess:
    """A process that a fork server has forked."""

    def __init__(self, pid: int, exit_pipe: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._exit_pipe, self._waiting = exit_pipe, threading.Lock()

    def poll(self) -> int | None:
        """The exit code, negative for a signal; `None` while the process lives."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.wait(0)
        return None

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; returns the exit code. Raises `subprocess.TimeoutExpired`."""
        with self._waiting:
            if self.returncode is None:
                if not select.select([self._exit_pipe], [], [], timeout)[0]:
                    raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0.0)
                code = os.read(self._exit_pipe, 16)
                os.close(self._exit_pipe)
                self.returncode = int(code) if code else SERVER_ENDED
            return self.returncode

    def kill(self) -> None:
        """Send SIGKILL."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)


class ForkServer:
    """A server process at the other end of a connection; it ends with `close` or with this process."""

    def __init__(self, connection: socket.socket, kill: Callable[[], object]) -> None:
        self._connection, self._kill, self._ready = connection, kill, False
        self._environment, self._files = _fixed_variables(os.environ), _code_stamp()
        self._lock = threading.Lock()
        self.ended = False
        """Whether it was found to have ended."""

    @classmethod
    def start(cls) -> ForkServer:
        """A server in a new process. It is `ready` when it has imported PyTorch, after some seconds."""
        connection, remote = socket.socketpair()
        command = python_command("workbench.launcher.fork_server", str(remote.fileno()), PADDING)
        with remote:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                pass_fds=(remote.fileno(),), start_new_session=True,
            )  # fmt: skip

        def kill() -> None:
            process.kill()
            process.wait()

        return cls(connection, kill)

    @classmethod
    def fork_off(cls, not_inherited: Sequence[int] = ()) -> ForkServer:
        """A server that is a copy of this process, without these descriptors; it has imported what this process has."""
        connection, remote = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            connection.close()
            for number in not_inherited:
                os.close(number)
            null = os.open(os.devnull, os.O_RDWR)
            for number in (0, 1):  # their other ends shall see the end of this process, not of its copy
                os.dup2(null, number)
            os.close(null)
            fork_server.serve(remote)
            sys.exit()
        remote.close()

        def kill() -> None:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

        return cls(connection, kill)

    @property
    def outdated(self) -> bool:
        """Whether a file has changed that it has imported."""
        return self._files != _code_stamp()

    def ready(self) -> bool:
        """Whether it can fork by now."""
        with self._lock:
            if not self._ready and select.select([self._connection], [], [], 0)[0]:
                self._ready = receive(self._connection, len(READY)) == READY
                self.ended = not self._ready
            return self._ready

    def fork(
        self, program: Program, descriptors: Sequence[int], *, new_session: bool = True, directory: str = ""
    ) -> ForkedProcess | None:
        """A process that runs `program` in `directory` (by default the current one).

        `descriptors` become its file descriptors from 0 on.

        `None` where the server can't fork it: it is not ready, has ended, or its environment is too different.
        """
        if _fixed_variables(program.environment) != self._environment or not self.ready():
            return None
        reading, writing = os.pipe()
        try:
            request = ForkRequest(
                program=program, directory=directory or str(Path.cwd()), new_session=new_session
            )
            pid = self._request(request, [*descriptors, writing])
        except OSError:
            pid, self.ended = FAILED, True
        finally:
            os.close(writing)
        if pid == FAILED:
            os.close(reading)
            return None
        return ForkedProcess(pid, reading)

    def _request(self, request: ForkRequest, descriptors: Sequence[int]) -> int:
        content = encode(request)
        with self._lock:
            head = len(content).to_bytes(LENGTH_BYTES, "big")
            socket.send_fds(self._connection, [head], list(descriptors))
            self._connection.sendall(content)
            return int.from_bytes(receive(self._connection, REPLY_BYTES), "big")

    def close(self) -> None:
        """End the server; what it has forked lives on."""
        self._kill()
        self._connection.close()


class _SharedServer:
    """The server of this process, once something that will need PyTorch has asked for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._server: ForkServer | None = None

    def start(self) -> ForkServer | None:
        """The server, started if there is none or its code is outdated; `None` where forking is not safe."""
        if sys.platform != "linux":  # other systems' libraries may use threads as soon as they are loaded
            return None
        with self._lock:
            if self._server is not None and (self._server.ended or self._server.outdated):
                self._server.close()
                self._server = None
            if self._server is None:
                self._server = ForkServer.start()
            return self._server

    def running(self) -> ForkServer | None:
        """The server, if it was started; a new one where its code is outdated."""
        return None if self._server is None else self.start()

    def fork_off(self, not_inherited: Sequence[int]) -> None:
        """Let a copy of this process be the server."""
        with self._lock:
            self._server = ForkServer.fork_off(not_inherited)

    def close(self) -> None:
        """End the server, if there is one."""
        with self._lock:
            if self._server is not None:
                self._server.close()
                self._server = None


_shared = _SharedServer()


def start_fork_server() -> None:
    """Let `start_python` fork processes from now on, as soon as the server has imported PyTorch."""
    _shared.start()


def wait_for_fork_server(cancelled: Callable[[], bool]) -> None:
    """Start the server of this process and wait until it can fork, has ended, or `cancelled()` holds."""
    server = _shared.start()
    while server is not None and not server.ready() and not server.ended and not cancelled():
        time.sleep(POLL_SECONDS)


def fork_off_server(not_inherited: Sequence[int] = ()) -> None:
    """Let a copy of this process, which was forked itself, fork the processes that this one will start.

    `not_inherited`: descriptors that the copy closes.

    Call it before anything else: neither threads nor the driver of a GPU survive a fork.
    """
    _shared.fork_off(not_inherited)


def stop_fork_server() -> None:
    """End the server of this process; what it has forked lives on."""
    _shared.close()


def start_python(
    module: str,
    arguments: Sequence[str] = (),
    *,
    stdin: int = subprocess.DEVNULL,
    stdout: int,
    stderr: int,
    environment: Mapping[str, str] | None = None,
    new_session: bool = True,
) -> PythonProcess:
    """Start `module` as a program; it is forked, with the argument `--forked`, where this process's server is ready.

    `stdin`, `stdout`, `stderr`: file descriptors, or `subprocess.DEVNULL`.
    """
    environment = dict(os.environ if environment is None else environment)
    process = fork_program(module, arguments, environment, (stdin, stdout, stderr), new_session=new_session)
    if process is not None:
        return process
    return subprocess.Popen(
        python_command(module, *arguments), stdin=stdin, stdout=stdout, stderr=stderr, env=environment,
        start_new_session=new_session,
    )  # fmt: skip


def fork_program(
    module: str,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    descriptors: Sequence[int],
    *,
    new_session: bool = True,
    directory: str = "",
) -> ForkedProcess | None:
    """A forked process that runs `module` in `directory` (by default the current one); `None` if it can't be forked.

    It has these descriptors from 0 on.
    """
    server = _shared.running()
    if server is None:
        return None
    program = Program(module=module, arguments=(*arguments, FORKED), environment=dict(environment))
    with _opened(descriptors) as opened:
        return server.fork(program, opened, new_session=new_session, directory=directory)


@contextlib.contextmanager
def _opened(descriptors: Sequence[int]) -> Iterator[list[int]]:
    """The descriptors, with /dev/null in place of `subprocess.DEVNULL`."""
    with Path(os.devnull).open("r+b") as null:
        yield [null.fileno() if number == subprocess.DEVNULL else number for number in descriptors]


def _fixed_variables(environment: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in environment.items()
        if name.startswith(FIXED_VARIABLES) and name not in READ_LATER
    }


def _code_stamp() -> tuple[tuple[str, int], ...]:
    """When the files of this package, and of the large ones that it imports, were changed (ns)."""
    return tuple((name, _changed(Path(name))) for name in _code_folders())


def _changed(folder: Path) -> int:
    """When the files in a folder were changed; not its folders, which change with the bytecode that Python writes."""
    with contextlib.suppress(OSError):
        return max((entry.stat().st_mtime_ns for entry in os.scandir(folder) if entry.is_file()), default=0)
    return 0


@functools.cache
def _code_folders() -> tuple[str, ...]:
    """The folders of this package, and the top folders of those packages that it forks with."""
    own = [str(path) for path, _, _ in os.walk(Path(__file__).parents[1]) if "__pycache__" not in path]
    others = [
        spec.origin for name in UPGRADED_PACKAGES if (spec := importlib.util.find_spec(name)) and spec.origin
    ]
    return (*own, *(str(Path(origin).parent) for origin in others))
