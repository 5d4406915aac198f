"""The layers of models on datasets, counted by the compute process and cached."""

from __future__ import annotations

from dataclasses import dataclass

from workbench.compute.client import ComputeClient, ComputeError
from workbench.compute.protocol import SummarizeModel
from workbench.compute.protocol_responses import ModelSummary
from workbench.core.paths import expand_user_path
from workbench.core.settings_schema import Choice
from workbench.io.regular_files import file_stamp


@dataclass(frozen=True)
class ModelSummaryResult:
    """The layers of a draft's model, or the error that prevented counting them; empty before the request."""

    summary: ModelSummary | None = None
    error: str = ""

    @property
    def is_known(self) -> bool:
        """Whether there is a summary or an error."""
        return self.summary is not None or bool(self.error)

    @property
    def parameters(self) -> int | None:
        """The number of parameters, if counted."""
        return self.summary.parameters if self.summary else None


class ModelSummaries:
    """The summaries of models, each on a dataset."""

    def __init__(self, compute: ComputeClient) -> None:
        self._compute = compute
        self._results: dict[object, ModelSummaryResult] = {}

    def get(self, data: Choice, model: Choice) -> ModelSummaryResult:
        """The result as last requested; empty before that."""
        return self._results.get(_key(data, model), ModelSummaryResult())

    async def request(self, data: Choice, model: Choice) -> ModelSummaryResult:
        """Count the layers in the compute process."""
        key = _key(data, model)
        try:
            summary = await self._compute.request(SummarizeModel(data=data, model=model))
            result = ModelSummaryResult(summary)
        except ComputeError as error:
            result = ModelSummaryResult(error=str(error))
        self._results[key] = result
        return result


def _key(data: Choice, model: Choice) -> object:
    """What the result depends on: dataset, model, and the state of the model's weights file."""
    file = model.options.get("weights")
    return repr((data, model)), file_stamp(expand_user_path(str(file))) if file else None
