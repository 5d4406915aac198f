"""A process that imports PyTorch once and forks processes that need it: `python -m workbench.launcher.fork_server FD`.

The client is the process at the other end of the socket `FD`; the server ends with it, the forked processes do not. The
server never uses CUDA or a pool of threads, so that a forked process is like one that has just imported PyTorch.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import importlib
import os
import selectors
import signal
import socket
import sys
from pathlib import Path

from workbench.io.record_codec import decode
from workbench.launcher.fork_protocol import (
    FAILED,
    LENGTH_BYTES,
    MAX_DESCRIPTORS,
    READY,
    REPLY_BYTES,
    ForkRequest,
    receive,
)
from workbench.system.process_title import set_command
from workbench.system.processes import python_command

PRELOADED = (
    "workbench.worker.trainer",
    "workbench.datasets.builtin",
    "workbench.compute.handlers.models",
    "workbench.planning.worker",
)
"""With these modules nearly all is imported that the forked programs need."""
COUNTS_GPUS = "torchvision"
"""Imports `torch._dynamo`, which counts the GPUs; that may initialize CUDA, which does not survive a fork."""
GPU_FILES = ("nvidia[0-9]*", "kfd", "dxg")
"""What is in /dev where a GPU of NVIDIA (of AMD, or of WSL) can be used."""


class ForkServer:
    """Forks processes at the requests of one client."""

    def __init__(self, client: socket.socket) -> None:
        self._client = client
        self._exit_pipes: dict[int, int] = {}
        """For each forked process the pipe that takes its exit code."""
        self._wakeup, wakeup = os.pipe()
        self._own = [self._wakeup, wakeup]
        for descriptor in self._own:
            os.set_blocking(descriptor, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)

    def serve(self) -> ForkRequest | None:
        """Fork until the client ends. Returns `None` then, and in each forked process its request."""
        with selectors.DefaultSelector() as selector:
            for source in (self._client, self._wakeup):
                selector.register(source, selectors.EVENT_READ)
            self._client.sendall(READY)
            while True:
                ready = {key.fileobj for key, _ in selector.select()}
                if self._wakeup in ready:
                    self._report_exits()
                if self._client in ready:
                    request, descriptors = self._receive()
                    if request is None:
                        return None
                    if self._fork(descriptors):
                        break
        self._take_over(request, descriptors)
        return request

    def _receive(self) -> tuple[ForkRequest | None, list[int]]:
        head, descriptors, _, _ = socket.recv_fds(self._client, LENGTH_BYTES, MAX_DESCRIPTORS)
        return decode(receive(self._client, int.from_bytes(head, "big")), ForkRequest), descriptors

    def _fork(self, descriptors: list[int]) -> bool:
        """Fork, and reply to the client; returns whether this is the forked process."""
        pid: int | None = None
        with contextlib.suppress(OSError):
            pid = os.fork()
        if pid == 0:
            return True
        if pid is not None:
            self._exit_pipes[pid] = descriptors.pop()
        for descriptor in descriptors:
            os.close(descriptor)
        self._client.sendall((pid or FAILED).to_bytes(REPLY_BYTES, "big"))
        return False

    def _report_exits(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while os.read(self._wakeup, 64):
                continue
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                pipe = self._exit_pipes.pop(ended[0])
                with contextlib.suppress(OSError):  # the client does not wait for it
                    os.write(pipe, str(os.waitstatus_to_exitcode(ended[1])).encode())
                os.close(pipe)

    def _take_over(self, request: ForkRequest, descriptors: list[int]) -> None:
        """Make a forked process independent of this server, with the given file descriptors from 0 on."""
        if request.new_session:
            os.setsid()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._client.close()
        for descriptor in (*self._own, descriptors.pop(), *self._exit_pipes.values()):
            os.close(descriptor)
        above = [
            fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 2 * MAX_DESCRIPTORS) for descriptor in descriptors
        ]
        for descriptor in descriptors:
            os.close(descriptor)
        for number, descriptor in enumerate(above):
            os.dup2(descriptor, number)
            os.close(descriptor)
        os.chdir(request.directory)


def serve(client: socket.socket) -> None:
    """Serve a client until it ends, and become the program of a request in each forked process."""
    set_command(python_command("workbench.launcher.fork_server", str(client.fileno())))
    request = ForkServer(client).serve()
    if request is not None:
        request.program.run()


def main() -> None:
    """Import everything, then serve."""
    client = socket.socket(fileno=int(sys.argv[1]))
    client.set_inheritable(False)
    has_gpu = any(file for pattern in GPU_FILES for file in Path("/dev").glob(pattern))
    for module in PRELOADED if has_gpu else (*PRELOADED, COUNTS_GPUS):
        importlib.import_module(module)
    gc.collect()
    gc.freeze()  # what is imported stays: a forked process shares this memory as long as it does not write to it
    serve(client)


if __name__ == "__main__":
    main()
