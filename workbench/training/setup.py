"""What an experiment became, as `setup.json` tells it."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from workbench.datasets.data import Data, Split
from workbench.models.preprocess import Preprocessing
from workbench.models.summary import summarise


def splits_of(data: Data) -> dict[str, Split]:
    """The splits that `data` has, by name."""
    splits = {"train": data.train, "validation": data.validation, "test": data.test}
    return {name: split for name, split in splits.items() if split is not None}


def describe_data(data: Data) -> dict[str, Any]:
    """Task, classes, counts, shape, normalisation, fingerprint, and what was set aside."""
    splits = splits_of(data)
    return {
        "v": 1,
        "task": data.task,
        "classes": list(data.classes),
        "counts": {name: len(split) for name, split in splits.items()},
        "class_counts": {name: class_counts(split, len(data.classes)) for name, split in splits.items()},
        "shape": list(data.train.inputs.shape[1:]),
        "mean": list(data.mean),
        "std": list(data.std),
        "fingerprint": data.fingerprint,
        "source": data.source,
        "set_aside": [list(pair) for pair in data.set_aside],
    }


def class_counts(split: Split, classes: int) -> list[int]:
    """Examples of each class; empty for a regression."""
    return torch.bincount(split.targets, minlength=classes).tolist() if classes else []


def describe_model(module: nn.Module, preprocessing: Preprocessing, shape: tuple[int, ...]) -> dict[str, Any]:
    """Layers for raw inputs of `shape`, parameters, and what stands in front of the model."""
    parameters = list(module.parameters())
    return {
        "layers": [row.to_dict() for row in summarise(module, (2, *preprocessing.output_shape(shape)))],
        "parameters": sum(p.numel() for p in parameters),
        "trainable": sum(p.numel() for p in parameters if p.requires_grad),
        "preprocessing": preprocessing.to_dict(),
    }


def device_name(device: torch.device) -> str:
    """What the device is called by its maker, where that is known."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
