from __future__ import annotations

import random
from pathlib import Path

import msgspec
import pytest
from textual.app import App

from workbench.config.experiment import Reference, build_experiment
from workbench.runs.metrics import ClassMetrics, EvaluationFile, EvaluationRow
from workbench.runs.reader import RunView
from workbench.runs.records import Setup
from workbench.runs.run_folder import RunFolder
from workbench.runs.status import Status
from workbench.ui.base.messages import Notify
from workbench.ui.classes.class_table import (
    ORDERS,
    class_errors,
    class_rows,
    evenly_spaced,
    half_width,
    share_bar,
    sort_rows,
    sparkline,
    summary_line,
)
from workbench.ui.classes.confusion_matrix import confusion_grid, pair_rows
from workbench.ui.classes.pane import ClassesPane
from workbench.ui.classes.regression_table import regression_rows
from workbench.ui.widgets.table import Table


def evaluation(confusion, names=None, epoch=1, split="validation"):
    """An evaluation file of a whole confusion matrix."""
    n = len(confusion)
    per_class = []
    for k in range(n):
        support, predicted = sum(confusion[k]), sum(row[k] for row in confusion)
        hits = confusion[k][k]
        recall = hits / support if support else None
        per_class.append(
            ClassMetrics(
                name=names[k] if names else "abcdefghij"[k],
                accuracy=recall,
                recall=recall,
                precision=hits / predicted if predicted else None,
                f1=2 * hits / (support + predicted) if support + predicted else None,
                support=support,
            )
        )
    count, hits = sum(map(sum, confusion)), sum(confusion[k][k] for k in range(n))
    cells = tuple((t, p, confusion[t][p]) for t in range(n) for p in range(n) if confusion[t][p])
    accuracy = hits / count
    return EvaluationFile(
        step=epoch * 10, epoch=epoch, split=split, count=count, loss=0.5,
        accuracy=accuracy, balanced_accuracy=accuracy, macro_f1=accuracy,
        per_class=tuple(per_class), confusion=cells,
    )  # fmt: skip


EARLY = evaluation([[5, 5, 0], [2, 8, 0], [1, 1, 8]], ["cat", "dog", "bird"], epoch=1)
LATE = evaluation([[7, 3, 0], [1, 9, 0], [4, 0, 6]], ["cat", "dog", "bird"], epoch=2)


def large(n, seed=0):
    rng = random.Random(seed)
    matrix = [[rng.randrange(3) for _ in range(n)] for _ in range(n)]
    for k in range(n):
        matrix[k][k] = rng.randrange(20, 60)
    return evaluation(matrix, [f"class{k:03d}" for k in range(n)], epoch=seed)


class Shown(App):
    notices = ()
    comparison_requests = 0

    def compose(self):
        yield ClassesPane()

    @property
    def pane(self):
        return self.query_one(ClassesPane)

    @property
    def table(self):
        return self.query_one(Table)

    def names(self):
        return [row[1:].split()[0] for row in self.table.lines[1:] if row.strip()]

    def line(self, which):
        return "".join(self.query_one(which).lines)

    def on_comparison_requested(self):
        self.comparison_requests += 1

    def on_workbench_notify(self, message: Notify):
        self.notices = (*self.notices, message.text)


def make_view(**fields):
    view = RunView(RunFolder(Path("/nowhere/run")), status=Status.RUNNING)
    for name, value in fields.items():
        setattr(view, name, value)
    return view


def referring_to(**published):
    """An experiment with a published result."""
    reference = Reference(tolerance=0.01, source="a paper", **published)
    return msgspec.structs.replace(build_experiment("digits-mlp"), reference=reference)


async def show(pilot, evaluations, view=None):
    pilot.app.pane.view = view or make_view()
    pilot.app.pane.evaluations = evaluations
    pilot.app.pane.focus_content()
    await pilot.pause()


