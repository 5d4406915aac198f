from __future__ import annotations

import math
from pathlib import Path

from workbench.io.record_codec import decode, encode, to_json
from workbench.runs.jsonl import LineWriter, read_lines, replace_with_prefix
from workbench.runs.metrics import EvaluationRow, LineDrawing, MetricLine, StepRow, Wall
from workbench.runs.reader import MAX_LINE_BYTES, MAX_SAMPLED_ROWS, JsonlReader, RunReader
from workbench.runs.records import Heartbeat
from workbench.runs.run_folder import RunFolder


def line(step: int, loss: float | None = None) -> bytes:
    return encode(StepRow(step=step, loss=loss)) + b"\n"


def reader_of(path: Path) -> JsonlReader[StepRow]:
    return JsonlReader(path, StepRow)


def test_numbers_that_json_has_not_survive() -> None:
    encoded = encode(LineDrawing(x=(math.nan,), y=(math.inf, -math.inf, 1.5), predicted=()))
    assert b"NaN" in encoded
    drawing = decode(encoded, LineDrawing)
    assert drawing is not None
    assert math.isnan(drawing.x[0])
    assert drawing.y == (math.inf, -math.inf, 1.5)
    assert decode(b'{"kind": "step", "step": 1, "loss": "text"}', StepRow) == StepRow(step=1)
    assert decode(b'{"kind": "step", "step": 1, "loss": [1]}', StepRow) == StepRow(step=1)


def test_a_reader_takes_whole_lines_only(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    reader = reader_of(path)
    assert reader.read() == ([], False)
    path.write_bytes(line(1) + line(2)[:-10])
    records, _ = reader.read()
    assert [row.step for row in records] == [1]
    with path.open("ab") as more:
        more.write(line(2)[-10:])
    assert [row.step for row in reader.read()[0]] == [2]
    assert reader.read()[0] == []


def test_unreadable_lines_are_skipped_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(line(1) + b"garbage\n\xff\xfe\n[1]\n" + b"x" * (10 << 20) + b"\n" + line(2))
    reader, steps = reader_of(path), []
    for _ in range(20):
        steps += [row.step for row in reader.read()[0]]
    assert steps == [1, 2]
    assert reader.skipped_lines >= 4
    assert MAX_LINE_BYTES < 10 << 20


def test_a_replaced_file_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    writer = LineWriter(path)
    writer.write(StepRow(step=1))
    kept = writer.offset
    writer.write(StepRow(step=2))
    reader = reader_of(path)
    assert len(reader.read()[0]) == 2
    writer.close()
    replace_with_prefix(path, kept)
    writer = LineWriter(path)
    writer.write(StepRow(step=2, loss=0.5))
    records, fresh = reader.read()
    assert fresh
    assert [(row.step, row.loss) for row in records] == [(1, None), (2, 0.5)]


def test_a_torn_last_line_costs_that_line_alone(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(line(1) + line(2)[:-5])
    writer = LineWriter(path)
    writer.write(StepRow(step=3))
    assert [row.step for row in read_lines(path, MetricLine)] == [1, 3]


def test_a_view_follows_a_run(folder: RunFolder) -> None:
    writer = LineWriter(folder.metrics)
    reader = RunReader(folder)
    writer.write(StepRow(step=10, loss=2.0, lr=0.1, count=10, wall=Wall(samples_per_second=5)))
    view = reader.poll()
    first = view.version
    assert reader.poll().version == first
    writer.write(StepRow(step=20, loss=1.0, accuracy=0.5, lr=0.1, count=10))
    writer.write(EvaluationRow(step=20, epoch=1, split="validation", accuracy=0.5))
    view = reader.poll()
    assert view.version > first
    assert list(view.steps.column("loss")) == [2.0, 1.0]
    assert math.isnan(view.steps.column("accuracy")[0])
    assert view.evaluations_of("validation")[0].epoch == 1
    assert view.name == "digits-mlp"


def test_a_long_record_is_sampled_first_and_filled_in_after(folder: RunFolder) -> None:
    with folder.metrics.open("wb") as out:
        for step in range(1, 120_001):
            out.write(encode(StepRow(step=step, loss=1.0 / step, lr=0.1)) + b"\n")
    reader = RunReader(folder)
    view = reader.poll(budget=1 << 20)
    assert view.sampled is not None
    assert MAX_SAMPLED_ROWS * 0.9 <= len(view.curve) <= MAX_SAMPLED_ROWS
    assert view.curve.step[-1] > 119_000
    view = reader.read_all()
    assert view.sampled is None
    assert len(view.steps) == 120_000
    assert list(view.steps.step[:3]) == [1, 2, 3]


def test_a_torn_last_line_does_not_block_readers(folder: RunFolder) -> None:
    folder.metrics.write_bytes(line(1, 1.0) + line(2, 0.5)[:-8])
    reader = RunReader(folder)
    assert len(reader.read_all().steps) == 1
    assert not reader.has_unread
    with folder.metrics.open("ab") as more:
        more.write(line(2, 0.5)[-8:])
    assert len(reader.poll().steps) == 2


def test_rows_always_say_where_they_belong() -> None:
    """Other programs read these lines: epoch, count and split are never left out."""
    assert to_json(StepRow(step=1)).items() >= {"kind": "step", "epoch": 0, "count": 1}.items()
    assert (
        to_json(EvaluationRow(step=1)).items() >= {"kind": "evaluation", "epoch": 0, "split": "test"}.items()
    )
    assert to_json(Heartbeat()).items() >= {"attempt": 0, "step": 0, "epoch": 0}.items()
