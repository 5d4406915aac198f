"""Values of TensorBoard events other than scalars: images, histograms, text and hyperparameters."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

from workbench.logs.config_files import ConfigValue
from workbench.logs.event import Span, SummaryValue, decode_tensor
from workbench.logs.protobuf import FIXED64, LENGTH, VARINT, Field, InvalidMessage, double, fields, text
from workbench.logs.references import Histogram


def image_spans(payload: bytes, value: SummaryValue, plugin: str) -> Sequence[Span]:
    """The encoded images in a value. Raises `InvalidMessage`."""
    if value.image is not None:
        return [value.image]
    if value.tensor is not None and plugin == "images":
        return decode_tensor(payload, value.tensor).strings[2:]  # after the width and the height, as text
    return []


def decode_text(data: bytes) -> str | None:
    """The text in a string tensor; several strings are lines."""
    try:
        strings = decode_tensor(data, Span(0, len(data))).strings
    except InvalidMessage:
        return None
    return "\n".join(data[start:end].decode("utf-8", "replace") for start, end in strings)


def decode_histogram(data: bytes) -> Histogram | None:
    """A `HistogramProto`: the upper limit of each bin, and its count."""
    smallest, limits, counts = 0.0, list[float](), list[float]()
    try:
        for part in fields(data):
            if part.number == 1:
                smallest = double(data, part)
            elif part.number == 6:
                limits += _doubles(data, part)
            elif part.number == 7:
                counts += _doubles(data, part)
    except InvalidMessage:
        return None
    if not limits or len(limits) != len(counts):
        return None
    return Histogram((min(smallest, limits[0]), *limits), tuple(counts))


def decode_histogram_tensor(data: bytes) -> Histogram | None:
    """A tensor [bins, 3] of doubles: left edge, right edge and count."""
    numbers: list[float] = []
    try:
        for part in fields(data):
            if part.number in {4, 6}:
                numbers += _doubles(data, part)
    except InvalidMessage:
        return None
    if not numbers or len(numbers) % 3:
        return None
    return Histogram((*numbers[::3], numbers[-2]), tuple(numbers[2::3]))


def decode_hparams(data: bytes) -> dict[str, ConfigValue]:
    """The hyperparameters in the data of the `hparams` plugin, if a session starts. Raises `InvalidMessage`."""
    return {
        name: value
        for message in _messages(data, 0, len(data), number=3)
        for entry in _messages(data, message.start, message.end, number=1)
        for name, value in [_hparam(data, entry)]
    }


def _messages(data: bytes, start: int, end: int, number: int) -> Iterator[Field]:
    return (part for part in fields(data, start, end) if part.number == number and part.wire_type == LENGTH)


def _hparam(data: bytes, entry: Field) -> tuple[str, ConfigValue]:
    """An entry of a map from strings to `google.protobuf.Value`."""
    name: str = ""
    value: ConfigValue = None
    for part in fields(data, entry.start, entry.end):
        if part.number == 1:
            name = text(data, part)
        elif part.number == 2:
            value = next((_plain_value(data, inner) for inner in fields(data, part.start, part.end)), None)
    return name, value


def _plain_value(data: bytes, part: Field) -> ConfigValue:
    if part.number == 2:
        return double(data, part)
    if part.number == 3:
        return text(data, part)
    if part.number == 4 and part.wire_type == VARINT:
        return bool(part.value)
    return None


def _doubles(data: bytes, part: Field) -> tuple[float, ...]:
    """The numbers of a repeated `double`, packed or not."""
    size = part.end - part.start
    if part.wire_type not in {LENGTH, FIXED64} or size % 8:
        raise InvalidMessage
    return struct.unpack_from(f"<{size // 8}d", data, part.start)
