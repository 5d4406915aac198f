"""The responses of the compute process, one type for each kind of result. Imports no torch."""

from __future__ import annotations

import msgspec

from workbench.compute.protocol_records import (
    ClassReliability,
    EvaluatedSample,
    ImageFacts,
    ImageItem,
    Scatter,
    Shape,
    ValueRow,
)
from workbench.datasets.dataset_facts import DatasetFacts, TensorFacts
from workbench.inference.published_comparison import PublishedComparison
from workbench.inference.results import PipelineStep, Prediction
from workbench.models.layer_row import LayerRow


class Response(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="response", tag=True
):
    """The response to a request."""


class Ready(Response, frozen=True, kw_only=True):
    """Torch is imported."""

    torch: str
    """The version of torch."""


class OpenedImage(Response, frozen=True, kw_only=True):
    """An image to display."""

    path: str
    """The absolute path on this machine."""
    png: bytes
    """Within 512×512 pixels."""
    source: ImageFacts


class Classification(Response, frozen=True, kw_only=True):
    """A model's prediction for an image."""

    model: str
    top: tuple[Prediction, ...]
    """The most probable class first."""
    reference: PublishedComparison | None
    """Comparison with the published prediction of a recipe."""
    milliseconds: float
    """Time from the decoded image to the probabilities."""
    device: str
    source: ImageFacts
    notices: tuple[str, ...]
    """Warnings of the model, as text."""


class NumericPrediction(Response, frozen=True, kw_only=True):
    """A model's prediction from numbers."""

    top: tuple[Prediction, ...]
    """The most probable class first; empty for a regression."""
    values: tuple[float, ...]
    """The outputs of a regression; empty for a classification."""


class Pipeline(Response, frozen=True, kw_only=True):
    """The steps of processing an image."""

    model: str | None
    """`None` if the steps end with a model's input."""
    steps: tuple[PipelineStep, ...]


class Explanation(Response, frozen=True, kw_only=True):
    """Why a prediction was made, and how reliable it is."""

    model: str
    first: Prediction
    second: Prediction | None
    """`None` if there is only one class."""
    steps: tuple[str, ...]
    """The preprocessing steps as text."""
    reliability: ClassReliability | None
    """For the predicted class; `None` without an evaluation."""
    published_accuracy: float | None
    """Top-1 accuracy of a published model on ImageNet, 0..1."""


class ModelSummary(Response, frozen=True, kw_only=True):
    """The layers of a model for a dataset."""

    layers: tuple[LayerRow, ...]
    parameters: int
    trainable: int
    data_shape: Shape
    """Of one raw sample."""
    input_shape: Shape
    """Of one preprocessed sample."""
    outputs: int
    head: tuple[str, ...]
    """Name prefixes of the last layer's parameters."""
    pretrained: bool


class ImagePage(Response, frozen=True, kw_only=True):
    """A page of a dataset's images."""

    items: tuple[ImageItem, ...]
    first: int
    """Index of the first item among all."""
    total: int


class EvaluatedSamplePage(Response, frozen=True, kw_only=True):
    """A page of an evaluation's samples."""

    items: tuple[EvaluatedSample, ...]
    first: int
    """Index of the first item among all."""
    total: int


class DatasetOverview(Response, frozen=True, kw_only=True):
    """The facts of a dataset, and the output shape of the untrained model for one batch."""

    facts: DatasetFacts
    output: Shape | None
    """The shape of the model's output for `facts.batch`; `None` if unknown."""
    printed: tuple[str, ...] = ()
    """The last lines that user code printed while it loaded the dataset."""


class ImageDetail(Response, frozen=True, kw_only=True):
    """One image of a dataset, before and after transforms."""

    item: ImageItem
    """As stored; float images are scaled to 0..255."""
    stored: TensorFacts
    transformed: bytes | None
    """A PNG; `None` without transforms, as is `result`."""
    result: TensorFacts | None


class ValuePage(Response, frozen=True, kw_only=True):
    """Samples of a dataset without images."""

    rows: tuple[ValueRow, ...]
    total: int
    scatter: Scatter
