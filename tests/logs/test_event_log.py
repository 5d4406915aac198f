"""TensorBoard event files, written by `torch.utils.tensorboard`, beside what tensorboard itself reads."""

from __future__ import annotations

import math
import random
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.tensorboard import SummaryWriter

from tests.logs.reading import comparable, points, poll_all, read
from workbench.logs.event_log import EventLog, event_files
from workbench.logs.log import NoticeKind
from workbench.logs.source import LogFormat, LogSource


def oracle(folder: Path) -> EventAccumulator:
    """What tensorboard reads."""
    accumulator = EventAccumulator(
        str(folder), size_guidance=dict.fromkeys(("scalars", "tensors", "images"), 0)
    )
    return accumulator.Reload()


def open_folder(folder: Path) -> EventLog:
    return EventLog(LogSource(folder, LogFormat.TENSORBOARD))


def write_scalars(folder: Path, steps: Iterator[int] | range, suffix: str = "", **options: bool) -> None:
    """A training that logs three metrics at every step and two more at every 50th."""
    draws = random.Random(0)
    with SummaryWriter(str(folder), filename_suffix=suffix) as writer:
        for step in steps:
            for name in ("loss", "lr", "train/accuracy"):
                writer.add_scalar(name, draws.random(), step, **options)
            if step % 50 == 0:
                writer.add_scalar("val/loss", draws.random(), step, **options)
                writer.add_scalar("val/nan", math.nan, step, **options)


@pytest.mark.parametrize("options", [{}, {"new_style": True}, {"new_style": True, "double_precision": True}])
def test_scalars_of_both_encodings_are_those_that_tensorboard_reads(tmp_path: Path, options: dict) -> None:
    write_scalars(tmp_path, range(20_000, 20_600), **options)
    log, expected = read(tmp_path), oracle(tmp_path)
    assert len(log.series) == 5
    for name, series in log.series.items():
        if options:
            events = expected.Tensors(name)
            values = [event.tensor_proto.double_val or event.tensor_proto.float_val for event in events]
            assert comparable(zip(series.steps, series.values, strict=True)) == comparable(
                (event.step, value[0]) for event, value in zip(events, values, strict=True)
            )
        else:
            events = expected.Scalars(name)
            assert comparable(zip(series.steps, series.values, strict=True)) == comparable(
                (event.step, event.value) for event in events
            )
        assert list(series.wall_times) == [event.wall_time for event in events]


def test_metrics_with_names_of_the_same_length_in_another_order_are_kept_apart(tmp_path: Path) -> None:
    with SummaryWriter(str(tmp_path)) as writer:
        for step in range(1, 100):
            for name, value in [("aa", step), ("bb", -step)][:: 1 if step < 50 else -1]:
                writer.add_scalar(name, value, step)
    assert points(read(tmp_path)) == {
        "aa": [(step, step) for step in range(1, 100)], "bb": [(step, -step) for step in range(1, 100)],
    }  # fmt: skip


def test_points_without_a_step_and_steps_that_go_back_are_kept_in_the_order_of_writing(
    tmp_path: Path,
) -> None:
    with SummaryWriter(str(tmp_path)) as writer:
        for step in (None, None, 5, 6, 6, 300, 2, -1, 2**40):
            writer.add_scalar("x", 1.0, step)
    series = read(tmp_path).series["x"]
    assert list(series.steps) == [0, 0, 5, 6, 6, 300, 2, -1, 2**40]
    counts = series.count_steps()
    assert (counts.repeated, counts.backward) == (2, 2)


def test_the_files_of_a_folder_are_one_log_in_the_order_of_their_names(tmp_path: Path) -> None:
    write_scalars(tmp_path, range(300))
    first = event_files(tmp_path)[0]
    first.rename(tmp_path / "events.out.tfevents.1")
    log = open_folder(tmp_path)
    poll_all(log)
    write_scalars(tmp_path, range(200, 500), suffix=".later")
    assert poll_all(log)
    assert list(log.series["loss"].steps) == [*range(300), *range(200, 500)]
    assert not poll_all(log)


