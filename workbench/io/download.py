"""The one place that fetches URLs: http(s) only, checked, capped, resumable."""

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
from workbench.core.errors import BadInput
from workbench.core.progress import Cancelled, Interrupted, Progress, Report, never, silent
from workbench.io import atomic_files
from workbench.io.http import Answer, Connection, Lost, Refused, check_scheme
from workbench.io.images import open_picture
from workbench.io.record_codec import Record, read_record, write_record

MAX_PICTURE_BYTES = 50_000_000
PICTURE_SECONDS = 60.0

_TRIES = 3
"""How often a connection that broke is taken up again before the next address is tried."""
_AGENT = "workbench (+urllib)"


class PartFacts(Record, frozen=True, kw_only=True):
    """What the server reported of the file whose first bytes are in `NAME.part`; kept in `NAME.part.json`."""

    url: str
    validator: str | None = None
    """A strong `ETag`, or `Last-Modified`; `None` where the server sends neither."""


@dataclass(frozen=True)
class _Wanted:
    """One file to fetch, and what it must be."""

    to: Path
    sha256: str | None
    md5: str | None
    max_bytes: int | None
    timeout: float
    deadline: float | None
    progress: Report
    cancelled: Cancelled

    @property
    def part(self) -> Path:
        """Where the bytes gather until they are all there."""
        return self.to.with_name(self.to.name + ".part")

    @property
    def facts(self) -> Path:
        """The file of `PartFacts`."""
        return self.to.with_name(self.to.name + ".part.json")

    def go_on(self, url: str) -> None:
        """Raise `Interrupted` once somebody asked for the end, `BadInput` when the time is over."""
        if self.cancelled():
            raise Interrupted
        if self.deadline is not None and time.monotonic() > self.deadline:
            self.give_up()
            raise BadInput(f"{url} takes too long: it was given up")

    def give_up(self) -> None:
        """Forget what has come so far."""
        self.part.unlink(missing_ok=True)
        self.facts.unlink(missing_ok=True)


def fetch(
    url: str | Sequence[str],
    to: Path,
    *,
    sha256: str | None = None,
    md5: str | None = None,
    max_bytes: int | None = None,
    timeout: float = 30.0,
    total_seconds: float | None = None,
    progress: Report = silent,
    cancelled: Cancelled = never,
) -> Path:
    """Fetch a file from the first of its addresses that answers, to `to` (returned).

    Bytes gather in `to` + ".part"; a later call goes on where they end if the server still has the same file,
    else from the start. `sha256` and `md5` (hex; the start of a SHA-256 will do) are checked before the file
    takes its name. `timeout` is how many seconds a server may be silent, `total_seconds` bounds the whole.

    Raises `BadInput` with one line: no network (naming what to put where by hand), no http(s), too large, a
    wrong checksum; `Interrupted` within a second after `cancelled()` is true (what has come is kept), be the
    server as silent as it likes.
    """
    urls = [url] if isinstance(url, str) else list(url)
    deadline = None if total_seconds is None else time.monotonic() + total_seconds
    wanted = _Wanted(to, sha256, md5, max_bytes, timeout, deadline, progress, cancelled)
    try:
        with alone(to, progress, cancelled) as first:
            if first or not to.exists():
                _from_any(urls, wanted)
    except OSError as error:
        raise BadInput(f"{to} can't be written: {error.strerror or error}") from None
    return to


def fetch_picture(url: str, progress: Report = silent, cancelled: Cancelled = never) -> Path:
    """The picture at a URL, kept in `paths.fetched_cache()`; fetched once. What it is comes from its content.

    Raises `BadInput`: no http(s), over 50 MB, over a minute, no picture.
    """
    to = paths.fetched_cache() / hashlib.sha256(url.encode("utf-8", "surrogateescape")).hexdigest()[:32]
    if to.exists():
        return to
    what = f"fetching {url.partition('?')[0].rstrip('/').rpartition('/')[2]}"

    def report(told: Progress) -> None:
        progress(replace(told, what=what))  # the name it is kept by says nothing

    fetch(url, to, max_bytes=MAX_PICTURE_BYTES, timeout=15, total_seconds=PICTURE_SECONDS, progress=report,
          cancelled=cancelled)  # fmt: skip
    try:
        open_picture(to)
    except BadInput as error:
        to.unlink(missing_ok=True)
        raise BadInput(
            f"{url} is no picture that can be opened: {str(error).removeprefix(f'{to} ')}"
        ) from None
    return to


