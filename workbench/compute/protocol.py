"""The messages between the screen and the process that computes for it, a JSON object a line.

The screen sends a `Call` for each request, and a `Cancel` for one that it no longer needs. The process answers a call
with any number of `ProgressUpdate`s, then one `Result` or `Failure`. Both ends are of one version, so decoding is
strict. Imports no torch.
"""

from __future__ import annotations

import json
from typing import Any, Generic, TypeVar

import msgspec

from workbench.compute.protocol_records import (
    ClassifierRef,
    ClassReliability,
    DatasetRef,
    ExampleItem,
    ImageFacts,
    ImageItem,
    ImageSource,
    Scatter,
    Shape,
    Split,
    ValueRow,
)
from workbench.core.progress import Progress
from workbench.core.settings_schema import Choice
from workbench.datasets.dataset_facts import DatasetFacts, TensorFacts
from workbench.inference.published_comparison import PublishedComparison
from workbench.inference.results import PipelineStep, Prediction
from workbench.models.layer_row import LayerRow

# Answers


class Answer(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="answer", tag=True
):
    """The answer to a request."""


class Ready(Answer, frozen=True, kw_only=True):
    """The process has imported what it needs."""

    torch: str
    """The version of torch."""


class OpenedImage(Answer, frozen=True, kw_only=True):
    """An image to show."""

    path: str
    """Where it lies on this machine."""
    png: bytes
    """Within 512×512 pixels."""
    source: ImageFacts


class Classification(Answer, frozen=True, kw_only=True):
    """What a model predicts for an image."""

    model: str
    top: tuple[Prediction, ...]
    """The likeliest class first."""
    reference: PublishedComparison | None
    """Of a recipe with published figures."""
    milliseconds: float
    """From the open image to the probabilities."""
    device: str
    source: ImageFacts
    notices: tuple[str, ...]
    """Warnings of the model, in words."""


class NumericPrediction(Answer, frozen=True, kw_only=True):
    """What a model predicts for numbers."""

    top: tuple[Prediction, ...]
    """The likeliest class first; empty for a regression."""
    values: tuple[float, ...]
    """The outputs of a regression; empty for classes."""


class Pipeline(Answer, frozen=True, kw_only=True):
    """The steps that an image goes through."""

    model: str | None
    """`None` where they end with what a model would be given."""
    steps: tuple[PipelineStep, ...]


class Explanation(Answer, frozen=True, kw_only=True):
    """What a prediction rests on."""

    model: str
    first: Prediction
    second: Prediction | None
    """`None` where there is one class only."""
    steps: tuple[str, ...]
    """The preprocessing, step by step, in words."""
    reliability: ClassReliability | None
    """Of the predicted class; `None` without an evaluation."""
    published_accuracy: float | None
    """Top-1 accuracy of a published model on ImageNet, 0..1."""


class ModelSummary(Answer, frozen=True, kw_only=True):
    """A model layer by layer, on a dataset."""

    layers: tuple[LayerRow, ...]
    parameters: int
    trainable: int
    data_shape: Shape
    """Of one raw example."""
    input_shape: Shape
    """Of one example as the model is given it."""
    outputs: int
    head: tuple[str, ...]
    """Prefixes of the names of its last layer's parameters."""
    pretrained: bool


class ImagePage(Answer, frozen=True, kw_only=True):
    """Some images of a dataset, in order."""

    items: tuple[ImageItem, ...]
    first: int
    """The place of the first item among all."""
    total: int


class ExamplePage(Answer, frozen=True, kw_only=True):
    """Some images that a run was evaluated on, in order."""

    items: tuple[ExampleItem, ...]
    first: int
    """The place of the first item among all."""
    total: int


class DatasetOverview(Answer, frozen=True, kw_only=True):
    """A dataset, and what an untrained model makes of one batch."""

    facts: DatasetFacts
    output: Shape | None
    """The shape of the model's output for `facts.batch`; `None` where it is not known."""


class ImageDetail(Answer, frozen=True, kw_only=True):
    """One image of a dataset, before and after transforms."""

    item: ImageItem
    """As stored; float images are scaled to 0..255."""
    stored: TensorFacts
    transformed: bytes | None
    """A PNG; `None` without transforms, as the next."""
    result: TensorFacts | None


class ValuePage(Answer, frozen=True, kw_only=True):
    """Examples of a dataset without images."""

    rows: tuple[ValueRow, ...]
    total: int
    scatter: Scatter


AnyAnswer = (
    Ready
    | OpenedImage
    | Classification
    | NumericPrediction
    | Pipeline
    | Explanation
    | ModelSummary
    | ImagePage
    | ExamplePage
    | DatasetOverview
    | ImageDetail
    | ValuePage
)

# Requests

A = TypeVar("A", bound=Answer)


class Request(
    msgspec.Struct,
    Generic[A],
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="do",
    tag=True,
):
    """Something to compute, answered by an `A`."""


class Warm(Request[Ready], frozen=True, kw_only=True):
    """Import torch, so that the next request need not."""

    torchvision: bool = False
    """And torchvision."""


class OpenImage(Request[OpenedImage], frozen=True, kw_only=True):
    """Open an image to show it. Answered while other requests are computed."""

    path: str
    """A file or an http(s) URL."""


class Classify(Request[Classification], frozen=True, kw_only=True):
    """Predict the class of an image."""

    image: ImageSource
    classifier: ClassifierRef
    top: int = 5
    """Classes to name."""
    device: str = "auto"


