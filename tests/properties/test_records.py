"""However a file of JSON lines grows, and whatever is in it: its readers get the same records, and count the rest."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from workbench.runs import reader as readers
from workbench.runs.reader import LineReader
from workbench.runs.records import decode, encode

LONGEST = 60
"""Of a line, in these tests."""
FIGURES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=6)
)
RECORDS = st.dictionaries(st.text(max_size=4), FIGURES, max_size=3)
LINES = st.one_of(
    RECORDS.map(lambda record: encode(record)[:-1]),
    RECORDS.map(lambda record: encode(record)[:-2]),  # torn
    st.binary(max_size=12),
    st.integers(LONGEST - 2, 4 * LONGEST).map(lambda length: b"x" * length),
    st.integers(1, 4 * LONGEST).map(lambda length: b'{"a":"' + b"x" * length + b'"}'),
    st.sampled_from([b"", b"[1]", b"7", b'"text"', b"{}", b"\xff\xfe", b"\xef\xbb\xbf{}", b"[" * 50]),
)
CONTENT = st.builds(
    lambda lines, rest: b"".join(line + b"\n" for line in lines) + rest, st.lists(LINES, max_size=8), LINES
)

LONG_ENOUGH = b'{"a":"' + b"x" * (LONGEST - 8) + b'"}'
"""A record as long as one may be."""
BUDGETS = st.sampled_from([1, 2 * LONGEST, 20 * LONGEST])
"""Bytes that are read at a time."""


@pytest.fixture(autouse=True, scope="module")
def short_lines() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(readers, "LONGEST_LINE", LONGEST)
        yield


def read_on(reader: LineReader, budget: int) -> list[dict[str, Any]]:
    """All that can be read now."""
    found, before = [], -1
    while reader.offset != before:
        before = reader.offset
        records, afresh = reader.read(budget)
        assert not afresh
        found += records
    return found


def following(read: Callable[[LineReader, Path], list[dict[str, Any]]]) -> tuple[list[dict[str, Any]], int]:
    """What a reader of a new file finds, and how many lines it skipped."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "metrics.jsonl"
        path.touch()
        reader = LineReader(path)
        try:
            return read(reader, path), reader.skipped
        finally:
            reader.close()


def at_once(content: bytes, budget: int) -> tuple[list[dict[str, Any]], int]:
    def read(reader: LineReader, path: Path) -> list[dict[str, Any]]:
        path.write_bytes(content)
        return read_on(reader, budget)

    return following(read)


def in_parts(content: bytes, cuts: list[int], budget: int) -> tuple[list[dict[str, Any]], int]:
    """The same, with a look after each part that was appended."""
    places = [0, *sorted(cut % (len(content) + 1) for cut in cuts), len(content)]

    def read(reader: LineReader, path: Path) -> list[dict[str, Any]]:
        found = []
        for start, end in itertools.pairwise(places):
            with path.open("ab") as file:
                file.write(content[start:end])
            found += read_on(reader, budget)
        return found

    return following(read)


@given(CONTENT, st.lists(st.integers(0, 2000), max_size=6), BUDGETS)
@example(LONG_ENOUGH + b"\n", [LONGEST], 1)
def test_a_file_that_grows_in_any_parts_has_the_same_records(
    content: bytes, cuts: list[int], budget: int
) -> None:
    assert in_parts(content, cuts, budget) == at_once(content, budget)


@given(CONTENT, BUDGETS)
@example(LONG_ENOUGH + b"\n" + LONG_ENOUGH + b" \n", 10 * LONGEST)
def test_whole_lines_are_records_or_counted(content: bytes, budget: int) -> None:
    lines = [line for line in content.split(b"\n")[:-1] if line]
    wanted = [record for line in lines if len(line) <= LONGEST and (record := decode(line)) is not None]
    assert at_once(content, budget) == (wanted, len(lines) - len(wanted))


@given(RECORDS)
def test_a_record_is_read_as_it_was_written(record: dict[str, Any]) -> None:
    line = encode(record)
    assert line.endswith(b"\n") and line.count(b"\n") == 1
    assert decode(line) == {"v": 1, **record}


@given(st.binary(max_size=80))
@example(b"[" * 100_000)
@example(b'{"a":' * 100_000)
def test_any_line_is_a_record_or_none(line: bytes) -> None:
    found = decode(line)
    assert found is None or isinstance(found, dict)
