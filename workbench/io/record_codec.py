"""Typed records as JSON: one encoder, and one decoder that tolerates damaged and old files.

A record is a `msgspec.Struct`. On disk it is a JSON object with a version (`"v"`); fields that have their default are
omitted. NaN and infinities are written as the strings `"NaN"`, `"Infinity"` and `"-Infinity"`, as JSON has no such
numbers.

Decoding is strict first and falls back to a lenient mode: a field of the wrong type counts as missing, a damaged
element of a list or a mapping is dropped, unknown fields are ignored. The result is `None` if a field without a
default is missing.
"""

from __future__ import annotations

import json
import math
import re
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast, get_args, get_origin

import msgspec

from workbench.core.parsing import fits_64_bits, parse_json
from workbench.core.settings_schema import fields_of
from workbench.io.atomic_files import write_bytes
from workbench.io.regular_files import read_regular_file

VERSION = 1

_LONG_INTEGER = re.compile(rb"\d{19}")

R = TypeVar("R")
StructType = type[msgspec.Struct]


class Record(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """Base class of all records: immutable, and written without the fields that have their defaults."""


def encode(record: msgspec.Struct) -> bytes:
    """`record` as one line of JSON, without a newline."""
    return encode_json(to_json(record))


def encode_json(content: object, *, sort_keys: bool = False) -> bytes:
    """JSON values as one line; a file name that is not UTF-8 survives as an escape."""
    try:
        return msgspec.json.encode(content, order="sorted" if sort_keys else None)
    except UnicodeEncodeError:
        return json.dumps(content, separators=(",", ":"), sort_keys=sort_keys).encode("ascii")


def to_json(record: msgspec.Struct) -> dict[str, Any]:
    """`record` as JSON values, with the version; names in its `ALWAYS_WRITTEN` are there even with their defaults."""
    content: dict[str, object] = msgspec.to_builtins(record)
    always = {name: getattr(record, name) for name in getattr(record, "ALWAYS_WRITTEN", ())}
    return {"v": VERSION, **finite({**content, **always})}


def decode(data: bytes, type: type[R]) -> R | None:
    """The record of `type` (a Struct, or a union of tagged ones) in `data`; `None` if there is no valid one."""
    if _LONG_INTEGER.search(data):
        return convert(_parse(data), type)
    try:
        record: R = _decoder(type).decode(data)  # type: ignore[arg-type]
    except (msgspec.MsgspecError, RecursionError):  # RecursionError: brackets nested too deep
        return convert(_parse(data), type)
    return record if getattr(record, "upgrade", None) is None else convert(_parse(data), type)


def convert(content: object, type: type[R]) -> R | None:
    """The record of `type` in parsed JSON; content of an older version is upgraded first. `None` if invalid."""
    struct = _struct_for(content, type)
    upgrade = getattr(struct, "upgrade", None)
    if upgrade is not None:
        content = upgrade(content)
    return None if struct is None else _salvage(content, struct)


def read_record(path: Path, type: type[R]) -> R | None:
    """The record in a file; `None` if the file is missing, unreadable, truncated, or has other content."""
    try:
        data = read_regular_file(path)
    except OSError:
        return None
    return decode(data, type)


def write_record(path: Path, record: msgspec.Struct, *, durable: bool = True) -> None:
    """Write `record` to a file of its own, atomically. Raises `OSError`."""
    text = json.dumps(to_json(record), indent=1)  # ASCII: see `encode`
    write_bytes(path, text.encode("ascii") + b"\n", durable=durable)


@cache
def _decoder(type: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(type, strict=False)


def finite(value: Any) -> Any:
    """`value` with non-finite numbers as strings."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    return value


def _parse(data: bytes) -> object:
    try:
        return parse_json(data)
    except ValueError:
        return None


def _struct_for(content: object, type: Any) -> type[msgspec.Struct] | None:
    """The struct type for `content`: of a union of tagged structs, the one that its tag names."""
    if not isinstance(content, dict):
        return None
    struct: StructType
    for struct in _structs_in(type):
        config = struct.__struct_config__
        if config.tag is None or content.get(config.tag_field) == config.tag:
            return struct
    return None


def _structs_in(type: Any) -> list[Any]:
    return [member for member in get_args(type) or (type,) if isinstance(member, _STRUCT_TYPE)]


_STRUCT_TYPE: Any = type(msgspec.Struct)


def _salvage(content: Any, struct: type[Any]) -> Any:
    """A `struct` from the valid fields of `content`; `None` if a field without a default is not valid."""
    values = {}
    for field in fields_of(cast(StructType, struct)):
        if field.encode_name in content:
            value = _salvage_value(content[field.encode_name], field.type)
            if value is not msgspec.UNSET:
                values[field.name] = value
    try:
        return struct(**values)
    except TypeError:
        return None


def _salvage_value(value: Any, type: Any) -> Any:
    """`value` as `type`, without its damaged parts; `UNSET` if nothing is left of it."""
    try:
        found = msgspec.convert(value, type, strict=False)
        return msgspec.UNSET if isinstance(found, int) and not fits_64_bits(found) else found
    except (msgspec.ValidationError, UnicodeEncodeError, RecursionError):
        pass  # UnicodeEncodeError: half a surrogate pair in place of a number or a choice
    if isinstance(value, list) and get_args(type)[1:] == (...,):
        items = [_salvage_item(item, get_args(type)[0]) for item in value]
        return tuple(item for item in items if item is not msgspec.UNSET)
    if isinstance(value, dict) and get_origin(type) is dict:
        key_type, item_type = get_args(type)
        entries = [
            (_salvage_value(key, key_type), _salvage_value(item, item_type)) for key, item in value.items()
        ]
        return {key: item for key, item in entries if key is not msgspec.UNSET and item is not msgspec.UNSET}
    struct = _struct_for(value, type)
    record = None if struct is None else _salvage(value, struct)
    return msgspec.UNSET if record is None else record


def _salvage_item(value: Any, type: Any) -> Any:
    """An element of a list; an invalid one is replaced by a blank record if all its fields have defaults."""
    item = _salvage_value(value, type)
    if item is msgspec.UNSET and isinstance(type, _STRUCT_TYPE):
        blank = _salvage({}, type)
        return msgspec.UNSET if blank is None else blank
    return item
