"""One HTTP(S) request, read in a thread of its own, so that waiting for it can be interrupted at any time."""

from __future__ import annotations

import http.client
import os
import queue
import ssl
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from workbench.core.errors import UserError

_CHUNK = 1 << 16
_QUEUE_CHUNKS = 32
"""Chunks that are read ahead."""
_POLL_SECONDS = 0.2
"""Interval between two calls of `check_continue` while no data arrives."""
_MAX_ADDRESSES = 3
"""A host may have several addresses of which the first are dead; each is tried for the whole timeout."""
_CONNECTION_ERRORS = (urllib.error.URLError, http.client.HTTPException, OSError, UnicodeError)


class ConnectionLost(Exception):
    """The connection broke or could not be established; data received before is valid."""


class HTTPStatusError(Exception):
    """The server answered with an error or redirect status; the message is its reason phrase."""

    def __init__(self, status: int, reason: str, location: str) -> None:
        super().__init__(reason)
        self.status = status
        self.location = location
        """The `Location` header; empty if there is none."""


@dataclass(frozen=True)
class ResponseHead:
    """Status and headers of a response."""

    status: int
    headers: Mapping[str, str]


class Connection:
    """A GET request in progress; redirects are followed within http(s). A context manager: leaving it closes it.

    `silence_timeout` is how many seconds the server may send nothing; looking up its name and connecting may take
    three times as long. `check_continue` is called several times a second while waiting; an exception it raises
    ends the wait.
    """

    def __init__(
        self, url: str, headers: Mapping[str, str], silence_timeout: float, check_continue: Callable[[], None]
    ) -> None:
        self._request = urllib.request.Request(_quote(url), headers=dict(headers))
        self._silence_timeout = silence_timeout
        self._check_continue = check_continue
        self._received: queue.Queue[ResponseHead | bytes | Exception] = queue.Queue(_QUEUE_CHUNKS)
        self._closed = threading.Event()
        # A daemon: a name server that never answers can't keep the process from ending.
        threading.Thread(target=self._run, name="download", daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()

    def head(self) -> ResponseHead:
        """The head of the response; call it once, first.

        Raises `ConnectionLost`, `HTTPStatusError`, or `UserError` for a redirect away from http(s).
        """
        head = self._next()
        assert isinstance(head, ResponseHead)
        return head

    def read(self) -> bytes:
        """The next bytes of the body, at least one; empty at its end. Raises `ConnectionLost`."""
        chunk = self._next()
        assert isinstance(chunk, bytes)
        return chunk

    def _next(self) -> ResponseHead | bytes:
        deadline = time.monotonic() + self._silence_timeout * _MAX_ADDRESSES
        while True:
            self._check_continue()
            try:
                item = self._received.get(timeout=min(_POLL_SECONDS, self._silence_timeout))
            except queue.Empty:
                if time.monotonic() > deadline:
                    raise ConnectionLost("the server did not respond in time") from None
                continue
            if isinstance(item, Exception):
                try:
                    raise item
                finally:
                    del (
                        item
                    )  # a reference cycle through its traceback would keep the files of its frames open
            return item

    def _run(self) -> None:
        try:
            with _opener().open(self._request, timeout=self._silence_timeout) as response:
                self._enqueue(ResponseHead(response.status, response.headers))
                while not self._closed.is_set():
                    chunk: bytes = response.read1(_CHUNK)
                    self._enqueue(chunk)
                    if not chunk:
                        return
        except urllib.error.HTTPError as error:
            with error:
                reason = " ".join(str(error.reason).split())
                self._enqueue(HTTPStatusError(error.code, reason, error.headers.get("Location", "")))
        except UserError as error:
            self._enqueue(error)
        except _CONNECTION_ERRORS as error:
            self._enqueue(ConnectionLost(_failure_reason(error) + _proxy_note(self._request.full_url)))
        except Exception as error:  # any other error must end the wait as well
            self._enqueue(error)

    def _enqueue(self, item: ResponseHead | bytes | Exception) -> None:
        while not self._closed.is_set():
            try:
                self._received.put(item, timeout=_POLL_SECONDS)
                return
            except queue.Full:
                continue


class _HttpOnlyRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to http(s) only."""

    def redirect_request(self, *args: Any) -> urllib.request.Request | None:
        """The redirected request. `args`: the old request, its response, …, the new URL. Raises `UserError`."""
        try:
            check_scheme(args[-1], f" (redirected from {args[0].full_url})")
        except UserError:
            args[1].close()
            raise
        return super().redirect_request(*args)


def _opener() -> urllib.request.OpenerDirector:
    """An opener for http and https only: no file, ftp or data URLs."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(context=ssl.create_default_context()),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _HttpOnlyRedirects(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener


def check_scheme(url: str, origin: str = "") -> None:
    """Raise `UserError` unless `url` is a valid http(s) URL; `origin` is put behind it in the message."""
    try:
        parts = urllib.parse.urlsplit(url)
        valid = parts.scheme.lower() in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        valid = False
    if not valid or any(c.isspace() or not c.isprintable() for c in url):
        raise UserError(f"{url!r}{origin} is not a valid http:// or https:// URL")


def _quote(url: str) -> str:
    """`url` with the characters that a request line must not contain escaped (spaces were rejected before)."""
    return urllib.parse.quote(url, safe=":/?#[]@!$&'()*+,;=%~", errors="surrogateescape")


def _proxy_note(url: str) -> str:
    """Names the variable of the proxy that a request went through, since its error may be the proxy's."""
    scheme = urllib.parse.urlsplit(url).scheme
    host = urllib.parse.urlsplit(url).hostname or ""
    proxy = urllib.request.getproxies().get(scheme)
    if not proxy or urllib.request.proxy_bypass(host):
        return ""
    names = (f"{scheme}_proxy", f"{scheme}_proxy".upper())
    name = next((name for name in names if os.environ.get(name)), "the system's settings")
    return f"; through the proxy of {name}"


def _failure_reason(error: BaseException) -> str:
    inner = getattr(error, "reason", None) or error
    text = getattr(inner, "strerror", None) or str(inner) or type(inner).__name__
    if isinstance(inner, TimeoutError):
        return "the server did not respond in time"
    return " ".join(str(text).split())[:120]
