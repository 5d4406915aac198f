"""The dialog that starts a sweep, and the keys that remove one and bring it back."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.test_control import until as wait_until
from tests.sweep_folders import write_sweep
from tests.ui.screen_steps import MakeRun, TextOf, Until, notified, ready
from workbench.cli.main import run as command
from workbench.config.experiment import experiment_content
from workbench.core.errors import UserError
from workbench.sweeps.records import PrunerName, SamplerName
from workbench.sweeps.sweep_folder import FIRST_WORKER_BYTE, SweepLock, SweepStore
from workbench.ui.app import WorkbenchApp
from workbench.ui.base.layout import PaneId
from workbench.ui.experiment.draft import Draft
from workbench.ui.sweeps.start_screen import StartScreen
from workbench.ui.sweeps.sweep_draft import SweepDraft

LR = "log:1e-4:1e-1"
KEYS_TO_LR = 10
"""Rows from the first option to the learning rate."""


@pytest.fixture
def draft() -> SweepDraft:
    return SweepDraft(experiment_content("digits-mlp"))


def test_what_is_typed_becomes_a_sweep(draft: SweepDraft) -> None:
    for key, text in (("train.lr", LR), ("train.batch_size", " 16 | 32 "), ("trials", "7"), ("sampler", "random"),
                      ("pruner", "none"), ("metric", "loss"), ("workers", "3")):  # fmt: skip
        assert draft.error(key, text) is None
        draft = draft.changed(key, text)
    made = draft.define()
    assert made.params == (("train.lr", LR), ("train.batch_size", "16 | 32"))
    assert (made.trials, made.workers, made.sampler, made.pruner) == (
        7,
        3,
        SamplerName.RANDOM,
        PrunerName.NONE,
    )
    assert made.metric == "validation/loss" and made.minimize
    assert draft.reset("train.lr").reset("trials").define().trials == 20
    shown = {field.key: field for field in draft.fields()}
    assert shown["train.lr"].changed and shown["train.lr"].value == LR
    assert (shown["train.epochs"].value, shown["train.epochs"].changed) == ("40", False)
    assert "train.device" not in shown


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [("train.lr", "log:1:x", "train.lr=log:1:x is no range"), ("train.lr", "0.1", "one value is nothing to search"),
     ("train.optimizer", "adam,foo", "can't be 'foo'"), ("trials", "x", "'x' is not a whole number"),
     ("trials", "0", "trials must be from 1"), ("trials", "", "how many trials?"), ("workers", "65", "from 1 to 64"),
     ("metric", "acc", "no such metric"), ("sampler", "cmaes", "needs ranges of at least two settings")],
)  # fmt: skip
def test_errors_are_told_while_they_are_typed(draft: SweepDraft, key: str, text: str, message: str) -> None:
    error = draft.error(key, text)
    assert error is not None and message in error and not error.startswith("-")


def test_nothing_to_search_is_told(draft: SweepDraft) -> None:
    with pytest.raises(UserError, match="type what is searched"):
        draft.define()


def test_several_values_of_the_experiment_are_searched() -> None:
    draft = Draft()
    draft.set("train.lr", "0.1 | 0.03")
    made = SweepDraft(draft.recipe_content(), draft.axes).define()
    assert made.params == (("train.lr", "0.1 | 0.03"),) and made.baseline == {"train.lr": "0.1"}


async def test_a_sweep_is_started_removed_and_restored_by_keys(
    home: Path, make_run: MakeRun, until: Until, text_of: TextOf
) -> None:
    make_run()
    app = WorkbenchApp()
    try:
        async with app.run_test(size=(120, 36)) as pilot:
            await ready(pilot, until)
            await pilot.press("2", "S")
            await until(pilot, "type what is searched into at least one setting")
            await pilot.press("t")
            assert isinstance(app.screen, StartScreen)
            await pilot.press("down", "enter", *"1x")
            await until(pilot, "'1x' is not a whole number")
            await pilot.press("backspace", "enter", *["down"] * (KEYS_TO_LR - 1), "enter", *"log:1:", "enter")
            await until(pilot, "is no range of numbers")
            await pilot.press("escape", "enter", *LR, "enter")
            await until(pilot, "1 trial by 1 worker over 1 setting; higher validation/accuracy is better")
            await pilot.press("t")
            await until(pilot, "digits-mlp-sweep──0 of 1 trials")
            assert app.navigation.front is PaneId.SWEEPS
            folder = SweepStore.default().find("digits-mlp-sweep")
            assert folder.read_definition().params == (("train.lr", LR),)
            await until(pilot, "● 0")
            await pilot.press("x")
            await until(pilot, "move the sweep to the trash: not in this view")
            await pilot.press("s", "y")
            await until(
                pilot, lambda: app.main_view.panes[PaneId.SWEEPS].check_action("remove_sweep", ()) is True
            )
            await pilot.press("x")
            await until(pilot, "Move the sweep digits-mlp-sweep to the trash?")
            await pilot.press("y")
            await until(pilot, "No sweeps. S searches settings")
            assert not folder.path.exists() and notified(app, "the sweep digits-mlp-sweep moved to trash")
            await pilot.press("u")
            await until(pilot, "digits-mlp-sweep──0 of 1 trials")
            assert SweepStore.default().find("last") == folder
    finally:
        for left, _ in SweepStore.default().list_sweeps():
            command(["sweep", "stop", left.name])
            wait_until(lambda left=left: not left.live_workers(), "end of the workers")


def test_a_sweep_is_removed_by_a_command_unless_somebody_works_on_it(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_sweep(home, ["run"])
    lock = SweepLock(folder)
    assert lock.take_slot()
    assert command(["sweep", "remove", "last"]) == 2
    assert "digits-mlp-sweep is running: stop it first" in capsys.readouterr().err and folder.path.exists()
    lock._lock.release(FIRST_WORKER_BYTE)
    assert command(["sweep", "remove", "last"]) == 0
    assert "workbench trash restore digits-mlp-sweep" in capsys.readouterr().out
    assert not folder.path.exists() and command(["sweep", "show", "last"]) == 2
    assert command(["trash"]) == 0 and "sweep digits-mlp-sweep" in capsys.readouterr().out
    assert command(["trash", "restore", "digits-mlp-sweep"]) == 0
    assert SweepStore.default().find("last") == folder
    assert command(["sweep", "remove", "last"]) == 0 and command(["trash", "--empty"]) == 0
    assert not (home / "trash" / folder.name).exists()
