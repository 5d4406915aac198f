"""Custom datasets from a Python file of the user: `./data.py:make`. Executed in worker processes only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import TensorDataset

from workbench.core.errors import UserError
from workbench.core.paths import expand_user_path
from workbench.core.progress import Cancelled, Progress
from workbench.core.user_code import describe_user_code_error, load_object
from workbench.datasets.catalog import Task
from workbench.datasets.dataset import Dataset, Split
from workbench.datasets.load_request import LoadRequest
from workbench.io.images import convert_mode, crop_to_square

_RETURN_FORMS = "(train, test), (train, validation, test) or a dict of those"
_PROGRESS_INTERVAL = 100
"""Samples between two progress reports."""


def load(request: LoadRequest) -> Dataset:
    """The dataset that the function `FILE.py:NAME` returns, called with the data options as keyword arguments.

    It may return (train, test), (train, validation, test), or a dict with those keys and optionally `classes` and
    `task`. Each split is a pair (inputs, targets) of tensors or arrays, or a `torch.utils.data.Dataset` of (image or
    tensor, class). uint8 inputs and PIL images become uint8 [N, C, H, W], other inputs float32. Targets are int64
    class indices, or float32 for a regression.

    Raises `UserError` with the exception, file and line if the user's code fails.
    """
    name = request.info.name
    path = expand_user_path(name.rpartition(":")[0]).absolute()
    try:
        return _to_dataset(load_object(name)(**request.options), request)
    except (UserError, Cancelled):
        raise
    except (Exception, SystemExit) as error:
        raise UserError(f"{name} failed: {describe_user_code_error(error, path)}") from None


def _to_dataset(returned: Any, request: LoadRequest) -> Dataset:
    name = request.info.name
    parts, extra = _split_parts(returned, name)
    splits = {
        key: _to_split(part, f"{name}: {key}", request) for key, part in parts.items() if part is not None
    }
    requested_task = extra.get("task")
    if requested_task not in {None, "classification", "regression"}:
        raise UserError(f"{name}: task is {requested_task!r}; it must be classification or regression")
    floating = splits["train"].targets.is_floating_point()
    task = cast(Task, requested_task or ("regression" if floating else "classification"))
    splits = {key: _convert_targets(split, task, f"{name}: {key}") for key, split in splits.items()}
    classes = _class_names(extra, parts["train"], splits) if task == "classification" else ()
    return Dataset(task, classes, splits["train"], splits.get("validation"), splits["test"], source=name)


def _split_parts(returned: Any, name: str) -> tuple[dict[str, Any], Mapping[str, Any]]:
    """The returned splits by name, and the dict that holds `classes` and `task`. Raises `UserError`."""
    if isinstance(returned, Mapping):
        parts = {key: returned.get(key) for key in ("train", "validation", "test")}
        extra: Mapping[str, Any] = returned
    elif isinstance(returned, (tuple, list)) and len(returned) in {2, 3}:
        parts = dict(zip(("train", "validation", "test") if len(returned) == 3 else ("train", "test"), returned,
                         strict=True))  # fmt: skip
        extra = {}
    else:
        raise UserError(f"{name} must return {_RETURN_FORMS}, not {type(returned).__name__}")
    missing = [key for key in ("train", "test") if parts.get(key) is None]
    if missing:
        raise UserError(f"{name} returned no {' and no '.join(missing)}: it must return {_RETURN_FORMS}")
    return parts, extra


def _to_split(part: Any, where: str, request: LoadRequest) -> Split:
    if isinstance(part, TensorDataset):
        part = part.tensors
    if isinstance(part, (tuple, list)) and len(part) == 2 and all(map(_is_array, part)):
        inputs, targets = map(_to_tensor, part)
    elif (
        hasattr(part, "__getitem__") and hasattr(part, "__len__") and not isinstance(part, (tuple, list, str))
    ):
        inputs, targets = _read_torch_dataset(part, where, request)
    else:
        description = type(part).__name__
        if isinstance(part, (tuple, list)) and len(part) == 2:
            invalid = next(value for value in part if not _is_array(value))
            description = f"a pair with a {type(invalid).__name__} that is not an array of numbers"
        raise UserError(f"{where} must be a pair (inputs, targets) or a torch Dataset, not {description}")
    if len(inputs) != len(targets):
        raise UserError(f"{where} has {len(inputs)} inputs but {len(targets)} targets")
    return Split(_convert_inputs(inputs, where), targets)


def _is_array(value: Any) -> bool:
    is_number_list = isinstance(value, (list, tuple)) and bool(value) and isinstance(value[0], (int, float))
    return is_number_list or (isinstance(value, (Tensor, np.ndarray)) and value.ndim > 0)


def _to_tensor(value: Any) -> Tensor:
    tensor = value.detach().cpu() if isinstance(value, Tensor) else torch.from_numpy(np.array(value))
    return tensor.contiguous()


def _convert_inputs(inputs: Tensor, where: str) -> Tensor:
    """uint8 [N, C, H, W] for images, float32 for other data."""
    if inputs.dtype != torch.uint8:
        inputs = inputs.to(torch.float32)
        return inputs.unsqueeze(1) if inputs.ndim == 1 else inputs
    if inputs.ndim == 3:
        return inputs.unsqueeze(1)
    if inputs.ndim != 4:
        return inputs.to(torch.float32)
    if inputs.shape[1] in {1, 3}:
        return inputs
    if inputs.shape[3] in {1, 3}:
        return inputs.permute(0, 3, 1, 2).contiguous()
    raise UserError(f"{where} has uint8 inputs of shape {tuple(inputs.shape)}; images are [N, 1 or 3, H, W]")


def _convert_targets(split: Split, task: Task, where: str) -> Split:
    targets = split.targets
    if task == "regression":
        targets = targets.to(torch.float32)
        # A single number per sample becomes a column like the model's output: [N] and [N, 1] would broadcast.
        return Split(split.inputs, targets.unsqueeze(1) if targets.ndim == 1 else targets)
    if targets.ndim == 2 and targets.shape[1] == 1:
        targets = targets.squeeze(1)
    if targets.is_floating_point() or targets.ndim != 1:
        raise UserError(
            f"{where} has targets of {targets.dtype} and shape {tuple(targets.shape)}; class targets must be integers, "
            "one per sample (for a regression return a dict with task='regression')"
        )
    return Split(split.inputs, targets.to(torch.int64))


def _read_torch_dataset(dataset: Any, where: str, request: LoadRequest) -> tuple[Tensor, Tensor]:
    """Inputs and targets of a map-style `torch.utils.data.Dataset`, each item read once."""
    inputs: list[Tensor] = []
    targets = []
    for index in range(len(dataset)):
        item = dataset[index]
        if not isinstance(item, (tuple, list)) or len(item) != 2:
            raise UserError(f"{where}: item {index} must be (input, target), not {type(item).__name__}")
        inputs.append(_convert_input(item[0], where, request))
        targets.append(torch.as_tensor(item[1]))
        if inputs[-1].shape != inputs[0].shape:
            first, other = tuple(inputs[0].shape), tuple(inputs[-1].shape)
            raise UserError(
                f"{where}: item {index} has shape {other}, item 0 has {first}: resize them to one shape"
            )
        if index % _PROGRESS_INTERVAL == 0:
            request.progress(Progress("reading your dataset", index, len(dataset), "images"))
            if request.cancelled():
                raise Cancelled
    if not inputs:
        raise UserError(f"{where} is empty")
    return torch.stack(inputs), torch.stack(targets)


def _convert_input(value: Any, where: str, request: LoadRequest) -> Tensor:
    if isinstance(value, Image.Image):
        grayscale = request.channels == 1 or (request.channels is None and value.mode in {"1", "L"})
        image = convert_mode(value, "L" if grayscale else "RGB")
        if request.size and image.width != image.height:
            image = crop_to_square(image, request.size)
        pixels = torch.from_numpy(np.array(image))
        return pixels.unsqueeze(0) if grayscale else pixels.permute(2, 0, 1).contiguous()
    if isinstance(value, (Tensor, np.ndarray, float, int, list, tuple, np.generic)):
        return torch.as_tensor(value)
    raise UserError(
        f"{where}: an input is of type {type(value).__name__}; it must be a PIL image, a tensor or an array"
    )


def _class_names(extra: Mapping[str, Any], train: Any, splits: Mapping[str, Split]) -> tuple[str, ...]:
    """Class names: as returned, else the `classes` of a torchvision dataset, else numbers."""
    names: Sequence[Any] = extra.get("classes") or getattr(train, "classes", None) or ()
    if names:
        return tuple(str(name) for name in names)
    highest = max((int(split.targets.max()) for split in splits.values() if len(split)), default=-1)
    return tuple(str(number) for number in range(highest + 1))