async def test_the_worst_class_comes_first_with_its_most_frequent_wrong_prediction():
    async with Shown().run_test(size=(100, 20)) as pilot:
        await show(pilot, [LATE, EARLY])
        assert pilot.app.names() == ["bird", "cat", "dog"]
        row = pilot.app.table.lines[1]
        assert ".600" in row and "-.20" in row and "cat ×4" in row and "1.00" in row
        assert pilot.app.line("#summary").startswith(
            "val accuracy .733 ±.151   balanced .733   worst bird .600"
        )
        assert "epoch 2" in pilot.app.pane.border_title and "worst first" in pilot.app.pane.border_title


async def test_the_cursor_stays_on_its_class_when_new_metrics_arrive():
    async with Shown().run_test(size=(100, 20)) as pilot:
        await show(pilot, [EARLY])
        await pilot.press("down")
        assert pilot.app.table.key == "dog"
        await show(pilot, [LATE, EARLY])
        assert pilot.app.table.key == "dog"
        assert pilot.app.names() == ["bird", "cat", "dog"]


async def test_o_sorts_by_the_next_column_and_capital_o_reverses_the_order():
    async with Shown().run_test(size=(100, 20)) as pilot:
        await show(pilot, [LATE, EARLY])
        await pilot.press("O")
        assert pilot.app.names() == ["dog", "cat", "bird"]
        await pilot.press("o")
        assert pilot.app.names() == ["bird", "cat", "dog"] and "by name" in pilot.app.pane.border_title
        await pilot.press("o")
        assert pilot.app.names() == ["bird", "dog", "cat"]
        await pilot.click(Table, offset=(3, 0))
        assert "by name" in pilot.app.pane.border_title
        await pilot.click(Table, offset=(3, 0))
        assert pilot.app.names() == ["dog", "cat", "bird"]


async def test_the_filter_and_errors_only_hide_rows():
    perfect = evaluation([[5, 0], [1, 4]], ["ace", "bad"])
    async with Shown().run_test(size=(100, 20)) as pilot:
        await show(pilot, [perfect])
        await pilot.press("f")
        assert pilot.app.names() == ["bad"]
        await pilot.press("f")
        assert pilot.app.pane.complete_filter("A") == ["ace"]
        pilot.app.pane.filter = "AC"
        await pilot.pause()
        assert pilot.app.names() == ["ace"] and "/AC" in pilot.app.pane.border_title


async def test_the_confusions_are_shown_as_a_matrix_and_as_pairs():
    async with Shown().run_test(size=(100, 20)) as pilot:
        await show(pilot, [LATE])
        await pilot.press("m")
        await pilot.pause()
        lines = pilot.app.query_one("#matrix").lines
        assert [line.split() for line in lines[1:]] == [
            ["bird", "6", "4", "·"], ["cat", "·", "7", "3"], ["dog", "·", "1", "9"],
        ]  # fmt: skip
        assert lines[0].split() == ["true", "↓", "predicted", "→", "bird", "cat", "dog"]
        pilot.app.pane.focus_content()  # as the pane's key does
        await pilot.pause()
        assert pilot.app.query_one("#matrix").has_focus
        for title in (
            "worst first (reversed)",
            "worst first",
        ):  # seen even where all classes are equal in the order
            await pilot.press("O")
            await pilot.pause()
            assert pilot.app.pane.headline.endswith(f"confusion──{title}")
        await pilot.press("m")
        await pilot.pause()
        assert pilot.app.table.lines[1].split()[:3] == ["▸bird", "cat", "4"]
        assert "50%" in pilot.app.table.lines[1] and "40%" in pilot.app.table.lines[1]
        await pilot.press("m")
        await pilot.pause()
        assert pilot.app.names() == ["bird", "cat", "dog"] and pilot.app.table.has_focus


