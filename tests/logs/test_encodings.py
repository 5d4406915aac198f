"""Checksums, protobuf fields, settings and series."""

from __future__ import annotations

import math
from array import array
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorboard.compat.proto import event_pb2
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

from tests.logs.reading import points, read
from tests.test_layers import heavy_imports
from workbench.logs import log as log_module
from workbench.logs.config_files import MAX_SETTINGS, flatten, read_yaml
from workbench.logs.event import decode_event
from workbench.logs.log import NoticeKind
from workbench.logs.protobuf import InvalidMessage, fields
from workbench.logs.series import Series, as_step
from workbench.logs.tfrecord import masked_crc, masked_crcs


def test_nothing_heavy_is_imported() -> None:
    modules = [f"workbench.logs.{path.stem}" for path in Path(log_module.__file__).parent.glob("*.py")]
    assert heavy_imports(*modules) == set()


@given(st.lists(st.binary(max_size=40)))
def test_checksums_are_those_of_tensorboard(parts: list[bytes]) -> None:
    expected = [masked_crc32c(part) for part in parts]
    assert [masked_crc(part) for part in parts] == expected
    assert list(masked_crcs(parts)) == expected


@given(
    st.floats(min_value=1),
    st.integers(-(2**63), 2**63 - 1),
    st.lists(st.tuples(st.text(), st.floats(width=32, allow_nan=False)), max_size=3),
)
def test_an_event_is_decoded_as_protobuf_encodes_it(
    wall_time: float, step: int, values: list[tuple[str, float]]
) -> None:
    message = event_pb2.Event(wall_time=wall_time, step=step)
    for tag, value in values:
        message.summary.value.add(tag=tag, simple_value=value)
    event = decode_event(message.SerializeToString())
    assert (event.wall_time, event.step) == (wall_time, step)
    assert [(value.tag, value.number and value.number.value) for value in event.values] == values


@given(st.binary(max_size=60))
def test_any_bytes_are_fields_or_an_invalid_message(content: bytes) -> None:
    try:
        assert all(field.end <= len(content) for field in fields(content))
        decode_event(content)
    except InvalidMessage:
        pass


def test_settings_are_flattened() -> None:
    content = {"a": {"b": 1, "c": {}}, "betas": [0.9, [1, 2], {"x": 1}], 3: None, "long": list(range(30))}
    flat = flatten(content)
    assert flat.pop("long") == f"[{', '.join(map(str, range(20)))}, …]"
    assert flat == {"a/b": 1, "a/c": "{}", "betas": "[0.9, [2 elements], {…}]", "3": None}


def test_yaml_creates_no_objects_and_no_millions_of_settings(tmp_path: Path) -> None:
    path = tmp_path / "hparams.yaml"
    path.write_text(
        "lr: 0.1\nmodel: !!python/object/apply:os.system ['touch " + str(tmp_path / "created") + "']\n"
        "path: !!python/object/apply:pathlib.PosixPath [a, b]\n"
    )
    assert read_yaml(path) == {
        "lr": 0.1, "model": f"[touch {tmp_path / 'created'}]", "path": "[a, b]",
    }  # fmt: skip
    assert not (tmp_path / "created").exists()

    levels = ["a0: &a0 {x: 1}"]
    for level in range(1, 12):
        levels.append(f"a{level}: &a{level} {{{', '.join(f'k{i}: *a{level - 1}' for i in range(10))}}}")
    path.write_text("\n".join(levels) + "\n")
    assert len(read_yaml(path)) == MAX_SETTINGS

    for broken in ("a: [", "- 1\n- 2\n", "\x00", "a: 2001-99-99"):
        path.write_text(broken)
        assert read_yaml(path) == {}


def test_epochs_are_nan_where_a_point_has_none() -> None:
    series = Series()
    series.append(1, 0.5)
    series.append(None, 0.5, epoch=2.0)
    series.extend(array("q", [7]), array("d", [1.0]), array("d", [9.0]))
    assert list(series.steps) == [1, 2, 7]
    assert [math.isnan(epoch) for epoch in series.epochs] == [True, False, True]
    assert (series.count_steps().missing, len(series)) == (1, 3)


def test_steps_that_are_no_whole_numbers() -> None:
    assert [as_step(value) for value in (1.7, -2, math.nan, math.inf, 1e300, None)] == [
        1,
        -2,
        None,
        None,
        None,
        None,
    ]


def test_too_many_points_are_thinned_out_and_too_many_names_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_module, "MAX_POINTS", 100)
    monkeypatch.setattr(log_module, "MAX_SERIES", 2)
    path = tmp_path / "log.csv"
    path.write_text("step,a,b,c\n" + "".join(f"{step},{step},1,2\n" for step in range(200)))
    log = read(path)
    assert set(log.series) == {"a", "b"}
    assert 50 <= log.point_count <= 100
    assert points(log)["a"][-1] == (199, 199)
    assert log.notices[NoticeKind.DROPPED_POINT] == 400 - log.point_count
    assert log.notices[NoticeKind.IGNORED_POINT] == 200
