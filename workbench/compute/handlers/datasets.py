"""Requests about a dataset: its facts, its images or values, and previews of transforms. Never downloads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import torch
from PIL import Image
from torch import Tensor

from workbench.compute.handlers.images import png
from workbench.compute.handlers.loading import experiment_dataset, load_dataset
from workbench.compute.protocol import (
    BrowseImages,
    BrowseValues,
    DatasetRequest,
    DescribeDataset,
    TraceDatasetImage,
    TransformImage,
)
from workbench.compute.protocol_records import DatasetRef, ImageItem, Scatter, ValueRow
from workbench.compute.protocol_responses import DatasetOverview, ImageDetail, ImagePage, Pipeline, ValuePage
from workbench.compute.task import Task
from workbench.config.data_summary import imbalance
from workbench.config.recipes import download_hint
from workbench.config.training_settings import TrainingSettings
from workbench.core.errors import UserError
from workbench.core.settings_schema import Choice
from workbench.core.text import format_bytes
from workbench.core.user_code import is_user_code
from workbench.datasets import catalog as datasets
from workbench.datasets import preview
from workbench.datasets.augmentation import Augment
from workbench.datasets.dataset import Dataset, Split
from workbench.datasets.dataset_facts import DatasetFacts
from workbench.datasets.image_folder_facts import describe_resizing
from workbench.datasets.input_record import InputRecord
from workbench.datasets.transform_catalog import NOISE_INDEX
from workbench.engine.device import pick_device
from workbench.inference.image_pipeline import PipelineStage
from workbench.inference.pipeline_steps import dataset_steps
from workbench.io.fit_mode import describe_fit
from workbench.io.images import open_image
from workbench.models import catalog as models
from workbench.models.factory import build_shapes
from workbench.models.preprocessing import Preprocessing

MAX_ITEMS = 200
"""Samples in one response at most."""
_POINTS = 1000
"""Points in a scatter plot at most."""
_MAX_SIDE = 256
"""Maximum pixels of an image's longer side: a terminal shows fewer."""


def describe(request: DescribeDataset, task: Task) -> DatasetOverview:
    """The facts of a dataset, and the output shape of the untrained model for a batch."""
    data = _load(request, task)
    facts = preview.describe(data, max(1, request.batch))
    model = experiment_dataset(request.dataset).model
    notices = (*data.notices, *_imbalance(data, facts), *data.contents, *_resizing(data, facts, model))
    facts = msgspec.structs.replace(facts, notices=notices)
    return DatasetOverview(facts=facts, output=_output_shape(data, facts.batch, model))


def _imbalance(data: Dataset, facts: DatasetFacts) -> list[str]:
    counts = {name: split.per_class for name, split in facts.splits.items()}
    return imbalance(data.classes, counts, TrainingSettings()) if data.classes else []


def _resizing(data: Dataset, facts: DatasetFacts, model: Choice) -> list[str]:
    shape = facts.input.shape
    if data.original_sizes is None or len(shape) != 3:
        return []
    side = models.find(model.name).size_for(model.options, shape)
    input_shape = (shape[0], side, side) if side else shape
    return describe_resizing(data.original_sizes, shape, input_shape, data.store)


def browse_images(request: BrowseImages, task: Task) -> ImagePage:
    """A page of a split's images."""
    data = _load(request, task)
    split = find_split(data, request.split)
    indices = preview.class_indices(split, request.label)
    first = max(0, request.first)
    shown = indices[first : first + clamp_count(request.count)]
    items = [_item(data, split, index, request.side) for index in shown]
    return ImagePage(items=tuple(items), first=first, total=len(indices))


def transform_image(request: TransformImage, task: Task) -> ImageDetail:
    """One image before and after augmentation and transforms."""
    data = _load(request, task)
    split, index = find_split(data, request.split), request.index
    image = preview.image_at(data, split, index)
    item = _item(data, split, index, _MAX_SIDE)
    stored = preview.tensor_facts(preview.input_at(split, index))
    if not request.chain and not request.augment:
        return ImageDetail(item=item, stored=stored, transformed=None, result=None)
    augmented = image
    if request.augment:
        augment = Augment(request.augment, request.augment_options)
        augmented = preview.augmented_at(data, split, index, augment, request.draw)
    values, transformed = preview.apply_transforms(augmented, request.chain, request.draw, data)
    return ImageDetail(
        item=item, stored=stored, transformed=png(transformed, _MAX_SIDE), result=preview.tensor_facts(values)
    )


def trace(request: TraceDatasetImage, task: Task) -> Pipeline:
    """The steps from a stored image to a model's input."""
    data = _load(request, task)
    split = find_split(data, request.split)
    image = preview.to_pil(preview.image_at(data, split, request.index))
    preprocessing = Preprocessing(mean=tuple(data.mean or ()), std=tuple(data.std or ()))
    record = InputRecord() if request.index == NOISE_INDEX else data.input
    before = [] if request.index == NOISE_INDEX else _file_stages(data, split, request.index, image)
    steps = dataset_steps(image, preprocessing, pick_device("auto"), record, before)
    return Pipeline(model=None, steps=tuple(steps))


