"""Loads the images, datasets and classifiers that requests refer to, with a cache for the last two."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PIL import Image

from workbench.compute.handlers.images import NO_IMAGE_ERROR
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
from workbench.config.classification_recipe import load_classification_recipe
from workbench.config.experiment import Experiment, read_experiment
from workbench.core.errors import UserError
from workbench.core.paths import expand_user_path
from workbench.core.user_code import is_user_code
from workbench.datasets.dataset import Dataset
from workbench.datasets.load_request import RecordedData
from workbench.datasets.loader import finish, load, load_all
from workbench.inference.classifier import Classifier
from workbench.inference.image_pipeline import open_source
from workbench.inference.labels import read_labels
from workbench.io.images import open_image
from workbench.io.record_codec import read_record
from workbench.models import catalog as models
from workbench.models.pretrained_weights import WeightsLoading
from workbench.runs.records import Setup
from workbench.runs.run_folder import RunFolder

_CACHED_CLASSIFIERS = 2

_classifiers: dict[tuple[object, ...], Classifier] = {}
_datasets: dict[str, Dataset] = {}
"""At most one, by the `repr` of its `ExperimentDataset`."""
_custom_datasets: dict[str, tuple[Dataset, tuple[int | None, int | None]]] = {}
"""At most one custom dataset before its validation data is drawn, by its choice; with the size and channels."""


def load_image(source: ImageSource, task: Task) -> Image.Image:
    """The image, rotated by its EXIF orientation, in its own mode. Raises `UserError` or `Cancelled`."""
    if isinstance(source, ImageData):
        return open_image(source.png)
    if not source.path:
        raise UserError(NO_IMAGE_ERROR)
    return open_source(source.path, task.progress, task.cancelled)


def load_dataset(ref: DatasetRef, task: Task) -> Dataset:
    """The dataset with the splits and image size of its experiment. The last one is cached.

    Raises `UserError` or `Cancelled`.
    """
    dataset, recorded = experiment_dataset(ref), recorded_data(ref)
    key = repr((dataset, recorded))
    if key not in _datasets:
        load_it = _load_custom if is_user_code(dataset.data.name) else _load
        loaded = load_it(dataset, recorded, task)
        _datasets.clear()
        _datasets[key] = loaded
    return _datasets[key]


def _load(dataset: ExperimentDataset, recorded: RecordedData | None, task: Task) -> Dataset:
    info = models.find(dataset.model.name)
    return load(
        dataset.data,
        size=info.load_size(dataset.model.options),
        channels=info.channels,
        crop=info.center_crop(dataset.model.options),
        validation=dataset.validation,
        seed=dataset.seed,
        fold=dataset.fold,
        progress=task.progress,
        cancelled=task.cancelled,
        recorded=recorded,
    )


def _load_custom(dataset: ExperimentDataset, recorded: RecordedData | None, task: Task) -> Dataset:
    """The dataset; the user's function is not called again for another seed, fraction or, where it can be, model."""
    info, key = models.find(dataset.model.name), repr(dataset.data)
    wanted = (info.load_size(dataset.model.options), info.channels)
    kept, loaded_for = _custom_datasets.get(key, (None, None))
    if kept is None or (kept.depends_on_model and loaded_for != wanted):
        _datasets.clear()
        _custom_datasets.clear()
        kept = load_all(
            dataset.data,
            size=wanted[0],
            channels=wanted[1],
            progress=task.progress,
            cancelled=task.cancelled,
            recorded=recorded,
            fold=dataset.fold,
        )
        _custom_datasets[key] = kept, wanted
    return finish(kept, dataset.validation, dataset.seed, dataset.fold, dataset.data.name)


def experiment_dataset(ref: DatasetRef) -> ExperimentDataset:
    """The dataset that `ref` refers to. Raises `UserError` for a run whose experiment can't be read."""
    if isinstance(ref, RunDataset):
        return ExperimentDataset.from_experiment(load_run_experiment(ref.run))
    return ref


def recorded_data(ref: DatasetRef) -> RecordedData | None:
    """What the run of `ref` recorded about its dataset; `None` for the dataset of an experiment."""
    setup = read_record(RunFolder(Path(ref.run)).setup, Setup) if isinstance(ref, RunDataset) else None
    return None if setup is None else RecordedData(setup.classes, setup.shape, setup.fingerprint, setup.input)


def load_run_experiment(run: str) -> Experiment:
    """The experiment of the run in the folder `run`. Raises `UserError`."""
    experiment = read_experiment(RunFolder(Path(run)).experiment)
    if experiment is None:
        raise UserError(f"{run} is not a run folder: it has no valid experiment.json")
    return experiment


def load_classifier(ref: ClassifierRef, device: str, task: Task) -> Classifier:
    """The model of `ref` on `device`. The last two are cached. Raises `UserError` or `Cancelled`."""
    if isinstance(ref, RunClassifier):
        return _run_classifier(ref, device)
    if isinstance(ref, RecipeClassifier):
        model = load_classification_recipe(ref.recipe).model
        ref = PublishedClassifier(model.name, ref.weights or model.weights, ref.labels or model.labels)
    return _published_classifier(ref, device, task)


def load_classifier_for(image: ImageSource, ref: ClassifierRef, device: str, task: Task) -> Classifier:
    """The model of `ref` for an image, which may show the pixels of a sample of the run's dataset."""
    classifier = load_classifier(ref, device, task)
    is_sample = isinstance(image, ImageData) and isinstance(ref, RunClassifier) and image.run == ref.run
    return classifier.for_samples() if is_sample else classifier


def _run_classifier(ref: RunClassifier, device: str) -> Classifier:
    run = Path(ref.run)
    # The manifest changes with every checkpoint, so that the newest one is loaded.
    manifest = RunFolder(run).manifest
    stamp = manifest.stat().st_mtime_ns if manifest.exists() else 0
    return _cached((ref, stamp, device), lambda: Classifier.from_run(run, ref.which, device))


def _published_classifier(ref: PublishedClassifier, device: str, task: Task) -> Classifier:
    path = expand_user_path(ref.weights) if ref.weights else None
    loading = WeightsLoading(True, task.progress, task.cancelled)

    def make() -> Classifier:
        labels = read_labels(ref.labels, task.progress, task.cancelled) if ref.labels else None
        return Classifier.from_published(ref.model, path, labels, device, loading=loading)

    return _cached((ref, device), make)


def _cached(key: tuple[object, ...], make: Callable[[], Classifier]) -> Classifier:
    """The classifier of `key`, loaded with `make` if it is not cached; an LRU cache."""
    classifier = _classifiers.pop(key, None) or make()
    _classifiers[key] = classifier
    while len(_classifiers) > _CACHED_CLASSIFIERS:
        del _classifiers[next(iter(_classifiers))]
    return classifier
