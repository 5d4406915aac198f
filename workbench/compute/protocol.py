"""The messages between the client and the compute process, one JSON object per line.

The client sends a `Call` for each request, and `Cancel` to cancel one. The process sends for each call any number
of `ProgressUpdate`s, then one `Result` or `Failure`. Both ends have the same version, so decoding is strict. Imports
no torch.
"""

from __future__ import annotations

import json
from typing import Any, Generic, TypeVar

import msgspec

from workbench.compute.protocol_records import (
    ClassifierRef,
    DatasetRef,
    ImageSource,
    Shape,
    Split,
)
from workbench.compute.protocol_responses import (
    Classification,
    DatasetOverview,
    EvaluatedSamplePage,
    Explanation,
    ImageDetail,
    ImagePage,
    ModelSummary,
    NumericPrediction,
    OpenedImage,
    Pipeline,
    Ready,
    Response,
    ValuePage,
)
from workbench.core.parsing import parse_json
from workbench.core.progress import Progress
from workbench.core.settings_schema import Choice
from workbench.datasets.augmentation_options import AugmentationOptions

AnyResponse = (
    Ready
    | OpenedImage
    | Classification
    | NumericPrediction
    | Pipeline
    | Explanation
    | ModelSummary
    | ImagePage
    | EvaluatedSamplePage
    | DatasetOverview
    | ImageDetail
    | ValuePage
)

# Requests

A = TypeVar("A", bound=Response)


class Request(
    msgspec.Struct,
    Generic[A],
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="do",
    tag=True,
):
    """A request with a response of type `A`."""


class Warm(Request[Ready], frozen=True, kw_only=True):
    """Import torch ahead of the next request."""

    torchvision: bool = False
    """Whether to import torchvision, too."""


class OpenImage(Request[OpenedImage], frozen=True, kw_only=True):
    """Open an image to display it. Runs concurrently with other requests."""

    path: str
    """A file or an http(s) URL."""
    offset: int = 0
    size: int | None = None
    """If given, the image is in so many bytes of the file, from `offset` on."""


class Classify(Request[Classification], frozen=True, kw_only=True):
    """Predict the class of an image."""

    image: ImageSource
    classifier: ClassifierRef
    top: int = 5
    """Number of classes (top-k)."""
    device: str = "auto"


class PredictValues(Request[NumericPrediction], frozen=True, kw_only=True):
    """Predict from numbers with a run that was trained on numbers."""

    run: str
    """The run folder."""
    text: str
    """Comma-separated numbers."""
    top: int = 5
    """Number of classes (top-k)."""


class TracePipeline(Request[Pipeline], frozen=True, kw_only=True):
    """List the steps from an image to the probabilities."""

    image: ImageSource
    classifier: ClassifierRef | None
    """`None` for the steps up to a model's input."""
    device: str = "auto"


class Explain(Request[Explanation], frozen=True, kw_only=True):
    """Explain a prediction."""

    image: ImageSource
    classifier: ClassifierRef
    device: str = "auto"


class SummarizeModel(Request[ModelSummary], frozen=True, kw_only=True):
    """Summarize the layers of a model for a dataset, without loading the dataset."""

    data: Choice
    model: Choice
    shape: Shape | None = None
    """Of one raw sample, if the dataset's description lacks it."""
    classes: int | None = None
    """The number of classes, likewise."""


class ListSamples(Request[ImagePage], frozen=True, kw_only=True):
    """List images of a split in stored order, by page."""

    dataset: DatasetRef
    split: Split = "test"
    page: int = 0
    per_page: int = 20
    """1..200."""


