"""Lists of labels, as tutorials hand them around."""

from __future__ import annotations

import ast
import hashlib
import re
from pathlib import Path

from workbench.core import paths
from workbench.core.errors import BadInput
from workbench.core.progress import Cancelled, Report, never, silent
from workbench.io.download import fetch
from workbench.io.images import open_regular

MAX_BYTES = 4_000_000

_ROW = re.compile(r"""\{?\s*(\d+)\s*:\s*(u?'.*'|u?".*")\s*,?\s*\}?""")
"""`258: 'Samoyed, Samoyede',`: a line of a Python dictionary, its first and last with a brace or without."""


def read_labels(source: str, progress: Report = silent, cancelled: Cancelled = never) -> tuple[str, ...]:
    """The labels by index in a file or at an http(s) URL: a line each, or lines of a Python dictionary.

    Raises `BadInput` with one line: no such file, no text, a line that is neither, an index twice or left out.
    """
    path = _fetched(source, progress, cancelled) if "://" in source else paths.given(source)
    with open_regular(path) as file:
        content = file.read(MAX_BYTES + 1)
    try:
        return _parse(content, source)
    except BadInput:
        if "://" in source:
            path.unlink(missing_ok=True)  # it may be mended there by the next time
        raise


def _fetched(url: str, progress: Report, cancelled: Cancelled) -> Path:
    to = (
        paths.fetched_cache() / hashlib.sha256(f"labels {url}".encode("utf-8", "surrogateescape")).hexdigest()
    )
    if to.exists():
        return to
    return fetch(url, to, max_bytes=MAX_BYTES, timeout=15, total_seconds=60, progress=progress,
                 cancelled=cancelled)  # fmt: skip


def _parse(content: bytes, source: str) -> tuple[str, ...]:
    if len(content) > MAX_BYTES:
        raise BadInput(f"{source} is no list of labels: it is larger than {MAX_BYTES // 1_000_000} MB")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadInput(f"{source} is no list of labels: it is no UTF-8 text") from None
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    lines = [(number, line) for number, line in lines if line and line not in {"{", "}"}]
    if not lines:
        raise BadInput(f"{source} is empty: a list of labels has one a line")
    if not _ROW.fullmatch(lines[0][1]):
        return tuple(line for _, line in lines)
    return _in_order(_rows(lines, source), source)


def _rows(lines: list[tuple[int, str]], source: str) -> dict[int, str]:
    """Index and label of numbered lines `258: 'Samoyed, Samoyede',`. Raises `BadInput` naming the line."""
    rows: dict[int, str] = {}
    for number, line in lines:
        found = _ROW.fullmatch(line)
        label = _literal(found[2]) if found else None
        if found is None or label is None:
            raise BadInput(f"{source}, line {number}: expected INDEX: 'LABEL', as in 258: 'Samoyed'")
        if int(found[1]) in rows:
            raise BadInput(f"{source}, line {number}: the index {int(found[1])} is there twice")
        rows[int(found[1])] = label
    return rows


def _literal(text: str) -> str | None:
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return value if isinstance(value, str) else None


def _in_order(rows: dict[int, str], source: str) -> tuple[str, ...]:
    missing = next((index for index in range(len(rows)) if index not in rows), None)
    if missing is not None:
        raise BadInput(
            f"{source} has {len(rows)} labels, but none for the index {missing}: they count from 0"
        )
    return tuple(rows[index] for index in range(len(rows)))
