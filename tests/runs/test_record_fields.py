"""What a field that is not in a file means is part of the file format: stored runs omit the defaults of their time."""

from __future__ import annotations

import json
from types import NoneType
from typing import Any, get_args, get_origin

import msgspec
import pytest

from workbench.io.record_codec import Record, decode, to_json
from workbench.runs import metrics, records
from workbench.runs.metrics import (
    ClassMetrics,
    EpochRow,
    EvaluationFile,
    EvaluationRow,
    LineDrawing,
    LogRow,
    RegionsDrawing,
    StepRow,
)
from workbench.runs.records import Exit, Heartbeat, RequestValues, Seconds, Setup

REQUIRED = {
    "Best": {"value", "epoch", "metric"},
    "Exit": {"status"},
    "CheckpointEntry": {"file", "sha256", "step", "epoch", "position", "metrics_offset"},
    "RequestFile": {"request"},
    "Metrics": {"step"},
    "TrainingRow": {"step"},
    "StepRow": {"step"},
    "EpochRow": {"step"},
    "LogRow": {"step"},
    "EvaluationMetrics": {"step"},
    "EvaluationRow": {"step"},
    "EvaluationFile": {"step", "epoch", "split"},
    "RecordLayout": {"file", "struct", "fields"},
    "LineDrawing": {"x", "y", "predicted"},
    "RegionsDrawing": {"x", "y", "label", "x_range", "y_range", "columns", "rows", "cells"},
}
"""Fields without a default, by record; a record without them counts as damaged."""
DEFAULTS = {
    ("Setup", "task"): "classification",
    ("Setup", "processes"): 1,
    ("TrainingRow", "count"): 1,
    ("StepRow", "count"): 1,
    ("EpochRow", "count"): 1,
    ("EvaluationMetrics", "split"): "test",
    ("EvaluationRow", "split"): "test",
}
"""Defaults other than `None` and the empty value of the field's type."""
TYPES = [
    type
    for module in (records, metrics)
    for type in vars(module).values()
    if isinstance(type, msgspec.StructMeta) and type.__module__ == module.__name__
]


def empty(type: Any) -> Any:
    """`None` for an optional field, else the empty value of its type."""
    return None if NoneType in get_args(type) else (get_origin(type) or type)()


@pytest.mark.parametrize("type", TYPES, ids=lambda type: type.__name__)
def test_an_omitted_field_has_the_value_of_all_versions(type: Any) -> None:
    fields = {field.name: field for field in msgspec.structs.fields(type)}
    assert {name for name, field in fields.items() if field.required} == REQUIRED.get(type.__name__, set())
    for name, field in fields.items():
        if not field.required:
            made = field.default_factory is not msgspec.NODEFAULT
            default = field.default_factory() if made else field.default  # type: ignore[operator]
            assert repr(default) == repr(DEFAULTS.get((type.__name__, name), empty(field.type))), name


@pytest.mark.parametrize("type", TYPES, ids=lambda type: type.__name__)
def test_records_are_immutable_and_built_by_name(type: Any) -> None:
    assert issubclass(type, Record) and type.__struct_config__.frozen
    with pytest.raises(TypeError, match="positional"):
        type(None)


@pytest.mark.parametrize("type", [Setup, Heartbeat, Exit])
def test_files_that_other_programs_read_have_all_their_keys(type: Any) -> None:
    record = msgspec.convert({"status": "failed"}, type)
    assert to_json(record).keys() == {"v", *type.__struct_encode_fields__}


@pytest.mark.parametrize(
    ("record", "text"),
    [
        (StepRow(step=7), '{"v":1,"kind":"step","step":7,"epoch":0.0,"count":1}'),
        (EpochRow(step=7), '{"v":1,"kind":"epoch","step":7,"epoch":0.0,"count":1}'),
        (EvaluationRow(step=7), '{"v":1,"kind":"evaluation","step":7,"epoch":0.0,"split":"test"}'),
        (LogRow(step=7), '{"v":1,"kind":"log","step":7}'),
        (ClassMetrics(name="cat"), '{"v":1,"class":"cat"}'),
        (RequestValues(suspend=True), '{"v":1,"release":true}'),
        (
            LineDrawing(x=(0.5,), y=(1.5,), predicted=(2.5,)),
            '{"v":1,"kind":"line","x":[0.5],"y":[1.5],"said":[2.5]}',
        ),
        (
            RegionsDrawing(x=(), y=(), label=(), x_range=(0, 1), y_range=(0, 1), columns=0, rows=0, cells=()),
            '{"v":1,"kind":"regions","x":[],"y":[],"label":[],"x_range":[0,1],"y_range":[0,1],"columns":0,"rows":0,"cells":[]}',
        ),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_the_kinds_and_keys_of_lines_are_those_of_all_versions(record: Any, text: str) -> None:
    assert to_json(record) == json.loads(text)
    assert decode(text.encode(), type(record)) == record


def test_metrics_are_found_by_name() -> None:
    assert StepRow(step=1, loss=0.5).metric("loss") == 0.5
    assert StepRow(step=1, accuracy=0.25).metric("accuracy") == 0.25
    assert StepRow(step=1, lr=0.5).metric("lr") is None
    names = ("loss", "accuracy", "balanced_accuracy", "macro_f1", "top5", "tta_accuracy", "mse", "mae", "r2")
    row = EvaluationRow(step=1, model={"weight": 2.0, "best": 1.0}, **{n: i for i, n in enumerate(names)})
    assert [row.metric(name) for name in names] == list(range(9))
    assert (row.metric("weight"), row.metric("bias"), row.metric("step")) == (2.0, None, None)
    assert row.metric("best") == 1.0  # the model's value, not the mark of the row


def test_weights_are_of_their_own_epoch_or_of_the_evaluated_one() -> None:
    file = EvaluationFile(step=9, epoch=3, split="test", weights_epoch=0)
    assert file.weights_of_epoch == 0
    assert EvaluationRow(step=9, epoch=3.0).weights_of_epoch == 3
    moments = [(9, 3.0, "epoch 3"), (9, 0.0, "step 9"), (0, 0.0, "epoch 0")]
    assert [EvaluationRow(step=step, epoch=epoch).moment for step, epoch, _ in moments] == [
        moment for *_, moment in moments
    ]


def test_seconds_are_added_by_activity() -> None:
    a = Seconds(load=0.1, train=1.0, evaluate=2.0, paused=3.0, total=6.1)
    b = Seconds(load=0.2, train=1.5, evaluate=2.5, paused=3.5, total=7.7)
    assert a + b == Seconds(load=0.3, train=2.5, evaluate=4.5, paused=6.5, total=13.8)
    assert Seconds(load=0.0004) + Seconds() == Seconds()  # to a millisecond
