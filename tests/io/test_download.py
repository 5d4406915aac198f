"""Fetching from a real server on this machine that misbehaves in every way that it can."""

from __future__ import annotations

import hashlib
import io
import os
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from PIL import Image

from workbench.core.errors import UserError
from workbench.core.progress import Cancelled
from workbench.io.download import PartFacts, download_file, download_image
from workbench.io.record_codec import write_record

BODY = os.urandom(300_000)


class Server(ThreadingHTTPServer):
    """Serves `body` under any path; `cut` bytes before it hangs up, once for each number in the list."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.body = BODY
        self.etag = '"one"'
        self.ranges = True
        self.cut = []
        self.redirect = ""
        self.endless = False
        self.silent_after = None
        self.status = 0
        self.requests = []
        self.asked = threading.Event()
        self.gate = threading.Event()
        self.gate.set()

    def url(self, name="file.bin"):
        return f"http://127.0.0.1:{self.server_port}/{name}"


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        server = self.server
        server.requests.append(dict(self.headers))
        server.asked.set()
        server.gate.wait(10)
        if server.redirect and "end" not in self.path:
            self.send_response(302)
            self.send_header("Location", server.redirect)
            self.end_headers()
            return
        if server.status:
            self.send_error(server.status)
            return
        start = 0
        wanted = self.headers.get("Range")
        if wanted and server.ranges and self.headers.get("If-Range") == server.etag:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(server.body):
                self.send_error(416)
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(server.body) - 1}/{len(server.body)}")
        else:
            self.send_response(200)
        if server.etag:
            self.send_header("ETag", server.etag)
        if not server.endless:
            self.send_header("Content-Length", str(len(server.body) - start))
        self.end_headers()
        self._send(server, server.body[start:])

    def _send(self, server, body):
        try:
            while server.endless:
                self.wfile.write(b"x" * 10_000)
            if server.silent_after is not None:
                self.wfile.write(body[: server.silent_after])
                server.asked.clear()
                server.asked.wait(20)
                return
            self.wfile.write(body[: server.cut.pop(0)] if server.cut else body)
        except OSError:
            pass


@pytest.fixture
def server():
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.gate.set()
        server.asked.set()
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def test_a_file_comes_whole_with_its_progress(server, tmp_path):
    updates = []
    to = download_file(
        server.url(), tmp_path / "new" / "f", sha256=hashlib.sha256(BODY).hexdigest(), progress=updates.append
    )
    assert to.read_bytes() == BODY
    assert names(tmp_path / "new") == ["f"]
    assert (updates[-1].done, updates[-1].total, updates[-1].unit) == (len(BODY), len(BODY), "bytes")


def test_a_broken_connection_is_taken_up_where_it_broke(server, tmp_path):
    server.cut = [100_000, 50_000]
    assert download_file(server.url(), tmp_path / "f").read_bytes() == BODY
    assert [r.get("Range") for r in server.requests] == [None, "bytes=100000-", "bytes=150000-"]


def test_a_later_call_continues_after_a_cancelled_one(server, tmp_path):
    seen = []
    with pytest.raises(Cancelled):
        download_file(server.url(), tmp_path / "f", progress=seen.append, cancelled=lambda: bool(seen))
    assert not (tmp_path / "f").exists()
    assert download_file(server.url(), tmp_path / "f").read_bytes() == BODY
    assert server.requests[-1]["Range"] == f"bytes={seen[-1].done}-"


@pytest.mark.parametrize("change", ["ranges", "etag", "none"])
def test_a_download_restarts_where_it_cannot_continue(server, tmp_path, change):
    server.cut = [100_000]
    if change == "none":
        server.etag = ""
    seen = []
    with pytest.raises(Cancelled):
        download_file(server.url(), tmp_path / "f", progress=seen.append, cancelled=lambda: bool(seen))
    server.cut = []
    if change == "ranges":
        server.ranges = False
    elif change == "etag":
        server.etag, server.body = '"two"', os.urandom(200_000)
    assert download_file(server.url(), tmp_path / "f").read_bytes() == server.body
    assert names(tmp_path) == ["f"]


def test_a_part_file_that_is_already_complete_is_downloaded_again(server, tmp_path):
    (tmp_path / "f.part").write_bytes(BODY + b"more")
    write_record(tmp_path / "f.part.json", PartFacts(url=server.url(), validator=server.etag))
    assert download_file(server.url(), tmp_path / "f").read_bytes() == BODY
    assert [r.get("Range") for r in server.requests] == [f"bytes={len(BODY) + 4}-", None]


def test_the_start_of_one_address_is_not_gone_on_with_from_another(server, tmp_path):
    (tmp_path / "f.part").write_bytes(b"x" * 1000)
    write_record(tmp_path / "f.part.json", PartFacts(url=server.url("elsewhere"), validator=server.etag))
    assert download_file(server.url(), tmp_path / "f").read_bytes() == BODY


@pytest.mark.parametrize("kind", ["sha256", "md5"])
def test_a_wrong_checksum_is_refused_and_forgotten(server, tmp_path, kind):
    with pytest.raises(UserError, match=rf"not the expected file \(its {kind}"):
        download_file(server.url(), tmp_path / "f", **{kind: "0" * 32})
    assert names(tmp_path) == []


@pytest.mark.parametrize("endless", [True, False])
def test_too_large_a_file_is_given_up(server, tmp_path, endless):
    server.endless = endless
    with pytest.raises(UserError, match="too large"):
        download_file(server.url(), tmp_path / "f", max_bytes=100_000)
    assert names(tmp_path) == []


def test_a_file_that_never_ends_is_aborted(server, tmp_path):
    server.endless = True
    with pytest.raises(UserError, match="too long"):
        download_file(server.url(), tmp_path / "f", total_seconds=0.2)
    assert names(tmp_path) == []


@pytest.fixture(params=["before the head", "after the head", "within the body"])
def silent(request, server):
    """A server that stops sending at some point."""
    if request.param == "before the head":
        server.gate.clear()
    else:
        server.silent_after = 0 if request.param == "after the head" else 1000
    return server


def test_a_silent_server_does_not_keep_one_from_leaving(silent, tmp_path):
    start = time.monotonic()
    with pytest.raises(Cancelled):
        download_file(silent.url(), tmp_path / "f", cancelled=lambda: time.monotonic() > start + 0.3)
    assert time.monotonic() - start < 1.3


def test_a_silent_server_times_out(silent, tmp_path):
    start = time.monotonic()
    with pytest.raises(UserError, match="did not respond in time"):
        download_file(silent.url(), tmp_path / "f", timeout=0.3)
    assert time.monotonic() - start < 5


def test_a_silent_name_server_times_out(tmp_path, monkeypatch):
    answered = threading.Event()

    def look_up(*_, **__):
        answered.wait(20)
        raise OSError("no such name")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with pytest.raises(UserError, match="did not respond in time"):
        download_file("http://nowhere.invalid/f", tmp_path / "f", timeout=0.1)
    answered.set()


def test_a_silent_server_does_not_outlast_the_whole_time(silent, tmp_path):
    with pytest.raises(UserError, match="too long"):
        download_file(silent.url(), tmp_path / "f", total_seconds=0.3)
    assert names(tmp_path) == []


def test_a_cancelled_download_leaves_no_thread(server, tmp_path):
    server.endless = True
    seen = []
    with pytest.raises(Cancelled):
        download_file(server.url(), tmp_path / "f", progress=seen.append, cancelled=lambda: bool(seen))
    for thread in threading.enumerate():
        if thread.name == "download":
            thread.join(5)
            assert not thread.is_alive()


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:text/plain,x"])
def test_redirects_leave_http_for_nothing_else(server, tmp_path, target):
    server.redirect = target
    with pytest.raises(UserError, match="valid http"):
        download_file(server.url(), tmp_path / "f")
    assert names(tmp_path) == []


def test_redirects_within_http_are_followed(server, tmp_path):
    server.redirect = server.url("end")
    assert download_file(server.url(), tmp_path / "f").read_bytes() == BODY


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://a/b", "/etc/passwd", "http:///x", "http://a/ b", "x\n"]
)
def test_only_http_is_fetched(tmp_path, url):
    with pytest.raises(UserError, match="valid http") as error:
        download_file(url, tmp_path / "f")
    assert "\n" not in str(error.value)


def test_an_unreachable_server_is_reported_with_the_target_path(tmp_path, server):
    dead = Server()
    dead.server_close()
    with pytest.raises(UserError) as error:
        download_file(dead.url("data.tgz"), tmp_path / "f")
    assert dead.url("data.tgz") in str(error.value)
    assert str(tmp_path / "f") in str(error.value)
    assert "\n" not in str(error.value)
    assert download_file([dead.url(), server.url()], tmp_path / "f").read_bytes() == BODY


def test_an_error_status_is_reported(server, tmp_path):
    server.status = 404
    with pytest.raises(UserError, match="404"):
        download_file(server.url(), tmp_path / "f")


def test_two_at_once_fetch_it_once(server, tmp_path):
    server.gate.clear()
    first = threading.Thread(target=download_file, args=(server.url(), tmp_path / "f"))
    first.start()
    assert server.asked.wait(10)
    waited = []

    def second_waits(progress):
        waited.append(progress.what)
        server.gate.set()

    download_file(server.url(), tmp_path / "f", progress=second_waits)
    first.join()
    assert (tmp_path / "f").read_bytes() == BODY
    assert set(waited) == {"waiting for f"}
    assert len(server.requests) == 1
    assert names(tmp_path) == ["f"]


def test_a_folder_that_is_not_writable_is_an_error(server, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="can't write"):
        download_file(server.url(), tmp_path / "file" / "f")


def test_an_image_is_recognized_by_its_content_and_cached(server, tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path))
    file = io.BytesIO()
    Image.new("RGB", (4, 4)).save(file, "PNG")
    server.body = file.getvalue()
    path = download_image(server.url("photo"))
    assert path.read_bytes() == server.body
    assert download_image(server.url("photo")) == path
    assert len(server.requests) == 1


def test_a_download_that_is_not_an_image_is_deleted(server, tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path))
    server.body = b"<html>no image</html>"
    with pytest.raises(UserError, match=r"photo\.jpg is not an image"):
        download_image(server.url("photo.jpg"))
    assert names(tmp_path / "cache" / "fetched") == []
