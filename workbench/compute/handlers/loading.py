"""The datasets, models and images that requests name, kept from one request to the next."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from workbench.compute.handlers.images import NO_IMAGE
from workbench.compute.protocol_records import (
    ClassifierRef,
    DatasetRef,
    ExperimentDataset,
    ImageData,
    ImageSource,
    PublishedClassifier,
    RecipeClassifier,
    RunClassifier,
    RunDataset,
)
from workbench.compute.task import Task
from workbench.config.classification_recipe import load as load_recipe
from workbench.core.errors import BadInput
from workbench.core.paths import given
from workbench.datasets.dataset import Data
from workbench.datasets.loader import load
from workbench.inference.classifier import Classifier
from workbench.inference.image_pipeline import open_source
from workbench.inference.labels import read_labels
from workbench.io.atomic_files import read_json
from workbench.io.images import open_picture
from workbench.models import catalog as models
from workbench.models.torchvision_models import Door
from workbench.runs.run_folder import RunFolder

_KEPT_CLASSIFIERS = 2

_classifiers: dict[tuple[object, ...], Classifier] = {}
_data: dict[str, Data] = {}


def open_image(source: ImageSource, task: Task) -> Image.Image:
    """An image, upright, in its own mode. Raises `BadInput` or `Interrupted`."""
    if isinstance(source, ImageData):
        return open_picture(source.png)
    if not source.path:
        raise BadInput(NO_IMAGE)
    return open_source(source.path, task.progress, task.cancelled)


def load_dataset(ref: DatasetRef, task: Task) -> Data:
    """The dataset with the splits and image size of its experiment; one is kept. Raises `BadInput`, `Interrupted`."""
    dataset = experiment_dataset(ref)
    key = repr(dataset)
    if key not in _data:
        info = models.find(dataset.model.name)
        loaded = load(
            dataset.data,
            size=info.load_size(dataset.model.options),
            channels=info.channels,
            validation=dataset.validation,
            seed=dataset.seed,
            progress=task.progress,
            cancelled=task.cancelled,
        )
        _data.clear()
        _data[key] = loaded
    return _data[key]


def experiment_dataset(ref: DatasetRef) -> ExperimentDataset:
    """What `ref` names. Raises `BadInput` where it is a run whose experiment can't be read."""
    return ExperimentDataset.of(run_experiment(ref.run)) if isinstance(ref, RunDataset) else ref


def run_experiment(run: str) -> dict[str, Any]:
    """The experiment of the run in the folder `run`, as it was written. Raises `BadInput`."""
    found = read_json(RunFolder(Path(run)).experiment)
    if not found or not isinstance(found.get("data"), dict) or not isinstance(found.get("model"), dict):
        raise BadInput(f"{run} is not a run's folder: it has no experiment.json that can be read")
    return found


def load_classifier(ref: ClassifierRef, device: str, task: Task) -> Classifier:
    """The model of `ref` on `device`; the newest two are kept. Raises `BadInput` or `Interrupted`."""
    if isinstance(ref, RunClassifier):
        return _run_classifier(ref, device)
    if isinstance(ref, RecipeClassifier):
        model = load_recipe(ref.recipe).model
        ref = PublishedClassifier(model.name, ref.weights or model.weights, ref.labels or model.labels)
    return _published_classifier(ref, device, task)


def _run_classifier(ref: RunClassifier, device: str) -> Classifier:
    run = Path(ref.run)
    # A new checkpoint is a new classifier.
    manifest = RunFolder(run).manifest
    stamp = manifest.stat().st_mtime_ns if manifest.exists() else 0
    return _kept((ref, stamp, device), lambda: Classifier.from_run(run, ref.which, device))


def _published_classifier(ref: PublishedClassifier, device: str, task: Task) -> Classifier:
    path = given(ref.weights) if ref.weights else None
    door = Door(True, task.progress, task.cancelled)

    def make() -> Classifier:
        labels = read_labels(ref.labels, task.progress, task.cancelled) if ref.labels else None
        return Classifier.from_torchvision(ref.model, path, labels, device, door=door)

    return _kept((ref, device), make)


def _kept(key: tuple[object, ...], make: Callable[[], Classifier]) -> Classifier:
    """The classifier of `key`, made where it is not kept; the least recently used one is dropped."""
    found = _classifiers.pop(key, None) or make()
    _classifiers[key] = found
    while len(_classifiers) > _KEPT_CLASSIFIERS:
        del _classifiers[next(iter(_classifiers))]
    return found
