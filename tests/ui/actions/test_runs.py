from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.ui.actions.fakes import FakeHost, FakeSelection
from tests.ui.screen_steps import Hold, MakeRun
from workbench.config.experiment import Experiment, build_experiment
from workbench.config.variants import Variant
from workbench.core.errors import UserError
from workbench.launcher import launch
from workbench.runs import requests
from workbench.runs.enums import RequestKind
from workbench.runs.store import Store
from workbench.ui.actions.compare import compare_runs, compared_runs
from workbench.ui.actions.copy import copy_item
from workbench.ui.actions.runs import RunActions
from workbench.ui.actions.targets import RunTargets
from workbench.ui.actions.undo import UndoStack
from workbench.ui.experiment.draft import Draft
from workbench.ui.runs.compare_screen import CompareScreen
from workbench.ui.widgets.text_screen import TextScreen

Select = Callable[[], FakeSelection]


class Editor:
    """An experiment pane that is only its draft."""

    def __init__(self) -> None:
        self.draft, self.error, self.filter = Draft(), "", "lr"

    def experiment(self) -> Experiment:
        if self.error:
            raise UserError(self.error)
        return self.draft.experiment()

    def variants(self) -> list[Variant]:
        if self.error:
            raise UserError(self.error)
        return self.draft.variants()

    def load(self, experiment: Experiment) -> None:
        self.draft.load(experiment)

    def clear_filter(self) -> None:
        self.filter = ""


def actions(host: FakeHost, selection: FakeSelection, editor: Editor | None = None) -> RunActions:
    return RunActions(host, RunTargets(selection), UndoStack(host), lambda: editor)


def test_training_waits_for_the_experiment_pane(host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    editors: list[Editor] = []
    monkeypatch.setattr(launch, "_start_supervisor", lambda *_: None)
    run_actions = RunActions(
        host, RunTargets(FakeSelection()), UndoStack(host), lambda: editors[0] if editors else None
    )
    run_actions.train()
    assert host.texts == ["loading the experiment; training starts when it is loaded"]
    editors.append(Editor())
    run_actions.run_deferred()
    run_actions.run_deferred()
    (row,) = host.store.list_runs()
    assert row.name == "digits-mlp" and host.refreshed == [row.id]
    assert editors[0].filter == "", "the change that it was for is trained"


def test_the_same_experiment_twice_within_a_second_is_asked_for(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    monkeypatch.setattr(launch, "_start_supervisor", lambda *_: None)
    editor = Editor()
    run_actions = actions(host, FakeSelection(), editor)
    host.answer = False
    run_actions.train()
    now += 0.9
    run_actions.train()
    assert host.questions == ["Start digits-mlp again?"] and len(host.store.list_runs()) == 1
    editor.draft.load(build_experiment("digits-mlp", sets=["train.lr=0.5"]))
    run_actions.train()
    assert len(host.questions) == 1 and len(host.store.list_runs()) == 2, "another experiment"
    now += 1.1
    run_actions.train()
    assert len(host.questions) == 1 and len(host.store.list_runs()) == 3, "later"
    host.answer = True
    run_actions.train()
    assert len(host.questions) == 2 and len(host.store.list_runs()) == 4, "confirmed"


def test_an_invalid_experiment_is_not_trained(host: FakeHost, selection: Select) -> None:
    editor = Editor()
    editor.error = "train.lr must be positive"
    actions(host, selection(), editor).train()
    assert host.notices == [("train.lr must be positive", "error")] and host.store.list_runs() == []


def test_a_run_is_stopped_after_a_confirmation(
    host: FakeHost, make_run: MakeRun, hold: Hold, selection: Select
) -> None:
    folder = make_run("live", status=None)
    hold(folder)
    host.answer = False
    actions(host, selection()).stop()
    assert requests.pending_requests(folder) == [] and host.questions == ["Stop live?"]
    host.answer = True
    actions(host, selection()).stop()
    assert [request.kind for request in requests.pending_requests(folder)] == [RequestKind.STOP]
    assert host.texts == ["live: stop requested"]


def test_only_finished_runs_get_more_epochs(
    host: FakeHost, make_run: MakeRun, selection: Select, monkeypatch: pytest.MonkeyPatch
) -> None:
    resumed: list[Any] = []
    monkeypatch.setattr(
        launch, "resume_run", lambda run, overrides, _, announce: resumed.append((run.id, overrides))
    )
    finished = make_run("finished", epochs=4, done=4)
    stopped = make_run("stopped", status="stopped")
    runs = selection()
    runs.marked = runs.rows
    actions(host, runs).resume()
    assert host.questions == ["Train finished for 2 more epochs?"]
    assert sorted(resumed) == [(finished.id, {"train.epochs": 6}), (stopped.id, {})]


def test_a_trashed_run_can_be_restored(host: FakeHost, make_run: MakeRun, selection: Select) -> None:
    folder = make_run("old")
    stack = UndoStack(host)
    RunActions(host, RunTargets(selection()), stack, lambda: None).trash()
    assert not folder.path.exists() and (Store.default().trash / folder.id).is_dir()
    stack.undo()
    assert folder.path.is_dir()
    assert host.texts[-1] == "undone: old moved to trash"


def test_an_experiment_is_duplicated(host: FakeHost, make_run: MakeRun, selection: Select) -> None:
    make_run("mine", epochs=7)
    editor = Editor()
    actions(host, selection(), editor).duplicate()
    assert editor.experiment().train.epochs == 7


def test_an_unreadable_experiment_is_named(host: FakeHost, make_run: MakeRun, selection: Select) -> None:
    folder = make_run("mine")
    runs = selection()
    folder.experiment.unlink()
    actions(host, runs, Editor()).duplicate()
    assert host.notices == [(f"the experiment of mine can't be read: {folder.experiment}", "error")]


def test_the_log_is_shown(host: FakeHost, make_run: MakeRun, selection: Select) -> None:
    make_run("mine").log.write_text("line\n")
    actions(host, selection()).read_log()
    assert isinstance(host.screens[0][0], TextScreen)


def test_runs_are_compared_if_there_are_two(host: FakeHost, make_run: MakeRun, selection: Select) -> None:
    make_run("worse", accuracy=0.5)
    runs = selection()
    compare_runs(host, runs)
    assert host.notices == [("no second run to compare with; space marks runs", "warning")]
    make_run("mine")
    runs = selection()
    assert [row.name for row in compared_runs(runs)] == ["mine", "worse"]
    compare_runs(host, runs)
    assert isinstance(host.screens[0][0], CompareScreen)


def test_an_item_is_copied_else_the_folder(host: FakeHost, make_run: MakeRun, selection: Select) -> None:
    copy_item(host, FakeSelection(), "")
    assert host.copied == [] and host.texts == ["nothing to copy here"]
    folder = make_run("mine")
    copy_item(host, selection(), "")
    copy_item(host, selection(), "cat .9\x1b")
    assert host.copied == [str(folder.path), "cat .9\N{REPLACEMENT CHARACTER}"]
