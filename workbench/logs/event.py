"""One event of a TensorBoard file, decoded.

The messages: `event.proto`, `summary.proto` and `tensor.proto` in
https://github.com/tensorflow/tensorboard/tree/master/tensorboard/compat/proto
"""

from __future__ import annotations

import math
import re
import struct
from dataclasses import dataclass, field
from typing import NamedTuple

from workbench.logs.protobuf import (
    LENGTH,
    VARINT,
    Field,
    InvalidMessage,
    double,
    fields,
    read_varint,
    signed,
    text,
)

_FLOATS = {1: "f", 2: "d", 19: "e"}
_INTEGERS = {3: "i", 4: "B", 5: "h", 6: "b", 9: "q", 10: "?", 17: "H", 22: "I", 23: "Q"}
_CONTENT_TYPES = _FLOATS | _INTEGERS
"""The `struct` format of an element of `tensor_content`, by `DataType`; 14 is bfloat16."""
_BFLOAT16 = 14


class Span(NamedTuple):
    """Where something is in the payload."""

    start: int
    end: int


class Number(NamedTuple):
    """A scalar; where it is stored as a plain float or double, `offset` and `code` of `array` say how."""

    value: float
    offset: int = -1
    code: str = ""


@dataclass(slots=True)
class Tensor:
    """A `TensorProto`, as far as logs need it."""

    dtype: int = 0
    number: Number | None = None
    strings: list[Span] = field(default_factory=list)


@dataclass(slots=True)
class SummaryValue:
    """One value of a summary: of `number`, `tensor`, `image` and `histogram`, one is set."""

    tag: str = ""
    plugin: str | None = None
    plugin_content: Span | None = None
    number: Number | None = None
    tensor: Span | None = None
    image: Span | None = None
    histogram: Span | None = None


@dataclass(slots=True)
class Event:
    """An event; only its summary is decoded."""

    wall_time: float = math.nan
    wall_time_offset: int = -1
    step: int = 0
    step_span: Span | None = None
    values: list[SummaryValue] = field(default_factory=list)


_ONE_SCALAR = re.compile(
    rb"\x09([\s\S]{8})\x10([\x80-\xff]*[\0-\x7f])\x2a([\0-\x7f])\x0a([\0-\x7f])\x0a([\0-\x7f])([\s\S]*)\x15[\s\S]{4}"
)
"""Most events: wall time, step, and a summary of one tag and its simple value, each part with its length."""


def decode_event(payload: bytes) -> Event:
    """The event in the payload of a frame. Raises `InvalidMessage`."""
    match = _ONE_SCALAR.fullmatch(payload)
    if match is not None:
        step, summary, value, tag_length, tag = match.group(2, 3, 4, 5, 6)
        if (summary[0], value[0], tag_length[0]) == (len(tag) + 9, len(tag) + 7, len(tag)):
            number = _plain(payload, len(payload) - 4, len(payload), "f")
            return Event(
                struct.unpack_from("<d", payload, 1)[0], 1, signed(read_varint(step, 0)[0]), Span(*match.span(2)),
                [SummaryValue(tag.decode("utf-8", "replace"), number=number)],
            )  # fmt: skip
    return _decode_fields(payload)


def _decode_fields(payload: bytes) -> Event:
    event = Event()
    for part in fields(payload):
        if part.number == 1:
            event.wall_time, event.wall_time_offset = double(payload, part), part.start
        elif part.number == 2 and part.wire_type == VARINT:
            event.step, event.step_span = signed(part.value), Span(part.start, part.end)
        elif part.number == 5 and part.wire_type == LENGTH:
            event.values += [
                _decode_value(payload, value)
                for value in fields(payload, part.start, part.end)
                if value.number == 1 and value.wire_type == LENGTH
            ]
    return event


def _decode_value(payload: bytes, message: Field) -> SummaryValue:
    value = SummaryValue()
    for part in fields(payload, message.start, message.end):
        if part.number == 1:
            value.tag = text(payload, part)
        elif part.number == 2:
            value.number = _plain(payload, part.start, part.end, "f")
        elif part.number == 4:
            value.image = _image_span(payload, part)
        elif part.number == 5:
            value.histogram = Span(part.start, part.end)
        elif part.number == 8:
            value.tensor = Span(part.start, part.end)
        elif part.number == 9:
            value.plugin, value.plugin_content = _plugin(payload, part)
    return value


def _image_span(payload: bytes, message: Field) -> Span | None:
    return next(
        (
            Span(part.start, part.end)
            for part in fields(payload, message.start, message.end)
            if part.number == 4
        ),
        None,
    )


def _plugin(payload: bytes, metadata: Field) -> tuple[str, Span | None]:
    """The name of the plugin that a value is for, and the plugin's own data."""
    name, content = "", None
    for part in fields(payload, metadata.start, metadata.end):
        if part.number == 1:
            for inner in fields(payload, part.start, part.end):
                if inner.number == 1:
                    name = text(payload, inner)
                elif inner.number == 2:
                    content = Span(inner.start, inner.end)
    return name, content


def decode_tensor(payload: bytes, span: Span) -> Tensor:
    """The tensor at `span`: its strings, or its first number. Raises `InvalidMessage`."""
    tensor = Tensor()
    for part in fields(payload, *span):
        if part.number == 1 and part.wire_type == VARINT:
            tensor.dtype = part.value
        elif part.number == 8:
            tensor.strings.append(Span(part.start, part.end))
        elif tensor.number is None:
            tensor.number = _tensor_number(payload, part, tensor.dtype)
    return tensor


def _tensor_number(payload: bytes, part: Field, dtype: int) -> Number | None:
    if part.number == 4 and dtype in _CONTENT_TYPES:
        return _plain(payload, part.start, part.end, _CONTENT_TYPES[dtype])
    if part.number == 4 and dtype == _BFLOAT16:
        return _bfloat16(int.from_bytes(payload[part.start : part.start + 2], "little"))
    if part.number == 5:
        return _plain(payload, part.start, part.end, "f")
    if part.number == 6:
        return _plain(payload, part.start, part.end, "d")
    if part.number in {7, 10, 11, 13, 16, 17}:
        number = part.value if part.wire_type == VARINT else read_varint(payload, part.start)[0]
        if part.number == 13:
            return _bfloat16(number) if dtype == _BFLOAT16 else _half(number)
        return Number(float(number if part.number in {16, 17} else signed(number)))
    return None


def _plain(payload: bytes, start: int, end: int, code: str) -> Number:
    """The number in `struct` format `code` at `start`. Raises `InvalidMessage`."""
    try:
        number = float(struct.unpack_from(f"<{code}", payload[:end], start)[0])
    except struct.error:
        raise InvalidMessage from None
    return Number(number, start, code) if code in {"f", "d"} else Number(number)


def _half(bits: int) -> Number:
    return Number(struct.unpack("<e", (bits & 0xFFFF).to_bytes(2, "little"))[0])


def _bfloat16(bits: int) -> Number:
    return Number(struct.unpack("<f", ((bits & 0xFFFF) << 16).to_bytes(4, "little"))[0])
