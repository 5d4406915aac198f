"""Lists of labels in the forms that tutorials hand around."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.file_server import serving
from workbench.core.errors import UserError
from workbench.inference.labels import labels_for_outputs, read_labels

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


THREE = ("tench", "goldfish", "white shark")


@pytest.mark.parametrize(
    "text",
    [
        '["tench", "goldfish", "white shark"]',
        '{"0": "tench", "1": "goldfish", "2": "white shark"}',
        '{"2": "white shark", "0": "tench", "1": "goldfish"}',
        '{"0": ["n01440764", "tench"], "1": ["n01443537", "goldfish"], "2": ["n01484850", "white shark"]}',
        '[["n01440764", "tench"], ["n01443537", "goldfish"], ["n01484850", "white shark"]]',
        '{"tench": 0, "white shark": 2, "goldfish": 1}',
        '{"tench": "1", "white shark": "3", "goldfish": "2"}',
        '{"1": "tench", "2": "goldfish", "3": "white shark"}',
        '{"labels": ["tench", "goldfish", "white shark"]}',
        '[{"id": 7, "name": "tench"}, {"name": "goldfish"}, {"name": "white shark"}]',
        "1: 'tench',\n2: 'goldfish',\n3: 'white shark'",
        "0 tench\n1 goldfish\n2 white shark\n",
        "1,tench\n2,goldfish\n3,white shark",
        "3. white shark\n1. tench\n2. goldfish",
        "n01440764 tench\nn01443537 goldfish\nn01484850 white shark",
    ],
)
def test_json_and_numbered_lists(text: str, tmp_path: Path) -> None:
    (tmp_path / "labels").write_text(text)
    assert read_labels(str(tmp_path / "labels")) == THREE


def test_names_that_are_numbers_stay_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "labels").write_text("7 up\n3 musketeers\n")
    assert read_labels(str(tmp_path / "labels")) == ("7 up", "3 musketeers")


def test_a_background_class_is_left_out_where_the_model_has_none() -> None:
    assert labels_for_outputs(("background", *THREE), 3, "alexnet") == THREE
    assert labels_for_outputs(("background", *THREE), 4, "alexnet") == ("background", *THREE)
    with pytest.raises(UserError, match=r"got 3 labels, but alexnet has 1,000 classes and needs as many"):
        labels_for_outputs(THREE, 1000, "alexnet")
    with pytest.raises(UserError, match=r"got 3 labels \(is the first or the last a background class\?\)"):
        labels_for_outputs(THREE, 2, "alexnet")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"{\n}\n", "is empty"),
        (b"\xff\xfe\x00", "not UTF-8 text"),
        (b"0: 'a',\n1: b,\n", r"line 2: expected INDEX: 'LABEL'"),
        (b"0: 'a',\n1: 'b' + 'c'\n", r"line 2: expected INDEX"),
        (b"0: 'a',\n0: 'b'\n", r"line 2: duplicate index 0"),
        (b"2: 'a',\n3: 'b'\n", r"has 2 labels, but none for index 1"),
        (b'{"0": "a", "2": "b"}', r"has 2 labels, but none for index 1"),
        (b'{"a": 0, "b": 0}', r"several names have the same index"),
        (b'{"a": 1.5}', r"is JSON, but not a list of labels"),
        (b"[1, 2]", r"is JSON, but not a list of labels"),
        (b"[]", r"is empty"),
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


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, str]]:
    folder = tmp_path / "served"
    folder.mkdir()
    monkeypatch.setenv("no_proxy", "*")
    with serving(folder) as address:
        yield folder, address


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