def test_an_event_file_that_can_not_be_read_does_not_hide_the_others(tmp_path: Path) -> None:
    write_scalars(tmp_path, range(10))
    (tmp_path / "a.tfevents").mkdir()
    log = read(tmp_path)
    poll_all(log)
    assert len(log.series["loss"]) == 10
    assert log.notices == {NoticeKind.UNREADABLE_FILE: 1}


def test_images_histograms_texts_and_hyperparameters_are_read(tmp_path: Path) -> None:
    image = torch.rand(3, 8, 9)
    with SummaryWriter(str(tmp_path)) as writer:
        writer.add_image("picture", image, 3)
        writer.add_histogram("weights", torch.arange(100.0), 4, bins=[0, 10, 50, 100])
        writer.add_text("notes", "first *line*\n\nsecond", 5)
        writer.add_hparams({"lr": 0.1, "name": "adam", "flag": True}, {"best": 0.5}, run_name=".")
    log, expected = read(tmp_path), oracle(tmp_path)

    (picture,) = log.images["picture"]
    assert (picture.step, picture.read()) == (3, expected.Images("picture")[0].encoded_image_string)
    (reference,) = log.histograms["weights"]
    histogram = reference.read()
    theirs = expected.Histograms("weights")[0].histogram_value
    assert histogram is not None
    assert histogram.edges[1:] == tuple(theirs.bucket_limit)
    assert histogram.counts == tuple(theirs.bucket)
    assert [text.read() for text in log.texts["notes"]] == ["first *line*\n\nsecond"]
    assert log.config == {"lr": 0.1, "name": "adam", "flag": True}
    assert list(log.series["best"].values) == [0.5]


def test_images_histograms_and_scalars_of_tensorflow_2_are_read(tmp_path: Path) -> None:
    """Its writers put everything into tensors; tensorboard's own functions make such ones."""
    import numpy
    from tensorboard.compat.proto import event_pb2, summary_pb2
    from tensorboard.plugins.histogram.summary import histogram_pb
    from tensorboard.plugins.image import metadata
    from tensorboard.plugins.scalar.summary import scalar_pb
    from tensorboard.summary.writer.event_file_writer import EventFileWriter
    from tensorboard.util.tensor_util import make_tensor_proto

    strings = make_tensor_proto([b"5", b"4", b"first image", b"second image"])
    image_metadata = metadata.create_summary_metadata("pictures", "", converted_to_tensor=None)
    image = summary_pb2.Summary.Value(tag="pictures", tensor=strings, metadata=image_metadata)
    summaries = [
        scalar_pb("loss", 0.25),
        histogram_pb("weights", numpy.arange(30.0), buckets=3),
        summary_pb2.Summary(value=[image]),
    ]
    writer = EventFileWriter(str(tmp_path))
    for step in (1, 2):
        for summary in summaries:
            if step == 2:  # later values need not name their plugin
                summary.value[0].ClearField("metadata")
            writer.add_event(event_pb2.Event(step=step, wall_time=step, summary=summary))
    writer.close()
    log = read(tmp_path)
    assert points(log) == {"loss": [(1, 0.25), (2, 0.25)]}
    histogram = log.histograms["weights"][1].read()
    assert histogram is not None
    assert (histogram.counts, len(histogram.edges)) == ((10, 10, 10), 4)
    assert [(image.step, image.read()) for image in log.images["pictures"]] == [
        (1, b"first image"), (1, b"second image"), (2, b"first image"), (2, b"second image"),
    ]  # fmt: skip


def test_equal_integers_and_images_beside_scalars_are_kept(tmp_path: Path) -> None:
    """Events that differ in nothing but time, step and a value are read in one go: not what they hold besides."""
    import numpy
    from tensorboard.compat.proto import event_pb2, summary_pb2
    from tensorboard.plugins.scalar.metadata import create_summary_metadata
    from tensorboard.summary.writer.event_file_writer import EventFileWriter
    from tensorboard.util.tensor_util import make_tensor_proto

    count = make_tensor_proto(numpy.int64(7))
    image = summary_pb2.Summary.Image(encoded_image_string=b"image")
    writer = EventFileWriter(str(tmp_path))
    for step in range(1, 100):
        event = event_pb2.Event(step=step, wall_time=step)
        event.summary.value.add(tag="loss", simple_value=step)
        if step < 50:
            event.summary.value.add(tag="count", tensor=count, metadata=create_summary_metadata("", ""))
        else:
            event.summary.value.add(tag="image", image=image)
        writer.add_event(event)
    writer.close()
    log = read(tmp_path)
    assert points(log) == {
        "loss": [(step, step) for step in range(1, 100)], "count": [(step, 7) for step in range(1, 50)],
    }  # fmt: skip
    assert [reference.step for reference in log.images["image"]] == list(range(50, 100))


