"""CSV, JSON lines and trainer states: as they are written, damaged and rewritten."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.logs.reading import comparable, points, poll_all, read
from workbench.logs import line_log
from workbench.logs.log import Log, NoticeKind
from workbench.logs.open_log import open_log
from workbench.logs.source import LogFormat, LogSource


def open_file(path: Path, format: LogFormat = LogFormat.CSV) -> Log:
    log = open_log(LogSource(path, format))
    poll_all(log)
    return log


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_table_is_read_whatever_its_delimiter(tmp_path: Path, delimiter: str) -> None:
    path = tmp_path / "log.csv"
    rows = ["Step,loss,note", '1,0.5,"a, b"', "2,nan,", "3,,x", "4,inf,x"]
    path.write_text("\ufeff" + "\r\n".join(row.replace(",", delimiter) for row in rows) + "\r\n")
    log = read(path)
    assert points(log) == {"loss": [(1, 0.5), (2, "NaN"), (4, math.inf)]}
    assert log.notices == {}


def test_rows_that_do_not_fit_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("epoch,loss\n0,1\n1,2,3\nx,2\n2,y\n\nepoch,loss,acc\n3,4,5\n")
    log = read(path)
    assert points(log) == {"loss": [(0, 1), (3, 4)], "acc": [(3, 5)]}
    assert log.notices == {NoticeKind.INVALID_LINE: 2, NoticeKind.INVALID_VALUE: 1}
    assert list(log.series["loss"].epochs) == [0, 3]


def test_a_table_is_followed_while_it_grows(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("step,loss\n1,0.5\n2,0.2")
    log = open_file(path)
    assert points(log) == {"loss": [(1, 0.5)]}
    append(path, "5\n3,0")
    assert poll_all(log)
    assert points(log) == {"loss": [(1, 0.5), (2, 0.25)]}
    assert not poll_all(log)
    assert log.generation == 0


@pytest.mark.parametrize(
    "content",
    [
        "step,loss\n1,9\n",
        "step,loss\n1,9\n2,8\n3,7\n4,6\n",
        "step,loss\n1,9\n2,8\n",
        "step,acc,loss\n1,,9\n2,,8\n3,1,7\n",
    ],
    ids=["shorter", "longer", "as long", "other columns"],
)
def test_a_file_that_is_written_again_is_read_again(tmp_path: Path, content: str) -> None:
    path = tmp_path / "log.csv"
    path.write_text("step,loss\n1,1\n2,2\n")
    log = open_file(path)
    path.write_text(content)
    assert poll_all(log)
    assert points(log) == points(read(path))
    assert (log.generation, log.notices) == (1, {NoticeKind.REWRITTEN_FILE: 1})


@pytest.mark.parametrize(
    ("before", "after"), [("step,loss\n", "step,acc_\n"), ("500,1.5\n", "500,2.5\n")], ids=["start", "end"]
)
def test_a_longer_file_with_another_start_or_end_of_what_was_read_is_read_again(
    tmp_path: Path, before: str, after: str
) -> None:
    path = tmp_path / "log.csv"
    content = "step,loss\n" + "".join(f"{step},1.5\n" for step in range(501))
    path.write_text(content)
    log = open_file(path)
    path.write_text(content.replace(before, after) + "501,1.5\n")
    poll_all(log)
    assert points(log) == points(read(path))
    assert log.generation == 1


def test_a_copy_that_is_longer_counts_as_growth(tmp_path: Path) -> None:
    """As rsync copies the log of a training that is running."""
    path = tmp_path / "log.csv"
    path.write_text("step,loss\n1,1\n")
    log = open_file(path)
    copy = tmp_path / "copy"
    copy.write_text("step,loss\n1,1\n2,2\n")
    copy.rename(path)
    assert poll_all(log)
    assert points(log) == {"loss": [(1, 1), (2, 2)]}
    assert log.generation == 0


def test_a_last_line_without_a_newline_is_read_once_the_file_stops_growing(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("step,loss\n1,1\n2,2")
    assert points(read(path)) == {"loss": [(1, 1)]}
    old = path.stat().st_mtime - line_log.UNFINISHED_SECONDS - 60
    os.utime(path, (old, old))
    assert points(read(path)) == {"loss": [(1, 1), (2, 2)]}


def test_a_line_that_never_ends_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 1, "x": 1}\n{"step": 2, "y": "' + "a" * (3 << 20))
    log = open_file(path, LogFormat.JSONL)
    append(path, '"}\n{"step": 3, "x": 3}\n')
    poll_all(log)
    assert points(log) == {"x": [(1, 1), (3, 3)]}
    assert log.notices == {NoticeKind.INVALID_LINE: 1}


def test_records_of_json_lines_are_flattened(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    lines = [
        '{"step": 1, "epoch": 0.5, "train": {"loss": 0.5, "tags": ["a"]}, "name": "7", "flag": true}',
        '{"step": 2, "train": {"loss": NaN}, "timestamp": 1.7e9}',
        '{"step": 3, "train": {"loss": "Infinity"}}',
        '{"train": {"loss": 4}}',
        "{broken",
        "[1, 2]",
    ]
    path.write_text("\n".join(lines) + "\n")
    log = read(path)
    assert points(log) == {"train/loss": [(1, 0.5), (2, "NaN"), (3, math.inf), (4, 4)]}
    series = log.series["train/loss"]
    assert series.count_steps().missing == 1
    assert series.wall_times[1] == 1.7e9
    assert [epoch for epoch in series.epochs if not math.isnan(epoch)] == [0.5]
    assert log.notices == {NoticeKind.INVALID_LINE: 2}


@pytest.mark.parametrize(
    ("name", "cells", "seconds"),
    [
        ("timestamp", ("2024-03-01T10:00:00Z", "2024-03-01T10:00:30.5+00:00"), 30.5),
        ("Wall time", (1.7e9, 1.7e9 + 8), 8.0),
        ("time", (1.7e9, 1.7e9 + 8), 8.0),
        ("date", ("2024-03-01 10:00:00", "2024-03-01 10:01:00"), 60.0),
        ("time", (3.5, 3.75), None),  # what an epoch took
        ("timestamp", ("today", "tomorrow"), None),
    ],
)
def test_dates_of_rows_are_their_wall_times(
    tmp_path: Path, name: str, cells: tuple[str | float, ...], seconds: float | None
) -> None:
    with (tmp_path / "log.csv").open("w") as file:
        csv.writer(file).writerows(
            [("step", name, "loss"), *((i, cell, i / 2) for i, cell in enumerate(cells))]
        )
    rows = [{"step": i, name: cell, "loss": i / 2} for i, cell in enumerate(cells)]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for format in (LogFormat.CSV, LogFormat.JSONL):
        log = open_file(tmp_path / f"log.{format}", format)
        first, last = log.series["loss"].wall_times
        assert log.notices == {}
        assert (name in log.series) == (seconds is None and isinstance(cells[0], float))
        assert (math.isnan(first) and math.isnan(last)) if seconds is None else last - first == seconds


def write_state(path: Path, *losses: float) -> None:
    history = [{"step": step, "epoch": step / 2, "loss": loss} for step, loss in enumerate(losses, 1)]
    path.write_text(json.dumps({"log_history": history, "max_steps": 9, "best_metric": min(losses)}))


def test_a_trainer_state_is_compared_with_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "trainer_state.json"
    write_state(path, 3, 2)
    log = read(tmp_path)
    assert points(log) == {"loss": [(1, 3), (2, 2)]}
    assert (log.config, log.summary) == ({"max_steps": 9}, {"best_metric": 2})

    write_state(path, 3, 2, 1)
    assert poll_all(log)
    assert points(log) == {"loss": [(1, 3), (2, 2), (3, 1)]}
    assert log.generation == 0

    write_state(path, 5, 4, 1)
    assert poll_all(log)
    assert points(log) == {"loss": [(1, 5), (2, 4), (3, 1)]}
    assert log.generation == 1

    path.write_text('{"log_history": [')
    poll_all(log)
    assert points(log) == {"loss": [(1, 5), (2, 4), (3, 1)]}
    write_state(path, 5, 4, 1, 0)
    assert poll_all(log)
    assert points(log)["loss"][-1] == (4, 0)


NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp", "Zs"]), min_size=1, max_size=8)
METRIC_NAMES = NAMES.map(lambda name: f"m{name}")
TABLES = st.dictionaries(METRIC_NAMES, st.lists(st.none() | st.floats(), min_size=3, max_size=3), min_size=1)


@given(TABLES)
def test_a_random_table_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, table: dict
) -> None:
    path = tmp_path_factory.mktemp("table") / "log.csv"
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["step", *table])
    writer.writerows(zip(range(3), *table.values(), strict=True))
    path.write_text(text.getvalue(), encoding="utf-8", newline="")
    assert points(open_file(path)) == without_missing(table)


@given(TABLES)
def test_random_json_lines_are_read_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, table: dict
) -> None:
    path = tmp_path_factory.mktemp("table") / "log.jsonl"
    rows = [{"step": step, **{name: column[step] for name, column in table.items()}} for step in range(3)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert points(open_file(path, LogFormat.JSONL)) == without_missing(table)


def without_missing(table: dict) -> dict:
    """The points of the columns, without those that are missing and without empty columns."""
    present = {
        name: [(step, value) for step, value in enumerate(column) if value is not None]
        for name, column in table.items()
    }
    return {name: comparable(pairs) for name, pairs in present.items() if pairs}


@pytest.mark.parametrize("format", [LogFormat.CSV, LogFormat.JSONL])
def test_a_tail_torn_at_any_byte_is_read_when_it_is_complete(tmp_path: Path, format: LogFormat) -> None:
    content = (
        "step,loss\n1,0.5\n2,0.25\n"
        if format is LogFormat.CSV
        else '{"step":1,"loss":0.5}\n{"step":2,"loss":1}\n'
    )
    for length in range(len(content)):
        path = tmp_path / f"{length}.log"
        path.write_text(content[:length])
        log = open_file(path, format)
        append(path, content[length:])
        poll_all(log)
        assert log.series["loss"].steps.tolist() == [1, 2]
        assert log.notices == {}


@given(
    st.sampled_from([LogFormat.CSV, LogFormat.JSONL, LogFormat.HUGGING_FACE, LogFormat.WANDB]), st.binary()
)
def test_any_bytes_are_read_without_an_error(
    tmp_path_factory: pytest.TempPathFactory, format: LogFormat, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("bytes") / "log"
    path.write_bytes(content)
    open_file(path, format)
