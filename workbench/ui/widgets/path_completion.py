"""Completes paths that are being typed. Names that can't be shown as they are stay openable."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from workbench.core.paths import given
from workbench.core.text import safe

MOST = 200
"""More matches than this are not listed."""


def complete(text: str, endings: tuple[str, ...] = (), *, folders_only: bool = False) -> list[str]:
    """Paths that begin with `text`, folders first (they end in `/`), as the person writes them (`~/`, `./`).

    `endings`: what names of files must end in (any case); all, where there are none. Hidden ones only when
    their dot is typed.
    """
    head, slash, tail = text.rpartition("/")
    folder = given(head + slash) if slash else Path()
    found = [entry for entry in _entries(folder) if _begins(entry.name, tail)]
    shown = [(not _is_folder(entry), entry.name) for entry in found]
    kept = [(is_file, name) for is_file, name in shown if not is_file or _ends(name, endings, folders_only)]
    return [head + slash + name + ("" if is_file else "/") for is_file, name in sorted(kept)[:MOST]]


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return list(found)
    except (OSError, ValueError):
        return []


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _begins(name: str, tail: str) -> bool:
    hidden = name.startswith(".") and not tail.startswith(".")
    return not hidden and safe(name).lower().startswith(tail.lower())


def _ends(name: str, endings: tuple[str, ...], folders_only: bool) -> bool:
    return not folders_only and (not endings or name.lower().endswith(endings))


def common(paths: Iterable[str]) -> str:
    """The longest beginning that all have in common."""
    found = list(paths)
    first, last = min(found, default=""), max(found, default="")
    same = (i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b)
    return first[: next(same, min(len(first), len(last)))]


class Names:
    """Remembers which names stand behind what is shown of them, so that a shown path can be opened again."""

    def __init__(self) -> None:
        self._real: dict[str, str] = {}

    def show(self, path: str) -> str:
        """`path` fit to show and to type on."""
        shown = safe(path)
        if shown != path:
            self._real[shown] = path
        return shown

    def real(self, text: str) -> str:
        """What `text` stands for: the longest beginning that was shown is put back."""
        known = [shown for shown in self._real if text.startswith(shown)]
        longest = max(known, key=len, default="")
        return self._real[longest] + text[len(longest) :] if longest else text
