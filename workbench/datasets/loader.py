"""Loads a dataset: from its name and options to tensors."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from workbench.core.errors import UserError
from workbench.core.progress import CancelCheck, ProgressCallback, ignore_progress, never_cancelled
from workbench.core.settings_schema import Choice, convert
from workbench.datasets import catalog
from workbench.datasets.catalog import DatasetKind
from workbench.datasets.cross_validation import hold_out_fold
from workbench.datasets.dataset import Dataset, fingerprint_of, validate, with_statistics, with_validation
from workbench.datasets.fold_choice import FoldChoice
from workbench.datasets.image_transform import default_input
from workbench.datasets.load_request import LoadRequest, RecordedData
from workbench.io.fit_mode import CenterCrop

_LOADERS: Mapping[DatasetKind, str] = {
    "published": "published:load",
    "folder": "image_folder:load",
    "csv": "image_folder:load",
    "npz": "npz_file:load",
    "tar": "packed_images:load_tar",
    "parquet": "packed_images:load_parquet",
    "custom": "user_dataset:load",
}
"""Loaders of the kinds of datasets whose rows name none."""


def load(
    choice: Choice,
    *,
    size: int | None = None,
    channels: int | None = None,
    crop: CenterCrop | None = None,
    validation: float = 0.0,
    seed: int = 0,
    progress: ProgressCallback = ignore_progress,
    cancelled: CancelCheck = never_cancelled,
    recorded: RecordedData | None = None,
    fold: FoldChoice | None = None,
) -> Dataset:
    """Read, generate, download or decode a dataset.

    Images of varying size become `size` × `size` with `channels` (1 or 3), unless an option says otherwise; datasets
    of one native size keep it. `crop` is how the model evaluates images. `validation` is the fraction of every class
    that is held out from the training data,
    drawn by `seed`, if the dataset has no validation split of its own. Nothing else depends on `seed`: runs with
    different seeds are tested on the same samples.

    `fold`: the fold of a cross-validation that is the test split; validation data is drawn from the others.

    `recorded`: what a run knows of its dataset. The order of classes and the size of images are those, and so is the
    fingerprint if the data is the same by the rules of the version that recorded it.

    Raises `UserError` with one line, or `Cancelled` soon after `cancelled()` is true.
    """
    data = load_all(
        choice, size=size, channels=channels, crop=crop, progress=progress, cancelled=cancelled, recorded=recorded,
        fold=fold,
    )  # fmt: skip
    return finish(data, validation, seed, fold, choice.name)


def finish(data: Dataset, validation: float, seed: int, fold: FoldChoice | None, name: str) -> Dataset:
    """What `load_all` returned, with its fold held out, validation data drawn, and its normalization measured."""
    return with_statistics(with_validation(hold_out_fold(data, fold, name), validation, seed))


def load_all(
    choice: Choice,
    *,
    size: int | None = None,
    channels: int | None = None,
    crop: CenterCrop | None = None,
    progress: ProgressCallback = ignore_progress,
    cancelled: CancelCheck = never_cancelled,
    recorded: RecordedData | None = None,
    fold: FoldChoice | None = None,
) -> Dataset:
    """Like `load`, before a fold is held out, validation data is drawn and normalization is measured.

    With `fold`, no test split is drawn: it is empty where the dataset has none of its own.
    """
    info = catalog.find(choice.name)
    options: Any = dict(choice.options)
    if info.options is not None:
        options = convert(info.options, options, "data")
    source = _loader(info.loader or _LOADERS[info.kind])
    try:
        request = LoadRequest(info, options, size, channels, progress, cancelled, recorded, crop, fold)
        data = source(request)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise UserError(f"{info.name} can't be loaded: {error.strerror or error}{where}") from None
    data = validate(data, info.name, without_test=fold is not None)
    if data.input is None:
        data = replace(data, input=default_input(data.train.inputs))
    if not data.fingerprint:
        splits = (data.train, data.validation, data.test)
        data = replace(data, fingerprint=fingerprint_of(splits, data.classes))
    return data


def _loader(name: str) -> Callable[[LoadRequest], Dataset]:
    module, _, function = name.partition(":")
    loader: Callable[[LoadRequest], Dataset] = getattr(
        importlib.import_module(f"workbench.datasets.{module}"), function
    )
    return loader
