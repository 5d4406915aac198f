"""What a client asks of a fork server, and what the process that was forked becomes."""

from __future__ import annotations

import os
import runpy
import socket
import sys

from workbench.io.record_codec import Record
from workbench.system.process_title import set_command
from workbench.system.processes import python_command

READY = b"ready"
LENGTH_BYTES = 4
"""A request is its length in as many bytes (big-endian), with the file descriptors attached, and then the JSON."""
REPLY_BYTES = 8
"""The reply: the pid of the new process (big-endian); 0 where no process could be forked."""
FAILED = 0
MAX_DESCRIPTORS = 8

FORKED = "--forked"
"""The last argument of a program that was forked."""


class Program(Record, frozen=True, kw_only=True):
    """A module to run as a program, as `python -m` would."""

    module: str
    arguments: tuple[str, ...] = ()
    environment: dict[str, str]
    """All environment variables; names and values as `os.environ` has them."""

    def run(self) -> None:
        """Run the module in this process. Returns, or raises `SystemExit`, as the module does.

        A fresh interpreter takes the place of this process if CUDA was initialized before the fork.
        """
        if _has_lost_cuda():
            arguments = [argument for argument in self.arguments if argument != FORKED]
            os.execve(sys.executable, python_command(self.module, *arguments), self.environment)
        os.environ.clear()
        os.environ.update(self.environment)
        sys.orig_argv = python_command(self.module, *self.arguments)
        sys.argv = [self.module, *self.arguments]
        set_command(sys.orig_argv)
        _seed_global_generators()
        sys.modules.pop(self.module, None)  # another module may have imported it
        runpy.run_module(self.module, run_name="__main__", alter_sys=True)


def _has_lost_cuda() -> bool:
    """Whether this process was forked from one that had initialized CUDA, and can't use it."""
    torch = sys.modules.get("torch")
    return torch is not None and bool(torch.cuda._is_in_bad_fork())


def _seed_global_generators() -> None:
    """Seed numpy's and torch's from the operating system, as they are in a new process; `random` does this itself."""
    if (numpy := sys.modules.get("numpy")) is not None:
        numpy.random.seed()
    if (torch := sys.modules.get("torch")) is not None:
        torch.default_generator.seed()


class ForkRequest(Record, frozen=True, kw_only=True):
    """A process to fork. Its file descriptors 0, 1, 2, … are those attached to the message, but for the last one.

    That one takes the exit code, as a decimal number, when the process has ended.
    """

    program: Program
    directory: str
    """The working directory."""
    new_session: bool
    """Whether it leads a session of its own; else it stays in the one of the server."""


def receive(connection: socket.socket, size: int) -> bytes:
    """`size` bytes from a stream; fewer if it ends before."""
    parts = bytearray()
    while len(parts) < size and (part := connection.recv(size - len(parts))):
        parts += part
    return bytes(parts)