def test_a_reader_gives_way_to_its_caller(tmp_path: Path) -> None:
    write_scalars(tmp_path, range(1, 12_000))
    log = open_folder(tmp_path)
    counts = []
    while not counts or log.pending:
        log.poll(max_seconds=0)
        counts.append(log.point_count)
    assert counts == sorted(counts)
    assert counts[0] < counts[-1]
    assert points(log) == points(read(tmp_path))


@pytest.fixture(scope="module")
def small_file(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """An event file with a cycle that is repeated, and other values between."""
    folder = tmp_path_factory.mktemp("small")
    with SummaryWriter(str(folder)) as writer:
        for step in range(1, 8):
            writer.add_scalar("a", step / 4, step)
            writer.add_scalar("bc", -step, step)
        writer.add_text("notes", "text", 8)
        for step in range(9, 11):
            writer.add_scalar("a", step / 4, step, new_style=True)
    return event_files(folder)[0].read_bytes()


def test_a_tail_torn_at_any_byte_is_read_when_it_is_complete(tmp_path: Path, small_file: bytes) -> None:
    whole = tmp_path / "whole.tfevents"
    whole.write_bytes(small_file)
    expected = points(read(whole))
    assert expected["a"] == [(step, step / 4) for step in (*range(1, 8), 9, 10)]
    for length in range(len(small_file)):
        path = tmp_path / f"{length}.tfevents"
        path.write_bytes(small_file[:length])
        log = EventLog(LogSource(path, LogFormat.TENSORBOARD))
        poll_all(log)
        read_before = points(log)
        assert all(expected[name][: len(pairs)] == pairs for name, pairs in read_before.items())
        with path.open("ab") as file:
            file.write(small_file[length:])
        poll_all(log)
        assert points(log) == expected
        assert (log.notices, log.generation) == ({}, 0)


@given(st.data())
def test_flipped_bits_lose_records_and_never_change_any(
    tmp_path_factory: pytest.TempPathFactory, small_file: bytes, data: st.DataObject
) -> None:
    damaged = bytearray(small_file)
    for position in data.draw(st.lists(st.integers(0, len(damaged) * 8 - 1), min_size=1, max_size=3)):
        damaged[position // 8] ^= 1 << position % 8
    path = tmp_path_factory.mktemp("flipped") / "events.tfevents"
    path.write_bytes(damaged)
    log = EventLog(LogSource(path, LogFormat.TENSORBOARD))
    poll_all(log)
    original = {
        "a": {(step, step / 4) for step in range(1, 11)},
        "bc": {(step, -step) for step in range(1, 8)},
    }
    for name, pairs in points(log).items():
        assert set(pairs) <= original[name]
    if bytes(damaged) != small_file:
        lost = sum(map(len, original.values())) - 1 - log.point_count
        assert lost <= 2 * 3  # of each flip: a record, and the last one, whose end nothing marks


def test_records_after_a_damaged_length_are_found(tmp_path: Path, small_file: bytes) -> None:
    length = struct.unpack_from("<Q", small_file)[0]
    damaged = bytearray(small_file)
    damaged[length + 16 + 2] ^= 0xFF
    path = tmp_path / "events.tfevents"
    path.write_bytes(damaged)
    log = read(path)
    assert log.notices == {NoticeKind.DAMAGED_RECORD: 1}
    assert log.notice_lines == ["1 damaged record"]
    assert points(log)["a"][0] == (2, 0.5)


@given(st.binary(max_size=300))
def test_any_bytes_are_read_without_an_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("bytes") / "events.tfevents"
    path.write_bytes(content)
    log = EventLog(LogSource(path, LogFormat.TENSORBOARD))
    poll_all(log)
    assert log.series == {}