async def test_only_keys_that_change_a_view_are_listed_for_it():
    async with Shown().run_test(size=(100, 20)) as pilot:
        pane = pilot.app.pane
        await show(pilot, [LATE, EARLY])
        pane.second_run = ("other", EARLY)
        await pilot.press("f")
        assert "a details  b second run  f errors only" in pane.border_subtitle
        await pilot.press("m", "b", "a")  # neither does anything to a matrix
        await pilot.pause()
        assert pane.border_subtitle == "f errors only  m table/matrix/pairs  v images"
        assert "Δ to" not in pane.headline and "errors only" in pane.headline
        assert pane.second_run is not None and not pane.details_visible
        await pilot.press("m", "f")
        await pilot.pause()
        assert pane.border_subtitle == "m table/matrix/pairs  v images" and "errors only" not in pane.headline
        await pilot.press("m")
        await pilot.pause()
        assert "Δ to other" in pane.headline and "errors only" in pane.headline


async def test_the_details_are_those_of_the_class_under_the_cursor():
    async with Shown().run_test(size=(100, 20)) as pilot:
        await show(pilot, [LATE])
        await pilot.press("a", "down")
        await pilot.pause()
        lines = pilot.app.query_one("#details").lines
        assert lines[0].startswith("cat: 7 of 10 correct, predicted as dog ×3")
        assert lines[1].startswith("false positives from bird ×4, dog ×1")
        await pilot.press("a")
        assert not pilot.app.query_one("#details").display


async def test_hundreds_of_classes_scroll():
    async with Shown().run_test(size=(100, 20)) as pilot:
        await show(pilot, [large(300, seed) for seed in range(3, 0, -1)])
        assert len(pilot.app.names()) == 18
        await pilot.press("G")
        assert pilot.app.table.cursor == 299
        await pilot.press("m")
        await pilot.pause()
        assert "18 of 300 classes" in pilot.app.pane.border_title


async def test_narrow_screens_drop_columns_and_keep_the_predictions():
    async with Shown().run_test(size=(40, 12)) as pilot:
        await show(pilot, [LATE, EARLY])
        head = pilot.app.table.lines[0].split()
        assert (
            head[:2] == ["class", "recall"]
            and "predicted" in head
            and "F1" not in head
            and "trend" not in head
        )


