"""When the runs are listed again: a listing that was slow once delays nothing for long."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import pytest

from tests.ui.screen_steps import Hold, MakeRun
from workbench.core.errors import UserError
from workbench.io.record_codec import write_record
from workbench.runs.records import Notes
from workbench.runs.status import Status
from workbench.runs.store import RunSummary, Store
from workbench.ui.services import run_list
from workbench.ui.services.run_list import RunList


class CountingStore(Store):
    """Counts how often it is listed; the first listings wait for so many seconds."""

    listed = 0
    waits: Sequence[float] = ()

    def list_runs(self, log_seconds: float = math.inf) -> list[RunSummary]:
        time.sleep(sum(self.waits[self.listed : self.listed + 1]))
        self.listed += 1
        return super().list_runs(log_seconds)


@pytest.fixture
def store() -> CountingStore:
    return CountingStore(Store.default().root)


@pytest.fixture
def expensive_listings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest after a listing is longer than any test, as after one of very many runs."""
    for name in ("REST_FACTOR", "REST_FACTOR_WHEN_MODIFIED", "MAX_REST_SECONDS"):
        monkeypatch.setattr(run_list, name, 1e9)


@pytest.mark.usefixtures("expensive_listings")
def test_many_runs_without_a_change_are_not_listed_again(
    make_run: MakeRun, hold: Hold, store: CountingStore
) -> None:
    make_run("ended")
    hold(make_run("going", status=None))
    runs = RunList(store)
    assert runs.poll() == runs.poll()
    assert store.listed == 1
    runs.expire()
    runs.poll()
    assert store.listed == 2


@pytest.mark.usefixtures("expensive_listings")
def test_the_end_of_a_run_is_seen_at_the_next_poll(
    make_run: MakeRun, hold: Hold, store: CountingStore
) -> None:
    process = hold(make_run("going", status=None))
    runs = RunList(store)
    assert [row.status for row in runs.poll()] == [Status.RUNNING]
    process.kill()
    process.wait()
    assert [row.status for row in runs.poll()] == [Status.CRASHED]


@pytest.mark.usefixtures("expensive_listings")
def test_runs_that_are_added_and_removed_are_seen_soon(
    make_run: MakeRun, store: CountingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_list, "REST_FACTOR_WHEN_MODIFIED", 0)
    make_run("one")
    runs = RunList(store)
    runs.poll()
    second = make_run("two")
    assert [row.name for row in runs.poll()] == ["two", "one"]
    store.remove(second)
    assert [row.name for row in runs.poll()] == ["one"]


def test_a_listing_that_waits_is_not_followed_by_a_long_rest(
    make_run: MakeRun, store: CountingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wait for the disk or for other threads; as the cost of listings, 0.6 s would mean a rest of two minutes."""
    folder = make_run("one")
    monkeypatch.setattr(run_list, "MAX_REST_SECONDS", 1e9)
    monkeypatch.setattr(run_list, "REST_FACTOR_WHEN_MODIFIED", run_list.REST_FACTOR)
    store.waits = [0.6]
    runs = RunList(store)
    runs.poll()
    write_record(folder.notes, Notes(name="renamed"))
    ends = time.monotonic() + 60
    while [row.name for row in runs.poll()] != ["renamed"]:
        assert time.monotonic() < ends
        time.sleep(0.02)


@pytest.mark.usefixtures("expensive_listings")
def test_the_rest_is_limited(
    make_run: MakeRun, store: CountingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_list, "MAX_REST_SECONDS", 0)
    make_run("one")
    runs = RunList(store)
    runs.poll()
    runs.poll()
    assert store.listed == 2


@pytest.mark.usefixtures("expensive_listings")
def test_runs_are_listed_again_after_an_error(make_run: MakeRun, store: CountingStore) -> None:
    make_run("one")
    runs = RunList(store)
    runs.poll()
    make_run("two")
    hidden = store.root.rename(store.root.with_name("hidden"))
    store.root.write_text("not a folder")
    runs.expire()
    for _ in range(2):
        with pytest.raises(UserError):
            runs.poll()
    store.root.unlink()
    hidden.rename(store.root)
    assert [row.name for row in runs.poll()] == ["two", "one"]
