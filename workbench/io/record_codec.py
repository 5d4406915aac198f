"""How typed records become JSON and come back: one encoder, and the one decoder that tolerates damaged and old files.

A record is a `msgspec.Struct`. On disk it is a JSON object with a version (`"v"`); fields that have their default are
left out. NaN and infinities are the strings `"NaN"`, `"Infinity"` and `"-Infinity"`: JSON has no others.

Decoding is strict first and lenient where that fails: a field of the wrong type counts as missing, a damaged element
of a list or a mapping is left out, unknown fields are ignored. Nothing is decoded (`None`) where a field without a
default is lost.
"""

from __future__ import annotations

import json
import math
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin

import msgspec

from workbench.io.atomic_files import write_bytes

VERSION = 1

R = TypeVar("R")


class Record(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """What all records share: immutable, written without the fields that have their defaults."""


def encode(record: msgspec.Struct) -> bytes:
    """`record` as one line of JSON, without a newline."""
    content = to_json(record)
    try:
        return msgspec.json.encode(content)
    except UnicodeEncodeError:  # a file name that is not UTF-8 survives as an escape
        return json.dumps(content, separators=(",", ":")).encode("ascii")


def to_json(record: msgspec.Struct) -> dict[str, Any]:
    """`record` as JSON values, with the version."""
    return {"v": VERSION, **finite(msgspec.to_builtins(record))}


def decode(data: bytes, type: type[R]) -> R | None:
    """The record of `type` (a Struct, or a union of tagged ones) that `data` holds; `None` where it holds none."""
    try:
        found: R = _decoder(type).decode(data)  # type: ignore[arg-type]
    except (msgspec.MsgspecError, RecursionError):  # brackets nested too deep end in the second
        return convert(_parse(data), type)
    return found if getattr(found, "upgrade", None) is None else convert(_parse(data), type)


def convert(content: object, type: type[R]) -> R | None:
    """The same of JSON values that are parsed already; those of an older version are upgraded first."""
    struct = _struct_for(content, type)
    upgrade = getattr(struct, "upgrade", None)
    if upgrade is not None:
        content = upgrade(content)
    try:
        return msgspec.convert(content, type, strict=False)
    except msgspec.ValidationError:
        return None if struct is None else _salvage(content, struct)


def read_record(path: Path, type: type[R]) -> R | None:
    """The record in a file; `None` where the file is missing, unreadable, torn, or holds something else."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    return decode(data, type)


def write_record(path: Path, record: msgspec.Struct, *, durable: bool = True) -> None:
    """Write `record` to a file of its own, never half. Raises `OSError`."""
    text = json.dumps(to_json(record), allow_nan=False, indent=1)  # ASCII: see `encode`
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
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _struct_for(content: object, type: Any) -> type[msgspec.Struct] | None:
    """The struct that `content` is meant to be: of a union of tagged structs the one that its tag names."""
    if not isinstance(content, dict):
        return None
    for struct in _structs_in(type):
        config = struct.__struct_config__
        if config.tag is None or content.get(config.tag_field) == config.tag:
            return struct
    return None


def _structs_in(type: Any) -> list[Any]:
    members = get_args(type) if isinstance(type, UnionType) or get_origin(type) else (type,)
    return [one for one in members if isinstance(one, _STRUCT_TYPE)]


_STRUCT_TYPE: Any = type(msgspec.Struct)


def _salvage(content: Any, struct: type[Any]) -> Any:
    """A `struct` of the sound fields of `content`; `None` where one without a default is not sound."""
    values = {}
    for field in msgspec.structs.fields(struct):
        if field.encode_name in content:
            found = _salvage_value(content[field.encode_name], field.type)
            if found is not msgspec.UNSET:
                values[field.name] = found
    try:
        return struct(**values)
    except TypeError:
        return None


def _salvage_value(value: Any, type: Any) -> Any:
    """`value` as `type`, with damaged parts left out; `UNSET` where nothing is left of it."""
    try:
        return msgspec.convert(value, type, strict=False)
    except msgspec.ValidationError:
        pass
    if isinstance(value, list) and get_origin(type) in {list, tuple} and get_args(type)[1:] in {(), (...,)}:
        items = [_salvage_item(item, get_args(type)[0]) for item in value]
        return get_origin(type)(item for item in items if item is not msgspec.UNSET)
    if isinstance(value, dict) and get_origin(type) is dict:
        entries = {key: _salvage_value(item, get_args(type)[1]) for key, item in value.items()}
        return {key: item for key, item in entries.items() if item is not msgspec.UNSET}
    struct = _struct_for(value, type)
    found = None if struct is None else _salvage(value, struct)
    return msgspec.UNSET if found is None else found


def _salvage_item(value: Any, type: Any) -> Any:
    """An element of a list; one that is lost keeps its place where all its fields have defaults."""
    found = _salvage_value(value, type)
    if found is msgspec.UNSET and isinstance(type, _STRUCT_TYPE):
        blank = _salvage({}, type)
        return msgspec.UNSET if blank is None else blank
    return found
