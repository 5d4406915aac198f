"""Custom datasets from a Python file of the user: `./data.py:make`. Executed in worker processes only."""

from __future__ import annotations

import contextlib
import inspect
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from workbench.core.errors import UserError
from workbench.core.paths import expand_user_path
from workbench.core.progress import Cancelled, Progress
from workbench.core.user_code import describe_user_code_error, load_object, without_stdin
from workbench.datasets.catalog import Task
from workbench.datasets.dataset import Dataset, Split
from workbench.datasets.image_transform import PREPROCESS, find_transforms, record_input
from workbench.datasets.input_record import InputRecord
from workbench.datasets.load_request import LoadRequest
from workbench.datasets.split_scaling import scaling_difference
from workbench.datasets.user_inputs import (
    are_integer_pixels,
    channels_first,
    convert_inputs,
    few_levels,
    unknown_pixels,
    unless_changed,
)
from workbench.datasets.user_targets import Targets, check_finite, read_texts, resolve_targets
from workbench.io.image_fit import crop_to_square
from workbench.io.images import convert_mode

_RETURN_FORMS = "(train, test), (train, validation, test) or a dict of those"
_PROGRESS_INTERVAL = 100
"""Samples between two progress reports."""
_SPLITS = ("train", "validation", "test")
_OTHER_NAMES = {"val": "validation", "valid": "validation", "dev": "validation"}
_IMAGE_KEYS = ("image", "img", "pixel_values", "input", "inputs", "x")
_LABEL_KEYS = ("label", "labels", "target", "targets", "fine_label", "y", "class")
"""Keys of the items of datasets whose items are dicts, as those of Hugging Face."""


def load(request: LoadRequest) -> Dataset:
    """The dataset that the function `FILE.py:NAME` returns, called with the data options as keyword arguments.

    It may return (train, test), (train, validation, test), either of them with class names at the end, or a dict with
    those keys and optionally `classes`, `task` and `preprocess`. Each split is a pair (inputs, targets) of tensors,
    arrays or lists, or a `torch.utils.data.Dataset` of (image or tensor, class). The function may have the attributes
    `classes` and `preprocess`. uint8 inputs and PIL images become uint8 [N, C, H, W], other inputs float32. Targets
    are int64 class indices, or float32 for a regression.

    Raises `UserError` with the exception, file and line if the user's code fails.
    """
    name = request.info.name
    path = expand_user_path(name.rpartition(":")[0]).absolute()
    try:
        with without_stdin(), _process_state():
            function = load_object(name)
            return _Returned(function(**request.options), function, request).dataset()
    except (UserError, Cancelled):
        raise
    except (Exception, SystemExit) as error:
        raise UserError(f"{name} failed: {describe_user_code_error(error, path)}") from None


def read_splits(parts: Mapping[str, object], request: LoadRequest) -> Dataset:
    """The dataset of arrays by split, as a user's function may return them. Raises `UserError`."""
    return _Returned(parts, None, request).dataset()


@contextlib.contextmanager
def _process_state() -> Iterator[None]:
    """Undo what user code changes in this process: torch's defaults, and the working directory."""
    dtype, device, threads = torch.get_default_dtype(), torch.get_default_device(), torch.get_num_threads()
    folder = Path.cwd()
    try:
        with torch.set_grad_enabled(torch.is_grad_enabled()):
            yield
    finally:
        torch.set_default_dtype(dtype)
        if torch.get_default_device() != device:
            torch.set_default_device(device)
        torch.set_num_threads(threads)
        os.chdir(folder)


