"""The request that the loader of a dataset receives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from workbench.core.progress import CancelCheck, ProgressCallback
from workbench.datasets.catalog import DatasetInfo
from workbench.datasets.drawing import draw_split
from workbench.datasets.fold_choice import FoldChoice
from workbench.datasets.input_record import InputRecord
from workbench.io.fit_mode import CenterCrop


@dataclass(frozen=True)
class RecordedData:
    """What a run recorded about its dataset, so that it is loaded again in the same way."""

    classes: tuple[str, ...]
    shape: tuple[int, ...]
    """Shape of one raw input."""
    fingerprint: str
    input: InputRecord | None = None

    @property
    def side(self) -> int | None:
        """The side of its images; `None` for other inputs."""
        square = len(self.shape) == 3 and self.shape[1] == self.shape[2]
        return self.shape[1] if square else None


@dataclass(frozen=True)
class LoadRequest:
    """A dataset to load, and for which model.

    `options` is the validated options struct of the dataset (a plain dict for a custom dataset). `size` and
    `channels` are the input size and channels of the model, `None` if it takes any. The seed of the experiment is
    deliberately not part of it: the test data must be the same for every seed.
    """

    info: DatasetInfo
    options: Any
    size: int | None
    channels: int | None
    progress: ProgressCallback
    cancelled: CancelCheck
    recorded: RecordedData | None = None
    """That of a run, for its resume or evaluation: the order of classes and the size of images stay the same."""
    crop: CenterCrop | None = None
    """How images are evaluated for the model; `None`: by their center square."""
    fold: FoldChoice | None = None
    """The fold of a cross-validation that becomes the test split afterwards, see `cross_validation`."""

    @property
    def whole(self) -> bool:
        """Whether no test split is drawn: a cross-validation divides the training split itself."""
        return self.fold is not None

    def draw_test(
        self, labels: Sequence[int], purpose: str, groups: Sequence[int] | None = None
    ) -> tuple[list[int], list[int]]:
        """The indices of the training and the test samples of data without a test split of its own.

        By the options `test` and `seed`, without dividing one of `groups`. Both are ascending; of the whole data the
        second is empty.
        """
        if self.whole:
            return list(range(len(labels))), []
        return draw_split(labels, groups, self.options.test, self.options.seed, purpose)
