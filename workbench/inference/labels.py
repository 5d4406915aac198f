"""Reads lists of class labels in the formats that are commonly published."""

from __future__ import annotations

import ast
import hashlib
import re
from pathlib import Path

from workbench.core import paths
from workbench.core.errors import UserError
from workbench.core.progress import CancelCheck, ProgressCallback, ignore_progress, never_cancelled
from workbench.io.download import download_file
from workbench.io.images import open_regular_file

MAX_BYTES = 4_000_000

_ROW = re.compile(r"""\{?\s*(\d+)\s*:\s*(u?'.*'|u?".*")\s*,?\s*\}?""")
"""`258: 'Samoyed, Samoyede',`: a line of a Python dictionary, optionally with an opening or closing brace."""


def read_labels(
    source: str, progress: ProgressCallback = ignore_progress, cancelled: CancelCheck = never_cancelled
) -> tuple[str, ...]:
    """The labels by index in a file or at an http(s) URL: one per line, or lines of a Python dictionary.

    Raises `UserError` with one line: missing file, not text, an invalid line, a duplicate or missing index.
    """
    path = _download(source, progress, cancelled) if "://" in source else paths.expand_user_path(source)
    with open_regular_file(path) as file:
        content = file.read(MAX_BYTES + 1)
    try:
        return _parse(content, source)
    except UserError:
        if "://" in source:
            path.unlink(missing_ok=True)  # the file at the URL may be corrected before the next attempt
        raise


def _download(url: str, progress: ProgressCallback, cancelled: CancelCheck) -> Path:
    path = (
        paths.download_cache()
        / hashlib.sha256(f"labels {url}".encode("utf-8", "surrogateescape")).hexdigest()
    )
    if path.exists():
        return path
    return download_file(url, path, max_bytes=MAX_BYTES, timeout=15, total_seconds=60, progress=progress,
                 cancelled=cancelled)  # fmt: skip


def _parse(content: bytes, source: str) -> tuple[str, ...]:
    if len(content) > MAX_BYTES:
        raise UserError(f"{source} is not a list of labels: it is larger than {MAX_BYTES // 1_000_000} MB")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"{source} is not a list of labels: it is not UTF-8 text") from None
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    lines = [(number, line) for number, line in lines if line and line not in {"{", "}"}]
    if not lines:
        raise UserError(f"{source} is empty: a list of labels has one label per line")
    if not _ROW.fullmatch(lines[0][1]):
        return tuple(line for _, line in lines)
    return _in_order(_rows(lines, source), source)


def _rows(lines: list[tuple[int, str]], source: str) -> dict[int, str]:
    """Labels by index, from numbered lines `258: 'Samoyed, Samoyede',`. Raises `UserError` naming the line."""
    rows: dict[int, str] = {}
    for number, line in lines:
        match = _ROW.fullmatch(line)
        label = _literal(match[2]) if match else None
        if match is None or label is None:
            raise UserError(f"{source}, line {number}: expected INDEX: 'LABEL', for example 258: 'Samoyed'")
        if int(match[1]) in rows:
            raise UserError(f"{source}, line {number}: duplicate index {int(match[1])}")
        rows[int(match[1])] = label
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
        raise UserError(f"{source} has {len(rows)} labels, but none for index {missing}; indices start at 0")
    return tuple(rows[index] for index in range(len(rows)))
