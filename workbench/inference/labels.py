"""Reads lists of class labels in the formats that are commonly published.

One label per line, with or without its number; lines of a Python dictionary; JSON: a list, `{"0": "tench"}`,
`{"0": ["n01440764", "tench"]}`, `{"tench": 0}`. Indices may start at 1, and the first label may be that of a
background class: `labels_for_outputs` adapts the list to a model.
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from workbench.core import paths
from workbench.core.errors import UserError
from workbench.core.parsing import parse_json
from workbench.core.progress import CancelCheck, ProgressCallback, ignore_progress, never_cancelled
from workbench.io.download import download_file
from workbench.io.regular_files import open_regular_file

MAX_BYTES = 4_000_000

_ROW = re.compile(r"""\{?\s*(\d{1,9})\s*:\s*(u?'.*'|u?".*")\s*,?\s*\}?""")
"""`258: 'Samoyed, Samoyede',`: a line of a Python dictionary, optionally with an opening or closing brace."""
_NUMBERED = re.compile(r"(\d{1,9})(?:\s*[:,;.)\t]\s*|\s+)(\S.*)")
"""`258 Samoyed`, `258: Samoyed`, `258,Samoyed`: a line of a numbered list."""
_SYNSET = re.compile(r"(n\d{8})\s+(\S.*)")
"""`n02111889 Samoyed, Samoyede`: a line with the id of an ImageNet class."""
BACKGROUND = {"background", "__background__", "dummy", "none of the above"}
"""Names of the additional class 0 in lists of TensorFlow."""


def read_labels(
    source: str, progress: ProgressCallback = ignore_progress, cancelled: CancelCheck = never_cancelled
) -> tuple[str, ...]:
    """The labels by index in a file or at an http(s) URL, in any of the formats above.

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
    if text.lstrip()[:1] in {"[", "{"} and (labels := _parse_json(text, source)) is not None:
        return labels
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    lines = [(number, line) for number, line in lines if line and line not in {"{", "}"}]
    if not lines:
        raise UserError(f"{source} is empty: a list of labels has one label per line")
    if _ROW.fullmatch(lines[0][1]):
        return _in_order(_rows(lines, source), source)
    plain = [line for _, line in lines]
    numbered = [_NUMBERED.fullmatch(line) for line in plain]
    if all(numbered) and len(plain) > 1:
        rows = {int(match[1]): match[2] for match in numbered if match}
        if sorted(rows) in (list(range(len(plain))), list(range(1, len(plain) + 1))):
            return _in_order(rows, source)
    synsets = [_SYNSET.fullmatch(line) for line in plain]
    return tuple(match[2] for match in synsets if match) if all(synsets) else tuple(plain)


def _parse_json(text: str, source: str) -> tuple[str, ...] | None:
    """The labels in a JSON document; `None` if it is none. Raises `UserError` for JSON that is no list of labels."""
    try:
        content = parse_json(text)
    except ValueError:
        return None
    if not content:
        raise UserError(f"{source} is empty: a list of labels has one label per line")
    if (
        isinstance(content, dict)
        and len(content) == 1
        and isinstance(inner := next(iter(content.values())), list)
    ):
        content = inner  # {"labels": [...]}
    if isinstance(content, list) and content:
        labels = [_json_label(entry) for entry in content]
        if all(isinstance(label, str) for label in labels):
            return tuple(label for label in labels if label is not None)
    elif isinstance(content, dict) and content:
        by_index = {int(key): _json_label(value) for key, value in content.items() if _is_index(key)}
        if len(by_index) == len(content) and all(by_index.values()):
            return _in_order({index: label for index, label in by_index.items() if label}, source)
        by_name = {int(value): key for key, value in content.items() if _is_index(value)}
        if len(by_name) == len(content):
            return _in_order(by_name, source)
        if all(_is_index(value) for value in content.values()):
            raise UserError(f"{source} is not a list of labels: several names have the same index")
    raise UserError(
        f"{source} is JSON, but not a list of labels: expected a list of names, {{index: name}}, "
        "{index: [id, name]} or {name: index}"
    )


def _is_index(value: object) -> bool:
    if isinstance(value, str):
        return value.isascii() and value.isdigit() and len(value) < 10
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _json_label(value: object) -> str | None:
    """A name, or that in `[id, name]` or `{"name": …}`."""
    if isinstance(value, list) and value and all(isinstance(part, str) for part in value):
        return str(value[-1])
    if isinstance(value, dict):
        value = next(
            (value[key] for key in ("name", "label", "class") if isinstance(value.get(key), str)), None
        )
    return value if isinstance(value, str) and value else None


def labels_for_outputs(labels: Sequence[str], outputs: int, model: str) -> tuple[str, ...]:
    """The labels of a model with this number of outputs, without the background class of a list that has one more.

    Raises `UserError` with the number of labels that is needed.
    """
    if len(labels) == outputs:
        return tuple(labels)
    if len(labels) == outputs + 1 and labels[0].lower() in BACKGROUND:
        return tuple(labels[1:])
    hint = " (is the first or the last a background class?)" if len(labels) == outputs + 1 else ""
    raise UserError(
        f"got {len(labels):,} labels{hint}, but {model} has {outputs:,} classes and needs as many"
    )


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
    """The labels by index; indices start at 0, or all at 1."""
    first = 0 if 0 in rows else 1
    missing = next((index for index in range(first, first + len(rows)) if index not in rows), None)
    if missing is not None:
        raise UserError(
            f"{source} has {len(rows)} labels, but none for index {missing}; indices start at 0 or 1 without gaps"
        )
    return tuple(rows[index] for index in range(first, first + len(rows)))
