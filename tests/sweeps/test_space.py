"""What `--param KEY=SPACE` accepts."""

from __future__ import annotations

import pytest

from workbench.core.errors import UserError
from workbench.sweeps.space import Choices, Range, Space, format_value, parse_param, parse_space


@pytest.mark.parametrize(
    ("text", "space"),
    [
        ("log:1e-4:1e-1", Range(1e-4, 0.1, log=True)),
        ("log:16:512", Range(16, 512, whole=True, log=True)),
        ("1:8", Range(1, 8, whole=True)),
        ("-2:2", Range(-2, 2, whole=True)),
        ("0.0..0.5", Range(0.0, 0.5)),
        ("1..8", Range(1.0, 8.0)),
        ("adam,sgd", Choices(("adam", "sgd"))),
        ("256,128 | 64", Choices(("256,128", "64"))),
        ("yes, no", Choices(("yes", "no"))),
    ],
)
def test_each_form_is_one_kind_of_space(text: str, space: Space) -> None:
    assert parse_space("train.lr", text) == space


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("log:0:1", "starts above 0"),
        ("log:1e-4", "no range of numbers"),
        ("log:a:b", "no range of numbers"),
        ("8:1", "must end above its start"),
        ("1:1", "must end above its start"),
        ("0.1:0.5", "write 0.1..0.5"),
        ("0..inf", "no range of numbers"),
        ("nan..1", "no range of numbers"),
        ("1:2:3", "no range of numbers"),
        ("0.1", "--set train.lr=0.1 sets it"),
        ("a,,b", "empty value"),
        ("a,a", "twice"),
        ("a|", "empty value"),
    ],
)
def test_a_wrong_space_is_named_with_its_setting(text: str, expected: str) -> None:
    with pytest.raises(UserError, match=r"--param train\.lr=") as error:
        parse_space("train.lr", text)
    assert expected in str(error.value)


@pytest.mark.parametrize("text", ["train.lr", "=1:8", "train.lr=", " "])
def test_a_parameter_needs_a_setting_and_a_space(text: str) -> None:
    with pytest.raises(UserError, match="KEY=SPACE"):
        parse_param(text)


@pytest.mark.parametrize("text", ["log:1e-4:1e-1", "1:9", "0.0..0.5", "a,b,c"])
def test_positions_lead_back_to_their_values(text: str) -> None:
    space = parse_space("key", text)
    low, high = space.ends[0], space.ends[-1]
    assert (space.position(low), space.position(high)) == (0, 1)
    assert (space.value_at(0), space.value_at(1)) == (low, pytest.approx(high))
    middle = space.value_at(0.5)
    assert space.position(middle) == pytest.approx(0.5)


def test_a_logarithmic_axis_has_the_geometric_mean_in_its_middle() -> None:
    assert parse_space("key", "log:0.01:1.0").value_at(0.5) == pytest.approx(0.1)


def test_only_what_can_be_listed_has_a_grid() -> None:
    assert parse_space("key", "1:3").grid == (1, 2, 3)
    assert parse_space("key", "a,b").grid == ("a", "b")
    assert parse_space("key", "0.0..1.0").grid == () and parse_space("key", "log:1:64").grid == ()
    assert parse_space("key", "1:100000").grid == ()


def test_values_are_short() -> None:
    assert [format_value(value) for value in (0.000123, 64, "adam")] == ["1.2e-4", "64", "adam"]
