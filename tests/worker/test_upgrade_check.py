"""After an upgrade a resumed run shows what its weights are worth before it trains on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.worker.support import evaluation_rows, make_run, notices, outcome, run_until, same
from workbench.runs.journal import Attempt, Notice
from workbench.runs.run_folder import RunFolder
from workbench.worker.upgrade_check import changed_versions

OLD: dict[str, str | None] = {"torch": "2.10.0", "numpy": "2.0.0"}
NEW: dict[str, str | None] = {"torch": "2.11.0", "numpy": "2.0.0"}


def upgrade_notices(folder: RunFolder) -> list[Notice]:
    return [notice for notice in notices(folder) if "torch 2.10.0" in notice.text]


def test_metrics_before_and_after_an_upgrade_are_compared(home: Path) -> None:
    """Cut inside the second epoch: the weights of the first one's end are measured, and put away again."""
    uncut, folder = make_run(home, {"epochs": 2}), make_run(home, {"epochs": 2})
    run_until(uncut, None)
    run_until(folder, 60, versions=OLD)
    run_until(folder, None, versions=NEW)
    before = next(row for row in evaluation_rows(folder) if row.epoch == 1)
    (notice,) = upgrade_notices(folder)
    assert notice.before == {"loss": before.loss, "accuracy": before.accuracy}
    assert notice.after == pytest.approx(notice.before)
    assert notice.text.startswith("torch 2.10.0 → 2.11.0: the weights of epoch 1 on validation: loss before ")
    assert same(outcome(folder), outcome(uncut))


def test_a_finished_run_with_more_epochs_is_compared_too(home: Path) -> None:
    folder = make_run(home, {"epochs": 1})
    run_until(folder, None, versions=OLD)
    run_until(folder, None, versions=NEW, overrides={"train.epochs": 2})
    (notice,) = upgrade_notices(folder)
    assert "the weights of epoch 1" in notice.text
    assert notice.after == pytest.approx(notice.before)


def test_missing_earlier_metrics_are_reported(home: Path) -> None:
    folder = make_run(home, {"epochs": 1})
    run_until(folder, 10, versions=OLD)
    run_until(folder, None, versions=NEW)
    (notice,) = upgrade_notices(folder)
    assert "no checkpoint has earlier metrics" in notice.text


def test_unchanged_versions_are_not_reported(home: Path) -> None:
    attempts = [Attempt(versions=OLD), Attempt(versions=OLD)]
    assert changed_versions(attempts) == []
    assert changed_versions([*attempts, Attempt(versions=NEW)]) == ["torch 2.10.0 → 2.11.0"]
    assert changed_versions([Attempt(), Attempt(versions=NEW)]) == []
