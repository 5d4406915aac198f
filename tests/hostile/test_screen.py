"""The screen under pastes, resizes and clicks, and beside another screen: by the bytes of a real terminal."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.terminal import Terminal
from tests.end_to_end.test_screen import open_row, until
from tests.hostile.live_runs import kill_all, start_live_run
from tests.runs.many import ended_run
from workbench.runs.status import Status, status_of
from workbench.runs.store import Store
from workbench.ui.base.layout import PANES

DIALOGS = ("!", "?", "N", "i", "=", "s", "x", ":", "/", "e")
"""Keys that open something over the panes."""


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home with a run that trains and one that has ended."""
    home = tmp_path_factory.mktemp("screens")
    ended_run(home)
    start_live_run(home)
    yield home
    kill_all(home)


@pytest.fixture
def home(training: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WORKBENCH_HOME", str(training))
    return training


def nothing_happened(terminal: Terminal, home: Path) -> None:
    """The screen answers, quits in an orderly way, and both runs are as they were."""
    terminal.press("esc", "esc", "esc")
    for pane in (*list(PANES.values())[1:], PANES[next(iter(PANES))]):
        terminal.press(pane.key).wait_for(pane.title)
    terminal.press("q").wait_until_gone(30)
    assert terminal.process.exitstatus == 0, terminal.text
    assert not (home / "screen.log").exists(), "a traceback was written"
    assert sorted(row.status for row in Store.default().list_runs()) == [Status.FINISHED, Status.RUNNING]


def test_ten_kilobytes_pasted_into_a_row(home: Path) -> None:
    """With line ends, escapes and wide characters: nothing is executed, the row refuses it, the app answers."""
    text = "q\x1b[31m\r\nx 日本 [@click=app.quit]y[/] \x1b]52;c;aGk=\x07" * 250
    assert len(text) >= 10_000
    with Terminal(80, 30) as terminal:
        terminal.wait_for("digits-mlp").press("2").wait_for("▸ recipe")
        open_row(terminal, "epochs")
        terminal.process.send(f"\x1b[200~{text}\x1b[201~")
        terminal.press("enter").wait_for("whole number")
        assert b"aGk=" not in terminal.received
        nothing_happened(terminal, home)


def test_fifty_resizes_with_dialogs_open(home: Path) -> None:
    """Five over each of ten dialogs, a tenth of a second apart, down to a terminal of one cell."""
    dice = random.Random(1)
    with Terminal(120, 36) as terminal:
        terminal.wait_for("digits-mlp")
        for key in DIALOGS:
            terminal.press(key)
            for _ in range(5):
                terminal.resize(dice.randint(1, 140), dice.randint(1, 40))
                terminal.read(0.1)
            terminal.press("esc", "esc")
        terminal.resize(120, 36)
        nothing_happened(terminal, home)


@pytest.mark.parametrize("seed", [1, 6])
def test_clicks_everywhere(home: Path, seed: int) -> None:
    """Where chance leads to, in every pane: nothing throws, and no run is started, stopped or removed.

    Only the key bar is left out, whose keys train and quit.
    """
    dice = random.Random(seed)
    with Terminal(80, 24) as terminal:
        terminal.wait_for("digits-mlp")
        for pane in PANES.values():
            terminal.press(pane.key).wait_for(pane.title)
            for _ in range(12):
                place = f"{dice.randint(1, 80)};{dice.randint(1, 23)}"
                button = dice.choice((0, 0, 0, 0, 2, 64, 65))  # left, right, the wheel up and down
                terminal.process.send(f"\x1b[<{button};{place}M\x1b[<{button};{place}m")
                terminal.read(0.02)
            terminal.press("esc", "esc")
        nothing_happened(terminal, home)


def test_two_screens_act_on_the_same_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ask a live run to stop; then one moves it to the trash, of which the other takes notice."""
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path))
    going = start_live_run(tmp_path)
    try:
        with Terminal(120, 36) as one, Terminal(120, 36) as other:
            for terminal in (one, other):
                terminal.wait_for("● digits-mlp").press("s").wait_for("Stop digits-mlp?")
            for terminal in (one, other):
                terminal.press("y")
            until(lambda: status_of(going) is Status.STOPPED, "end of the run")
            for terminal in (one, other):
                # With the space it is the key: the question, which may still be shown, says "r resumes from it".
                terminal.wait_for("r resume ").press("x").wait_for("to the trash")
            one.press("y")
            until(lambda: not going.path.exists(), "removal of the run")
            other.press("y")
            for terminal in (one, other):
                terminal.wait_for("No runs yet").press("q").wait_until_gone(30)
                assert terminal.process.exitstatus == 0
        assert not (tmp_path / "screen.log").exists()
        assert [path.name for path in (tmp_path / "trash").iterdir()] == [going.id]
    finally:
        kill_all(tmp_path)
