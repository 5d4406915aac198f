"""The state of a git repository: commit, changed files and their difference. Runs `git` as a program, read-only."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

TIMEOUT = 5.0
"""Seconds after which a slow repository counts as unknown."""
MAX_DIFF_BYTES = 1 << 20
MAX_FILES = 200
_SAFE = ("--no-optional-locks", "-c", "core.fsmonitor=false", "-c", "core.quotePath=false")
"""Nothing is written to the repository, and no program is run that it configures."""


@dataclass(frozen=True)
class Repository:
    """A repository as it is now."""

    root: str
    commit: str
    """The full hash of HEAD."""
    branch: str
    """Empty for a detached HEAD."""
    changed: tuple[str, ...]
    """Files that differ from the commit or are not tracked, up to `MAX_FILES`; relative to the root."""


def read_repository(folder: Path) -> Repository | None:
    """The repository that contains `folder`; `None` without one, without a commit, and where git can't tell."""
    head = _git(folder, "rev-parse", "--show-toplevel", "HEAD")
    if head is None or len(lines := head.splitlines()) != 2:
        return None
    status = _git(folder, "status", "--porcelain=v1", "-z", "--no-renames")
    if status is None:
        return None
    branch = (_git(folder, "symbolic-ref", "--short", "-q", "HEAD") or "").strip()
    changed = tuple(entry[3:] for entry in status.split("\0") if len(entry) > 3)
    return Repository(lines[0], lines[1], branch, changed[:MAX_FILES])


def read_diff(folder: Path) -> bytes:
    """The changes of tracked files since the commit, as `git apply` takes them; cut after `MAX_DIFF_BYTES`."""
    command = _command(folder, "diff", "--no-color", "--no-ext-diff", "--no-textconv", "--binary", "HEAD")
    try:
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, env=_environment()) as process:  # fmt: skip
            assert process.stdout is not None
            diff = process.stdout.read(MAX_DIFF_BYTES + 1)
            process.kill()
    except OSError:
        return b""
    return diff[:MAX_DIFF_BYTES]


def _git(folder: Path, *arguments: str) -> str | None:
    """The output of a git command; `None` where it fails, hangs or is not installed."""
    try:
        result = subprocess.run(_command(folder, *arguments), stdin=subprocess.DEVNULL, capture_output=True,
                                timeout=TIMEOUT, env=_environment(), check=False)  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.decode("utf-8", "replace") if result.returncode == 0 else None


def _command(folder: Path, *arguments: str) -> list[str]:
    return ["git", *_SAFE, "-C", str(folder), *arguments]


def _environment() -> dict[str, str]:
    return {**os.environ, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
