"""What folders of images contain, listed in another thread and cached by the experiments that use them."""

from __future__ import annotations

import asyncio

from workbench.config.data_summary import DataSummary, experiment_data
from workbench.config.experiment import Experiment


class FolderContents:
    """The contents of the folders of experiments."""

    def __init__(self) -> None:
        self._summaries: dict[str, DataSummary | None] = {}

    def get(self, experiment: Experiment) -> DataSummary | None:
        """The contents of the experiment's folder as last listed; `None` before that, and for other datasets."""
        return self._summaries.get(_key(experiment))

    async def update(self, experiment: Experiment) -> bool:
        """List the folder again if it has changed; returns whether the contents did. Raises `UserError`."""
        before = self.get(experiment)
        self._summaries[_key(experiment)] = await asyncio.to_thread(experiment_data, experiment)
        return self.get(experiment) != before


def _key(experiment: Experiment) -> str:
    train = experiment.train
    settings = (train.validation, train.class_weights, train.balanced_sampling, train.folds, train.fold)
    return repr((experiment.data, experiment.model, settings))
