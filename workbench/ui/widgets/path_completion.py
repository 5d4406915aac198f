"""Completion of typed paths, including those whose names can't be displayed as they are."""

from __future__ import annotations

import os
from pathlib import Path

from workbench.core.paths import expand_user_path
from workbench.core.text import sanitize

MAX_MATCHES = 200
"""Matches that are listed at most."""


def complete_path(text: str, suffixes: tuple[str, ...] = (), *, folders_only: bool = False) -> list[str]:
    """Paths that begin with `text`, folders first (they end in `/`), in the form that was typed (`~/`, `./`).

    `suffixes` are those of the files to list, in lower case; none lists all. Hidden files are listed only if
    `text` has their dot.
    """
    head, slash, tail = text.rpartition("/")
    folder = expand_user_path(head + slash) if slash else Path()
    entries = [entry for entry in _entries(folder) if _has_prefix(entry.name, tail)]
    names = [(not _is_folder(entry), entry.name) for entry in entries]
    matches = [
        (is_file, name) for is_file, name in names if not is_file or _is_listed(name, suffixes, folders_only)
    ]
    return [head + slash + name + ("" if is_file else "/") for is_file, name in sorted(matches)[:MAX_MATCHES]]


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except (OSError, ValueError):
        return []


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _has_prefix(name: str, prefix: str) -> bool:
    hidden = name.startswith(".") and not prefix.startswith(".")
    return not hidden and sanitize(name).lower().startswith(prefix.lower())


def _is_listed(name: str, suffixes: tuple[str, ...], folders_only: bool) -> bool:
    return not folders_only and (not suffixes or name.lower().endswith(suffixes))


class DisplayedPaths:
    """Maps displayed (sanitized) paths back to the real ones, so that they can be opened."""

    def __init__(self) -> None:
        self._real: dict[str, str] = {}

    def display(self, path: str) -> str:
        """`path` sanitized, as it is displayed and typed."""
        shown = sanitize(path)
        if shown != path:
            self._real[shown] = path
        return shown

    def resolve(self, text: str) -> str:
        """The real path of a displayed `text`: the longest displayed prefix is replaced."""
        known = [shown for shown in self._real if text.startswith(shown)]
        longest = max(known, key=len, default="")
        return self._real[longest] + text[len(longest) :] if longest else text
