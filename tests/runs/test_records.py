from __future__ import annotations

import math
from pathlib import Path

from workbench.runs.layout import RunFolder
from workbench.runs.reader import LONGEST_LINE, SAMPLES, LineReader, RunReader
from workbench.runs.records import LineWriter, decode, encode, keep_until, number, read_lines


def test_figures_that_json_has_not_survive() -> None:
    line = encode({"loss": math.nan, "rows": [math.inf, -math.inf, 1.5]})
    assert b"NaN" in line
    record = decode(line)
    assert record is not None
    assert math.isnan(number(record["loss"]) or 0.0)
    assert [number(v) for v in record["rows"]] == [math.inf, -math.inf, 1.5]
    assert number("text") is None
    assert number(True) is None


def test_a_reader_takes_whole_lines_only(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    reader = LineReader(path)
    assert reader.read() == ([], False)
    path.write_bytes(encode({"step": 1}) + b'{"step": 2')
    records, _ = reader.read()
    assert [r["step"] for r in records] == [1]
    with path.open("ab") as more:
        more.write(b', "v": 1}\n')
    assert [r["step"] for r in reader.read()[0]] == [2]
    assert reader.read()[0] == []


def test_what_cannot_be_read_is_skipped_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(
        encode({"step": 1}) + b"garbage\n\xff\xfe\n[1]\n" + b"x" * (10 << 20) + b"\n" + encode({"step": 2})
    )
    reader, steps = LineReader(path), []
    for _ in range(20):
        steps += [r["step"] for r in reader.read()[0]]
    assert steps == [1, 2]
    assert reader.skipped >= 4
    assert LONGEST_LINE < 10 << 20


def test_a_replaced_file_is_read_afresh(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    writer = LineWriter(path)
    writer.write({"step": 1})
    kept = writer.offset
    writer.write({"step": 2})
    reader = LineReader(path)
    assert len(reader.read()[0]) == 2
    writer.close()
    keep_until(path, kept)
    writer = LineWriter(path)
    writer.write({"step": 2, "again": True})
    records, fresh = reader.read()
    assert fresh
    assert [(r["step"], r.get("again")) for r in records] == [(1, None), (2, True)]


def test_a_torn_last_line_costs_that_line_alone(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(encode({"n": 1}) + b'{"n": 2, "te')
    writer = LineWriter(path)
    writer.write({"n": 3})
    assert [r["n"] for r in read_lines(path)] == [1, 3]


def test_a_view_follows_a_run(folder: RunFolder) -> None:
    writer = LineWriter(folder.metrics)
    reader = RunReader(folder)
    writer.write(
        {"kind": "step", "step": 10, "loss": 2.0, "lr": 0.1, "count": 10, "wall": {"samples_per_second": 5}}
    )
    view = reader.poll()
    first = view.version
    assert reader.poll().version == first
    writer.write({"kind": "step", "step": 20, "loss": 1.0, "accuracy": 0.5, "lr": 0.1, "count": 10})
    writer.write({"kind": "evaluation", "step": 20, "epoch": 1, "split": "validation", "accuracy": 0.5})
    view = reader.poll()
    assert view.version > first
    assert list(view.steps.column("loss")) == [2.0, 1.0]
    assert math.isnan(view.steps.column("accuracy")[0])
    assert view.of_split("validation")[0]["epoch"] == 1
    assert view.name == "digits-mlp"


def test_a_long_record_is_sampled_first_and_filled_in_after(folder: RunFolder) -> None:
    with folder.metrics.open("wb") as out:
        for step in range(1, 120_001):
            out.write(encode({"kind": "step", "step": step, "loss": 1.0 / step, "count": 1, "lr": 0.1}))
    reader = RunReader(folder)
    view = reader.poll(budget=1 << 20)
    assert view.sampled is not None
    assert SAMPLES * 0.9 <= len(view.curve) <= SAMPLES
    assert view.curve.step[-1] > 119_000
    view = reader.read_all()
    assert view.sampled is None
    assert len(view.steps) == 120_000
    assert list(view.steps.step[:3]) == [1, 2, 3]


def test_a_torn_last_line_keeps_nobody_waiting(folder: RunFolder) -> None:
    folder.metrics.write_bytes(encode({"kind": "step", "step": 1, "loss": 1.0}) + b'{"kind": "st')
    reader = RunReader(folder)
    assert len(reader.read_all().steps) == 1
    assert not reader.behind
    with folder.metrics.open("ab") as more:
        more.write(b'ep", "step": 2, "loss": 0.5}\n')
    assert len(reader.poll().steps) == 2
