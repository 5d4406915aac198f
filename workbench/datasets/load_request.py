"""What a source of data is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from workbench.core.progress import Cancelled, Report
from workbench.datasets.catalog import DatasetInfo


@dataclass(frozen=True)
class Request:
    """What a source of data is asked for.

    `options` is the dataset's checked options struct (somebody's own: a dict as given). `size` and `channels`
    are what the model wants, `None` where it takes any. The experiment's seed is not among it: the test data
    must be the same for every one.
    """

    info: DatasetInfo
    options: Any
    size: int | None
    channels: int | None
    progress: Report
    cancelled: Cancelled
