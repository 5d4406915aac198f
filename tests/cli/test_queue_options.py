"""Times and sizes of the queue's options, and what is refused."""

from __future__ import annotations

import time

import pytest

from workbench.cli.main import run as command
from workbench.cli.queue_options import parse_memory, parse_time
from workbench.core.errors import UserError
from workbench.runs.store import Store

NOON = time.mktime((2026, 11, 30, 12, 0, 0, 0, 0, -1))


@pytest.mark.parametrize(
    ("text", "hours"),
    [("18:30", 6.5), ("11:00", 23), ("12:00", 24), ("+90m", 1.5), ("+1.5 h", 1.5), ("+2d", 48),
     ("2026-12-01T12:00", 24), ("2026-12-01 13:30", 25.5), ("2026-12-01", 12)],
)  # fmt: skip
def test_a_time_is_the_next_one_of_that_name(text: str, hours: float) -> None:
    assert parse_time(text, NOON) == NOON + 3600 * hours


@pytest.mark.parametrize(
    "text", ["", "25:00", "12:61", "tomorrow", "+2", "-2h", "2026-13-01", "9" * 40, "+999999999d"]
)
def test_no_time(text: str) -> None:
    with pytest.raises(UserError, match="is not a time: write 18:30"):
        parse_time(text, NOON)


def test_sizes() -> None:
    sizes = {"8": 8e9, "8GB": 8e9, "7.5 GiB": 7.5 * 2**30, "500mb": 5e8, "1G": 1e9}
    assert {text: parse_memory(text) for text in sizes} == sizes
    for text in ("", "0", "-1GB", "8TBs", "nan", "1e9", "9999999GB"):
        with pytest.raises(UserError, match="is not a size: write 8GB"):
            parse_memory(text)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "digits-mlp", "--at", "noon"], "--at: 'noon' is not a time"),
        (["train", "digits-mlp", "--after", "nobody"], "no runs in"),
        (["train", "digits-mlp", "--max-hours", "nan"], "--max-hours must be a number of hours"),
        (["run", "--share", "--", "true"], "has to say how much of its memory it needs"),
        (["run", "--memory", "x", "--", "true"], "--memory: 'x' is not a size"),
        (["queue", "slots", "0"], "must be from 1 to 10000"),
        (["queue", "move", "last", "up"], "no runs in"),
        (["queue", "turn"], "invalid choice: 'turn'"),
    ],
)
def test_bad_options_are_refused_in_one_line_and_leave_nothing(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(arguments) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("workbench: ")]
    assert message in line
    assert Store.default().list_runs() == []
