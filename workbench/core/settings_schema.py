"""Typed settings: Structs that check their values, list their fields, and report errors in one line."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, get_args, get_origin

import msgspec

from workbench.core.errors import BadInput, nearest

S = TypeVar("S", bound=msgspec.Struct)

Section = Mapping[str, Any]
"""A table of TOML or JSON before it is checked: any key with any value."""
Options = dict[str, Any]
"""Options of a dataset or model by name; which there are, and their types, is known to its own Struct."""


SettingValue = bool | int | float | str | list[Any] | None
"""A value of a setting as JSON has it."""


class Choice(msgspec.Struct, frozen=True):
    """A dataset or a model by name, with options of its own."""

    name: str
    options: Options = {}

    def to_dict(self) -> dict[str, Any]:
        """As it stands in TOML and JSON: the name among the options."""
        return {"name": self.name, **self.options}

    @classmethod
    def from_dict(cls, section: Mapping[str, Any]) -> Choice:
        """What `to_dict` wrote; `section` has a `name`."""
        return cls(str(section["name"]), {key: value for key, value in section.items() if key != "name"})


@dataclass(frozen=True)
class Setting:
    """One setting as `--settings`, the README and the screen's form show it."""

    key: str
    kind: str
    """`whole number`, `number`, `yes/no`, `text`, `list`, or `choice`."""
    default: Any
    help: str = ""
    choices: tuple[str, ...] = ()


def settings_of(struct: type[msgspec.Struct], prefix: str = "") -> list[Setting]:
    """Every field of `struct` as a `Setting`, in the order of its definition; `prefix` ends in a dot."""
    return [_setting(field, prefix) for field in msgspec.inspect.type_info(struct).fields]  # type: ignore[attr-defined]


def _setting(field: msgspec.inspect.Field, prefix: str) -> Setting:
    default: Any = field.default
    if field.default_factory is not msgspec.NODEFAULT:
        default = field.default_factory()
    elif default is msgspec.NODEFAULT:
        default = None
    kind, choices, text = _describe(field.type)
    return Setting(prefix + field.encode_name, kind, default, text, choices)


def _describe(info: msgspec.inspect.Type) -> tuple[str, tuple[str, ...], str]:
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
            described = [_describe(t) for t in types if not isinstance(t, msgspec.inspect.NoneType)]
            words = [c for _, choices, _ in described for c in choices]
            kinds = [f"'{c}'" for c in words] + [kind for kind, choices, _ in described if not choices]
            return " or ".join(kinds), tuple(words), text or next((t for _, _, t in described if t), "")
    return "text", (), text


def convert(struct: type[S], values: Section, where: str) -> S:
    """`values` as a checked `struct`; text is read as the field's own type ("0.1" as a number).

    Raises `BadInput` with one line that names the setting (`where` is the prefix it stands under: "train").
    """
    known = [field.encode_name for field in msgspec.structs.fields(struct)]
    for key, value in values.items():
        if key not in known:
            raise BadInput(f"unknown setting {where}.{key}{nearest(key, known)}; known: {', '.join(known)}")
        if isinstance(value, float) and not math.isfinite(value):
            raise BadInput(f"{where}.{key} must be a finite number, not {value}")
    types = {field.encode_name: field.type for field in msgspec.structs.fields(struct)}
    plain = {key: parse_value(value, types[key]) for key, value in values.items()}
    try:
        return msgspec.convert(plain, struct)
    except msgspec.ValidationError as error:
        raise BadInput(_one_line(error, where, plain, struct)) from None


def assignment(text: str) -> tuple[str, str]:
    """The two sides of a `KEY=VALUE` that a person gave. Raises `BadInput`."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise BadInput(f"--set takes KEY=VALUE, not '{text}' (for example --set train.epochs=20)")
    return key.strip(), value


def parse_value(value: Any, wanted: Any) -> Any:
    """What a person typed (`"3"`, `"1e-3"`, `"yes"`, `"crop,flip"`) as the type that a setting wants.

    Values that are no text, and text that is none of the wanted types, come back as they are: checking is
    `convert`'s part.
    """
    if not isinstance(value, str):
        return value
    words = _literal_words(wanted)
    if value in words:
        return value
    kinds = _plain_types(wanted)
    if bool in kinds and value.lower() in {"yes", "true", "on", "no", "false", "off"}:
        return value.lower() in {"yes", "true", "on"}
    if tuple in kinds or list in kinds:
        return _parse_list(value, wanted)
    for kind in (int, float):
        if kind in kinds:
            try:
                number = kind(value)
            except ValueError:
                continue
            return number if abs(number) < math.inf else value  # isfinite() fails on an int beyond a float
    return value


def _parse_list(value: str, wanted: Any) -> Any:
    text = value.strip()
    if text.startswith("["):
        try:
            return json.loads(text)
        except (ValueError, RecursionError):  # brackets nested too deep end in the second
            return value
    item = _item(wanted)
    return [parse_value(part.strip(), item) for part in text.split(",") if part.strip()]


def _alternatives(wanted: Any) -> list[Any]:
    """The members of a union, with `Annotated` taken off; a list of one for any other type."""
    if hasattr(wanted, "__metadata__"):
        return _alternatives(wanted.__origin__)
    if get_origin(wanted) in {Literal, tuple, list} or not get_args(wanted):
        return [wanted]
    return [one for argument in get_args(wanted) for one in _alternatives(argument)]


def _literal_words(wanted: Any) -> set[Any]:
    return {word for t in _alternatives(wanted) if get_origin(t) is Literal for word in get_args(t)}


def _plain_types(wanted: Any) -> set[Any]:
    return {get_origin(t) or t for t in _alternatives(wanted)}


_KINDS = {"int": "a whole number", "float": "a number", "bool": "yes or no", "str": "text", "array": "a list"}


def _one_line(error: msgspec.ValidationError, where: str, values: Section, struct: type) -> str:
    """The complaint of a conversion for a person: the setting, what it can be, and what was given."""
    complaint, _, path = str(error).partition(" - at `$.")
    path = path.rstrip("`")
    if not path:
        return f"{where}: {complaint}"
    key, index = re.match(r"([^.\[]*)(?:\[(\d+)\])?", path).groups()  # type: ignore[union-attr]
    given = values[key][int(index)] if index else values[key]
    types = {field.encode_name: field.type for field in msgspec.structs.fields(struct)}
    words = sorted(str(w) for w in _literal_words(_item(types[key]) if index else types[key]))
    if words and isinstance(given, str):
        return f"{where}.{key} can't be '{given}'; it can be {', '.join(words)}{nearest(given, words)}"
    wanted = re.match(r"Expected `(\w+)(?: \| \w+)*`(?: (matching regex) .*| ([<>=]+ \S+))?", complaint)
    if not wanted:
        return f"{where}.{path}: {complaint[0].lower()}{complaint[1:]}"
    if wanted[2]:
        return f"{where}.{key} can't be '{given}'; it can be {_help(struct, key)}"
    return (
        f"{where}.{path} must be {_KINDS.get(wanted[1], wanted[1])} {wanted[3] or ''}".rstrip()
        + f", not {given!r}"
    )


def _item(wanted: Any) -> Any:
    """The type of a list's items."""
    return next((get_args(t)[0] for t in _alternatives(wanted) if get_origin(t) in {tuple, list}), str)


def _help(struct: type, key: str) -> str:
    return next((setting.help for setting in settings_of(struct) if setting.key == key), "")
