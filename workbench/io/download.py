"""Downloads over http(s): resumable, limited in size and time, verified by checksum."""

from __future__ import annotations

import fcntl
import hashlib
import http
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from workbench.core import paths
from workbench.core.errors import UserError
from workbench.core.progress import (
    CancelCheck,
    Cancelled,
    Progress,
    ProgressCallback,
    ignore_progress,
    never_cancelled,
)
from workbench.io import atomic_files
from workbench.io.http import Connection, ConnectionLost, HTTPStatusError, ResponseHead, check_scheme
from workbench.io.images import open_image
from workbench.io.record_codec import Record, read_record, write_record

MAX_IMAGE_BYTES = 50_000_000
IMAGE_SECONDS = 60.0

_MAX_ATTEMPTS = 3
"""Connections per URL, as long as each one makes progress, before the next URL is tried."""
_AGENT = "workbench (+urllib)"


class DownloadError(UserError):
    """No URL of a file could be downloaded; `reason` is that of the last one."""

    def __init__(self, url: str, path: Path, reason: str) -> None:
        super().__init__(f"can't download {url} ({reason}); download it elsewhere and put it at {path}")
        self.reason = reason


class PartFacts(Record, frozen=True, kw_only=True):
    """What the server reported about the file whose first bytes are in `NAME.part`; stored in `NAME.part.json`."""

    url: str
    validator: str | None = None
    """A strong `ETag`, or `Last-Modified`; `None` if the server sends neither."""


@dataclass(frozen=True)
class _Download:
    """One file to download, its checksums and its limits."""

    path: Path
    sha256: str | None
    md5: str | None
    max_bytes: int | None
    timeout: float
    deadline: float | None
    progress: ProgressCallback
    cancelled: CancelCheck

    @property
    def part_path(self) -> Path:
        """The file that collects the bytes until the download is complete."""
        return self.path.with_name(self.path.name + ".part")

    @property
    def facts_path(self) -> Path:
        """The file with the `PartFacts`."""
        return self.path.with_name(self.path.name + ".part.json")

    def check_continue(self, url: str) -> None:
        """Raise `Cancelled` if the download was cancelled, `UserError` after its deadline."""
        if self.cancelled():
            raise Cancelled
        if self.deadline is not None and time.monotonic() > self.deadline:
            self.discard_partial()
            raise UserError(f"{url}: the download took too long and was aborted")

    def discard_partial(self) -> None:
        """Delete the bytes received so far."""
        self.part_path.unlink(missing_ok=True)
        self.facts_path.unlink(missing_ok=True)


def download_file(
    url: str | Sequence[str],
    path: Path,
    *,
    sha256: str | None = None,
    md5: str | None = None,
    max_bytes: int | None = None,
    timeout: float = 30.0,
    total_seconds: float | None = None,
    progress: ProgressCallback = ignore_progress,
    cancelled: CancelCheck = never_cancelled,
) -> Path:
    """Download a file to `path` from the first of its URLs that responds; returns `path`.

    The bytes are collected in `path` + ".part"; a later call continues there if the server still has the same file,
    else starts over. `sha256` and `md5` (hex; a prefix of the SHA-256 suffices) are verified before the file is
    renamed to `path`. `timeout` is how many seconds a server may be silent, `total_seconds` limits the whole download.

    Raises `UserError` with one line: no network (with instructions for a manual download), not an http(s) URL, too
    large, wrong checksum; `Cancelled` within a second once `cancelled()` is true, even while the server is silent
    (the bytes received are kept).
    """
    urls = [url] if isinstance(url, str) else list(url)
    deadline = None if total_seconds is None else time.monotonic() + total_seconds
    download = _Download(path, sha256, md5, max_bytes, timeout, deadline, progress, cancelled)
    try:
        with exclusive_lock(path, progress, cancelled) as first:
            if first or not path.exists():
                _download_from_any(urls, download)
    except OSError as error:
        raise UserError(f"can't write {path}: {error.strerror or error}") from None
    return path


def download_image(
    url: str, progress: ProgressCallback = ignore_progress, cancelled: CancelCheck = never_cancelled
) -> Path:
    """Download the image at a URL into `paths.download_cache()`, once; its format is detected from its content.

    Raises `UserError`: not an http(s) URL, over 50 MB, over a minute, not an image.
    """
    path = paths.download_cache() / hashlib.sha256(url.encode("utf-8", "surrogateescape")).hexdigest()[:32]
    if path.exists():
        return path
    label = f"downloading {url.partition('?')[0].rstrip('/').rpartition('/')[2]}"

    def report(update: Progress) -> None:
        progress(replace(update, what=label))  # the name in the cache is a hash

    download_file(url, path, max_bytes=MAX_IMAGE_BYTES, timeout=15, total_seconds=IMAGE_SECONDS, progress=report,
          cancelled=cancelled)  # fmt: skip
    try:
        open_image(path)
    except UserError as error:
        path.unlink(missing_ok=True)
        raise UserError(str(error).replace(str(path), url)) from None
    return path


