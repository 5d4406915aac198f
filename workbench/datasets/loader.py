"""A chosen dataset, loaded: the one way from a name to tensors."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from workbench.core.errors import BadInput
from workbench.core.progress import Cancelled, Report, never, silent
from workbench.core.settings_schema import Choice, convert
from workbench.datasets import catalog
from workbench.datasets.dataset import Data, checked, fingerprint_of, measured, with_validation
from workbench.datasets.load_request import Request

_BUILTIN: Mapping[str, str] = {
    "digits": "workbench.datasets.builtin:digits",
    "shapes": "workbench.datasets.builtin:shapes",
    "line": "workbench.datasets.builtin:line",
    "clusters": "workbench.datasets.builtin:clusters",
}
_KINDS: Mapping[str, str] = {
    "published": "workbench.datasets.published:load",
    "folder": "workbench.datasets.image_folder:load",
    "own": "workbench.datasets.user_dataset:load",
}


def load(
    choice: Choice,
    *,
    size: int | None = None,
    channels: int | None = None,
    validation: float = 0.0,
    seed: int = 0,
    progress: Report = silent,
    cancelled: Cancelled = never,
) -> Data:
    """Read, draw, download or decode the chosen dataset.

    Pictures that have no common size become `size` × `size` with `channels` (1 or 3), unless an option says
    otherwise; sets of one native size keep theirs. `validation` is the part of every class that is kept from
    the training data, drawn by `seed`, where the dataset has no validation data of its own. Nothing else depends
    on `seed`: runs with different ones are tested on the same examples.

    Raises `BadInput` (one line), or `Interrupted` soon after `cancelled()` is true.
    """
    info = catalog.find(choice.name)
    options: Any = dict(choice.options)
    if info.options is not None:
        options = convert(info.options, options, "data")
    source = _source(_BUILTIN.get(info.name) or _KINDS[info.kind])
    try:
        data = source(Request(info, options, size, channels, progress, cancelled))
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise BadInput(f"{info.name} can't be loaded: {error.strerror or error}{where}") from None
    data = checked(data, info.name)
    if not data.fingerprint:
        splits = (data.train, data.validation, data.test)
        data = replace(data, fingerprint=fingerprint_of(splits, data.classes))
    return measured(with_validation(data, validation, seed))


def _source(name: str) -> Callable[[Request], Data]:
    module, _, function = name.partition(":")
    found: Callable[[Request], Data] = getattr(importlib.import_module(module), function)
    return found
