from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tests.run_folders import attempt, folder  # noqa: F401
from workbench.core.errors import UserError
from workbench.io.record_codec import write_record
from workbench.runs.enums import Phase
from workbench.runs.journal import Journal, PhaseChange
from workbench.runs.jsonl import LineWriter
from workbench.runs.metric_ranges import SMOOTHING, MetricRanges
from workbench.runs.metrics import EpochRow, EvaluationRow, StepRow
from workbench.runs.records import Heartbeat, Notes, Seconds
from workbench.runs.run_columns import check_column, known_columns, parse_columns, run_column, sort_runs
from workbench.runs.run_folder import RunFolder, write_heartbeat
from workbench.runs.status import Status
from workbench.runs.store import RunSummary, Store


def row(number: int, **more: Any) -> RunSummary:
    return RunSummary(id=f"2026{number:04d}", name=f"run{number}", status=Status.FINISHED, **more)


def summary(folder: RunFolder) -> RunSummary:  # noqa: F811
    (listed,) = Store(folder.path.parent).list_runs()
    return listed


def texts(name: str, *rows: RunSummary) -> list[str]:
    return [run_column(name).text(one) for one in rows]


def order(name: str, *rows: RunSummary, reverse: bool = False) -> str:
    return "".join(one.name[-1] for one in sort_runs(rows, run_column(name), reverse=reverse))


def test_settings_and_metrics_have_their_short_names() -> None:
    first = row(
        1, settings={"train.lr": 0.001, "train.augment": ["crop", "flip"]}, metrics={"validation/loss": 0.25}
    )
    script = row(2, settings={"lr": "auto"}, metrics={"reward": 7.5})
    assert texts("lr", first, script) == ["0.001", "auto"]
    assert texts("train.augment", first, script) == ["crop,flip", ""]
    assert texts("val/loss", first, script) == texts("validation/loss", first, script) == [".250", ""]
    assert texts("reward", first, script) == ["", "7.50"]
    assert {"train.lr": "setting", "reward": "metric, newest value", "best:validation/loss": "metric, best value",
            "min:reward": "metric, lowest value"}.items() <= known_columns([first, script]).items()  # fmt: skip


def test_queued_runs_stand_above_all_others_in_the_order_of_the_queue() -> None:
    waiting = [row(1, position=2), row(4, position=1), row(3, position=3)]
    rows = [replace(one, status=Status.QUEUED, created=1e9) for one in waiting] + [
        row(2, created=2e9), row(5, created=3e9)
    ]  # fmt: skip
    for name in ("run", "started"):
        assert order(name, *rows) == "41352", "above all others, numbered downwards as in `workbench queue`"
        assert order(name, *rows, reverse=True) == "25314"
    assert order("status", *rows) == "41352" and order("test", *rows) == "41352"


def test_a_metric_is_sorted_best_first_and_runs_without_it_come_last_in_any_order() -> None:
    values = {1: 0.5, 2: 0.25, 3: math.nan, 4: 0.75}
    rows = [
        row(number, metrics={"val/loss": value, "val/acc": value}) for number, value in values.items()
    ] + [row(5)]
    assert order("val/loss", *rows) == "21435"
    assert order("val/acc", *rows) == "41235"
    assert order("val/acc", *rows, reverse=True) == "21435"
    assert (
        order("lr", row(1, settings={"lr": "auto"}), row(2, settings={"lr": 2}), row(3, settings={"lr": 0.1}))
        == "321"
    )


def test_repeats_have_the_mean_of_a_metric_and_a_setting_only_if_they_share_it() -> None:
    repeats = [
        row(
            number, settings={"seed": number, "lr": 0.1}, metrics={"val/acc": value}, test={"accuracy": value}
        )
        for number, value in ((1, 0.9), (2, 0.8))
    ]
    assert run_column("val/acc").text(repeats[1], repeats) == ".850 ±.071"
    assert run_column("test").text(repeats[1], repeats) == ".850 ±.071"
    assert run_column("lr").text(repeats[1], repeats) == "0.1"
    assert run_column("seed").text(repeats[1], repeats) == "varied"
    between = row(3, metrics={"val/acc": 0.84})
    assert (
        sort_runs([between, repeats[1]], run_column("val/acc"), repeats={repeats[1].id: repeats})[0]
        is repeats[1]
    )