@contextmanager
def exclusive_lock(path: Path, progress: ProgressCallback, cancelled: CancelCheck) -> Iterator[bool]:
    """Lock a file or folder that is about to be created, against other processes of this application.

    Waits for a process that holds the lock and then yields `False`: the file may exist by now. Raises `Cancelled`.
    """
    lock = path.with_name(f".{path.name}.lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    first = True
    while (file := _try_lock(lock)) is None:
        first = False
        progress(Progress(f"waiting for {path.name}", 0, None, "bytes"))
        if cancelled():
            raise Cancelled
        time.sleep(0.1)
    with file:
        try:
            yield first
        finally:
            lock.unlink(missing_ok=True)


def _try_lock(lock: Path) -> IO[bytes] | None:
    """The lock file, held until it is closed; `None` while another process holds it."""
    file = lock.open("wb")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # The previous holder has deleted its lock file: there may be a new one under the same name.
        if os.path.samestat(os.fstat(file.fileno()), lock.stat()):
            return file
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError:
        return file  # a file system without locks: the checksum detects concurrent writes
    file.close()
    return None


def _download_from_any(urls: Sequence[str], download: _Download) -> None:
    reasons = []
    for address in urls:
        check_scheme(address)
        try:
            _download_with_retries(address, download)
        except ConnectionLost as error:
            reasons.append(str(error))
            continue
        _verify_and_commit(address, download)
        return
    raise DownloadError(urls[0], download.path, reasons[-1])


def _download_with_retries(url: str, download: _Download) -> None:
    """Download the whole file to `download.part_path`, reconnecting a few times after a broken connection."""
    for left in reversed(range(_MAX_ATTEMPTS)):
        before = _file_size(download.part_path)
        try:
            _download_once(url, download)
            return
        except ConnectionLost:
            # Only a connection that made progress before it broke is worth another attempt.
            if not left or _file_size(download.part_path) <= before:
                raise


def _download_once(url: str, download: _Download) -> None:
    """One connection. Raises `ConnectionLost` if it breaks before the end."""
    headers, offset = _request_headers(url, download)
    try:
        with Connection(url, headers, download.timeout, lambda: download.check_continue(url)) as connection:
            _receive(connection, url, download, offset)
    except HTTPStatusError as error:
        if error.status == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and offset:
            download.discard_partial()
            _download_once(url, download)
            return
        if 300 <= error.status < 400:
            check_scheme(error.location, f" (redirected from {url})")
        raise ConnectionLost(f"HTTP {error.status} {error}") from None


def _request_headers(url: str, download: _Download) -> tuple[dict[str, str], int]:
    """The request headers, and the offset they ask for: 0 unless a validator confirms that the file is the same."""
    offset = _file_size(download.part_path)
    facts = read_record(download.facts_path, PartFacts)
    headers = {"User-Agent": _AGENT, "Accept-Encoding": "identity"}
    validator = facts.validator if facts and facts.url == url else None
    if offset and validator:
        return headers | {"Range": f"bytes={offset}-", "If-Range": validator}, offset
    download.discard_partial()
    return headers, 0


def _receive(connection: Connection, url: str, download: _Download, offset: int) -> None:
    """Write the response to the part file: appended if the server continues at `offset`, else from its start."""
    head = connection.head()
    if head.status != http.HTTPStatus.PARTIAL_CONTENT:
        offset = 0
    elif not head.headers.get("Content-Range", "").startswith(f"bytes {offset}-"):
        download.discard_partial()
        raise ConnectionLost("the server sent a different range than requested")
    length = head.headers.get("Content-Length", "")
    total = offset + int(length) if length.isdigit() else None
    if total is not None:
        _check_size(url, total, download)
    if not offset:
        _write_part_facts(url, head, download)
    with download.part_path.open("ab" if offset else "wb") as file:
        done = offset
        while chunk := connection.read():
            done += len(chunk)
            _check_size(url, done, download)
            file.write(chunk)
            download.progress(Progress(f"downloading {download.path.name}", done, total, "bytes"))
    if total is not None and done < total:
        raise ConnectionLost(f"the connection was lost after {done:,} of {total:,} bytes")


def _write_part_facts(url: str, head: ResponseHead, download: _Download) -> None:
    """Record what identifies the server's file, for a later request of its remaining bytes."""
    validator = head.headers.get("ETag") or head.headers.get("Last-Modified")
    strong = validator if validator and not validator.startswith("W/") else None
    write_record(download.facts_path, PartFacts(url=url, validator=strong), durable=False)


def _check_size(url: str, size: int, download: _Download) -> None:
    if download.max_bytes is not None and size > download.max_bytes:
        download.discard_partial()
        raise UserError(f"{url} is too large: over {download.max_bytes / 1e6:,.0f} MB")


def _verify_and_commit(url: str, download: _Download) -> None:
    """Verify the checksums of the downloaded file and rename it to its final name. Raises `UserError`."""
    for kind, expected in (("sha256", download.sha256), ("md5", download.md5)):
        if expected and not _digest(download.part_path, kind).startswith(expected.lower()):
            download.discard_partial()
            raise UserError(
                f"{url} is not the expected file (its {kind} is not {expected}): try again later, or put the "
                f"correct file at {download.path}"
            )
    with download.part_path.open("rb") as file:
        os.fsync(file.fileno())
    download.part_path.replace(download.path)
    download.facts_path.unlink(missing_ok=True)
    atomic_files.sync_folder(download.path.parent)


def _digest(path: Path, kind: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(kind, usedforsecurity=False)).hexdigest()


def _file_size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