class _Returned:
    """What the user's function returned."""

    def __init__(self, returned: Any, function: Any, request: LoadRequest) -> None:
        self._name, self._function, self._reader = request.info.name, function, _Reader(request)
        self._notices: list[str] = []
        self._are_pixels: bool | None = None
        self._parts, self._extra = _split_parts(returned, self._name)

    def dataset(self) -> Dataset:
        """The dataset. Raises `UserError`."""
        inputs: dict[str, Tensor] = {}
        targets: dict[str, Targets] = {}
        for key, part in self._parts.items():
            inputs[key], targets[key] = self._read(part, f"{self._name}: {key}")
        task = self._extra.get("task")
        if task not in {None, "classification", "regression"}:
            raise UserError(f"{self._name}: task is {task!r}; it must be classification or regression")
        resolved = resolve_targets(targets, cast("Task | None", task), self._class_names(), self._name)
        record, input_notices = self._record_input(inputs)
        notices = (*self._scaling_notices(inputs), *self._notices, *resolved.notices, *input_notices)
        splits = {key: Split(inputs[key], resolved.targets[key]) for key in inputs}
        return Dataset(
            resolved.task, resolved.classes, splits["train"], splits.get("validation"), splits["test"],
            source=self._name, input=record, notices=notices, depends_on_model=self._reader.has_pil_images,
        )  # fmt: skip

    def _read(self, part: Any, where: str) -> tuple[Tensor, Targets]:
        inputs, targets = _read_split(part, where, self._reader)
        if len(inputs) != len(targets):
            raise UserError(f"{where} has {len(inputs)} inputs but {len(targets)} targets")
        if not len(inputs):
            raise UserError(f"{where} is empty: every split needs at least one sample")
        inputs, notice = channels_first(inputs, where)
        if self._are_pixels is None:  # of the training split, which comes first
            self._are_pixels = inputs.dtype == torch.uint8 or are_integer_pixels(inputs)
        inputs = convert_inputs(inputs, where, are_pixels=self._are_pixels)
        if notice and notice not in self._notices:
            self._notices.append(notice)
        check_finite(inputs, where, "inputs")
        return inputs, targets

    def _class_names(self) -> Any:
        """Class names: as returned, else those of the function, else of the training dataset; `None` without any."""
        for names in (self._extra.get("classes"), getattr(self._function, "classes", None)):
            if names is not None:
                return names
        return _dataset_classes(self._parts["train"])

    def _record_input(self, inputs: Mapping[str, Tensor]) -> tuple[InputRecord, list[str]]:
        """The record of the inputs and its notices. The images to classify later resemble those of the test split."""
        on_function = hasattr(self._function, PREPROCESS)
        is_declared = on_function or PREPROCESS in self._extra
        declared = (
            self._extra[PREPROCESS]
            if PREPROCESS in self._extra
            else getattr(self._function, PREPROCESS, None)
        )
        if not is_declared and not self._reader.has_pil_images and (top := few_levels(inputs["train"])):
            return unknown_pixels(top, self._name)
        record, notices = record_input(
            inputs["train"], inputs["test"], declared, self._transforms("test"), self._name,
            is_declared=is_declared, is_loadable=on_function,
        )  # fmt: skip
        return (record, notices) if is_declared else unless_changed(record, notices, self._parts["test"])

    def _transforms(self, split: str) -> list[Any]:
        part = self._parts[split]
        return [] if isinstance(part, (tuple, list)) else find_transforms(part)

    def _scaling_notices(self, inputs: Mapping[str, Tensor]) -> list[str]:
        train = inputs["train"]
        differences = [
            scaling_difference(
                train, inputs[split], self._transforms("train"), self._transforms(split), split
            )
            for split in inputs
            if split != "train"
        ]
        return [difference for difference in differences if difference]


