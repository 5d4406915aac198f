"""A dataset that the user looks at: its facts, its images or values, and what transforms make of an image.

Nothing is ever downloaded by looking.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from workbench.compute.handlers.images import png
from workbench.compute.handlers.loading import experiment_dataset, load_dataset
from workbench.compute.protocol import (
    BrowseImages,
    BrowseValues,
    DatasetOverview,
    DatasetRequest,
    DescribeDataset,
    ImageDetail,
    ImagePage,
    Pipeline,
    TraceDatasetImage,
    TransformImage,
    ValuePage,
)
from workbench.compute.protocol_records import DatasetRef, ImageItem, Scatter, ValueRow
from workbench.compute.task import Task
from workbench.config.recipes import how_to_fetch
from workbench.core.errors import BadInput
from workbench.core.settings_schema import Choice
from workbench.core.text import size
from workbench.core.user_code import is_user_code
from workbench.datasets import catalog as datasets
from workbench.datasets import preview
from workbench.datasets.dataset import Data, Split
from workbench.engine.device import pick_device
from workbench.inference.pipeline_steps import steps_of_data
from workbench.models.factory import build_shapes
from workbench.models.preprocessing import Preprocessing

MOST = 200
"""Examples that one answer holds at most."""
_POINTS = 1000
"""Points of a scatter."""
_LARGEST = 256  # pixels; a terminal shows fewer


def describe(request: DescribeDataset, task: Task) -> DatasetOverview:
    """The facts of a dataset, and the shape of a batch behind the untrained model."""
    data = _load(request, task)
    facts = preview.describe(data, max(1, request.batch))
    model = experiment_dataset(request.dataset).model
    return DatasetOverview(facts=facts, output=_output_shape(data, facts.batch, model))


def browse_images(request: BrowseImages, task: Task) -> ImagePage:
    """A page of a split's images; the image of noise stands before all others."""
    data = _load(request, task)
    split = _split(data, request)
    indices = preview.members(split, request.label)
    before = 1 if request.label is None else 0
    first = max(0, request.first)
    places = range(first, min(first + clamp_count(request.count), len(indices) + before))
    items = [
        _item(data, split, preview.NOISE if place < before else indices[place - before], request.side)
        for place in places
    ]
    return ImagePage(items=tuple(items), first=first, total=len(indices) + before)


def transform_image(request: TransformImage, task: Task) -> ImageDetail:
    """One image, before and after its augmentation and transforms."""
    data = _load(request, task)
    split, index = _split(data, request), request.index
    image = preview.picture_at(data, split, index)
    item = _item(data, split, index, _LARGEST)
    stored = preview.facts(preview.input_at(split, index))
    if not request.chain and not request.augment:
        return ImageDetail(item=item, stored=stored, transformed=None, result=None)
    augmented = preview.augmented(image, request.augment, request.draw) if request.augment else image
    values, shown = preview.transformed(augmented, request.chain, request.draw, data)
    return ImageDetail(
        item=item, stored=stored, transformed=png(shown, _LARGEST), result=preview.facts(values)
    )


def trace(request: TraceDatasetImage, task: Task) -> Pipeline:
    """Each step from a stored image to what a model is given."""
    data = _load(request, task)
    image = preview.picture_at(data, _split(data, request), request.index)
    preprocessing = Preprocessing(mean=tuple(data.mean or ()), std=tuple(data.std or ()))
    steps = steps_of_data(preview.drawn(image), preprocessing, pick_device("auto"))
    return Pipeline(model=None, steps=tuple(steps))


def browse_values(request: BrowseValues, task: Task) -> ValuePage:
    """The first examples as text, and points of a scatter."""
    data = _load(request, task)
    split = _split(data, request)
    indices = preview.members(split, request.label)
    rows = [_row(data, split, index) for index in indices[: clamp_count(request.count)]]
    return ValuePage(rows=tuple(rows), total=len(indices), scatter=_scatter(data, split, indices))


def clamp_count(count: int) -> int:
    """As many examples as an answer can have."""
    return max(1, min(MOST, count))


def _load(request: DatasetRequest, task: Task) -> Data:
    _check_here(request.dataset)
    return load_dataset(request.dataset, task)


def _check_here(ref: DatasetRef) -> None:
    choice = experiment_dataset(ref).data
    about = datasets.describe(choice.name, choice.options)
    if not about.here and about.kind == "published":
        raise BadInput(
            f"{about.name} is not here: t downloads it ({size(about.download)}) and trains; "
            f"{how_to_fetch(about.name)}; without a network see workbench fetch --help"
        )


def _output_shape(data: Data, batch: Sequence[int], model: Choice) -> tuple[int, ...] | None:
    """The shape of the untrained model's output for one batch; `None` where it would take long to find out."""
    if is_user_code(model.name):
        return None
    shape = tuple(batch[1:])
    outputs = len(data.classes) or max(1, data.train.targets[0].numel())
    try:
        built = build_shapes(model, shape=shape, outputs=outputs, task=data.task)
        inputs = (batch[0], *built.preprocessing().output_shape(shape))
        with torch.no_grad():
            return tuple(built.module.eval()(torch.empty(inputs, device="meta")).shape)
    except Exception:
        return None  # the experiment pane says what is wrong with the pair


def _item(data: Data, split: Split, index: int, side: int) -> ImageItem:
    label, class_name = _target(data, split, index)
    image = preview.drawn(preview.picture_at(data, split, index))
    return ImageItem(
        index=index,
        label=label,
        class_name=class_name,
        name=split.names[index] if split.names and index != preview.NOISE else "",
        png=png(image, min(side, _LARGEST)),
    )


def _target(data: Data, split: Split, index: int) -> tuple[int | None, str]:
    """The class index (if any) of an example, and the name of its class or the target of a regression."""
    if index == preview.NOISE:
        return None, "noise"
    if data.task == "regression":
        return None, _short(split.targets[index])
    label = int(split.targets[index])
    return label, data.classes[label]


def _row(data: Data, split: Split, index: int) -> ValueRow:
    values = tuple(_short(value) for value in split.example(index).reshape(-1)[:8])
    return ValueRow(index=index, input=values, target=_target(data, split, index)[1])


def _scatter(data: Data, split: Split, indices: Sequence[int]) -> Scatter:
    """At most `_POINTS` points, evenly spaced: the first two features, or the only one and the target."""
    chosen = torch.tensor(list(indices[:: max(1, -(-len(indices) // _POINTS))]), dtype=torch.int64)
    features = split.examples(chosen).reshape(len(chosen), -1).float()
    targets = split.targets.index_select(0, chosen)
    two = data.task == "classification" and features.shape[1] > 1
    ys = features[:, 1] if two else targets.reshape(len(chosen), -1)[:, 0].float()
    return Scatter(
        xs=tuple(features[:, 0].tolist()),
        ys=tuple(ys.tolist()),
        labels=tuple(targets.tolist()) if data.task == "classification" else (),
        x_title="first value",
        y_title="second value" if two else "target",
    )


def _split(data: Data, request: BrowseImages | TransformImage | BrowseValues | TraceDatasetImage) -> Split:
    splits = data.splits
    if request.split not in splits:
        raise BadInput(f"there is no {request.split} split: there are {', '.join(splits)}")
    return splits[request.split]


def _short(value: Tensor) -> str:
    return " ".join(f"{number:.4g}" for number in value.reshape(-1)[:4].tolist())
