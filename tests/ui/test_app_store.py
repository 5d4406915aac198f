"""The app with a store outside `$WORKBENCH_HOME`: every action uses that store."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.ui.screen_steps import MakeRun, Until, choose, notified, ready
from workbench.compute.protocol_records import RunClassifier
from workbench.io.record_codec import read_record
from workbench.launcher import launch
from workbench.runs.records import Notes
from workbench.runs.run_folder import RunFolder
from workbench.runs.store import Store
from workbench.ui.app import WorkbenchApp
from workbench.ui.base.layout import PaneId
from workbench.ui.runs.compare_screen import CompareScreen
from workbench.ui.runs.notes_screen import NotesScreen
from workbench.ui.services import last_visit
from workbench.ui.widgets.confirm_screen import Confirm
from workbench.ui.widgets.text_screen import TextScreen

SIZE = (120, 36)


@pytest.fixture
def elsewhere(tmp_path: Path, home: Path, make_run: MakeRun) -> Store:
    """A store with the runs `other` and `mine`, outside the home, which has none."""
    make_run("other", accuracy=0.5)
    make_run("mine")
    shutil.move(home, tmp_path / "elsewhere")
    return Store(tmp_path / "elsewhere" / "runs")


async def test_files_of_a_run_are_read_and_written_there(elsewhere: Store, until: Until) -> None:
    folder = elsewhere.find("mine")
    folder.log.write_text("a line of the log\n")
    async with WorkbenchApp(elsewhere).run_test(size=SIZE) as pilot:
        app = await ready(pilot, until)
        await pilot.press("!")
        await until(pilot, "a line of the log")
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, TextScreen))
        await pilot.press("i")
        await until(pilot, lambda: isinstance(app.screen, NotesScreen))
        await pilot.press(*"2", "enter")
        await until(pilot, folder.notes.exists)
        await pilot.press("=")
        await until(pilot, lambda: isinstance(app.screen, CompareScreen))
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, CompareScreen))
        await pilot.press("y", "d")
        assert app.clipboard == str(folder.path)
        await until(pilot, lambda: notified(app, "into the experiment pane"))
    notes = read_record(folder.notes, Notes)
    assert notes is not None and notes.name == "mine2"


async def test_a_run_is_moved_to_the_trash_beside_the_store_and_restored(
    elsewhere: Store, home: Path, until: Until
) -> None:
    folder = elsewhere.find("mine")
    async with WorkbenchApp(elsewhere).run_test(size=SIZE) as pilot:
        app = await ready(pilot, until)
        await pilot.press("x")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.press("y")
        await until(
            pilot,
            lambda: (elsewhere.trash / folder.id).is_dir() and notified(app, "moved to trash"),
        )
        await pilot.press("u")
        await until(pilot, folder.path.is_dir)
    assert not (home / "trash").exists() and not (home / "runs").exists()


async def test_a_run_is_exported_from_there(
    elsewhere: Store, until: Until, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with WorkbenchApp(elsewhere).run_test(size=SIZE) as pilot:
        app = await ready(pilot, until)
        await pilot.press("e")
        await choose(pilot, until, "csv")
        await until(pilot, lambda: notified(app, "exported to "))
    assert list(tmp_path.glob("mine-*.csv"))


async def test_requests_and_resumes_are_made_there(
    elsewhere: Store, hold: Callable[[RunFolder], subprocess.Popen[str]], until: Until,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    resumed: list[Path] = []
    monkeypatch.setattr(launch, "resume_run", lambda folder, *_, **__: resumed.append(folder.path))
    folder = elsewhere.find("mine")
    folder.exit.unlink()
    holder = hold(folder)
    async with WorkbenchApp(elsewhere).run_test(size=SIZE) as pilot:
        app = await ready(pilot, until)
        await pilot.press("p")
        await until(pilot, lambda: len(list(folder.control.glob("*.json"))) == 1)
        await pilot.press("]")
        app.live_tuning.send_pending()
        await until(pilot, lambda: len(list(folder.control.glob("*.json"))) == 2)
        await pilot.press("s")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.press("y")
        await until(pilot, lambda: len(list(folder.control.glob("*.json"))) == 3)
        holder.kill()
        holder.wait()
        await until(pilot, lambda: app.runs.selected is not None and not app.runs.selected.status.live)
        await pilot.press("r")
        await until(pilot, lambda: resumed == [folder.path])


async def test_an_experiment_is_started_there(
    elsewhere: Store, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "_start_supervisor", lambda *_: None)
    async with WorkbenchApp(elsewhere).run_test(size=SIZE) as pilot:
        await ready(pilot, until)
        await pilot.press("t")
        await until(pilot, lambda: len(elsewhere.list_runs()) == 3)


async def test_the_classifiers_to_choose_from_are_its_runs(elsewhere: Store, until: Until) -> None:
    async with WorkbenchApp(elsewhere).run_test(size=SIZE) as pilot:
        app = await ready(pilot, until)
        pane: Any = app.main_view.panes[PaneId.PHOTO]
        pane.action_model()
        await choose(pilot, until, "other", "digits, mlp, finished")
        await until(pilot, lambda: pane.selected_classifier is not None)
    assert pane.selected_classifier == RunClassifier(str(elsewhere.find("other").path))


async def test_the_last_visit_is_remembered_there(elsewhere: Store, home: Path, until: Until) -> None:
    async with WorkbenchApp(elsewhere).run_test(size=SIZE) as pilot:
        await ready(pilot, until)
        await pilot.press("q")
    record = last_visit.load(elsewhere)
    assert record is not None and len(record.runs) == 2
    assert all(run.attempt == 1 for run in record.runs.values())
    assert not (home / last_visit.FILE_NAME).exists()
