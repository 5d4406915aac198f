"""Expressions that select runs."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.config.experiment import build_experiment
from workbench.core.errors import UserError
from workbench.runs.flat_settings import flat_settings
from workbench.runs.run_query import complete_query, filter_runs, parse_query
from workbench.runs.status import Status
from workbench.runs.store import RunSummary

DAY = 86400


def row(name: str, *sets: str, **fields: object) -> RunSummary:
    experiment = build_experiment(dataset="digits", model="convnet", sets=sets)
    known: dict[str, object] = {
        "id": f"id-{name}", "name": name, "status": Status.FINISHED, "dataset": "digits", "model": "convnet",
        "created": time.time(), "settings": flat_settings(experiment),
    }  # fmt: skip
    return RunSummary(**{**known, **fields})  # type: ignore[arg-type]


ROWS = [
    row("slow", "train.lr=0.001", test={"accuracy": 0.95}, monitor="accuracy", tags=("baseline", "paper")),
    row("fast", "train.lr=0.1", test={"accuracy": 0.7}, monitor="accuracy", status=Status.FAILED),
    row("old", created=time.time() - 3 * DAY, model="resnet18", dataset="folder:/data/my photos", group="g1"),
    row("script", settings={"lr": 0.5, "opt/name": "adam"}, metrics={"val/f1": 0.8, "loss": 2.0}, command="train.py"),
]  # fmt: skip


def names(text: str) -> list[str]:
    return [one.name for one in filter_runs(text, ROWS)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["slow", "fast", "old", "script"]),
        ("digits convnet", ["slow", "fast", "script"]),
        ("SLOW", ["slow"]),
        ("model=resnet", ["old"]),
        ("model=res*8", ["old"]),
        ("model==resnet", []),
        ("model!=convnet", ["old"]),
        ("lr<0.01 model:convnet", ["slow"]),
        ("train.lr >= 0.1", ["fast"]),
        ("lr=0.5", ["script"]),
        ("acc>0.9", ["slow"]),
        ("acc>90%", ["slow"]),
        ("accuracy<=0.7", ["fast"]),
        ("tag:baseline", ["slow"]),
        ("tags=pap", ["slow"]),
        ("status:failed", ["fast"]),
        ("!status:failed tag:paper", ["slow"]),
        ("started>2d", ["old"]),
        ("age<60m", ["slow", "fast", "script"]),
        ("has:val/f1", ["script"]),
        ("has:train.lr", ["slow", "fast", "old"]),
        ("f1>0.5", ["script"]),
        ("name=slow or name=fast", ["slow", "fast"]),
        ("(name=slow or name=fast) acc>0.9", ["slow"]),
        ("!(name=slow or name=fast)", ["old", "script"]),
        ("digits and !slow and not-there", []),
        ("data:'my photos'", ["old"]),
        ('"my photos"', ["old"]),
        ("folder:/data", ["old"]),
        ("group=g1", ["old"]),
        ("nesterov=no", ["slow", "fast", "old"]),
        ("opt/name=adam", ["script"]),
    ],
)
def test_expressions(text: str, expected: list[str]) -> None:
    assert names(text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("lr<", "'lr<' needs a value"),
        ("lr<fast", "'lr' is compared with a number, not 'fast'"),
        ("started<2", "'started' is compared with a time, such as 2d, 3h or 90m, not '2'"),
        ("(slow", "a closing parenthesis is missing"),
        ("slow)", "nothing opens the parenthesis before"),
        ("slow or", "a condition is missing"),
        ("!", "'!' needs a condition"),
        ("modle=x", "no run has 'modle' (did you mean 'model'?)"),
    ],
)
def test_mistakes_are_one_line(text: str, reason: str) -> None:
    with pytest.raises(UserError) as error:
        filter_runs(text, ROWS)
    assert reason in str(error.value)
    assert "\n" not in str(error.value)


@given(st.text(max_size=40))
def test_any_text_is_an_expression_or_a_mistake(text: str) -> None:
    try:
        query = parse_query(text)
    except UserError:
        return
    for one in ROWS:
        assert query.matches(one) in {True, False}


def test_completion_offers_keys_and_values_of_the_runs() -> None:
    assert "slow model:" not in complete_query("slow mod", ROWS)
    assert "slow model" in complete_query("slow mod", ROWS)
    assert complete_query("model=res", ROWS) == ["model=resnet18"]
    assert complete_query("!tag:b", ROWS) == ["!tag:baseline"]
    assert complete_query("data=fol", ROWS) == []
    assert 'data="folder:/data/my photos"' in complete_query("data=", ROWS)
    assert "has:val/f1" in complete_query("has:val", ROWS)
    assert "(train.weight_decay" in complete_query("(train.weight", ROWS)


def test_a_value_with_control_characters_is_found_as_it_is_displayed() -> None:
    one, other = row("one", tags=("\x1b[31mred", "\udcff")), row("other", tags=("red",))
    assert filter_runs("tag:\ufffd[31m", [one, other]) == filter_runs("tag=\udcff", [one, other]) == [one]
