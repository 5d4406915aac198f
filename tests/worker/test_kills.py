"""Runs killed at random and at named points, started by the launcher, end like an uninterrupted one."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.worker import kill_many
from tests.worker.kill_many import check_loadable, ended, experiment, finished
from tests.worker.support import outcome, same
from workbench.io.record_codec import read_record
from workbench.launcher import launch
from workbench.runs.enums import Cause
from workbench.runs.journal import attempts_of, read_journal
from workbench.runs.records import Exit
from workbench.runs.run_folder import RunFolder
from workbench.runs.run_report import read_report
from workbench.runs.status import Status

CHECKPOINT, MANIFEST = r"checkpoints/\.?step-", r"checkpoints/\.?manifest"
POINTS = {
    "in a checkpoint's temporary file": f"half 4 {CHECKPOINT}",
    "before a checkpoint's rename": f"before 3 {CHECKPOINT}",
    "after a checkpoint's rename": f"after 3 {CHECKPOINT}",
    "in the manifest's temporary file": f"half 4 {MANIFEST}",
    "before the manifest's rename": f"before 3 {MANIFEST}",
    "in the middle of a metrics line": r"line 70 metrics\.jsonl",
    "in an evaluation": r"call 10 engine/evaluate\.py",
    "between an evaluation and its checkpoint": r"after 2 evaluations/step-",
    "in the middle of the copy of the metrics": r"half 1 metrics\.jsonl\.kept",
    "before the copy of the metrics takes their place": r"before 1 metrics\.jsonl",
}


@pytest.mark.timeout(900)
def test_kills_at_random(home: Path) -> None:
    kill_many.kill_many(4, seed=random.randrange(10**6))


@pytest.mark.timeout(900)
def test_kills_at_every_named_point(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = outcome(finished(launch.start_run(experiment(), "test")))
    folder = None
    for name, crash in POINTS.items():
        with monkeypatch.context() as patch:
            patch.setenv("WORKBENCH_CRASH", crash)
            folder = again(folder)
        assert ended(folder) is Status.FAILED, (name, folder.log.read_text())
        end = read_record(folder.exit, Exit)
        assert end is not None and end.cause is Cause.CRASH, name
        assert "SIGKILL" in (end.reason or ""), name
        check_loadable(folder)
    assert folder is not None
    assert same(outcome(finished(again(folder))), wanted)
    assert read_report(folder).exact
    assert not list(folder.path.rglob("*.tmp")), "what a kill leaves is swept up"
    assert [attempt.attempt for attempt in attempts_of(read_journal(folder.journal))] == [
        *range(1, len(POINTS) + 2)
    ]


def again(folder: RunFolder | None) -> RunFolder:
    """Start the run, or resume it."""
    if folder is None:
        return launch.start_run(experiment(), "test")
    launch.resume_run(folder, {}, "test")
    return folder