def test_a_column_that_no_run_has_is_one_line_with_a_near_name() -> None:
    rows = [row(1, settings={"train.lr": 0.1}, metrics={"validation/loss": 0.5, "reward": 1.0})]
    for name, expected in {
        "lrr": "no run has a column 'lrr' (did you mean 'lr'?)",
        "durations": "no run has a column 'durations' (did you mean 'duration'?)",
        "best:validation/los": "no run has a metric 'validation/los' (did you mean 'validation/loss'?)",
        "best:reward": "which values of 'reward' are better is unknown; use min:reward or max:reward",
    }.items():
        with pytest.raises(UserError) as error:
            parse_columns(["name", name], rows)
        assert str(error.value) == expected
    for name in ("tags", "dataset", "best:val/loss", "max:reward", "acc", "LR"):
        check_column(run_column(name), rows)


def test_the_host_the_duration_of_all_attempts_and_the_notes_are_listed(folder: RunFolder) -> None:  # noqa: F811
    write_record(folder.notes, Notes(notes="too slow\nagain"))
    journal = Journal(folder.journal)
    journal.append(PhaseChange(phase=Phase.ENDED, attempt=1, seconds=Seconds(total=100.0)))
    journal.close()
    attempt(folder, 2, host="atlas")
    write_heartbeat(folder, Heartbeat(attempt=2, seconds=Seconds(total=25.0)))
    listed = summary(folder)
    assert [texts(name, listed)[0] for name in ("duration", "host", "notes")] == [
        "2m05",
        "atlas",
        "too slow again",
    ]


def test_ranges_are_read_once_and_continued(folder: RunFolder) -> None:  # noqa: F811
    def append(*records: StepRow | EpochRow | EvaluationRow) -> None:
        lines = LineWriter(folder.metrics)
        lines.write(*records)
        lines.close()

    append(*(StepRow(step=step, loss=loss) for step, loss in enumerate((4.0, 1.0, math.inf, 3.0))))
    append(EpochRow(step=4, loss=0.5), EvaluationRow(step=4, split="validation", accuracy=0.75))
    ranges = MetricRanges(Store(folder.path.parent).folder)
    (unread,) = ranges.fill([summary(folder)], seconds=0.0)
    assert ranges.pending and texts("best:train/loss", unread) == ["…"]

    def shown(*names: str) -> list[str]:
        (filled,) = ranges.fill([summary(folder)])
        assert not ranges.pending
        return [texts(name, filled)[0] for name in names]

    assert shown("best:train/loss", "max:train/loss", "best:val/accuracy", "best:test/loss") == [
        "1.00",
        "4.00",
        ".750",
        "",
    ]
    weights = [SMOOTHING**2, SMOOTHING, 1.0]
    mean = sum(weight * loss for weight, loss in zip(weights, (4.0, 1.0, 3.0), strict=True)) / sum(weights)
    assert shown("smooth:train/loss") == [f"{mean:.2f}"]

    append(StepRow(step=5, loss=0.25))
    with folder.metrics.open("ab") as file:
        file.write(b'{"v":1,"kind":"step","step":6,"loss":0.1')
    assert shown("best:train/loss", "max:train/loss") == [".250", "4.00"]

    kept = folder.metrics.read_bytes().splitlines(keepends=True)[:2]  # as a resume from an early checkpoint
    replaced = Path(f"{folder.metrics}.new")
    replaced.write_bytes(b"".join(kept))
    replaced.replace(folder.metrics)
    assert shown("best:train/loss", "best:val/accuracy") == ["1.00", ""]
