"""Lists of labels in the forms that tutorials hand around."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from workbench.core.errors import UserError
from workbench.inference.labels import read_labels

WANTED = ("tench, Tinca tinca", "jack-o'-lantern", "caf\u00e9 [red]")


@pytest.mark.parametrize(
    "text",
    [
        "{0: 'tench, Tinca tinca',\n 1: \"jack-o'-lantern\",\n 2: 'caf\u00e9 [red]'}\n",
        "{\n0: 'tench, Tinca tinca',\n1: 'jack-o\\'-lantern',\n2: u'caf\u00e9 [red]',\n}",
        "1: \"jack-o'-lantern\",\n\n0: 'tench, Tinca tinca',\r\n2: 'caf\\u00e9 [red]'",
        "tench, Tinca tinca\njack-o'-lantern\ncaf\u00e9 [red]\n",
        "\ufefftench, Tinca tinca\r\njack-o'-lantern\r\n\r\ncaf\u00e9 [red]",
    ],
)
def test_a_line_of_a_dictionary_or_a_label(text: str, tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes(text.encode())
    assert read_labels(str(path)) == WANTED


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"{\n}\n", "is empty"),
        (b"\xff\xfe\x00", "not UTF-8 text"),
        (b"0: 'a',\n1: b,\n", r"line 2: expected INDEX: 'LABEL'"),
        (b"0: 'a',\n1: 'b' + 'c'\n", r"line 2: expected INDEX"),
        (b"0: 'a',\n0: 'b'\n", r"line 2: duplicate index 0"),
        (b"1: 'a',\n2: 'b'\n", r"has 2 labels, but none for index 0"),
        (b"0: 'a'\n" + b"x" * 5_000_000, "larger than 4 MB"),
    ],
)
def test_a_file_that_is_not_a_list_of_labels(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        read_labels(str(path))
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    with pytest.raises(UserError, match=r"gone\.txt can't be read"):
        read_labels(str(tmp_path / "gone.txt"))


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, str]]:
    folder = tmp_path / "served"
    folder.mkdir()
    monkeypatch.setenv("no_proxy", "*")
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_from_a_url_once_and_again_after_it_was_mended(served: tuple[Path, str]) -> None:
    folder, address = served
    path = folder / "labels"
    path.write_text("0: 'a',\n0: 'b'\n")
    with pytest.raises(UserError, match="duplicate index 0"):
        read_labels(f"{address}/labels")
    path.write_text("0: 'a',\n1: 'b'\n")
    assert read_labels(f"{address}/labels") == ("a", "b")
    path.unlink()
    assert read_labels(f"{address}/labels") == ("a", "b")
    with pytest.raises(UserError, match="http"):
        read_labels("file:///etc/passwd")
