"""The content of `setup.json`: data, model and execution environment of a run."""

from __future__ import annotations

import msgspec
import torch
from torch import nn

from workbench.config.data_summary import imbalance
from workbench.datasets.dataset import Dataset, Split
from workbench.datasets.image_folder_facts import describe_resizing
from workbench.engine.accelerate import Acceleration
from workbench.engine.device import device_name
from workbench.io.record_codec import read_record
from workbench.models.layer_row import LayerRow
from workbench.models.preprocessing import Preprocessing
from workbench.models.summary import summarize
from workbench.runs.records import PreprocessingRecord, Setup
from workbench.worker.components import TrainingComponents


def model_layers(components: TrainingComponents) -> tuple[LayerRow, ...]:
    """The layers of the model for the inputs of the run."""
    shape = components.preprocessing.output_shape(components.data.input_shape)
    return tuple(summarize(components.model.module, (2, *shape)))


def describe_setup(
    components: TrainingComponents, acceleration: Acceleration, layers: tuple[LayerRow, ...]
) -> Setup:
    """The record of `setup.json`; `layers`, see `model_layers`."""
    data, shape = components.data, components.data.input_shape
    setup = _describe_data(_describe_execution(components, acceleration), data)
    input_shape = components.preprocessing.output_shape(shape)
    notices = [
        *data.contents,
        *data.notices,
        *describe_resizing(data.original_sizes, shape, input_shape, data.store),
    ]
    if data.classes:
        notices += imbalance(data.classes, setup.class_counts, components.settings)
    previous = read_record(components.folder.setup, Setup)
    # A later attempt loads its weights from a checkpoint.
    weights = components.model.weights or (previous.weights if previous else None)
    setup = msgspec.structs.replace(setup, data_notices=tuple(notices), weights=weights)
    return _describe_model(setup, components.model.module, components.preprocessing, layers)


def _describe_execution(components: TrainingComponents, acceleration: Acceleration) -> Setup:
    """A `Setup` with device, precision, acceleration and number of steps."""
    steps = components.epochs.steps
    return Setup(
        device=components.device_label,
        device_name=device_name(components.device),
        resident=components.splits["train"].resident,
        compile=acceleration.compile,
        cuda_graph=acceleration.cuda_graph,
        execution=components.execution_summary(acceleration),
        processes=components.group.size,
        threads=components.threads,
        channels_last=components.channels_last,
        precision=components.precision.name,
        log_every=components.log_every,
        steps_per_epoch=steps,
        steps_total=steps * components.settings.epochs,
    )


def _describe_data(setup: Setup, data: Dataset) -> Setup:
    """`setup` with task, classes, counts, shape, normalization, fingerprint, and skipped files."""
    splits = data.splits
    return msgspec.structs.replace(
        setup,
        task=data.task,
        classes=tuple(data.classes),
        counts={name: len(split) for name, split in splits.items()},
        class_counts={name: class_counts(split, len(data.classes)) for name, split in splits.items()},
        shape=data.input_shape,
        mean=tuple(data.mean),
        std=tuple(data.std),
        fingerprint=data.fingerprint,
        source=data.source,
        skipped_files=tuple(data.skipped_files),
        input=data.input,
    )


def class_counts(split: Split, classes: int) -> tuple[int, ...]:
    """The number of samples of each class; empty for a regression."""
    return tuple(torch.bincount(split.targets, minlength=classes).tolist()) if classes else ()


def _describe_model(
    setup: Setup, module: nn.Module, preprocessing: Preprocessing, layers: tuple[LayerRow, ...]
) -> Setup:
    """`setup` with layers, parameters, and the preprocessing."""
    parameters = list(module.parameters())
    return msgspec.structs.replace(
        setup,
        layers=layers,
        parameters=sum(p.numel() for p in parameters),
        trainable=sum(p.numel() for p in parameters if p.requires_grad),
        preprocessing=PreprocessingRecord(
            size=preprocessing.size,
            channels=preprocessing.channels,
            mean=preprocessing.mean,
            std=preprocessing.std,
        ),
    )
