"""However a file of JSON lines grows, and whatever is in it: its readers get the same records, and count the rest.

Records of every type come back as they were written; what is damaged of one costs that part alone.
"""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from workbench.core.progress import Progress
from workbench.datasets.input_record import StepArgument
from workbench.io.record_codec import convert, decode, encode, to_json
from workbench.runs import journal, metrics, records
from workbench.runs import reader as readers
from workbench.runs.journal import SettingValue
from workbench.runs.metrics import EvaluationFile, EvaluationRow, MetricLine, StepRow
from workbench.runs.reader import JsonlReader
from workbench.ui.services.last_visit import LastVisit

INTEGERS = st.integers(-(2**63), 2**64 - 1)
TEXT = st.text(max_size=6) | st.binary(max_size=4).map(os.fsdecode)
"""File names that are not UTF-8 as well."""
FINITE = st.floats(allow_nan=False, allow_infinity=False)
SCALARS = {
    int: INTEGERS,
    float: st.floats(),
    str: TEXT,
    bool: st.booleans(),
    NoneType: st.none(),
    Progress: st.builds(
        Progress, TEXT, INTEGERS, st.none() | INTEGERS, st.sampled_from(["bytes", "batches"])
    ),
}


def values(type: Any) -> st.SearchStrategy[Any]:
    """Values of a field's type."""
    origin, arguments = get_origin(type), get_args(type)
    if type in SCALARS:
        return SCALARS[type]
    if type == SettingValue:
        return (
            st.none()
            | st.booleans()
            | INTEGERS
            | FINITE
            | st.text(max_size=6)
            | st.lists(INTEGERS, max_size=2)
        )
    if type == StepArgument:
        return st.booleans() | INTEGERS | FINITE | TEXT
    if origin in {UnionType, Union}:
        return st.one_of([values(each) for each in arguments])
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin is tuple and arguments[1:] != (...,):
        return st.tuples(*map(values, arguments))
    if origin is tuple:
        return st.lists(values(arguments[0]), max_size=2).map(tuple)
    if origin is dict:
        return st.dictionaries(values(arguments[0]), values(arguments[1]), max_size=2)
    return instances(type) if issubclass(type, msgspec.Struct) else st.sampled_from(type)


def instances(type: Any) -> st.SearchStrategy[Any]:
    """Records of a type, each field with its default or any value."""
    fields = {field.name: values(field.type) for field in msgspec.structs.fields(type)}
    needed = {field.name: fields.pop(field.name) for field in msgspec.structs.fields(type) if field.required}
    return st.fixed_dictionaries(needed, optional=fields).map(lambda given: type(**given))


TYPES = [
    records.Launch, records.Setup, records.Heartbeat, records.Exit, records.Notes, records.Manifest,
    records.RequestFile, *get_args(journal.JournalLine), *get_args(MetricLine), EvaluationFile,
    *get_args(metrics.Drawing), LastVisit,
]  # fmt: skip
FEWER = settings(max_examples=25)
"""For each of the types."""
EVERY_TYPE = pytest.mark.parametrize("type", TYPES, ids=lambda type: type.__name__)

NOTHING = [[{}]]
"""Of no field's type, and not in part either."""
ANYTHING = st.recursive(
    st.none() | st.booleans() | INTEGERS | FINITE | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=6,
)
"""JSON values."""


def is_list(field: msgspec.structs.FieldInfo) -> bool:
    """Whether a field holds any number of elements of one type."""
    return get_args(field.type)[1:] == (...,)


def left_of_element(field: msgspec.structs.FieldInfo) -> list[Any]:
    """What is left of a damaged element: a record that needs no field keeps its place."""
    element = get_args(field.type)[0]
    is_record = isinstance(element, type(msgspec.Struct))
    return [element()] if is_record and not any(f.required for f in msgspec.structs.fields(element)) else []


@EVERY_TYPE
@FEWER
@given(data=st.data())
def test_a_record_is_read_as_it_was_written(type: Any, data: st.DataObject) -> None:
    record = data.draw(instances(type))
    line = encode(record)
    assert b"\n" not in line
    assert repr(decode(line, type)) == repr(record)  # NaN is not equal to itself


@EVERY_TYPE
@FEWER
@given(data=st.data())
def test_a_damaged_field_costs_that_field_alone(type: Any, data: st.DataObject) -> None:
    record = data.draw(instances(type))
    field = data.draw(st.sampled_from([f for f in msgspec.structs.fields(type) if f.type != SettingValue]))
    found = convert({**to_json(record), field.encode_name: NOTHING}, type)
    if is_list(field):
        left = tuple(left_of_element(field))
        assert repr(found) == repr(msgspec.structs.replace(record, **{field.name: left}))
    elif field.required:
        assert found is None
    else:
        others = {name: getattr(record, name) for name in type.__struct_fields__ if name != field.name}
        assert repr(found) == repr(type(**others))