@pytest.mark.parametrize("size", [(20, 5), (40, 12), (80, 24), (200, 50)])
async def test_hostile_names_and_missing_metrics_are_displayed_safely(size, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    names = ["\x1b[31mred", "[@click=app.quit]x[/]", "a\nb", "猫" * 5000, "\u202egpj", "dog"]
    hostile = evaluation([[1, 1, 0, 0, 0, 0]] * 5 + [[0] * 6], names)
    async with Shown().run_test(size=size) as pilot:
        await show(pilot, [hostile, EvaluationFile(step=0, epoch=0, split="validation")])
        for _ in range(3):
            await pilot.press("a", "m", "o", "G")
            await pilot.pause()
            shown = "".join([*pilot.app.table.lines, pilot.app.line("#matrix"), pilot.app.line("#details")])
            assert not any(c in shown for c in "\x1b\n\u202e")
        await pilot.click(Table, offset=(2, 2))
        assert pilot.app.is_running


async def test_an_empty_pane_shows_what_is_missing():
    async with Shown().run_test(size=(100, 12)) as pilot:
        pilot.app.pane.view = None
        await pilot.pause()
        assert "No run selected." in pilot.app.line("#summary")
        await show(pilot, [])
        assert "No evaluation yet" in pilot.app.line("#summary")


async def test_a_regression_shows_its_errors_instead():
    rows = [
        EvaluationRow(step=1, split="validation", mse=mse, mae=mse / 2, r2=1 - mse)
        for mse in (1.5, 0.5, 0.25)
    ]
    view = make_view(setup=Setup(task="regression"), evaluations=rows)
    async with Shown().run_test(size=(100, 12)) as pilot:
        await show(pilot, [LATE])
        await pilot.press("m")  # to the matrix, which a regression does not have
        await show(pilot, [], view)
        assert pilot.app.table.display and pilot.app.pane.key_hints() == ""
        assert pilot.app.table.lines[1].split()[-3:] == ["1.50", ".500", ".250"]
        assert "errors are listed instead" in pilot.app.line("#summary")


def test_undefined_metrics_come_last():
    found = class_rows(evaluation([[0, 2, 0], [0, 2, 0], [0, 0, 0]], ["x", "y", "z"]))
    assert [f.name for f in sort_rows(found, ORDERS[0])] == ["x", "y", "z"]
    assert [f.name for f in sort_rows(found, ORDERS[0], reverse=True)] == ["y", "x", "z"]
    assert found[0].precision is None and found[2].recall is None


def test_the_trend_is_oldest_first_and_from_the_same_classes():
    found = class_rows(LATE, [EARLY], EARLY)
    assert found[2].trend == (0.8, 0.6) and found[2].delta == pytest.approx(-0.2)
    assert evenly_spaced(list(range(12)), 7)[0] == 0 and evenly_spaced(list(range(12)), 7)[-1] == 11


async def test_delta_is_relative_to_the_second_run_if_there_is_one():
    async with Shown().run_test(size=(100, 12)) as pilot:
        pane = pilot.app.pane
        await show(pilot, [LATE, EARLY])
        await pilot.press("b")
        await pilot.pause()
        assert pilot.app.comparison_requests == 1
        bird = ClassMetrics(name="bird", accuracy=0.5)
        pane.second_run = ("other", msgspec.structs.replace(EARLY, per_class=(bird,)))
        assert pane.class_rows[2].delta == pytest.approx(0.1) and "Δ to other" in pane.headline
        await pilot.press("b")
        assert pane.second_run is None and pane.class_rows[2].delta == pytest.approx(-0.2)


async def test_a_result_on_test_data_has_the_trend_of_the_validation_data():
    result = msgspec.structs.replace(LATE, split="test")
    async with Shown().run_test(size=(100, 12)) as pilot:
        await show(pilot, [result, LATE, EARLY])
        found = pilot.app.pane.class_rows
        assert found[2].trend == (0.8, 0.6) and found[2].delta is None
        header = pilot.app.pane.query_one(Table).lines[0]
        assert "val trend" in header, "beside figures of test data"
        await show(pilot, [LATE, EARLY])
        header = pilot.app.pane.query_one(Table).lines[0]
        assert "trend" in header and "val trend" not in header
        pilot.app.pane.second_run = ("other", result)
        assert pilot.app.pane.headline.endswith("Δ to other (test)"), "a change between splits is said"


def test_bars_and_sparklines_have_their_width():
    assert [share_bar(share, 10) for share in (0, 0.81, 0.86, 1, 7)] == [
        "▁▁▁▁▁▁▁▁▁▁", "▇▇▇▇▇▇▇▇▁▁", "▇▇▇▇▇▇▇▇▌▁", "▇▇▇▇▇▇▇▇▇▇", "▇▇▇▇▇▇▇▇▇▇",
    ]  # fmt: skip
    assert share_bar(None, 10) == ""
    assert sparkline([0.0, 0.5, 1.0], 0.0, 1.0) == "▁▅█"
    assert sparkline([0.9, 0.9], 0.9, 0.9) == "██"


def test_the_interval_is_wilsons():
    # 81 of 263: .255 to .366 in Newcombe 1998 (Statistics in Medicine 17:857), table I
    assert half_width(81 / 263, 263) == pytest.approx((0.3662 - 0.2553) / 2, abs=2e-4)
    assert half_width(1.0, 20) > 0.05


def test_the_summary_leaves_out_what_does_not_fit():
    reference = referring_to(metric="test.accuracy", published=0.54).reference
    shown = [
        "".join(c for c, _ in summary_line(LATE, class_rows(LATE), reference, width))
        for width in (20, 60, 120)
    ]
    assert shown[0] == "val accuracy .733 ±.151"
    assert shown[1].endswith("worst bird .600")
    assert "published test .540" in shown[2] and "macro-F1" in shown[2]


def test_the_matrix_shows_counts_or_shades():
    many = large(60)
    found = class_rows(many)
    counts, note, _ = confusion_grid(many, found[:10], 100, 20)
    assert any(c.isdigit() for c, _ in counts[1]) and note == ""
    shades, note, _ = confusion_grid(many, found, 80, 70)
    assert "▓" in "".join(c for c, _ in shades[1]) and note == ""
    assert len(shades) == 61
    cut, note, _ = confusion_grid(many, found, 40, 20)
    assert len(cut) == 20 and note == "19 of 60 classes"
    assert "".join(c for c, _ in cut[0]).startswith("true ↓ predicted →")


def test_the_axes_of_the_matrix_are_labeled():
    digits = evaluation([[9] * 10 for _ in range(10)], list("0123456789"))
    for width, in_corner in ((120, True), (69, True), (68, False), (30, False)):
        grid, note, _ = confusion_grid(digits, class_rows(digits), width, 20)
        corner = "".join(c for c, _ in grid[0])
        assert corner.startswith("true ↓ predicted → " if in_corner else "  ")
        assert note == ("" if in_corner else "true ↓ predicted →")
    assert confusion_grid(None, [], 10, 5)[0]


def test_pairs_are_filtered_by_either_name():
    assert [row.key for row in pair_rows(LATE)] == ["bird\0cat", "cat\0dog", "dog\0cat"]
    assert [row.key for row in pair_rows(LATE, "bird")] == ["bird\0cat"]
    assert pair_rows(None) == []


def test_without_data_there_are_no_rows():
    assert class_errors(None, []) == ("", "")
    assert regression_rows([]) == []


async def test_published_class_metrics_are_listed_under_the_datasets_names():
    experiment = referring_to(
        metric="test.accuracy",
        published=0.54,
        per_class={"kitty": 0.23, "dog": 0.36},
        aliases={"kitty": "cat"},
    )
    async with Shown().run_test(size=(100, 20)) as pilot:
        await show(pilot, [LATE], make_view(experiment=experiment))
        lines = pilot.app.table.lines
        assert "publ." in lines[0]
        beside = {line[1:].split()[0]: line[1:].split()[2] for line in lines[1:] if line.strip()}
        assert (beside["cat"], beside["dog"]) == (".230", ".360")
        await show(pilot, [LATE], make_view())
        assert "publ." not in pilot.app.table.lines[0]


async def test_a_published_regression_metric_is_part_of_the_label():
    view = make_view(
        setup=Setup(task="regression"),
        experiment=referring_to(metric="model.weight", published=2.0),
        evaluations=[
            EvaluationRow(split="test", epoch=n, step=n, mse=1.0, mae=1.0, r2=0.1, model={"weight": weight})
            for n, weight in enumerate((0.1, 1.5, 1.98))
        ],
    )
    async with Shown().run_test(size=(100, 20)) as pilot:
        await show(pilot, [], view)
        line = next(line for line in pilot.app.table.lines if "weight" in line)
        assert "published 2" in line
        assert line.index(".100") < line.index("1.50") < line.index("1.98")


async def test_a_rare_class_is_explained_and_a_setting_is_two_keys_away():
    counts = {"train": (250, 259, 1), "validation": (10, 10, 0)}
    setup = Setup(classes=("cat", "dog", "bird"), class_counts=counts)
    proposed = []

    class WithProposals(Shown):
        def on_experiment_proposed(self, message):
            proposed.append(message.assignment)

    async with WithProposals().run_test(size=(150, 20)) as pilot:
        await show(pilot, [LATE], make_view(setup=setup, experiment=build_experiment("digits-mlp")))
        assert " train " in pilot.app.table.lines[0] and " 250 " in "".join(pilot.app.table.lines)
        await pilot.press("a")
        pilot.app.table.go_to("bird")
        await pilot.pause()
        lines = pilot.app.query_one("#details").lines
        assert "predicted as cat ×4" in lines[0] and "no false positives" in lines[1]
        assert lines[2].startswith(
            "bird: 1 of 510 training images, none in validation; "
            "consider train.class_weights=balanced or train.balanced_sampling=yes"
        )
        await pilot.press("enter", "enter")
        await pilot.pause()
        assert proposed == ["train.class_weights=balanced"]
        pilot.app.table.go_to("cat")
        await pilot.pause()
        assert (
            pilot.app.query_one("#details")
            .lines[2]
            .startswith("cat: 250 of 510 training images, 10 in validation ")
        )
