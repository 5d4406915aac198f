"""Two hosts for tests: network namespaces of this machine, joined by a cable, with a name and an address each."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from workbench.runs.run_folder import RunFolder

LIMIT = 120.0
PROGRAMS = ("ip", "unshare")
NETWORK = "10.77.0"
PORT = 29417


class Host:
    """A network namespace with an address and a host name."""

    def __init__(self, number: int) -> None:
        self.name, self.address = f"gpu{number:02}", f"{NETWORK}.{number}"
        self.namespace, self.cable = f"wb{os.getpid()}-{number}", f"wb{os.getpid() % 10**6}-{number}"
        self.home = Path()
        """Set by each test."""
        self._started: list[subprocess.Popen[str]] = []

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        """Start a command of workbench here."""
        process = subprocess.Popen(
            ["ip", "netns", "exec", self.namespace, "unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"',
             self.name, sys.executable, "-m", "workbench", *arguments],
            env={**os.environ, "WORKBENCH_HOME": str(self.home), **variables},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._started.append(process)
        return process

    def pids(self) -> list[int]:
        """All processes of this host."""
        return [int(pid) for pid in ip("netns", "pids", self.namespace).split()]

    def kill_all(self) -> None:
        """Kill all processes of this host at once, as a power failure does."""
        while pids := self.pids():
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
        for process in self._started:
            process.communicate()
        self._started.clear()

    def runs(self) -> list[RunFolder]:
        """The runs in its home."""
        return [RunFolder(path) for path in sorted((self.home / "runs").glob("*"))]


class Network:
    """Both hosts, and the cable between them."""

    def __init__(self) -> None:
        self.hosts = (Host(1), Host(2))

    def create(self) -> None:
        """Create the namespaces and the cable."""
        first, second = self.hosts
        for host in self.hosts:
            ip("netns", "add", host.namespace)
        ip("link", "add", first.cable, "netns", first.namespace, "type", "veth",
           "peer", "name", second.cable, "netns", second.namespace)  # fmt: skip
        for host in self.hosts:
            ip("-n", host.namespace, "address", "add", f"{host.address}/24", "dev", host.cable)
            ip("-n", host.namespace, "link", "set", host.cable, "up")
            ip("-n", host.namespace, "link", "set", "lo", "up")

    def remove(self) -> None:
        """Remove the namespaces, and with them the cable."""
        for host in self.hosts:
            subprocess.run(["ip", "netns", "delete", host.namespace], check=False, capture_output=True)


def ip(*arguments: str) -> str:
    """What `ip` prints."""
    return subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True).stdout


def missing_programs() -> list[str]:
    """What is needed for such hosts, and is not there."""
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    missing = [program for program in PROGRAMS if shutil.which(program, path=path) is None]
    return [*missing, *(["root"] if os.geteuid() != 0 else [])]


def wait_for(seen: Callable[[], Any], *folders: RunFolder) -> None:
    """Wait until `seen()` is true."""
    end = time.monotonic() + LIMIT
    while not seen():
        assert time.monotonic() < end, [folder.log.read_text() for folder in folders if folder.log.exists()]
        time.sleep(0.02)