@contextmanager
def alone(path: Path, progress: Report, cancelled: Cancelled) -> Iterator[bool]:
    """Keep others of us from making the same file or folder at the same time.

    Waits until they are through, and gives `False` then: what is wanted may be there now. Raises `Interrupted`.
    """
    lock = path.with_name(f".{path.name}.lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    first = True
    while (file := _locked(lock)) is None:
        first = False
        progress(Progress(f"waiting for {path.name}", 0, None, "bytes"))
        if cancelled():
            raise Interrupted
        time.sleep(0.1)
    with file:
        try:
            yield first
        finally:
            lock.unlink(missing_ok=True)


def _locked(lock: Path) -> IO[bytes] | None:
    """The lock's file, held until it is closed; `None` while somebody else holds it."""
    file = lock.open("wb")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Whoever held it before has removed its name: another file may bear it by now.
        if os.path.samestat(os.fstat(file.fileno()), lock.stat()):
            return file
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError:
        return file  # a file system without locks: the checksum will tell
    file.close()
    return None


def _from_any(urls: Sequence[str], wanted: _Wanted) -> None:
    reasons = []
    for address in urls:
        check_scheme(address)
        try:
            _download(address, wanted)
        except Lost as lost:
            reasons.append(str(lost))
            continue
        _accept(address, wanted)
        return
    raise BadInput(
        f"{urls[0]} can't be fetched ({reasons[-1]}); fetch it elsewhere and put it at {wanted.to}"
    )


def _download(url: str, wanted: _Wanted) -> None:
    """Gather the whole file in `wanted.part`, taking a broken connection up again a few times."""
    for left in reversed(range(_TRIES)):
        before = _size(wanted.part)
        try:
            _attempt(url, wanted)
            return
        except Lost:
            # A server that breaks off but gets further each time is worth coming back to.
            if not left or _size(wanted.part) <= before:
                raise


def _attempt(url: str, wanted: _Wanted) -> None:
    """One connection. Raises `Lost` when it breaks before the end."""
    headers, have = _asked(url, wanted)
    try:
        with Connection(url, headers, wanted.timeout, lambda: wanted.go_on(url)) as connection:
            _receive(connection, url, wanted, have)
    except Refused as refused:
        if refused.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and have:
            wanted.give_up()
            _attempt(url, wanted)
            return
        if 300 <= refused.code < 400:
            check_scheme(refused.location, f" (where {url} leads)")
        raise Lost(f"the server says {refused.code} {refused}") from None


def _asked(url: str, wanted: _Wanted) -> tuple[dict[str, str], int]:
    """The headers that ask for what is missing, and how many bytes are there; for all of it where nothing can
    vouch that the server's file is still the same."""
    have = _size(wanted.part)
    facts = read_record(wanted.facts, PartFacts)
    headers = {"User-Agent": _AGENT, "Accept-Encoding": "identity"}
    validator = facts.validator if facts and facts.url == url else None
    if have and validator:
        return headers | {"Range": f"bytes={have}-", "If-Range": validator}, have
    wanted.give_up()
    return headers, 0


def _receive(connection: Connection, url: str, wanted: _Wanted, have: int) -> None:
    """Write a response's body to the part file, from its start unless the server goes on where it ends."""
    answer = connection.answer()
    if answer.status != http.HTTPStatus.PARTIAL_CONTENT:
        have = 0
    elif not answer.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
        wanted.give_up()
        raise Lost("the server sent another part than was asked for")
    length = answer.headers.get("Content-Length", "")
    total = have + int(length) if length.isdigit() else None
    if total is not None:
        _check_size(url, total, wanted)
    if not have:
        _remember(url, answer, wanted)
    with wanted.part.open("ab" if have else "wb") as file:
        done = have
        while chunk := connection.read():
            done += len(chunk)
            _check_size(url, done, wanted)
            file.write(chunk)
            wanted.progress(Progress(f"fetching {wanted.to.name}", done, total, "bytes"))
    if total is not None and done < total:
        raise Lost(f"the connection broke after {done:,} of {total:,} bytes")


def _remember(url: str, answer: Answer, wanted: _Wanted) -> None:
    """Keep what tells later whether the server's file is still the one whose start is there."""
    validator = answer.headers.get("ETag") or answer.headers.get("Last-Modified")
    strong = validator if validator and not validator.startswith("W/") else None
    write_record(wanted.facts, PartFacts(url=url, validator=strong), durable=False)


def _check_size(url: str, size: int, wanted: _Wanted) -> None:
    if wanted.max_bytes is not None and size > wanted.max_bytes:
        wanted.give_up()
        raise BadInput(f"{url} is too large: more than {wanted.max_bytes / 1e6:,.0f} MB")


def _accept(url: str, wanted: _Wanted) -> None:
    """Check what has come, and give it its name."""
    for kind, expected in (("sha256", wanted.sha256), ("md5", wanted.md5)):
        if expected and not _digest(wanted.part, kind).startswith(expected.lower()):
            wanted.give_up()
            raise BadInput(
                f"what {url} sent is not the file that is wanted ({kind} is not {expected}): try again later, "
                f"or put the right one at {wanted.to}"
            )
    with wanted.part.open("rb") as file:
        os.fsync(file.fileno())
    wanted.part.replace(wanted.to)
    wanted.facts.unlink(missing_ok=True)
    atomic_files.sync_folder(wanted.to.parent)


def _digest(path: Path, kind: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(kind, usedforsecurity=False)).hexdigest()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
