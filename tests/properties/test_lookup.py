"""A run is found by everything that means it alone, and by nothing that could mean another."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.core.errors import UserError
from workbench.runs.lookup import TIMESTAMP_LENGTH, resolve_run_id, shortest_unique_ids

Run = tuple[str, str]
WORDS = st.text("abc-", min_size=1, max_size=4)
IDS = st.builds("20261121-1640{:02}{}-{}".format, st.integers(0, 12), st.sampled_from(["", "1", "12"]), WORDS)
RUNS = st.lists(st.tuples(IDS, WORDS), min_size=1, max_size=8, unique_by=lambda run: run[0]).map(
    lambda runs: sorted(runs, reverse=True)
)
"""Id and name, newest first."""


def find(wanted: str, runs: list[Run]) -> str | None:
    """The id that is found; `None` where the command is refused."""
    try:
        return resolve_run_id(wanted, runs, "'workbench runs' lists them")
    except UserError as error:
        assert " ".join(f"'{wanted}'".splitlines()) in str(error)  # an error is one line
        return None


@given(RUNS, st.data())
def test_an_id_means_its_run(runs: list[Run], data: st.DataObject) -> None:
    run_id, _ = data.draw(st.sampled_from(runs))
    assert find(run_id, runs) == run_id
    assert find("last", runs) == runs[0][0]


@given(RUNS, st.data())
def test_a_name_means_its_newest_run(runs: list[Run], data: st.DataObject) -> None:
    _, name = data.draw(st.sampled_from(runs))
    assert find(name, runs) == next(run_id for run_id, other in runs if other == name)


@given(RUNS, st.data())
def test_a_prefix_means_a_run_only_where_no_other_begins_so(runs: list[Run], data: st.DataObject) -> None:
    word = data.draw(st.sampled_from([word for run in runs for word in run]))
    prefix = word[: data.draw(st.integers(1, len(word)))]
    begun = [run for run in runs if any(each.startswith(prefix) for each in run)]
    whole = [run_id for run_id, name in runs if prefix in (run_id, name)]
    names = {name for _, name in begun}
    one_name = len(names) == 1 and all(name.startswith(prefix) for name in names)
    found = find(prefix, runs)
    if whole or len(begun) == 1 or one_name:
        assert found in {run_id for run_id, _ in begun}
    else:
        assert found is None


@given(RUNS, st.text(max_size=6) | WORDS)
def test_a_prefix_of_no_run_matches_none(runs: list[Run], wanted: str) -> None:
    found = find(wanted, runs)
    if found is not None and wanted != "last":
        run = next(run for run in runs if run[0] == found)
        assert wanted and any(word.startswith(wanted) for word in run)


@given(RUNS)
def test_the_beginning_that_is_shown_means_its_run(runs: list[Run]) -> None:
    ids = [run_id for run_id, _ in runs]
    shown = shortest_unique_ids(ids)
    assert len(set(shown)) == len(ids)
    length = len(shown[0])
    assert length <= TIMESTAMP_LENGTH or len({run_id[: length - 1] for run_id in ids}) < len(ids)
    for run_id, beginning in zip(ids, shown, strict=True):
        assert run_id.startswith(beginning) and len(beginning) >= min(TIMESTAMP_LENGTH, len(run_id))
        assert find(beginning, runs) == run_id


def test_where_there_are_no_runs_nothing_is_found() -> None:
    with pytest.raises(UserError):
        resolve_run_id("last", [], "none")
