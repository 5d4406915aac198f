"""Marks, notes, export, comparison, copy and undo: by key, in the whole app."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from textual.containers import Vertical

from tests.ui.screen_steps import Hold, MakeRun, Until, choose, notification_texts, ready
from workbench.core import paths
from workbench.io.record_codec import read_record, write_record
from workbench.runs import requests
from workbench.runs.comparison import ComparedRun
from workbench.runs.enums import Outcome, Phase
from workbench.runs.metrics import EvaluationFile, EvaluationRow
from workbench.runs.reader import RunView
from workbench.runs.records import Heartbeat, Notes, RequestValues
from workbench.runs.requests import Answer
from workbench.runs.run_folder import RunFolder
from workbench.runs.store import RunSummary, Status, Store
from workbench.ui.app import WorkbenchApp
from workbench.ui.base.layout import PaneId
from workbench.ui.plots.curves import LOSS, LR, Curves, Metric
from workbench.ui.plots.plot_options import PlotOptions
from workbench.ui.runs.compare_screen import (
    CompareScreen,
    overlay_curves,
    read_comparison,
    runs_to_compare,
)
from workbench.ui.runs.compare_tables import table_rows
from workbench.ui.runs.notes_screen import NotesScreen
from workbench.ui.services import notifications
from workbench.ui.widgets.confirm_screen import Confirm
from workbench.ui.widgets.notice_bar import NotificationBar
from workbench.ui.widgets.table import Table


async def test_keys_act_on_the_marked_runs(make_run: MakeRun, until: Until) -> None:
    kept, first, second = make_run("kept"), make_run("first"), make_run("second")
    async with WorkbenchApp().run_test(size=(120, 36)) as pilot:
        app = await ready(pilot, until)
        await pilot.press("space", "space")
        await until(pilot, "2 marked")
        await until(pilot, "◆second")
        await pilot.press("x")
        await until(pilot, "Move 2 runs to the trash?")
        await pilot.press("y")
        await until(pilot, lambda: [row.id for row in app.runs.rows or []] == [kept.id])
        await pilot.press("u")
        await until(pilot, lambda: {row.id for row in app.runs.rows or []} == {kept.id, first.id, second.id})
        assert not list(paths.trash().iterdir())


async def test_runs_trashed_before_one_that_failed_can_be_restored(
    make_run: MakeRun, hold: Hold, until: Until
) -> None:
    going, first = make_run("going"), make_run("first")
    async with WorkbenchApp().run_test(size=(120, 36)) as pilot:
        app = await ready(pilot, until)
        await pilot.press("space", "space", "x")
        await until(pilot, "Move 2 runs to the trash?")
        hold(going)
        await pilot.press("y")
        await until(pilot, lambda: any("stop it first" in text for text in notification_texts(app)))
        assert [path.name for path in paths.trash().iterdir()] == [first.id]
        await pilot.press("u")
        await until(pilot, lambda: {row.id for row in app.runs.rows or []} == {going.id, first.id})


async def test_escape_removes_the_marks(make_run: MakeRun, until: Until) -> None:
    make_run("one")
    async with WorkbenchApp().run_test(size=(80, 24)) as pilot:
        app = await ready(pilot, until)
        await pilot.press("space")
        await until(pilot, lambda: len(app.runs.marked) == 1)
        await pilot.press("escape")
        await until(pilot, lambda: not app.runs.marked)


async def test_an_unavailable_action_shows_why(make_run: MakeRun, hold: Hold, until: Until) -> None:
    make_run("done")
    hold(make_run("going", status=None))
    async with WorkbenchApp().run_test(size=(120, 36)) as pilot:
        app = await ready(pilot, until)
        await pilot.press("x")
        await until(pilot, "move to trash: going is running; s stops it first")
        assert not isinstance(app.screen, Confirm)
        await pilot.press("j", "]", "]", "]")
        await until(pilot, "lr ×2: done is finished, not running; r resumes it")
        line = app.query_one(NotificationBar)
        await until(pilot, lambda: line.notifications[-1].count == 3)  # one notification, not three
        await pilot.press("j")
        await until(pilot, lambda: not line.text)


async def test_p_is_named_by_what_it_does(make_run: MakeRun, hold: Hold, until: Until) -> None:
    folder = make_run("going", status=None, phase=Phase.TUNING)
    hold(folder)
    async with WorkbenchApp().run_test(size=(160, 36)) as pilot:
        await ready(pilot, until)
        await until(pilot, "p pause")
        await pilot.press("p")
        await until(pilot, "p continue")
        await until(pilot, lambda: len(requests.pending_requests(folder)) == 1)
        await pilot.press("p")
        await until(pilot, "p pause")
        await until(pilot, lambda: not requests.pending_requests(folder))
        write_record(folder.heartbeat, Heartbeat(attempt=1, counter=9, phase=Phase.PAUSED))
        await until(pilot, "p continue")
        await pilot.press("question_mark")
        await until(pilot, "p  continue")
        await pilot.press("escape", "colon")
        await until(pilot, "continue  (p)")


async def test_a_filter_is_offered_for_a_list(make_run: MakeRun, until: Until) -> None:
    make_run()
    async with WorkbenchApp().run_test(size=(80, 24)) as pilot:
        app = await ready(pilot, until)
        await until(pilot, "/ filter")
        await pilot.press("3")
        await until(pilot, "a smoothing")
        await pilot.press("slash")
        await pilot.pause()
        assert not app.main_view.filter_is_open


async def test_notes_are_saved_and_found_by_the_filter(make_run: MakeRun, until: Until) -> None:
    make_run("other")
    folder = make_run("plain")
    async with WorkbenchApp().run_test(size=(120, 50)) as pilot:
        app = await ready(pilot, until)
        await pilot.press("i")
        await until(pilot, lambda: isinstance(app.screen, NotesScreen))
        await pilot.press(*(["backspace"] * 5), *"../x", "enter")
        await until(pilot, lambda: "x" in str(app.screen.query_one("#error").render()))
        assert isinstance(app.screen, NotesScreen)
        await pilot.press(*(["backspace"] * 4), *"better", "tab", *"paper, good", "tab", *"lr [red]", "enter")
        await until(pilot, "✎ paper, good  lr [red]")
        known = Notes(name="better", tags=("paper", "good"), notes="lr [red]")
        assert read_record(folder.notes, Notes) == known
        await pilot.press("slash", *"paper", "enter")
        await until(pilot, "/paper──1 of 2")


async def test_a_run_is_exported_by_a_subprocess(
    make_run: MakeRun, until: Until, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = make_run()
    places = [tmp_path / f"digits-mlp-{folder.id}{end}.csv" for end in ("", "-2")]
    async with WorkbenchApp().run_test(size=(120, 36)) as pilot:
        app = await ready(pilot, until)
        for wanted in (f"exported to {place}" for place in places):
            await pilot.press("e")
            await choose(pilot, until, "csv")
            await until(
                pilot,
                lambda wanted=wanted: any(wanted in text for text in notification_texts(app)),
            )
    assert all(place.read_text().startswith("kind,step") for place in places)


async def test_the_selected_run_is_compared_with_the_best(make_run: MakeRun, until: Until) -> None:
    make_run("worse", accuracy=0.5)
    make_run("best", accuracy=0.95, epochs=8)
    make_run("mine", accuracy=0.7)
    async with WorkbenchApp().run_test(size=(120, 36)) as pilot:
        app = await ready(pilot, until)
        await pilot.press("=")
        await until(pilot, lambda: isinstance(app.screen, CompareScreen))
        await until(pilot, "val loss  1─mine .500  2─best .500")
        table = app.screen.query_one(Table)
        keys = {row.key for row in table.rows}
        assert "train.epochs" in keys and "status" not in keys  # which is the same in all
        await pilot.press("m")
        await until(pilot, "val accuracy  1─mine .700  2─best .950")
        table.go_to("train.epochs")
        await pilot.press("enter")  # the values of the row in full
        await until(pilot, "2 best  8")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, CompareScreen))
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, CompareScreen))


async def test_a_comparison_without_metrics_of_classes_says_so_where_it_is_seen(
    make_run: MakeRun, until: Until
) -> None:
    for path in make_run("one").evaluations.glob("*"):
        path.unlink()
    make_run("two")
    async with WorkbenchApp().run_test(size=(80, 24)) as pilot:
        app = await ready(pilot, until)
        await pilot.press("=")
        await until(pilot, lambda: isinstance(app.screen, CompareScreen))
        await pilot.press("c")
        await until(pilot, "fewer than two have metrics of classes")
        await pilot.press("c")
        await until(pilot, lambda: "fewer" not in str(app.screen.query_one(Vertical).border_title))


async def test_runs_are_compared_class_by_class(make_run: MakeRun, until: Until) -> None:
    folders = [make_run(name, accuracy=0.5) for name in ("one", "two", "three", "four", "five")]
    for folder, recalls in zip(folders[1:], ((0.65, 0.3), (0.6, 0.9), (0.1, 0.9), (0.6, 0.95)), strict=True):
        for path in folder.evaluations.glob("*.json"):
            record = read_record(path, EvaluationFile)
            assert record is not None
            classes = tuple(
                replace(one, accuracy=value) for one, value in zip(record.per_class, recalls, strict=True)
            )
            write_record(path, replace(record, per_class=classes))
    async with WorkbenchApp().run_test(size=(120, 36)) as pilot:
        app = await ready(pilot, until)
        await pilot.press("M", "=")
        await until(pilot, lambda: isinstance(app.screen, CompareScreen))
        table = app.screen.query_one(Table)
        await pilot.press("c")
        await until(pilot, "val accuracy of each class, difference to 1")
        assert [line.strip(" ▸").split()[0] for line in table.lines[1:3]] == ["dog", "cat"], (
            "largest difference first"
        )
        assert ".300" in table.lines[1]
        await pilot.press("enter")
        await until(pilot, "-.650")
        await pilot.press("escape", "c")
        await until(pilot, "val F1 of each class")
        await pilot.press("c", "c")
        await until(pilot, lambda: "of each class" not in str(app.screen.query_one(Vertical).border_title))
        await pilot.press("c")
        await pilot.resize_terminal(50, 24)
        await until(pilot, lambda: len(table.lines[0]) <= 48)
        assert "1 five" in table.lines[0] and "5 one" not in table.lines[0]


def row(name: str, best: float | None, monitor: str = "accuracy", dataset: str = "digits") -> RunSummary:
    return RunSummary(name, name, Status.FINISHED, dataset, best=best, monitor=monitor)


def test_figures_are_compared_in_the_commands_words() -> None:
    names = ("train.weight_decay", "train.augment", "train.monitor", "train.amp")
    values = ((0.0, [], None, True), (0.00012345, ["hflip", "crop"], "loss", False))
    runs = [
        ComparedRun(run="x", name="x", status=Status.FINISHED, epoch=1, seconds=seconds, test={},
                    settings=dict(zip(names, found, strict=True)))
        for seconds, found in zip((10.562, 9.0), values, strict=True)
    ]  # fmt: skip
    shown = [(row.cells["0"], row.cells["1"]) for row in table_rows(runs)]
    assert shown == [
        ("10.562", "9.0"), ("0.0", "0.00012345"), ("-", "hflip,crop"), ("-", "loss"), ("yes", "no"),
    ]  # fmt: skip


def test_each_run_names_its_split_where_they_differ(make_run: MakeRun) -> None:
    compared = read_comparison([make_run("measured"), make_run("started", done=0)])
    curves = [Curves() for _ in compared.views]
    for one, view in zip(curves, compared.views, strict=True):
        one.update(view)
    names = ["measured", "started"]

    def title(metric: Metric, width: int = 60) -> str:
        drawing = overlay_curves(curves, names, metric, PlotOptions(), size=(40, width))
        return "".join(words for words, _ in drawing.title)

    assert title(LOSS) == "loss  1─measured val .500  2─started no values"
    assert title(LOSS, 36) == "loss  1 val .500  2 no values", "numbers where names do not fit"
    assert title(LR).startswith("learning rate  1─")


def curves_of(losses: Sequence[float]) -> Curves:
    """The curves of a run with these validation losses after its epochs."""
    view = RunView(RunFolder(Path("run")))
    view.evaluations = [
        EvaluationRow(step=epoch, epoch=epoch, split="validation", loss=loss)
        for epoch, loss in enumerate(losses, 1)
    ]
    curves = Curves()
    curves.update(view)
    return curves


def test_one_spike_does_not_flatten_the_other_curves_and_is_reported() -> None:
    curves = [curves_of([2.0, 900.0, 1.5, 1.2, 1.1]), curves_of([1.9, 1.6, 1.4, 1.3, 1.2])]
    drawing = overlay_curves(curves, ["a", "b"], LOSS, PlotOptions(), size=(60, 80))
    assert drawing.y_axis.high < 5
    assert "".join(words for words, _ in drawing.title).endswith("↑ max 900")
    log = overlay_curves(curves, ["a", "b"], LOSS, PlotOptions(log="y"), size=(60, 80))
    assert (log.y_axis.scale, log.y_axis.high) == ("log", 1000.0), "a log axis has room for it"
    zoomed = overlay_curves(curves, ["a", "b"], LOSS, PlotOptions(window=(3.0, 5.0)), size=(60, 80))
    assert (zoomed.x_axis.low, zoomed.x_axis.high) == (3.0, 5.0) and max(zoomed.series[0].ys) == 1.5


def test_a_run_is_compared_with_the_marked_or_the_best_one():
    mine, low, high, other = row("a", 0.5), row("b", 0.2), row("c", 0.9), row("d", 1.0, dataset="mnist")
    rows = [mine, low, high, other]
    assert runs_to_compare(mine, [], rows) == [mine, high]
    assert runs_to_compare(mine, [low], rows) == [mine, low]
    assert runs_to_compare(mine, [low, other], rows) == [low, other]
    assert runs_to_compare(mine, [], [mine]) == [mine]
    losses = [row("e", 0.5, "loss"), row("f", 0.2, "loss"), row("g", 0.9, "loss")]
    assert runs_to_compare(losses[0], [], losses) == losses[:2]


async def test_changes_of_the_form_are_undone(make_run: MakeRun, until: Until) -> None:
    make_run()
    async with WorkbenchApp().run_test(size=(120, 36)) as pilot:
        app = await ready(pilot, until)
        pane: Any = app.main_view.panes[PaneId.EXPERIMENT]
        pane._apply(lambda: pane.draft.set("train.epochs", "7"))
        pane._apply(lambda: pane.draft.choose("model", "convnet"))
        await pilot.pause()
        await pilot.press("u")
        await until(pilot, lambda: (pane.draft.model, pane.experiment().train.epochs) == ("mlp", 7))
        await pilot.press("u")
        await until(pilot, lambda: (pane.draft.recipe, pane.experiment().train.epochs) == ("digits-mlp", 40))
        await pilot.press("u")
        await until(pilot, "nothing to undo")


async def test_a_live_change_that_took_effect_is_reverted(
    make_run: MakeRun, hold: Hold, until: Until
) -> None:
    folder = make_run("going", status=None)
    hold(folder)
    async with WorkbenchApp().run_test(size=(120, 36)) as pilot:
        app = await ready(pilot, until)
        await pilot.press("[")
        app.live_tuning.send_pending()
        await until(pilot, lambda: len(list(folder.control.glob("*.json"))) == 1)
        await until(pilot, "going: learning rate ÷2")
        (request,) = requests.pending_requests(folder)
        requests.write_answer(folder, request, Answer(Outcome.DONE, "lr 0.1 → 0.05"))
        await pilot.press("u")
        await until(pilot, lambda: bool(requests.pending_requests(folder)))
        (request,) = requests.pending_requests(folder)
        assert request.values == RequestValues(times=2.0)
        assert not any(text.startswith("undone") for text in notification_texts(app)), "not before the reply"
        requests.write_answer(folder, request, Answer(Outcome.DONE, "lr 0.05 → 0.1"))
        await until(pilot, "undone: going: learning rate ÷2")


async def test_the_item_under_the_cursor_is_copied(make_run: MakeRun, until: Until) -> None:
    folder = make_run()
    async with WorkbenchApp().run_test(size=(120, 36)) as pilot:
        app = await ready(pilot, until)
        await pilot.press("y")
        assert app.clipboard == str(folder.path)
        await until(pilot, lambda: bool(app.runs.evaluations))
        await pilot.press("4", "y")
        assert app.clipboard.split()[:3] == ["cat", ".600", "▇▇▇▇▇▇▁▁▁▁"]
        sent = base64.b64encode(app.clipboard.encode())
        assert b"\x1b" not in base64.b64decode(sent)


async def test_the_bell_rings_when_a_run_ends_unless_it_is_off(
    make_run: MakeRun, hold: Hold, until: Until, write_run: dict[str, Callable[..., None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    rung: list[str] = []
    runs = {name: make_run(name, status=None) for name in ("first", "second")}
    holding = {name: hold(folder) for name, folder in runs.items()}
    async with WorkbenchApp().run_test(size=(120, 36)) as pilot:
        app = await ready(pilot, until)
        monkeypatch.setattr(app, "bell", lambda: rung.append("bell"))
        for name in ("first", "second"):
            write_run["end"](runs[name], "finished")
            holding[name].kill()
            holding[name].wait()
            await until(
                pilot,
                lambda name=name: f"{name} finished: best val .900@2" in notification_texts(app),
            )
            await pilot.press("B")
    assert rung == ["bell"]
    monkeypatch.setenv(notifications.BELL_VARIABLE, "off")
    assert not WorkbenchApp(Store.default()).updates.bell_on
