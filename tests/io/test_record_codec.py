"""The JSON form of records, and what is left of damaged ones."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from workbench.io.record_codec import Record, convert, decode, encode, read_record, to_json, write_record


class Part(Record, frozen=True, kw_only=True):
    """An element whose fields all have defaults."""

    size: int = 0
    name: str = ""


class Named(Record, frozen=True, kw_only=True):
    """An element that needs a field."""

    name: str
    size: int = 0


class Whole(Record, frozen=True, kw_only=True):
    """A record with fields of every form."""

    ALWAYS_WRITTEN = ("count",)
    label: str = ""
    count: int = 1
    values: tuple[float, ...] = ()
    pair: tuple[int, str] = (0, "")
    parts: tuple[Part, ...] = ()
    by_name: dict[str, Named] = {}
    by_number: dict[int, float] = {}
    named: Named | None = None


def test_a_record_is_one_line_without_its_defaults() -> None:
    record = Whole(label="ä", values=(math.nan, math.inf, -math.inf, 1.5), by_name={"a": Named(name="x")})
    assert encode(record) == (
        '{"v":1,"label":"ä","values":["NaN","Infinity","-Infinity",1.5],'
        '"by_name":{"a":{"name":"x"}},"count":1}'.encode()
    )
    assert to_json(Whole(count=3)) == {"v": 1, "count": 3}


def test_a_name_that_is_not_utf_8_is_escaped() -> None:
    record = Whole(label="a\udcff")
    assert encode(record) == b'{"v":1,"label":"a\\udcff","count":1}'
    assert decode(encode(record), Whole) == record


def test_a_file_of_a_record_is_indented_ascii(tmp_path: Path) -> None:
    path, record = tmp_path / "record.json", Whole(label="ä", values=(math.nan,))
    write_record(path, record, durable=False)
    assert path.read_bytes() == (
        b'{\n "v": 1,\n "label": "\\u00e4",\n "values": [\n  "NaN"\n ],\n "count": 1\n}\n'
    )
    assert repr(read_record(path, Whole)) == repr(record)
    assert read_record(tmp_path / "missing.json", Whole) is None
    assert read_record(tmp_path, Whole) is None


@pytest.mark.parametrize("content", [None, 7, "text", [], [{"name": "x"}], {}, {"name": 7.5}, {"name": None}])
def test_content_without_a_needed_field_is_no_record(content: object) -> None:
    assert convert(content, Named) is None
    assert decode(json.dumps(content).encode(), Named) is None


@pytest.mark.parametrize(
    ("damaged", "left"),
    [
        ({"label": 5}, Whole()),
        ({"count": "3"}, Whole(count=3)),
        ({"count": 2**64 - 1}, Whole(count=2**64 - 1)),
        ({"count": -(2**63)}, Whole(count=-(2**63))),
        ({"count": 2**64, "label": "x"}, Whole(label="x")),
        ({"count": -(2**63) - 1, "label": "x"}, Whole(label="x")),
        ({"values": [10**30]}, Whole(values=(1e30,))),
        ({"values": [1, "x", "2.5", None]}, Whole(values=(1.0, 2.5))),
        ({"values": 7}, Whole()),
        ({"values": {"0": 7}}, Whole()),
        ({"pair": [1, "x"]}, Whole(pair=(1, "x"))),
        ({"pair": [[], "x"]}, Whole()),
        ({"pair": ["x"]}, Whole()),
        ({"parts": [{"size": 1}, [], {"size": "x", "name": "b"}]}, Whole(parts=(Part(size=1), Part(), Part(name="b")))),
        ({"by_name": {"a": {"name": "x", "size": []}, "b": {}, "c": 7}}, Whole(by_name={"a": Named(name="x")})),
        ({"by_name": []}, Whole()),
        ({"by_number": {"1": 2.5, "x": 3.5, "4": []}}, Whole(by_number={1: 2.5})),
        ({"named": {"name": "x", "size": "?"}}, Whole(named=Named(name="x"))),
        ({"named": {"size": 3}}, Whole()),
        ({"named": 3}, Whole()),
    ],
)  # fmt: skip
def test_only_the_damaged_part_of_a_record_is_lost(damaged: dict[str, object], left: Whole) -> None:
    content = {"unknown": 1, **damaged}
    assert convert(content, Whole) == decode(json.dumps(content).encode(), Whole) == left
