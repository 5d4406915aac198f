"""Models of the catalog on a fake CUDA device: the forward pass of a training step, and classification.

`--every-model` takes all of them; without it, one of each family, whose sizes differ in numbers only.
"""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from tests.engine.step_state import step_state
from tests.fake_device import CUDA, DeviceReads, FakeState, FusedKernels, fake_cuda, to_fake_cuda
from workbench.core.settings_schema import Choice
from workbench.datasets.augmentation import Augment
from workbench.datasets.dataset import Split
from workbench.datasets.input_record import InputRecord
from workbench.engine.batches import Epochs
from workbench.engine.data_placement import place_split
from workbench.engine.device import Precision
from workbench.engine.freezing import Backbone
from workbench.engine.loop import compute_step
from workbench.engine.task import Classification, Regression
from workbench.inference.classifier import Classifier
from workbench.inference.image_pipeline import RunTransform
from workbench.models import catalog
from workbench.models.catalog import ModelInfo
from workbench.models.factory import BuiltModel, build_shapes
from workbench.models.preprocessing import Preprocessing
from workbench.models.summary import summarize

__all__ = ["fake_cuda"]

CLASSES, BATCH = 10, 4


def built(info: ModelInfo, outputs: int, task: str, shape: tuple[int, ...]) -> BuiltModel:
    """A model of shapes; torchvision's without weights."""
    options = {"pretrained": False} if info.kind == "torchvision" else {}
    return build_shapes(Choice(info.name, options), shape=shape, outputs=outputs, task=task)


def train_forward(model: BuiltModel, split: Split, task: Classification | Regression, classes: int) -> None:
    """One step of the real training loop, except its backward pass."""
    images = split.inputs.ndim == 4
    if images:
        model.module.to(memory_format=torch.channels_last)
    placed = replace(
        place_split(split, model.preprocessing((0.5,) * 3, (0.2,) * 3), CUDA), channels_last=images
    )
    augment = Augment(("flip", "mixup")) if images and classes else None
    epochs = Epochs(
        placed, BATCH, 0, balanced=False, merge_last_singleton=True, augment=augment, classes=classes
    )
    settings = {"optimizer": "adamw", "weight_decay": 0.01, "max_grad_norm": 1.0}
    state = step_state(
        model.module, settings, task=task, precision=Precision("bf16", CUDA), kind=FakeState,
        backbone=Backbone(model.module, model.head),
    )  # fmt: skip
    batch = next(epochs.batches(0).iter_from(0))
    state.begin_step()
    with DeviceReads(methods=False) as found:
        compute_step(state, batch)
        state.end_step(len(batch))
    assert found == []


CLASSIFIERS = [info for info in catalog.CATALOG if "classification" in info.tasks]


def family(info: ModelInfo) -> str:
    """The name up to its size: `vgg`, `swin_v2`, `regnet_y`; of built-in models the name itself."""
    return (
        re.sub(r"(_[a-z]|_[a-z]_\d\d|\d+.*|_\d.*)$", "", info.name)
        if info.kind == "torchvision"
        else info.name
    )


def representatives() -> list[ModelInfo]:
    """The smallest model of each family; and of the one whose larger sizes have other blocks, the first of those."""
    by_size = sorted(CLASSIFIERS, key=lambda info: -(info.parameters or 0))
    smallest = {family(info): info for info in by_size}
    return [*smallest.values(), catalog.find("resnet50")]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "classifier" in metafunc.fixturenames:
        models = CLASSIFIERS if metafunc.config.getoption("--every-model") else representatives()
        metafunc.parametrize("classifier", models, ids=lambda info: info.name)


def test_a_model_trains_and_classifies_on_the_device(
    classifier: ModelInfo, fake_cuda: FakeTensorMode
) -> None:
    shape = (3, 32, 32)
    model = built(classifier, CLASSES, "classification", shape)
    with fake_cuda, FusedKernels():
        to_fake_cuda(model.module)
        images = torch.zeros(2 * BATCH, *shape, dtype=torch.uint8)
        targets = torch.zeros(2 * BATCH, dtype=torch.int64)
        train_forward(model, Split(images, targets), Classification(CLASSES, 0.1), CLASSES)
        check_classification(classifier, model, images)


def check_classification(info: ModelInfo, model: BuiltModel, images: Tensor) -> None:
    """The logits of images by the real classifier are on the host."""
    transform = RunTransform(images.shape[1:], model.preprocessing((0.5,) * 3, (0.2,) * 3), InputRecord())
    names = tuple("abcdefghij")
    classifier = Classifier(
        info.name, model.module, names, transform, CUDA, channels_last=info.kind == "torchvision"
    )
    logits = classifier.logits(transform.batch(list(images[:2]), CUDA))
    assert (logits.shape, logits.device.type, logits.dtype) == ((2, CLASSES), "cpu", torch.float32)


@pytest.mark.parametrize(
    "info",
    [i for i in catalog.CATALOG if "regression" in i.tasks and not i.images_only],
    ids=lambda i: i.name,
)
def test_a_model_of_numbers_trains_on_the_device(info: ModelInfo, fake_cuda: FakeTensorMode) -> None:
    model = built(info, 1, "regression", (1,))
    with fake_cuda, FusedKernels():
        to_fake_cuda(model.module)
        inputs: Tensor = torch.zeros(2 * BATCH, 1)
        train_forward(model, Split(inputs, torch.zeros(2 * BATCH, 1)), Regression(1), 0)


def test_the_layers_are_listed_on_the_device(fake_cuda: FakeTensorMode) -> None:
    model = built(catalog.find("resnet"), CLASSES, "classification", (3, 32, 32))
    with fake_cuda:
        to_fake_cuda(model.module)
        rows = summarize(model.module, (2, 3, 32, 32))
    assert rows[-1].output_shape == (CLASSES,)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_last_steps_of_an_image_are_computed_on_the_device(
    channels: int, fake_cuda: FakeTensorMode
) -> None:
    values = (0.5,) * channels
    transform = RunTransform((channels, 8, 8), Preprocessing(16, 3, values, values), InputRecord())
    with fake_cuda:
        batch = torch.zeros(1, channels, 8, 8, dtype=torch.uint8, device=CUDA)
        stages = list(transform._prepared(batch, CUDA))
    assert [stage.name for stage in stages] == ["scaled", "resized", "normalized"]
    assert all(isinstance(stage.value, Tensor) and stage.value.device == CUDA for stage in stages)