class PredictValues(Request[NumericPrediction], frozen=True, kw_only=True):
    """Predict from numbers, by a run that was trained on numbers."""

    run: str
    """The run's folder."""
    text: str
    """Numbers with commas between them."""
    top: int = 5
    """Classes to name."""


class TracePipeline(Request[Pipeline], frozen=True, kw_only=True):
    """Show each step between an image and its probabilities."""

    image: ImageSource
    classifier: ClassifierRef | None
    """`None`: the steps up to a model."""
    device: str = "auto"


class Explain(Request[Explanation], frozen=True, kw_only=True):
    """Say what a prediction rests on."""

    image: ImageSource
    classifier: ClassifierRef
    device: str = "auto"


class SummarizeModel(Request[ModelSummary], frozen=True, kw_only=True):
    """Count the layers of a model on a dataset, without loading the dataset."""

    data: Choice
    model: Choice
    shape: Shape | None = None
    """Of one raw example, where only the caller knows it."""
    classes: int | None = None
    """The same of the number of classes."""


class ListSamples(Request[ImagePage], frozen=True, kw_only=True):
    """Show images of a split in the order in which they are stored, by page."""

    dataset: DatasetRef
    split: Split = "test"
    page: int = 0
    per_page: int = 20
    """1..200."""


class ListExamples(Request[ExamplePage], frozen=True, kw_only=True):
    """Show the images of an evaluation with what was predicted."""

    run: str
    """The run's folder."""
    step: int
    """Of the evaluation."""
    split: str = "test"
    errors_only: bool = False
    label: int | None = None
    """Examples of this class only."""
    first: int = 0
    """The place of the first one among those."""
    count: int = 20
    """1..200."""
    side: int = 64
    """Pixels of an image's longer side at most."""


class DescribeDataset(Request[DatasetOverview], frozen=True, kw_only=True):
    """Load a dataset and count it. Never downloads, as the requests below."""

    dataset: DatasetRef
    batch: int = 32
    """Examples of a batch."""


class BrowseImages(Request[ImagePage], frozen=True, kw_only=True):
    """Show images of a split, mixed where they are stored class by class. The image of noise comes first."""

    dataset: DatasetRef
    split: Split = "train"
    label: int | None = None
    """Examples of this class only, without the noise."""
    first: int = 0
    """The place of the first one among those."""
    count: int = 20
    """1..200."""
    side: int = 64
    """Pixels of an image's longer side at most."""


class TransformImage(Request[ImageDetail], frozen=True, kw_only=True):
    """Show one image, and what transforms or augmentation make of it."""

    dataset: DatasetRef
    split: Split = "train"
    index: int = 0
    """In the split; -1 for the image of noise."""
    chain: tuple[tuple[str, float | None], ...] = ()
    """Transforms by name, each with its parameter (`None`: its default)."""
    augment: tuple[str, ...] = ()
    """Augmentations as an experiment names them; they come before the chain."""
    draw: int = 0
    """Another number gives other random parameters."""


class BrowseValues(Request[ValuePage], frozen=True, kw_only=True):
    """Show examples of a split that has no images, as rows and as points."""

    dataset: DatasetRef
    split: Split = "train"
    label: int | None = None
    """Examples of this class only."""
    count: int = 20
    """Rows, 1..200."""


class TraceDatasetImage(Request[Pipeline], frozen=True, kw_only=True):
    """Show each step between a stored image and what a model is given."""

    dataset: DatasetRef
    split: Split = "train"
    index: int = 0


DatasetRequest = DescribeDataset | BrowseImages | TransformImage | BrowseValues | TraceDatasetImage
AnyRequest = (
    Warm
    | OpenImage
    | Classify
    | PredictValues
    | TracePipeline
    | Explain
    | SummarizeModel
    | ListSamples
    | ListExamples
    | DatasetRequest
)

# The envelope


class Call(msgspec.Struct, frozen=True, tag="call", forbid_unknown_fields=True):
    """A request to compute."""

    id: int
    """Unlike that of every other call."""
    request: AnyRequest


class Cancel(msgspec.Struct, frozen=True, tag="cancel", forbid_unknown_fields=True):
    """The call with this id is no longer needed."""

    id: int


class ProgressUpdate(msgspec.Struct, frozen=True, tag="progress", forbid_unknown_fields=True):
    """How far a call is."""

    id: int
    progress: Progress


class Result(msgspec.Struct, frozen=True, tag="result", forbid_unknown_fields=True):
    """The answer to a call."""

    id: int
    answer: AnyAnswer


class Failure(msgspec.Struct, frozen=True, tag="error", forbid_unknown_fields=True):
    """Why a call has no answer."""

    id: int | None
    """`None` for a line that is not a message."""
    error: str
    """One line."""


FromScreen = Call | Cancel
FromProcess = ProgressUpdate | Result | Failure


def encode(message: FromScreen | FromProcess) -> str:
    """A message as one line of JSON, with NaN and file names that are not UTF-8, which msgspec's JSON has not."""
    return json.dumps(msgspec.to_builtins(message))


def decode_from_screen(line: str) -> FromScreen:
    """The message in a line. Raises `ValueError` with one line."""
    return _decode(line, FromScreen)


def decode_from_process(line: str) -> FromProcess:
    """The message in a line. Raises `ValueError` with one line."""
    return _decode(line, FromProcess)


def _decode(line: str, kind: Any) -> Any:
    try:
        return msgspec.convert(json.loads(line), kind)
    except (ValueError, msgspec.ValidationError) as error:
        raise ValueError(f"not a message: {error}") from None