class _Reader:
    """Converts inputs to tensors."""

    def __init__(self, request: LoadRequest) -> None:
        self._request = request
        self.has_pil_images = False
        """Whether some inputs were PIL images, whose mode and shape depend on the model."""

    def convert(self, value: Any, where: str) -> Tensor:
        """One input as a tensor: uint8 [C, H, W] of a PIL image. Raises `UserError` for what has no numbers."""
        if isinstance(value, Image.Image):
            self.has_pil_images = True
            return self._pixels(value)
        if isinstance(value, (Tensor, np.ndarray, float, int, list, tuple, np.generic)):
            return torch.as_tensor(value).detach().cpu()
        raise UserError(
            f"{where}: an input is of type {type(value).__name__}; it must be a PIL image, a tensor or an array"
        )

    def _pixels(self, image: Image.Image) -> Tensor:
        size, channels = self._request.size, self._request.channels
        grayscale = channels == 1 or (channels is None and image.mode in {"1", "L"})
        converted = convert_mode(image, "L" if grayscale else "RGB")
        if size and converted.width != converted.height:
            converted = crop_to_square(converted, size)
        pixels = torch.from_numpy(np.array(converted))
        return pixels.unsqueeze(0) if grayscale else pixels.permute(2, 0, 1).contiguous()

    def in_one_mode(self, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
        """`inputs`, grayscale PIL images among color ones as color."""
        channels = {len(value) for value in inputs if value.ndim == 3}
        if not self.has_pil_images or channels != {1, 3}:
            return inputs
        return [value.expand(3, *value.shape[1:]) if len(value) == 1 else value for value in inputs]

    def report(self, done: int, total: int) -> None:
        """Report the number of read samples. Raises `Cancelled`."""
        self._request.progress(Progress("reading your dataset", done, total, "images"))
        if self._request.cancelled():
            raise Cancelled


def _split_parts(returned: Any, name: str) -> tuple[dict[str, Any], Mapping[str, Any]]:
    """The returned splits by name, and the dict that holds `classes`, `task` and `preprocess`. Raises `UserError`."""
    if isinstance(returned, Mapping):
        extra: Mapping[str, Any] = returned
        parts = {_OTHER_NAMES.get(str(key), str(key)): value for key, value in returned.items()}
    elif isinstance(returned, (tuple, list)) and 2 <= len(returned) <= 4:
        has_names = len(returned) > 2 and _are_names(returned[-1])
        extra = {"classes": returned[-1]} if has_names else {}
        values = returned[:-1] if has_names else returned
        keys = _SPLITS if len(values) == 3 else ("train", "test")
        if len(values) > 3:
            raise UserError(f"{name} returned {len(returned)} values: it must return {_RETURN_FORMS}")
        parts = dict(zip(keys, values, strict=True))
    else:
        raise UserError(f"{name} must return {_RETURN_FORMS}, not {_describe(returned)}")
    parts = {key: parts[key] for key in _SPLITS if parts.get(key) is not None}
    missing = [key for key in ("train", "test") if key not in parts]
    if missing:
        raise UserError(f"{name} returned no {' and no '.join(missing)}: it must return {_RETURN_FORMS}")
    return parts, extra


def _are_names(value: Any) -> bool:
    """Whether a returned value is a list of class names, and not a split."""
    if isinstance(value, Mapping):
        return bool(value) and all(isinstance(part, (str, int)) for item in value.items() for part in item)
    if isinstance(value, np.ndarray):
        value = value.tolist()
    return isinstance(value, (tuple, list)) and bool(value) and all(isinstance(part, str) for part in value)


def _describe(value: Any) -> str:
    """What a value of the wrong type is, and what to do if that is a common mistake."""
    if value is None:
        return "nothing (None): add a return statement"
    if inspect.isgenerator(value):
        return "a generator: use return instead of yield, or list(...)"
    if isinstance(value, (tuple, list)):
        return f"a {type(value).__name__} of {len(value)} values"
    return type(value).__name__


def _read_split(part: Any, where: str, reader: _Reader) -> tuple[Tensor, Targets]:
    """Inputs as they were returned, and targets."""
    if isinstance(part, DataLoader):
        part = part.dataset
    if isinstance(part, TensorDataset):
        part = part.tensors
    if isinstance(part, (tuple, list)):
        if len(part) != 2:
            raise UserError(
                f"{where} must be a pair (inputs, targets) or a torch Dataset, not {_describe(part)}"
            )
        return _to_inputs(part[0], where, reader), _to_targets(part[1], where)
    if isinstance(part, IterableDataset):
        raise UserError(f"{where} is an IterableDataset; return one with __len__ and __getitem__")
    if (
        hasattr(part, "__getitem__")
        and hasattr(part, "__len__")
        and not isinstance(part, (str, bytes, Tensor))
    ):
        return _read_torch_dataset(part, where, reader)
    raise UserError(f"{where} must be a pair (inputs, targets) or a torch Dataset, not {_describe(part)}")


def _to_inputs(values: Any, where: str, reader: _Reader) -> Tensor:
    if (
        isinstance(values, (list, tuple))
        and values
        and isinstance(values[0], (Image.Image, Tensor, np.ndarray))
    ):
        return _stack(reader.in_one_mode([reader.convert(value, where) for value in values]), where)
    return _to_tensor(values, where, "inputs")


def _to_targets(values: Any, where: str) -> Targets:
    if (
        isinstance(values, (list, tuple))
        and values
        and isinstance(values[0], (Tensor, np.ndarray, np.generic))
    ):
        return _stack([torch.as_tensor(value) for value in values], where)
    if hasattr(values, "to_numpy"):
        values = values.to_numpy()
    texts = read_texts(values, where) if isinstance(values, (list, tuple, np.ndarray)) else None
    if texts is not None:
        return texts
    return _to_tensor(values, where, "targets")


def _to_tensor(values: Any, where: str, what: str) -> Tensor:
    """The numbers in a tensor, an array, a list or a column of a table. Raises `UserError` for anything else."""
    if isinstance(values, Tensor):
        tensor = values.detach().cpu().to_dense()
    elif isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        raise UserError(f"{where}: the {what} have masked values: fill them or drop their samples")
    elif isinstance(values, (list, tuple, np.ndarray, np.generic)) or hasattr(values, "to_numpy"):
        try:
            array = np.array(values.to_numpy() if hasattr(values, "to_numpy") else values)
            if array.dtype.kind in "iuf":  # torch has neither other byte orders nor long doubles
                array = array.astype(
                    "f8" if array.dtype.itemsize > 8 else array.dtype.newbyteorder("="), copy=False
                )
            tensor = torch.from_numpy(array)
        except (ValueError, TypeError):
            raise UserError(
                f"{where}: the {what} are a {type(values).__name__} that is not an array of numbers of one shape"
            ) from None
    else:
        raise UserError(
            f"{where} must be a pair (inputs, targets) of arrays of numbers or a torch Dataset; "
            f"the {what} are {_describe(values)}"
        )
    if tensor.ndim == 0:
        raise UserError(f"{where}: the {what} are one number; they must be one per sample")
    return tensor.contiguous()


def _read_torch_dataset(dataset: Any, where: str, reader: _Reader) -> tuple[Tensor, Targets]:
    """Inputs and targets of a map-style `torch.utils.data.Dataset`, each item read once."""
    inputs: list[Tensor] = []
    targets: list[Any] = []
    for index in range(len(dataset)):
        value, target = _item_parts(dataset[index], f"{where}: item {index}")
        inputs.append(reader.convert(value, where))
        targets.append(target)
        if index % _PROGRESS_INTERVAL == 0:
            reader.report(index, len(dataset))
    if not inputs:
        raise UserError(f"{where} is empty: every split needs at least one sample")
    stacked = _stack(reader.in_one_mode(inputs), where)
    if any(isinstance(target, (str, bytes)) for target in targets):
        return stacked, read_texts(targets, where) or []
    try:
        return stacked, torch.stack([torch.as_tensor(target) for target in targets])
    except (TypeError, ValueError, RuntimeError):
        kinds = {type(target).__name__ for target in targets}
        raise UserError(
            f"{where}: targets ({', '.join(sorted(kinds))}) are not numbers of one shape: return a class index"
        ) from None


def _item_parts(item: Any, where: str) -> tuple[Any, Any]:
    """Input and target of an item: a pair, or a dict with an image and a label."""
    if isinstance(item, Mapping):
        value = next((item[key] for key in _IMAGE_KEYS if key in item), None)
        target = next((item[key] for key in _LABEL_KEYS if key in item), None)
        if value is None or target is None:
            keys = ", ".join(map(str, item))
            raise UserError(
                f"{where} is a dict with {keys}; it needs image and label, or return (input, target)"
            )
        return value, target
    if not isinstance(item, (tuple, list)) or len(item) != 2:
        raise UserError(f"{where} must be (input, target), not {_describe(item)}")
    return item[0], item[1]


def _stack(values: Sequence[Tensor], where: str) -> Tensor:
    """All values in one tensor. Raises `UserError` where they differ in shape."""
    other = next((index for index, value in enumerate(values) if value.shape != values[0].shape), None)
    if other is not None:
        raise UserError(
            f"{where}: item {other} has shape {tuple(values[other].shape)}, item 0 has {tuple(values[0].shape)}: "
            "resize them to one shape"
        )
    return torch.stack(list(values))


def _dataset_classes(dataset: Any) -> Any:
    """The class names of a torchvision or Hugging Face dataset, also of one in a `Subset`; `None` without any."""
    for _ in range(5):
        if dataset is None or isinstance(dataset, (tuple, list)):
            return None
        names = getattr(dataset, "classes", None)
        features = getattr(dataset, "features", None)
        if not names and isinstance(features, Mapping):
            names = next(
                (getattr(features[key], "names", None) for key in _LABEL_KEYS if key in features), None
            )
        if names:
            return names
        dataset = getattr(dataset, "dataset", None)
    return None
