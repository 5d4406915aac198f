"""The one place that fetches URLs: http(s) only, checked, capped, resumable."""

from __future__ import annotations

import fcntl
import hashlib
import http.client
import os
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from workbench import paths
from workbench.errors import BadInput
from workbench.io import atomic
from workbench.io.pictures import open_picture
from workbench.io.progress import Cancelled, Interrupted, Progress, Report, never, silent

MAX_PICTURE_BYTES = 50_000_000
PICTURE_SECONDS = 60.0

_CHUNK = 1 << 16
_TRIES = 3
"""How often a connection that broke is taken up again before the next address is tried."""
_AGENT = "workbench (+urllib)"
_UNREACHED = (urllib.error.URLError, http.client.HTTPException, OSError, UnicodeError)


class _Lost(Exception):
    """The connection broke, or there was none; what has come so far is kept."""


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
        """What the server said of the file whose first bytes `part` holds."""
        return self.to.with_name(self.to.name + ".part.json")

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
    wrong checksum; `Interrupted` after `cancelled()` is true (what has come is kept).
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
    fetch(url, to, max_bytes=MAX_PICTURE_BYTES, timeout=15, total_seconds=PICTURE_SECONDS, progress=progress,
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
        _check_scheme(address)
        try:
            _download(address, wanted)
        except _Lost as lost:
            reasons.append(str(lost))
            continue
        _accept(address, wanted)
        return
    raise BadInput(
        f"{urls[0]} can't be fetched ({reasons[-1]}); fetch it elsewhere and put it at {wanted.to}"
    )


class _HttpOnly(urllib.request.HTTPRedirectHandler):
    """Follows redirects to http(s) only."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> Any:
        """The request that follows, if it goes to http(s). `args`: the old one, ..., the new address."""
        _check_scheme(args[-1], f" (where {args[0].full_url} leads)")
        return super().redirect_request(*args, **kwargs)


def _opener() -> urllib.request.OpenerDirector:
    """An opener that knows http and https and nothing else: no file, ftp or data."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(context=ssl.create_default_context()),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _HttpOnly(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener


def _check_scheme(url: str, where: str = "") -> None:
    try:
        parts = urllib.parse.urlsplit(url)
        good = parts.scheme.lower() in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        good = False
    if not good or any(c.isspace() or not c.isprintable() for c in url):
        raise BadInput(f"{url!r}{where} is no address that is fetched: only http:// and https:// are")


def _download(url: str, wanted: _Wanted) -> None:
    """Gather the whole file in `wanted.part`, taking a broken connection up again a few times."""
    for left in reversed(range(_TRIES)):
        before = _size(wanted.part)
        try:
            _attempt(url, wanted)
            return
        except _Lost:
            # A server that breaks off but gets further each time is worth coming back to.
            if not left or _size(wanted.part) <= before:
                raise


def _attempt(url: str, wanted: _Wanted) -> None:
    """One connection. Raises `_Lost` when it breaks before the end."""
    request, have = _request(url, wanted)
    try:
        response = _opener().open(request, timeout=wanted.timeout)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and have:
            wanted.give_up()
            _attempt(url, wanted)
            return
        if 300 <= error.code < 400:
            _check_scheme(error.headers.get("Location", ""), f" (where {url} leads)")
        raise _Lost(f"the server says {error.code} {' '.join(str(error.reason).split())}") from None
    except _UNREACHED as error:
        raise _Lost(_reason(error)) from None
    with response:
        _receive(response, url, wanted, have)


def _request(url: str, wanted: _Wanted) -> tuple[urllib.request.Request, int]:
    """A request for what is missing, and how many bytes are there; for all of it where nothing can vouch that
    the server's file is still the same."""
    have = _size(wanted.part)
    facts = atomic.read_json(wanted.facts) or {}
    headers = {"User-Agent": _AGENT, "Accept-Encoding": "identity"}
    validator = facts.get("validator") if facts.get("url") == url else None
    if have and validator:
        headers |= {"Range": f"bytes={have}-", "If-Range": validator}
    else:
        wanted.give_up()
        have = 0
    return urllib.request.Request(_quoted(url), headers=headers), have


def _receive(response: Any, url: str, wanted: _Wanted, have: int) -> None:
    """Write a response's body to the part file, from its start unless the server goes on where it ends."""
    if response.status != http.HTTPStatus.PARTIAL_CONTENT:
        have = 0
    elif not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
        wanted.give_up()
        raise _Lost("the server sent another part than was asked for")
    length = response.headers.get("Content-Length", "")
    total = have + int(length) if length.isdigit() else None
    if total is not None:
        _check_size(url, total, wanted)
    if not have:
        validator = response.headers.get("ETag") or response.headers.get("Last-Modified")
        strong = validator if validator and not validator.startswith("W/") else None
        atomic.write_json(wanted.facts, {"url": url, "validator": strong}, durable=False)
    with wanted.part.open("ab" if have else "wb") as file:
        done = have
        while chunk := _read(response, wanted):
            done += len(chunk)
            _check_size(url, done, wanted)
            file.write(chunk)
            wanted.progress(Progress(f"fetching {wanted.to.name}", done, total, "bytes"))
    if total is not None and done < total:
        raise _Lost(f"the connection broke after {done:,} of {total:,} bytes")


def _read(response: Any, wanted: _Wanted) -> bytes:
    if wanted.cancelled():
        raise Interrupted
    if wanted.deadline is not None and time.monotonic() > wanted.deadline:
        wanted.give_up()
        raise BadInput(f"{response.url} takes too long: it was given up")
    try:
        chunk: bytes = response.read1(_CHUNK)
    except _UNREACHED as error:
        raise _Lost(_reason(error)) from None
    return chunk


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
    atomic.sync_folder(wanted.to.parent)


def _digest(path: Path, kind: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(kind, usedforsecurity=False)).hexdigest()


def _quoted(url: str) -> str:
    """`url` with what may not stand in a request's line escaped (spaces are refused before)."""
    return urllib.parse.quote(url, safe=":/?#[]@!$&'()*+,;=%~", errors="surrogateescape")


def _reason(error: BaseException) -> str:
    inner = getattr(error, "reason", None) or error
    text = getattr(inner, "strerror", None) or str(inner) or type(inner).__name__
    return "no answer in time" if isinstance(inner, TimeoutError) else " ".join(str(text).split())[:120]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
