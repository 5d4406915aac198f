"""Typed settings: Structs that validate their values, list their fields, and report errors in one line."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

import msgspec

from workbench.core.errors import UserError, did_you_mean
from workbench.core.setting_parser import item_type, literal_values, parse_value
from workbench.core.text import sanitize

S = TypeVar("S", bound=msgspec.Struct)

Section = Mapping[str, Any]
"""A table of TOML or JSON before validation: any key with any value."""
Options = dict[str, Any]
"""Options of a dataset or model by name; its own Struct defines their names and types."""

SettingValue = bool | int | float | str | list[Any] | None
"""The value of a setting in JSON."""


class Choice(msgspec.Struct, frozen=True):
    """A dataset or a model by name, with its options."""

    name: str
    options: Options = {}

    def to_dict(self) -> Options:
        """The form in TOML and JSON: the name among the options."""
        return {"name": self.name, **self.options}

    @classmethod
    def from_dict(cls, section: Section) -> Choice:
        """The choice from its form in TOML and JSON; `section` must have a `name`."""
        return cls(str(section["name"]), {key: value for key, value in section.items() if key != "name"})


@dataclass(frozen=True)
class Setting:
    """A setting as shown by `--settings`, the README and the form of the screen."""

    key: str
    kind: str
    """`whole number`, `number`, `yes/no`, `text`, `list`, `choice`, or alternatives joined by "or"."""
    default: Any
    help: str = ""
    choices: tuple[str, ...] = ()


@cache
def settings_of(struct: type[msgspec.Struct], prefix: str = "") -> tuple[Setting, ...]:
    """Every field of `struct` as a `Setting`, in the order of definition; `prefix` is empty or ends in a dot."""
    fields = msgspec.inspect.type_info(struct).fields  # type: ignore[attr-defined]
    return tuple(_setting(field, prefix) for field in fields)


@cache
def fields_of(struct: type[msgspec.Struct]) -> tuple[msgspec.structs.FieldInfo, ...]:
    """The fields of `struct`; msgspec itself evaluates all annotations anew at each call."""
    return msgspec.structs.fields(struct)


def _setting(field: msgspec.inspect.Field, prefix: str) -> Setting:
    default: Any = field.default
    if field.default_factory is not msgspec.NODEFAULT:
        default = field.default_factory()
    elif default is msgspec.NODEFAULT:
        default = None
    kind, choices, text = _describe_type(field.type)
    return Setting(prefix + field.encode_name, kind, default, text, choices)


def _describe_type(info: msgspec.inspect.Type) -> tuple[str, tuple[str, ...], str]:
    """Kind, choices and help of a field's type."""
    text = ""
    if isinstance(info, msgspec.inspect.Metadata):
        text = (info.extra_json_schema or {}).get("description", "")
        info = info.type
    match info:
        case msgspec.inspect.BoolType():
            return "yes/no", (), text
        case msgspec.inspect.IntType():
            return "whole number", (), text
        case msgspec.inspect.FloatType():
            return "number", (), text
        case msgspec.inspect.LiteralType(values=values):
            return "choice", tuple(str(v) for v in values), text
        case msgspec.inspect.VarTupleType() | msgspec.inspect.ListType():
            return "list", (), text
        case msgspec.inspect.UnionType(types=types):
            members = [_describe_type(t) for t in types if not isinstance(t, msgspec.inspect.NoneType)]
            literals = [c for _, choices, _ in members for c in choices]
            kinds = [f"'{c}'" for c in literals] + [kind for kind, choices, _ in members if not choices]
            return " or ".join(kinds), tuple(literals), text or next((t for _, _, t in members if t), "")
    return "text", (), text


def convert(struct: type[S], values: Section, where: str) -> S:
    """`values` as a validated `struct`; text is parsed as the type of the field ("0.1" as a number).

    `where` is the section in error messages ("train"). Raises `UserError` with one line that names the setting.
    """
    known = [field.encode_name for field in fields_of(struct)]
    for key, value in values.items():
        if key not in known:
            raise UserError(
                f"unknown setting {where}.{key}{did_you_mean(key, known)}; known: {', '.join(known)}"
            )
        if isinstance(value, float) and not math.isfinite(value):
            raise UserError(f"{where}.{key} must be a finite number, not {value}")
    types = {field.encode_name: field.type for field in fields_of(struct)}
    plain = {key: parse_value(value, types[key]) for key, value in values.items()}
    try:
        return msgspec.convert(plain, struct)
    except msgspec.ValidationError as error:
        raise UserError(_error_line(error, where, plain, struct)) from None
    except (
        UnicodeEncodeError
    ):  # half a surrogate pair in place of a number or a choice; the next error names it
        return convert(struct, {key: _sanitized(value) for key, value in plain.items()}, where)


def _sanitized(value: Any) -> Any:
    if isinstance(value, dict):
        return {sanitize(key): _sanitized(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_sanitized(item) for item in value]
    return sanitize(value) if isinstance(value, str) else value


_KINDS = {"int": "a whole number", "float": "a number", "bool": "yes or no", "str": "text", "array": "a list"}


def _error_line(error: msgspec.ValidationError, where: str, values: Section, struct: type) -> str:
    """A validation error as one line: the setting, its allowed values, and the invalid value."""
    message, _, path = str(error).partition(" - at `$.")
    path = path.rstrip("`")
    if not path:
        return f"{where}: {message}"
    key, index = re.match(r"([^.\[]*)(?:\[(\d+)\])?", path).groups()  # type: ignore[union-attr]
    value = values[key][int(index)] if index else values[key]
    types = {field.encode_name: field.type for field in fields_of(struct)}
    choices = sorted(str(c) for c in literal_values(item_type(types[key]) if index else types[key]))
    if choices and isinstance(value, str):
        return (
            f"{where}.{key} can't be '{value}'; it can be {', '.join(choices)}{did_you_mean(value, choices)}"
        )
    expected = re.match(r"Expected `(\w+)(?: \| \w+)*`(?: (matching regex) .*| ([<>=]+ \S+))?", message)
    if not expected:
        return f"{where}.{path}: {message[0].lower()}{message[1:]}"
    if expected[2]:
        return f"{where}.{key} can't be '{value}'; it can be {_help(struct, key)}"
    kind = f"{_KINDS.get(expected[1], expected[1])} {expected[3] or ''}".rstrip()
    return f"{where}.{path} must be {kind}, not {value!r}"


def _help(struct: type, key: str) -> str:
    return next((setting.help for setting in settings_of(struct) if setting.key == key), "")
