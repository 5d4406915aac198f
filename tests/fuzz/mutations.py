"""Damages a file: the same generator gives the same damage."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import random
import re
import struct
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

MAX_BYTES = 2_000_000
"""A longer result is cut."""
PNG, ZIP, GZIP = b"\x89PNG\r\n\x1a\n", b"PK\x03\x04", b"\x1f\x8b"

SPLINTERS = (
    b"\0", b"\0" * 64, b"\xff", b"\xff\xfe", b"\xef\xbb\xbf", b"\r", b"\n", b"\n\n", b"\x1b[31m", b"\x7f", b"\xc3\x28",
    b"\xed\xa0\x80", b"\xe2\x80\xae", b"'", b'"', b"\\", b"\\u0000", b"\\ud800", b"{", b"}", b"[", b"]", b",", b":",
    b"-", b"-1", b"0", b"1e999", b"-0.0", b"NaN", b"Infinity", b"null", b"true", b"9" * 400, b"9" * 5000, b"0x10",
    b"=", b"1_0", b"[" * 5000, b'{"a":' * 5000, b"(" * 5000, b"../", b"/dev/zero", b"%s%n", b"\xff\xff\xff\x7f",
    b"\x80\0\0\0", b"\xff" * 8,
)  # fmt: skip
VALUES = (
    None, True, False, 0, -1, 1, 2**31, 2**63, -(2**63), 2**64, 10**400, 0.5, -0.0, 1e308, -1e300, 5e-324, float("nan"),
    float("inf"), float("-inf"), "", "x", "NaN", "Infinity", "\0", "\ud800", "\udcff", "é\u202e", "a\nb", "../x",
    "/dev/zero", "x" * 100_000, "9" * 5000, "auto", "-1", [], {}, [[]], [None], [1, "x"], {"": {}}, {"a": [1]},
    {"name": 5},
)  # fmt: skip


def nested(depth: int) -> list[Any]:
    """Lists in lists."""
    inner: list[Any] = []
    for _ in range(depth):
        inner = [inner]
    return inner


def mutate(dice: random.Random, seeds: Sequence[bytes]) -> bytes:
    """One of the files, damaged in one to five ways: in its bytes, its JSON values, or inside its container."""
    data = dice.choice(seeds)
    for _ in range(dice.choice((1, 1, 1, 2, 3, 5))):
        data = damage(dice, data, seeds)[:MAX_BYTES]
    return data


def damage(dice: random.Random, data: bytes, seeds: Sequence[bytes]) -> bytes:
    """`data`, damaged in one way."""
    if dice.random() < 0.6:
        for change in (_inside_zip, _inside_tar, _inside_gzip, _inside_png, _inside_json, _inside_lines):
            with contextlib.suppress(Exception):  # it is no such file, or no longer
                if (changed := change(dice, data, seeds)) is not None:
                    return changed
    return dice.choice(BYTE_CHANGES)(dice, data, dice.choice(seeds))


def _span(dice: random.Random, data: bytes) -> tuple[int, int]:
    """A span that begins anywhere, mostly a short one."""
    start = dice.randint(0, len(data))
    return start, min(len(data), start + dice.choice((1, 2, 4, 16, 200, len(data))))


def _flip(dice: random.Random, data: bytes, other: bytes) -> bytes:
    changed = bytearray(data or b"\0")
    for _ in range(dice.choice((1, 1, 2, 8))):
        changed[dice.randrange(len(changed))] ^= 1 << dice.randrange(8)
    return bytes(changed)


def _set(dice: random.Random, data: bytes, other: bytes) -> bytes:
    changed = bytearray(data or b"\0")
    changed[dice.randrange(len(changed))] = dice.choice((0, 1, 0x7F, 0x80, 0xFF, dice.randrange(256)))
    return bytes(changed)


def _truncate(dice: random.Random, data: bytes, other: bytes) -> bytes:
    return data[: dice.randint(0, len(data))]


def _remove(dice: random.Random, data: bytes, other: bytes) -> bytes:
    start, end = _span(dice, data)
    return data[:start] + data[end:]


def _duplicate(dice: random.Random, data: bytes, other: bytes) -> bytes:
    start, end = _span(dice, data)
    return data[:end] + data[start:end] * dice.choice((1, 1, 2, 100)) + data[end:]


def _insert(dice: random.Random, data: bytes, other: bytes) -> bytes:
    start, end = _span(dice, data)
    return data[:start] + dice.choice(SPLINTERS) + data[dice.choice((start, end)) :]


def _splice(dice: random.Random, data: bytes, other: bytes) -> bytes:
    return data[: dice.randint(0, len(data))] + other[dice.randint(0, len(other)) :]


def _recode(dice: random.Random, data: bytes, other: bytes) -> bytes:
    return data.decode("latin-1").encode(dice.choice(("utf-16", "utf-32-be", "utf-8-sig", "utf-8")))


def _number(dice: random.Random, data: bytes, other: bytes) -> bytes:
    """Another number in place of one in the text."""
    found = list(re.finditer(rb"-?\d+(?:\.\d+)?", data[:200_000]))
    if not found:
        return _flip(dice, data, other)
    match = dice.choice(found)
    new = dice.choice(
        (b"-1", b"0", b"1e999", b"NaN", b"9" * 30, b"9" * 400, b"9" * 5000, b"0.5", b"true", b'"x"')
    )
    return data[: match.start()] + new + data[match.end() :]


ByteChange = Callable[[random.Random, bytes, bytes], bytes]
BYTE_CHANGES: tuple[ByteChange, ...] = (
    _flip, _flip, _set, _set, _truncate, _remove, _duplicate, _insert, _insert, _splice, _recode, _number,
)  # fmt: skip


def _inside_json(dice: random.Random, data: bytes, seeds: Sequence[bytes]) -> bytes | None:
    content = _changed(dice, json.loads(data))
    return json.dumps(content, ensure_ascii=dice.random() < 0.8).encode("utf-8", "surrogatepass")


def _inside_lines(dice: random.Random, data: bytes, seeds: Sequence[bytes]) -> bytes | None:
    """A change in one line of a file of JSON lines or TOML."""
    lines = data.split(b"\n")
    at = dice.randrange(len(lines))
    key, equals, _ = lines[at].partition(b" = ")
    if lines[at].startswith(b"{"):
        changed = _inside_json(dice, lines[at], seeds)
        assert changed is not None
    elif equals:
        changed = key + equals + json.dumps(dice.choice(VALUES)).encode()
    else:
        return None
    return b"\n".join([*lines[:at], changed, *lines[at + dice.choice((0, 1, 1, 1)) :]])


def _places(content: Any) -> Iterator[tuple[Any, Any]]:
    """Every container of JSON content with each of its keys."""
    if isinstance(content, dict | list):
        for key in content if isinstance(content, dict) else range(len(content)):
            yield content, key
            yield from _places(content[key])


def _changed(dice: random.Random, content: Any) -> Any:
    """JSON content with one value replaced, removed, renamed, duplicated or swapped with another."""
    places = list(_places(content))
    value = nested(dice.choice((3, 200, 900))) if dice.random() < 0.05 else dice.choice(VALUES)
    if not places or dice.random() < 0.02:
        return value
    container, key = dice.choice(places)
    other, another = dice.choice(places)
    match dice.randrange(8):
        case 0:
            del container[key]
        case 1:
            container[key] = other[another]
        case 2 if isinstance(container, dict):
            container[dice.choice(("", "x", "v", "kind", str(another)))] = container.pop(key)
        case 3 if isinstance(container, list):
            container[key:key] = [container[key]] * dice.choice((1, 1, 1000))
        case 4:
            container[key] = [container[key]]
        case _:
            container[key] = value
    return content


def _inside_zip(dice: random.Random, data: bytes, seeds: Sequence[bytes]) -> bytes | None:
    """A change in the content, or in the name, of one entry, with all checksums right."""
    if not data.startswith(ZIP):
        return None
    written = io.BytesIO()
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = [(entry.filename, archive.read(entry)) for entry in archive.infolist()]
        at = dice.randrange(len(entries))
        name, content = entries[at]
        if dice.random() < 0.2:
            name = dice.choice(("../x", "/x", "", "a\0b", name + "/x", name[:-1], entries[0][0], "é" * 300))
        else:
            others = [content for _, content in entries]
            content = dice.choice(BYTE_CHANGES)(dice, content, dice.choice(others))[:MAX_BYTES]
        entries[at] = name, content
        method = dice.choice((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
        with zipfile.ZipFile(written, "w", method) as new:
            for name, content in entries:
                new.writestr(name, content)
    return written.getvalue()


def _inside_tar(dice: random.Random, data: bytes, seeds: Sequence[bytes]) -> bytes | None:
    """Another field in the header of an entry, with the checksum right."""
    if data[257:262] != b"ustar":
        return None
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        offset = dice.choice([entry.offset for entry in archive.getmembers()])
    header = bytearray(data[offset : offset + 512])
    start, length = dice.choice(((0, 100), (124, 12), (156, 1), (157, 100), (345, 155)))
    numbers = b"7" * 11, b"\x80" + b"\0" * 7 + b"\x7f" * 4, b"\xff" * 12
    text = dice.choice((b"../x", b"/x", b"2", b"5", b"x", b"L", b"S", *numbers, b""))
    header[start : start + length] = text[:length].ljust(length, b"\0")
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return data[:offset] + bytes(header) + data[offset + 512 :]


def _inside_gzip(dice: random.Random, data: bytes, seeds: Sequence[bytes]) -> bytes | None:
    if not data.startswith(GZIP):
        return None
    inner = gzip.decompress(data)
    return gzip.compress(damage(dice, inner, [inner])[:MAX_BYTES], 1)


def _inside_png(dice: random.Random, data: bytes, seeds: Sequence[bytes]) -> bytes | None:
    """A change in one chunk, with the checksum right."""
    if not data.startswith(PNG):
        return None
    chunks, at = [], len(PNG)
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    at = dice.randrange(len(chunks))
    kind, content = chunks[at]
    if kind == b"IDAT" and dice.random() < 0.5:
        content = zlib.compress(dice.choice(BYTE_CHANGES)(dice, zlib.decompress(content), b"")[:MAX_BYTES])
    else:
        content = dice.choice(BYTE_CHANGES)(dice, content, dice.choice(chunks)[1])[:MAX_BYTES]
    if dice.random() < 0.1:
        kind = dice.choice((b"tRNS", b"PLTE", b"eXIf", b"acTL", b"iCCP", b"tEXt"))
    chunks[at : at + dice.choice((0, 1, 1, 1))] = [(kind, content)]
    return PNG + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )
