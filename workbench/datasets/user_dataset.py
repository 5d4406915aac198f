"""A dataset from somebody's own file: `./data.py:make`. Only workers run it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import TensorDataset

from workbench.core.errors import BadInput
from workbench.core.paths import given
from workbench.core.progress import Interrupted, Progress
from workbench.core.user_code import load_object, where_it_failed
from workbench.datasets.catalog import Task
from workbench.datasets.dataset import Data, Split
from workbench.datasets.load_request import Request
from workbench.io.images import convert, fit_square

_WHAT = "(train, test), (train, validation, test) or a dict of those"
_TOLD = 100


def load(request: Request) -> Data:
    """What the function in `FILE.py:NAME` returns, called with the data options as keywords.

    It may return (train, test), (train, validation, test), or a dict with those keys and perhaps `classes` and
    `task`. Each of them is a pair (inputs, targets) of tensors or arrays, or a torch Dataset of (picture or
    tensor, class). uint8 inputs and PIL pictures become uint8 [N, C, H, W]; what else there is float32.
    Targets are int64 class numbers, or float32 for a regression.

    Raises `BadInput` with the exception, file and line where their code fails.
    """
    name = request.info.name
    path = given(name.rpartition(":")[0]).absolute()
    try:
        returned = load_object(name)(**request.options)
        return _data(returned, request)
    except (BadInput, Interrupted):
        raise
    except (Exception, SystemExit) as error:
        raise BadInput(f"{name} failed: {where_it_failed(error, path)}") from None


def _data(returned: Any, request: Request) -> Data:
    name = request.info.name
    parts, extra = _parts(returned, name)
    splits = {
        word: _split(part, f"{name}: {word}", request) for word, part in parts.items() if part is not None
    }
    wanted = extra.get("task")
    if wanted not in {None, "classification", "regression"}:
        raise BadInput(f"{name}: task is {wanted!r}; it can be classification or regression")
    floating = splits["train"].targets.is_floating_point()
    task = cast(Task, wanted or ("regression" if floating else "classification"))
    splits = {word: _with_targets(split, task, f"{name}: {word}") for word, split in splits.items()}
    classes = _classes(extra, parts["train"], splits) if task == "classification" else ()
    return Data(task, classes, splits["train"], splits.get("validation"), splits["test"], source=name)


def _parts(returned: Any, name: str) -> tuple[dict[str, Any], Mapping[str, Any]]:
    """The splits that were returned by name, and the rest of a dict."""
    if isinstance(returned, Mapping):
        parts = {word: returned.get(word) for word in ("train", "validation", "test")}
        extra: Mapping[str, Any] = returned
    elif isinstance(returned, (tuple, list)) and len(returned) in {2, 3}:
        parts = dict(zip(("train", "validation", "test") if len(returned) == 3 else ("train", "test"), returned,
                         strict=True))  # fmt: skip
        extra = {}
    else:
        raise BadInput(f"{name} must return {_WHAT}, not {type(returned).__name__}")
    missing = [word for word in ("train", "test") if parts.get(word) is None]
    if missing:
        raise BadInput(f"{name} returned no {' and no '.join(missing)}: it must return {_WHAT}")
    return parts, extra


def _split(part: Any, where: str, request: Request) -> Split:
    if isinstance(part, TensorDataset):
        part = part.tensors
    if isinstance(part, (tuple, list)) and len(part) == 2 and all(map(_is_array, part)):
        inputs, targets = map(_tensor, part)
    elif (
        hasattr(part, "__getitem__") and hasattr(part, "__len__") and not isinstance(part, (tuple, list, str))
    ):
        inputs, targets = _from_dataset(part, where, request)
    else:
        kinds = type(part).__name__
        if isinstance(part, (tuple, list)) and len(part) == 2:
            wrong = next(value for value in part if not _is_array(value))
            kinds = f"a pair in which one is a {type(wrong).__name__} that is no array of numbers"
        raise BadInput(f"{where} must be a pair (inputs, targets) or a torch Dataset, not {kinds}")
    if len(inputs) != len(targets):
        raise BadInput(f"{where} has {len(inputs)} inputs but {len(targets)} targets")
    return Split(_fit_inputs(inputs, where), targets)


def _is_array(value: Any) -> bool:
    listed = isinstance(value, (list, tuple)) and bool(value) and isinstance(value[0], (int, float))
    return listed or (isinstance(value, (Tensor, np.ndarray)) and value.ndim > 0)


def _tensor(value: Any) -> Tensor:
    tensor = value.detach().cpu() if isinstance(value, Tensor) else torch.from_numpy(np.array(value))
    return tensor.contiguous()


def _fit_inputs(inputs: Tensor, where: str) -> Tensor:
    """uint8 [N, C, H, W] for pictures, float32 for all else."""
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
    raise BadInput(f"{where} has uint8 inputs of shape {tuple(inputs.shape)}; pictures are [N, 1 or 3, H, W]")


def _with_targets(split: Split, task: Task, where: str) -> Split:
    targets = split.targets
    if task == "regression":
        targets = targets.to(torch.float32)
        # One number an example is a column, as the model's answer is: [N] against [N, 1] would be compared crosswise.
        return Split(split.inputs, targets.unsqueeze(1) if targets.ndim == 1 else targets)
    if targets.ndim == 2 and targets.shape[1] == 1:
        targets = targets.squeeze(1)
    if targets.is_floating_point() or targets.ndim != 1:
        raise BadInput(
            f"{where} has targets of {targets.dtype} and shape {tuple(targets.shape)}; classes are whole numbers, "
            "one an example (for a regression return a dict with task='regression')"
        )
    return Split(split.inputs, targets.to(torch.int64))


def _from_dataset(dataset: Any, where: str, request: Request) -> tuple[Tensor, Tensor]:
    """Every item of a map-style Dataset, read once."""
    inputs: list[Tensor] = []
    targets = []
    for index in range(len(dataset)):
        item = dataset[index]
        if not isinstance(item, (tuple, list)) or len(item) != 2:
            raise BadInput(f"{where}: item {index} must be (input, target), not {type(item).__name__}")
        inputs.append(_input(item[0], where, request))
        targets.append(torch.as_tensor(item[1]))
        if inputs[-1].shape != inputs[0].shape:
            first, other = tuple(inputs[0].shape), tuple(inputs[-1].shape)
            raise BadInput(f"{where}: item {index} has shape {other}, item 0 {first}: make them one size")
        if index % _TOLD == 0:
            request.progress(Progress("reading your dataset", index, len(dataset), "pictures"))
            if request.cancelled():
                raise Interrupted
    if not inputs:
        raise BadInput(f"{where} is empty")
    return torch.stack(inputs), torch.stack(targets)


def _input(value: Any, where: str, request: Request) -> Tensor:
    if isinstance(value, Image.Image):
        grey = request.channels == 1 or (request.channels is None and value.mode in {"1", "L"})
        picture = convert(value, "L" if grey else "RGB")
        if request.size and picture.width != picture.height:
            picture = fit_square(picture, request.size)
        pixels = torch.from_numpy(np.array(picture))
        return pixels.unsqueeze(0) if grey else pixels.permute(2, 0, 1).contiguous()
    if isinstance(value, (Tensor, np.ndarray, float, int, list, tuple, np.generic)):
        return torch.as_tensor(value)
    raise BadInput(
        f"{where}: an input is {type(value).__name__}; it can be a PIL picture, a tensor or an array"
    )


def _classes(extra: Mapping[str, Any], train: Any, splits: Mapping[str, Split]) -> tuple[str, ...]:
    """Class names: those that were returned, else those that a torchvision dataset has, else numbers."""
    given: Sequence[Any] = extra.get("classes") or getattr(train, "classes", None) or ()
    if given:
        return tuple(str(name) for name in given)
    highest = max((int(split.targets.max()) for split in splits.values() if len(split)), default=-1)
    return tuple(str(number) for number in range(highest + 1))
