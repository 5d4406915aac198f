"""Starting processes that outlive their starter's session: supervisors, and the process that starts queued runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from workbench.launcher.fork_client import fork_program
from workbench.system import logout
from workbench.system.processes import python_command
from workbench.system.slurm import own_job


class Reply(StrEnum):
    """What a started process replies; any other reply is an error for people."""

    READY = "ready"
    NO_PLACE = "no place"
    """There is no place for a queued run any more."""
    NOT_QUEUED = "not queued"
    """The run has been taken out of the queue, or its ticket was changed."""


@dataclass(frozen=True)
class Surroundings:
    """What a process inherits; the defaults are those of this process."""

    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    directory: str = ""
    python: str = sys.executable

    @property
    def is_own_python(self) -> bool:
        """Whether it is the interpreter of this process, which can be forked."""
        return self.python == sys.executable


HERE = Surroundings()


def start_detached(
    module: str, arguments: Sequence[str], log: Path, surroundings: Surroundings = HERE, *, may_fork: bool
) -> str:
    """Start `module` outside of this session; returns its reply, see `Reply`.

    The module forks, and its first process ends, so that none is left to wait for. It is forked where `may_fork` and a
    server for that is ready. Its output goes to `log`.
    """
    scope = (
        [] if own_job() else logout.scope_command(logout.logout_policy())
    )  # a scope is outside of a Slurm job
    # The user's service manager may be unreachable (sudo, cron): then start without it.
    reply = _start(scope, module, arguments, log, surroundings, may_fork=False) if scope else ""
    return reply or _start([], module, arguments, log, surroundings, may_fork=may_fork)


def leave_session() -> None:
    """Continue in a session of its own, in a child of this process, which ends: what `start_detached` started calls it.

    The starter waits for the process that ends, so that no zombie remains. The end of the terminal is ignored.
    """
    if os.fork():
        os._exit(0)
    os.setsid()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def _start(
    scope: Sequence[str], module: str, arguments: Sequence[str], log: Path, surroundings: Surroundings, *,
    may_fork: bool,
) -> str:  # fmt: skip
    """Start a process, by the command `scope` if that is not empty; returns its reply."""
    reading, writing = os.pipe()
    with log.open("ab") as output, os.fdopen(reading, "rb") as reply:
        try:
            if not (may_fork and _fork(module, arguments, surroundings, output.fileno(), writing)):
                command = python_command(module, *arguments, "--ready-fd", str(writing))
                subprocess.run(
                    [*scope, surroundings.python, *command[1:]],
                    stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
                    pass_fds=(writing,), check=False,
                    env=dict(surroundings.environment), cwd=surroundings.directory or None,
                )  # fmt: skip
        finally:
            os.close(writing)
        return reply.read().decode(errors="replace").strip()


def _fork(module: str, arguments: Sequence[str], surroundings: Surroundings, log: int, ready: int) -> bool:
    """Fork a process that need not import PyTorch; returns whether that was possible."""
    process = surroundings.is_own_python and fork_program(
        module, [*arguments, "--ready-fd", "3"], surroundings.environment,
        (subprocess.DEVNULL, log, log, ready), directory=surroundings.directory,
    )  # fmt: skip
    if not process:
        return False
    process.wait()  # the module continues in a child of this process
    return True