LISTS = [(type, field) for type in TYPES for field in msgspec.structs.fields(type) if is_list(field)]


@pytest.mark.parametrize(
    ("type", "field"), LISTS, ids=lambda each: getattr(each, "name", None) or each.__name__
)
@FEWER
@given(data=st.data())
def test_a_damaged_element_costs_that_element_alone(type: Any, field: Any, data: st.DataObject) -> None:
    record = data.draw(instances(type))
    content = to_json(record)
    elements, sound = content.setdefault(field.encode_name, []), list(getattr(record, field.name))
    place = data.draw(st.integers(0, len(sound)))
    elements.insert(place, NOTHING)
    sound[place:place] = left_of_element(field)
    assert repr(convert(content, type)) == repr(msgspec.structs.replace(record, **{field.name: tuple(sound)}))


@EVERY_TYPE
@FEWER
@given(data=st.data())
def test_every_record_read_is_valid(type: Any, data: st.DataObject) -> None:
    """What other fields and other types there are: the record that is left of it can be written and read."""
    fields = {field.encode_name: ANYTHING for field in msgspec.structs.fields(type)}
    config = type.__struct_config__
    tag = {} if config.tag is None else {config.tag_field: st.just(config.tag)}
    found = convert(data.draw(st.fixed_dictionaries(tag, optional=fields)), type)
    assert found is None or repr(decode(encode(found), type)) == repr(found)


@EVERY_TYPE
@FEWER
@given(line=st.binary(max_size=80))
@example(line=b"[" * 100_000)
@example(line=b'{"a":' * 100_000)
@example(line=b'{"kind":"evaluation","step":1,"model":' + b"[" * 100_000)
def test_any_line_is_a_record_or_none(type: Any, line: bytes) -> None:
    found = decode(line, type)
    assert found is None or isinstance(found, type)


LONGEST = 60
"""Of a line, in these tests."""
ROWS = st.builds(StepRow, step=st.integers(0, 99), loss=st.none() | FINITE) | st.builds(
    EvaluationRow, step=st.integers(0, 99), split=st.text(max_size=3)
)
LINES = st.one_of(
    ROWS.map(encode),
    ROWS.map(lambda row: encode(row)[:-1]),  # torn
    st.binary(max_size=12),
    st.integers(LONGEST - 2, 4 * LONGEST).map(lambda length: b"x" * length),
    st.integers(1, 4 * LONGEST).map(lambda length: b'{"kind":"step","step":1,"a":"' + b"x" * length + b'"}'),
    st.sampled_from([b"", b"[1]", b"7", b'"text"', b"{}", b"\xff\xfe", b"\xef\xbb\xbf{}", b"[" * 50]),
)
CONTENT = st.builds(
    lambda lines, rest: b"".join(line + b"\n" for line in lines) + rest, st.lists(LINES, max_size=8), LINES
)

LONG_ENOUGH = b'{"kind":"step","step":1,"a":"' + b"x" * (LONGEST - 31) + b'"}'
"""A record as long as one may be."""
BUDGETS = st.sampled_from([1, 2 * LONGEST, 20 * LONGEST])
"""Bytes that are read at a time."""

Reader = JsonlReader[MetricLine]


@pytest.fixture(autouse=True, scope="module")
def short_lines() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(readers, "MAX_LINE_BYTES", LONGEST)
        yield


def read_on(reader: Reader, budget: int) -> list[MetricLine]:
    """All that can be read now."""
    found, before = [], -1
    while reader.offset != before:
        before = reader.offset
        rows, afresh = reader.read(budget)
        assert not afresh
        found += rows
    return found


def following(read: Callable[[Reader, Path], list[MetricLine]]) -> tuple[list[MetricLine], int]:
    """What a reader of a new file finds, and how many lines it skipped."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "metrics.jsonl"
        path.touch()
        reader: Reader = JsonlReader(path, MetricLine)
        try:
            return read(reader, path), reader.skipped_lines
        finally:
            reader.close()


def at_once(content: bytes, budget: int) -> tuple[list[MetricLine], int]:
    def read(reader: Reader, path: Path) -> list[MetricLine]:
        path.write_bytes(content)
        return read_on(reader, budget)

    return following(read)


def in_parts(content: bytes, cuts: list[int], budget: int) -> tuple[list[MetricLine], int]:
    """The same, with a look after each part that was appended."""
    places = [0, *sorted(cut % (len(content) + 1) for cut in cuts), len(content)]

    def read(reader: Reader, path: Path) -> list[MetricLine]:
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
    found = [decode(line, MetricLine) for line in lines if len(line) <= LONGEST]  # type: ignore[arg-type]
    wanted = [record for record in found if record is not None]
    assert at_once(content, budget) == (wanted, len(lines) - len(wanted))


def test_a_record_may_be_as_long_as_the_longest_line() -> None:
    assert len(LONG_ENOUGH) == LONGEST
    assert at_once(LONG_ENOUGH + b"\n", 1) == ([StepRow(step=1)], 0)
