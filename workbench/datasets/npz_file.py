"""Datasets of arrays in an `.npz` file. Nothing is unpickled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from workbench.core.errors import UserError
from workbench.core.text import format_bytes, sanitize
from workbench.datasets.dataset import Dataset, Split
from workbench.datasets.file_sources import NPZ
from workbench.datasets.load_request import LoadRequest
from workbench.datasets.npz_arrays import DAMAGE, find_arrays, read_shapes
from workbench.datasets.user_dataset import read_splits
from workbench.io.regular_files import open_regular_file
from workbench.system.memory import host_memory


def load(request: LoadRequest) -> Dataset:
    """The arrays of `npz:FILE` as a dataset; a test split is drawn where there is none. Raises `UserError`."""
    path = NPZ.path(request.info.name)
    arrays = find_arrays(path, read_shapes(path), request.options)
    names = [name for pair in arrays.splits.values() for name in pair]
    names += [name for name in (arrays.groups, arrays.class_names) if name]
    content = _read(path, dict.fromkeys(names))
    pairs = {
        split: (content[inputs], _column(content[targets]))
        for split, (inputs, targets) in arrays.splits.items()
    }
    is_whole = "test" not in pairs
    if is_whole:
        inputs, targets = pairs["train"]
        pairs["test"] = (inputs[:1], targets[:1])  # replaced below
    parts: dict[str, object] = {**pairs}
    if arrays.class_names and content[arrays.class_names].dtype.kind in "US":
        parts["classes"] = content[arrays.class_names].tolist()
    data = replace(read_splits(parts, request), source=str(path))
    return _with_test(data, request, content.get(arrays.groups), arrays.groups) if is_whole else data


def _with_test(data: Dataset, request: LoadRequest, groups: np.ndarray | None, name: str) -> Dataset:
    """`data` with a test split that is drawn from its training split."""
    whole: Split = data.train
    if groups is not None:
        if groups.shape[:1] != (len(whole),):
            raise UserError(f"{data.source}: {name} has {groups.shape} values for {len(whole):,} samples")
        numbers = np.unique(groups.reshape(len(whole), -1), axis=0, return_inverse=True)[1].reshape(-1)
        whole = replace(whole, groups=torch.from_numpy(numbers.astype(np.int64) + 1))
    labels = whole.targets.tolist() if data.task == "classification" else [0] * len(whole)
    group_numbers = None if whole.groups is None else whole.groups.tolist()
    train, test = request.draw_test(labels, "npz test", group_numbers)
    return replace(data, train=whole.take(train), test=whole.take(test))


def _read(path: Path, names: Mapping[str, None]) -> dict[str, np.ndarray]:
    """The arrays with these names. Raises `UserError`, also for more than the memory that is free."""
    found, name = dict[str, np.ndarray](), ""
    try:
        with open_regular_file(path) as file, np.load(file, allow_pickle=False) as archive:
            size = sum(archive.zip.getinfo(f"{name}.npy").file_size for name in names)
            _, free = host_memory()
            if free is not None and size > free:
                raise UserError(
                    f"{path} has {format_bytes(size)} of arrays, and {format_bytes(free)} are free"
                )
            for name in names:
                found[name] = archive[name]
    except DAMAGE as error:
        if isinstance(error, UserError):
            raise
        reason = "it holds Python objects: save numbers or text" if "allow_pickle" in str(error) else error
        raise UserError(f"{path}{': ' if name else ''}{sanitize(name)} can't be read: {reason}") from None
    return found


def _column(targets: np.ndarray) -> np.ndarray:
    """Targets [N] of [N, 1], as MedMNIST stores them."""
    return (
        targets[:, 0]
        if targets.ndim == 2 and targets.shape[1] == 1 and targets.dtype.kind != "f"
        else targets
    )
