"""The examples that a run was evaluated on: what each is, what was predicted, and its image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from workbench.compute.handlers.datasets import clamp_count
from workbench.compute.handlers.images import png
from workbench.compute.handlers.loading import load_dataset
from workbench.compute.protocol import ExamplePage, ListExamples
from workbench.compute.protocol_records import ExampleItem, RunDataset
from workbench.compute.task import Task
from workbench.core.errors import BadInput
from workbench.datasets import preview
from workbench.datasets.dataset import Data, Split
from workbench.io.record_codec import read_record
from workbench.runs.predictions import SamplePrediction, read_predictions
from workbench.runs.records import Setup
from workbench.runs.run_folder import RunFolder


def list_examples(request: ListExamples, task: Task) -> ExamplePage:
    """A page of the examples that are asked for, in their order in the split."""
    data = load_dataset(RunDataset(request.run), task)
    if not preview.has_pictures(data):
        raise BadInput("this dataset has no images to show: the plots pane draws its points")
    run = RunFolder(Path(request.run))
    split = data.splits.get(request.split)
    setup = read_record(run.setup, Setup)
    if split is None or (setup is not None and setup.fingerprint != data.fingerprint):
        raise BadInput("the dataset has changed since the run was evaluated: its images can't be shown")
    matching = _matching(read_predictions(run, request.step, request.split), request, len(split))
    first = max(0, request.first)
    shown = matching[first : first + clamp_count(request.count)]
    items = tuple(_item(one, data, split, request.side) for one in shown)
    return ExamplePage(items=items, first=first, total=len(matching))


def _matching(every: Sequence[SamplePrediction], request: ListExamples, count: int) -> list[SamplePrediction]:
    """Those of the split's first `count` examples that are asked for."""
    return [
        one
        for one in every
        if not (request.errors_only and one.label == one.top[0])
        and request.label in {None, one.label}
        and one.index < count
    ]


def _item(one: SamplePrediction, data: Data, split: Split, side: int) -> ExampleItem:
    return ExampleItem(
        index=one.index,
        name=split.names[one.index] if split.names else "",
        label=one.label,
        class_name=data.classes[one.label],
        predicted=data.classes[one.top[0]],
        probability=round(one.probability, 4),
        png=png(preview.drawn(preview.picture_at(data, split, one.index)), side),
    )
