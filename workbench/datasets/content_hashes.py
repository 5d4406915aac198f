"""Hashes of the contents of many files, cached by path, size and modification time.

The content alone decides whether two copies of a dataset are the same; the cache only saves reading unchanged files.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from workbench.core import paths
from workbench.core.progress import (
    CancelCheck,
    Cancelled,
    Progress,
    ProgressCallback,
    ignore_progress,
    never_cancelled,
)
from workbench.io.atomic_files import write_bytes
from workbench.io.record_codec import Record, encode, read_record
from workbench.system.cpu import usable_cores

END_BYTES = 1 << 17
"""Of files longer than two of these, only so many bytes at each end are read, and their length."""
UNREADABLE = "-"
"""In place of the hash of a file that can't be read."""
_FRESH_NS = 2_000_000_000
"""A file this young may change again without another modification time: its hash is not cached."""
_BATCH = 512
_QUIET_SECONDS = 1.0


class CachedHash(Record, frozen=True, kw_only=True):
    """The hash of a file, and the facts that it holds for."""

    size: int
    modified_ns: int
    digest: str


class HashCache(Record, frozen=True, kw_only=True):
    """The hashes of the files of one dataset, by path."""

    root: str = ""
    """The folder of the files, for people who look into the cache."""
    files: dict[str, CachedHash] = {}


def content_hashes(
    root: Path,
    files: Sequence[tuple[str, int, int]],
    progress: ProgressCallback = ignore_progress,
    cancelled: CancelCheck = never_cancelled,
) -> list[str]:
    """A hash of each file below `root`, given as path, size and modification time (nanoseconds).

    BLAKE2b (128 bits, hex) of the content, for long files of both ends and the length. Raises `Cancelled`.
    """
    name = hashlib.sha256(os.fsencode(root)).hexdigest()[:40]
    cache_file = paths.caches() / "hashes" / f"{name}.json"
    cached = (read_record(cache_file, HashCache) or HashCache()).files
    hashes = [_cached_hash(cached.get(path), size, modified) for path, size, modified in files]
    missing = [index for index, digest in enumerate(hashes) if digest is None]
    start = time.monotonic()
    with ThreadPoolExecutor(usable_cores()) as pool:
        for first in range(0, len(missing), _BATCH):
            if cancelled():
                raise Cancelled
            batch = missing[first : first + _BATCH]
            for index, digest in zip(
                batch, pool.map(lambda i: hash_file(root / files[i][0]), batch), strict=True
            ):
                hashes[index] = digest
            if time.monotonic() - start > _QUIET_SECONDS:
                progress(
                    Progress(
                        "identifying images by their content", first + len(batch), len(missing), "images"
                    )
                )
    complete = [digest or UNREADABLE for digest in hashes]
    if missing:
        _write_cache(cache_file, root, files, complete)
    return complete


def _cached_hash(entry: CachedHash | None, size: int, modified_ns: int) -> str | None:
    same = entry is not None and (entry.size, entry.modified_ns) == (size, modified_ns)
    return entry.digest if same and entry is not None else None


def _write_cache(
    cache_file: Path, root: Path, files: Sequence[tuple[str, int, int]], hashes: Sequence[str]
) -> None:
    settled = time.time_ns() - _FRESH_NS
    entries = {
        path: CachedHash(size=size, modified_ns=modified, digest=digest)
        for (path, size, modified), digest in zip(files, hashes, strict=True)
        if modified < settled and digest != UNREADABLE
    }
    try:
        cache_file.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(cache_file, encode(HashCache(root=str(root), files=entries)))
    except OSError:
        pass  # without the cache the files are read again


def hash_file(path: Path) -> str:
    """The hash of one file; `UNREADABLE` if it can't be read."""
    digest = hashlib.blake2b(digest_size=16)
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            digest.update(file.read(2 * END_BYTES if size <= 2 * END_BYTES else END_BYTES))
            if size > 2 * END_BYTES:
                file.seek(-END_BYTES, os.SEEK_END)
                digest.update(file.read(END_BYTES))
            digest.update(str(size).encode())
    except OSError:
        return UNREADABLE
    return digest.hexdigest()
