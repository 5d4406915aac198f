"""What an experiment became, as `setup.json` tells it."""

from __future__ import annotations

import msgspec
import torch
from torch import nn

from workbench.datasets.dataset import Data, Split
from workbench.models.preprocessing import Preprocessing
from workbench.models.summary import summarise
from workbench.runs.records import PreprocessingRecord, Setup


def describe_data(setup: Setup, data: Data) -> Setup:
    """`setup` with task, classes, counts, shape, normalisation, fingerprint, and files that could not be read."""
    splits = data.splits
    return msgspec.structs.replace(
        setup,
        task=data.task,
        classes=tuple(data.classes),
        counts={name: len(split) for name, split in splits.items()},
        class_counts={name: class_counts(split, len(data.classes)) for name, split in splits.items()},
        shape=tuple(data.train.inputs.shape[1:]),
        mean=tuple(data.mean),
        std=tuple(data.std),
        fingerprint=data.fingerprint,
        source=data.source,
        set_aside=tuple(data.set_aside),
    )


def class_counts(split: Split, classes: int) -> tuple[int, ...]:
    """Samples of each class; empty for a regression."""
    return tuple(torch.bincount(split.targets, minlength=classes).tolist()) if classes else ()


def describe_model(
    setup: Setup, module: nn.Module, preprocessing: Preprocessing, shape: tuple[int, ...]
) -> Setup:
    """`setup` with layers for raw inputs of `shape`, parameters, and the preprocessing."""
    parameters = list(module.parameters())
    return msgspec.structs.replace(
        setup,
        layers=tuple(summarise(module, (2, *preprocessing.output_shape(shape)))),
        parameters=sum(p.numel() for p in parameters),
        trainable=sum(p.numel() for p in parameters if p.requires_grad),
        preprocessing=PreprocessingRecord(
            size=preprocessing.size,
            channels=preprocessing.channels,
            mean=preprocessing.mean,
            std=preprocessing.std,
        ),
    )


def device_name(device: torch.device) -> str:
    """What the device is called by its maker, where that is known."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