class ListEvaluatedSamples(Request[EvaluatedSamplePage], frozen=True, kw_only=True):
    """List the images of an evaluation with their predictions."""

    run: str
    """The run folder."""
    step: int
    """The step of the evaluation."""
    split: str = "test"
    errors_only: bool = False
    label: int | None = None
    """Only samples of this class."""
    predicted: int | None = None
    """Only samples for which this class was predicted."""
    mistakes_first: bool = False
    """Order by confidence: the most confident mistakes first. Else in the order of the split."""
    first: int = 0
    """Index of the first item among those."""
    count: int = 20
    """1..200."""
    side: int = 64
    """Maximum pixels of an image's longer side."""


class DescribeDataset(Request[DatasetOverview], frozen=True, kw_only=True):
    """Load a dataset and count its samples. Like the requests below, never downloads."""

    dataset: DatasetRef
    batch: int = 32
    """Batch size."""


class BrowseImages(Request[ImagePage], frozen=True, kw_only=True):
    """List images of a split, shuffled if they are stored by class."""

    dataset: DatasetRef
    split: Split = "train"
    label: int | None = None
    """Only samples of this class."""
    first: int = 0
    """Index of the first item among those."""
    count: int = 20
    """1..200."""
    side: int = 64
    """Maximum pixels of an image's longer side."""


class TransformImage(Request[ImageDetail], frozen=True, kw_only=True):
    """Get one image, before and after augmentation and transforms."""

    dataset: DatasetRef
    split: Split = "train"
    index: int = 0
    """In the split; -1 for the image of random noise."""
    chain: tuple[tuple[str, float | None], ...] = ()
    """Transforms by name, each with its parameter (`None` for the default)."""
    augment: tuple[str, ...] = ()
    """Augmentations by their names in an experiment; applied before the chain."""
    augment_options: AugmentationOptions = AugmentationOptions()
    draw: int = 0
    """Seed of the random parameters."""


class BrowseValues(Request[ValuePage], frozen=True, kw_only=True):
    """List samples of a split without images, as rows and points."""

    dataset: DatasetRef
    split: Split = "train"
    label: int | None = None
    """Only samples of this class."""
    count: int = 20
    """Number of rows, 1..200."""


class TraceDatasetImage(Request[Pipeline], frozen=True, kw_only=True):
    """List the steps from a stored image to a model's input."""

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
    | ListEvaluatedSamples
    | DatasetRequest
)

# The envelope


class Call(msgspec.Struct, frozen=True, tag="call", forbid_unknown_fields=True):
    """A request to compute."""

    id: int
    """Unique among the calls."""
    request: AnyRequest


class Cancel(msgspec.Struct, frozen=True, tag="cancel", forbid_unknown_fields=True):
    """Cancels the call with this id."""

    id: int


class ProgressUpdate(msgspec.Struct, frozen=True, tag="progress", forbid_unknown_fields=True):
    """The progress of a call."""

    id: int
    progress: Progress


class Result(msgspec.Struct, frozen=True, tag="result", forbid_unknown_fields=True):
    """The response to a call."""

    id: int
    response: AnyResponse


class Failure(msgspec.Struct, frozen=True, tag="error", forbid_unknown_fields=True):
    """The error of a call."""

    id: int | None
    """`None` for an invalid line."""
    error: str
    """One line."""


ClientMessage = Call | Cancel
ServerMessage = ProgressUpdate | Result | Failure


def encode(message: ClientMessage | ServerMessage) -> str:
    """A message as one line of JSON. Unlike msgspec's encoder, this supports NaN and file names that are not UTF-8."""
    return json.dumps(msgspec.to_builtins(message))


def decode_client_message(line: str) -> ClientMessage:
    """Decode a line. Raises `ValueError` with a one-line message."""
    message: ClientMessage = _decode(line, ClientMessage)
    return message


def decode_server_message(line: str) -> ServerMessage:
    """Decode a line. Raises `ValueError` with a one-line message."""
    message: ServerMessage = _decode(line, ServerMessage)
    return message


def _decode(line: str, kind: Any) -> Any:
    try:
        return msgspec.convert(parse_json(line), kind)
    except (ValueError, msgspec.ValidationError) as error:
        raise ValueError(f"not a message: {error}") from None
