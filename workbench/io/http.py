"""One request over http(s), read in a thread of its own: whoever waits for it can always turn away."""

from __future__ import annotations

import http.client
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

from workbench.core.errors import BadInput

_CHUNK = 1 << 16
_AHEAD = 32
"""Chunks that may have come before they are asked for."""
_LOOK_SECONDS = 0.2
"""How often it is asked, while nothing comes, whether to go on waiting."""
_ADDRESSES = 3
"""A host may have addresses that are dead before one that lives; each is tried for as long as silence may last."""
_UNREACHED = (urllib.error.URLError, http.client.HTTPException, OSError, UnicodeError)


class Lost(Exception):
    """The connection broke, or there was none; what came before is sound."""


class Refused(Exception):
    """The server answered that it doesn't send this: `code`, its words in the message, where else to look."""

    def __init__(self, code: int, words: str, location: str) -> None:
        super().__init__(words)
        self.code = code
        self.location = location


@dataclass(frozen=True)
class Answer:
    """The head of a response."""

    status: int
    headers: Mapping[str, str]


class Connection:
    """One GET under way, redirects followed within http(s). A context manager: left early, it is dropped.

    `silence` is how many seconds the server may send nothing; looking up its name and reaching it may take three
    times that.
    `go_on` is called while it is waited, several times a second; what it raises ends the waiting.
    """

    def __init__(
        self, url: str, headers: Mapping[str, str], silence: float, go_on: Callable[[], None]
    ) -> None:
        self._request = urllib.request.Request(_quoted(url), headers=dict(headers))
        self._silence = silence
        self._go_on = go_on
        self._came: queue.Queue[Answer | bytes | Exception] = queue.Queue(_AHEAD)
        self._left = threading.Event()
        # A daemon: a name server that never answers can't keep the process from ending.
        threading.Thread(target=self._run, name="fetch", daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._left.set()

    def answer(self) -> Answer:
        """The head of the response, once. Raises `Lost`, `Refused`, `BadInput` (led away from http)."""
        came = self._next()
        assert isinstance(came, Answer)
        return came

    def read(self) -> bytes:
        """What has come of the body since the last call, at least a byte; empty at its end. Raises `Lost`."""
        came = self._next()
        assert isinstance(came, bytes)
        return came

    def _next(self) -> Answer | bytes:
        until = time.monotonic() + self._silence * _ADDRESSES
        while True:
            self._go_on()
            try:
                came = self._came.get(timeout=min(_LOOK_SECONDS, self._silence))
            except queue.Empty:
                if time.monotonic() > until:
                    raise Lost("no answer in time") from None
                continue
            if isinstance(came, Exception):
                try:
                    raise came
                finally:
                    del came  # an exception whose frames hold it would keep what they hold open
            return came

    def _run(self) -> None:
        try:
            with _opener().open(self._request, timeout=self._silence) as response:
                self._give(Answer(response.status, response.headers))
                while not self._left.is_set():
                    chunk: bytes = response.read1(_CHUNK)
                    self._give(chunk)
                    if not chunk:
                        return
        except urllib.error.HTTPError as error:
            with error:
                words = " ".join(str(error.reason).split())
                self._give(Refused(error.code, words, error.headers.get("Location", "")))
        except BadInput as error:
            self._give(error)
        except _UNREACHED as error:
            self._give(Lost(_reason(error)))
        except Exception as error:  # anything else must end the waiting too
            self._give(error)

    def _give(self, came: Answer | bytes | Exception) -> None:
        while not self._left.is_set():
            try:
                self._came.put(came, timeout=_LOOK_SECONDS)
                return
            except queue.Full:
                continue


class _HttpOnly(urllib.request.HTTPRedirectHandler):
    """Follows redirects to http(s) only."""

    def redirect_request(self, *args: Any) -> urllib.request.Request | None:
        """The request that follows, if it goes to http(s). `args`: the old one, its answer, ..., the new address."""
        try:
            check_scheme(args[-1], f" (where {args[0].full_url} leads)")
        except BadInput:
            args[1].close()
            raise
        return super().redirect_request(*args)


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


def check_scheme(url: str, where: str = "") -> None:
    """Raise `BadInput` unless `url` is an http(s) address; `where` says how one came to it."""
    try:
        parts = urllib.parse.urlsplit(url)
        good = parts.scheme.lower() in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        good = False
    if not good or any(c.isspace() or not c.isprintable() for c in url):
        raise BadInput(f"{url!r}{where} is no address that is fetched: only http:// and https:// are")


def _quoted(url: str) -> str:
    """`url` with what may not stand in a request's line escaped (spaces are refused before)."""
    return urllib.parse.quote(url, safe=":/?#[]@!$&'()*+,;=%~", errors="surrogateescape")


def _reason(error: BaseException) -> str:
    inner = getattr(error, "reason", None) or error
    text = getattr(inner, "strerror", None) or str(inner) or type(inner).__name__
    return "no answer in time" if isinstance(inner, TimeoutError) else " ".join(str(text).split())[:120]
