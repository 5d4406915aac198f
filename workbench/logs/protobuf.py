"""Fields of encoded protobuf messages, without their definitions.

The encoding: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
_FIXED_SIZES = {FIXED64: 8, FIXED32: 4}


class InvalidMessage(ValueError):
    """The bytes are not a protobuf message."""


class Field(NamedTuple):
    """One field: its content is `data[start:end]`; `value` is the number in a varint."""

    number: int
    wire_type: int
    start: int
    end: int
    value: int


def read_varint(data: bytes, position: int) -> tuple[int, int]:
    """An unsigned varint, and the position behind it. Raises `InvalidMessage`."""
    result = 0
    for shift, byte in zip(range(0, 70, 7), data[position : position + 10], strict=False):
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result & 0xFFFFFFFFFFFFFFFF, position + shift // 7 + 1
    raise InvalidMessage


def signed(value: int) -> int:
    """A varint of 64 bits as an `int64`."""
    return value - (1 << 64) if value >> 63 else value


def zigzag(value: int) -> int:
    """A varint as a `sint64`."""
    return (value >> 1) ^ -(value & 1)


def fields(data: bytes, start: int = 0, end: int | None = None) -> Iterator[Field]:
    """The fields of the message in `data[start:end]`. Raises `InvalidMessage`."""
    end = len(data) if end is None else end
    while start < end:
        key, start = (data[start], start + 1) if data[start] < 0x80 else read_varint(data, start)
        number, wire_type = key >> 3, key & 7
        value = 0
        content = start
        if wire_type == VARINT:
            value, start = read_varint(data, start)
        elif wire_type == LENGTH:
            length, content = read_varint(data, start)
            start = content + length
        elif wire_type in _FIXED_SIZES:
            start += _FIXED_SIZES[wire_type]
        else:
            raise InvalidMessage
        if start > end or number == 0:
            raise InvalidMessage
        yield Field(number, wire_type, content, start, value)


def text(data: bytes, field: Field) -> str:
    """The string in a field; bytes that are not UTF-8 are replaced."""
    return data[field.start : field.end].decode("utf-8", "replace")


def double(data: bytes, field: Field) -> float:
    """The number in a `double` field. Raises `InvalidMessage`."""
    if field.wire_type != FIXED64:
        raise InvalidMessage
    number: float = struct.unpack_from("<d", data, field.start)[0]
    return number
