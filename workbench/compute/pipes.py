"""Starting a process of this package that gets requests on stdin and responds on stdout."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO

from workbench.launcher.fork_client import PythonProcess, start_python

SERVER = "workbench.compute.server"


@dataclass
class ServerPipes:
    """A server process, and our ends of its pipes."""

    process: PythonProcess
    requests: IO[str]
    responses: IO[str]


def start_server(arguments: Sequence[str] = (), *, stderr: int, new_session: bool = True) -> ServerPipes:
    """Start a server. `stderr`: a file descriptor."""
    (stdin, requests), (responses, stdout) = os.pipe(), os.pipe()
    with os.fdopen(stdin), os.fdopen(stdout, "w"):
        process = start_python(
            SERVER, arguments, stdin=stdin, stdout=stdout, stderr=stderr, new_session=new_session
        )
    return ServerPipes(
        process,
        os.fdopen(requests, "w", encoding="utf-8"),
        os.fdopen(responses, encoding="utf-8", errors="replace"),
    )