def _file_stages(data: Dataset, split: Split, index: int, image: Image.Image) -> list[PipelineStage]:
    """The steps from the file of an image to `image`, what is stored or cut out of it; none of other data."""
    if not split.names or data.original_sizes is None or data.input is None:
        return []
    try:
        original = open_image(Path(data.source) / split.names[index])
    except UserError:
        return []  # the cache outlives the file
    fit, crop, side = data.input.fit, data.input.crop, image.width
    lost = describe_fit(original.size, side, side, fit, crop)
    stages = [PipelineStage("original", "Image.open(…)", original)]
    if split.cut is not None:
        stored = preview.to_pil(split.gather(torch.tensor([index]))[0])
        stages.append(PipelineStage("stored", f"data.store={stored.width}, all of the image", stored))
        code = f"{side}×{side}: its center, or a random crop by train.augment"
    else:
        how = "" if crop is None else f"Resize({crop.resize}), CenterCrop({crop.side})"
        code = f"{side}×{side}" + (f", {how}" if how else "")
    return [
        *stages,
        PipelineStage("cropped" if fit == "crop" else fit, f"{code}; {lost}" if lost else code, image),
    ]


def browse_values(request: BrowseValues, task: Task) -> ValuePage:
    """The first samples as text, and the points of a scatter plot."""
    data = _load(request, task)
    split = find_split(data, request.split)
    indices = preview.class_indices(split, request.label)
    rows = [_row(data, split, index) for index in indices[: clamp_count(request.count)]]
    return ValuePage(rows=tuple(rows), total=len(indices), scatter=_scatter(data, split, indices))


def clamp_count(count: int) -> int:
    """`count` within 1..`MAX_ITEMS`."""
    return max(1, min(MAX_ITEMS, count))


def _load(request: DatasetRequest, task: Task) -> Dataset:
    _check_available(request.dataset)
    return load_dataset(request.dataset, task)


def _check_available(ref: DatasetRef) -> None:
    choice = experiment_dataset(ref).data
    about = datasets.describe(choice.name, choice.options)
    if not about.here and about.kind == "published":
        raise UserError(
            f"{about.name} is not downloaded ({format_bytes(about.download)}): press t to download it and train; "
            f"{download_hint(about.name)}; without a network see workbench fetch --help"
        )


def _output_shape(data: Dataset, batch: Sequence[int], model: Choice) -> tuple[int, ...] | None:
    """The output shape of the untrained model for one batch; `None` for user code or an incompatible model."""
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
        return None  # the experiment pane shows why dataset and model are incompatible


def _item(data: Dataset, split: Split, index: int, side: int) -> ImageItem:
    label, class_name = _target(data, split, index)
    image = preview.to_pil(preview.image_at(data, split, index))
    return ImageItem(
        index=index,
        label=label,
        class_name=class_name,
        name=split.names[index] if split.names and index != NOISE_INDEX else "",
        png=png(image, min(side, _MAX_SIDE)),
    )


def _target(data: Dataset, split: Split, index: int) -> tuple[int | None, str]:
    """The class index of a sample (if any), and its class name or regression target."""
    if index == NOISE_INDEX:
        return None, "noise"
    if data.task == "regression":
        return None, _format_values(split.targets[index])
    label = int(split.targets[index])
    return label, data.classes[label]


def _row(data: Dataset, split: Split, index: int) -> ValueRow:
    values = tuple(_format_values(value) for value in split.sample(index).reshape(-1)[:8])
    return ValueRow(index=index, input=values, target=_target(data, split, index)[1])


def _scatter(data: Dataset, split: Split, indices: Sequence[int]) -> Scatter:
    """At most `_POINTS` evenly spaced samples: the first two features, or the only feature and the target."""
    selected = torch.tensor(list(indices[:: max(1, -(-len(indices) // _POINTS))]), dtype=torch.int64)
    features = split.gather(selected).reshape(len(selected), -1).float()
    targets = split.targets.index_select(0, selected)
    two_features = data.task == "classification" and features.shape[1] > 1
    ys = features[:, 1] if two_features else targets.reshape(len(selected), -1)[:, 0].float()
    return Scatter(
        xs=tuple(features[:, 0].tolist()),
        ys=tuple(ys.tolist()),
        labels=tuple(targets.tolist()) if data.task == "classification" else (),
        x_title="first value",
        y_title="second value" if two_features else "target",
    )


def find_split(data: Dataset, name: str) -> Split:
    """The split `name` of a dataset. Raises `UserError`."""
    splits = data.splits
    if name not in splits:
        raise UserError(f"this dataset has no {name} split; its splits: {', '.join(splits)}")
    return splits[name]


def _format_values(value: Tensor) -> str:
    return " ".join(f"{number:.4g}" for number in value.reshape(-1)[:4].tolist())
