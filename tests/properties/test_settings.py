"""Whatever is typed as a setting becomes its value, or one line that names the setting."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from workbench.cli.main import run
from workbench.config.training_settings import TrainingSettings
from workbench.core.errors import UserError
from workbench.core.settings_schema import convert, settings_of
from workbench.core.text import format_setting as formatted

FIELDS = {field.encode_name: field.type for field in msgspec.inspect.type_info(TrainingSettings).fields}  # type: ignore[attr-defined]
KEYS = st.sampled_from(sorted(FIELDS))
DEEP = "[" * 100_000


def values(info: msgspec.inspect.Type) -> st.SearchStrategy[Any]:
    """Every value that a field may have."""
    match info:
        case msgspec.inspect.Metadata(type=inner):
            return values(inner)
        case msgspec.inspect.BoolType():
            return st.booleans()
        case msgspec.inspect.IntType(ge=least, le=most):
            return st.integers(least, most if most is not None else 10**30)
        case msgspec.inspect.FloatType(gt=above, ge=least, lt=below, le=most):
            return st.floats(
                least if least is not None else above,
                most if most is not None else below,
                exclude_min=above is not None,
                exclude_max=below is not None,
            )
        case msgspec.inspect.LiteralType(values=words):
            return st.sampled_from(words)
        case msgspec.inspect.VarTupleType(item_type=item):
            return st.lists(values(item), max_size=5).map(tuple)
        case msgspec.inspect.UnionType(types=types):
            return st.one_of([values(each) for each in types])
        case msgspec.inspect.StrType(pattern=pattern) if pattern:
            return st.from_regex(re.compile(pattern, re.ASCII))
    raise AssertionError(f"no values are known for {info}")


@st.composite
def assignments(draw: st.DrawFn) -> tuple[str, Any]:
    """A setting of the training and a value it may have."""
    key = draw(KEYS)
    return key, draw(values(FIELDS[key]))


def of(key: str, value: Any) -> Any:
    """What a setting becomes."""
    return getattr(convert(TrainingSettings, {key: value}, "train"), key)


def typed(value: Any) -> str:
    """A value as a user types it."""
    return "" if value in ((), "") else formatted(value)


def test_every_setting_is_among_them() -> None:
    assert {setting.key for setting in settings_of(TrainingSettings)} == set(FIELDS)


@given(assignments())
def test_typed_text_parses_to_the_value(assignment: tuple[str, Any]) -> None:
    key, value = assignment
    found = of(key, typed(value))
    assert found == value and type(found) is type(value)


@given(assignments())
def test_a_stored_experiment_is_read_back(assignment: tuple[str, Any]) -> None:
    key, value = assignment
    train = convert(TrainingSettings, {key: value}, "train")
    stored = msgspec.json.decode(msgspec.json.encode(msgspec.to_builtins(train)))
    assert convert(TrainingSettings, stored, "train") == train


@given(KEYS, st.text(max_size=40) | st.from_regex(r"[\[{\"0-9eE.,+-]*", fullmatch=True))
@example("augment", DEEP)
@example("epochs", "9" * 4000)
@example("lr", "9" * 4000)
@example("device", "cuda:1\n")
def test_any_text_is_a_value_or_a_complaint_that_names_the_setting(key: str, text: str) -> None:
    try:
        value = of(key, text)
    except UserError as error:
        assert f"train.{key}" in str(error)
    else:
        assert of(key, typed(value)) == value
        assert not isinstance(value, str) or (value == text and value == value.strip())


@given(KEYS, st.text(max_size=20).map("{}?".format))
@settings(max_examples=30)
def test_a_complaint_is_one_line_on_the_terminal(key: str, text: str) -> None:
    """No setting has a value that ends in a question mark."""
    with pytest.MonkeyPatch.context() as patch:
        printed: list[str] = []
        patch.setattr("sys.stderr.write", printed.append)
        assert run(["train", "digits-mlp", "--set", f"train.{key}={text}"]) == 2
    assert "".join(printed).count("\n") == 1 and f"train.{key}" in "".join(printed)
