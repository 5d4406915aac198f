"""The handlers of requests, by type. Those about datasets, evaluations and explanations have their own modules."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from workbench.compute.handlers import datasets as data
from workbench.compute.handlers import examples, explain
from workbench.compute.handlers.images import encode_png, facts
from workbench.compute.handlers.loading import load_classifier_for, load_dataset, load_image
from workbench.compute.protocol import (
    AnyRequest,
    AnyResponse,
    BrowseImages,
    BrowseValues,
    Classify,
    DescribeDataset,
    Explain,
    ListEvaluatedSamples,
    ListSamples,
    PredictValues,
    SummarizeModel,
    TraceDatasetImage,
    TracePipeline,
    TransformImage,
    Warm,
)
from workbench.compute.protocol_records import ImageItem, RecipeClassifier
from workbench.compute.protocol_responses import (
    Classification,
    ImagePage,
    ModelSummary,
    NumericPrediction,
    Pipeline,
    Ready,
)
from workbench.compute.task import Task
from workbench.config.classification_recipe import load_classification_recipe
from workbench.config.data_summary import summarize_data
from workbench.core.errors import UserError
from workbench.datasets import catalog as datasets
from workbench.datasets import preview
from workbench.datasets.catalog import DatasetDescription
from workbench.datasets.dataset import Dataset, Split
from workbench.datasets.file_sources import is_listed
from workbench.datasets.input_record import InputRecord, unknown_input_message
from workbench.inference.image_pipeline import to_pil_image
from workbench.inference.numeric import predict_numbers
from workbench.inference.pipeline_steps import classifier_steps, dataset_steps
from workbench.inference.published_comparison import compare_with_published
from workbench.models import catalog as models
from workbench.models.factory import build_model, build_shapes
from workbench.models.summary import summarize
from workbench.models.torchvision_models import torchvision_models
from workbench.models.weights_check import check_weights


def handle(task: Task) -> AnyResponse:
    """The response to a request. Raises `UserError` with a one-line message, or `Cancelled`."""
    return HANDLERS[type(task.request)](task.request, task)


def warm(request: Warm, task: Task) -> Ready:
    """Report torch's version: torch was imported with this module."""
    if request.torchvision:
        torchvision_models()
    return Ready(torch=str(torch.__version__))


def classify(request: Classify, task: Task) -> Classification:
    """The most probable classes of an image, for a recipe with its published prediction."""
    image = load_image(request.image, task)
    classifier = load_classifier_for(request.image, request.classifier, request.device, task)
    started = time.perf_counter()
    top = classifier.predict_image(image, len(classifier.classes))
    seconds = time.perf_counter() - started
    ref = request.classifier
    recipe = load_classification_recipe(ref.recipe) if isinstance(ref, RecipeClassifier) else None
    return Classification(
        model=classifier.name,
        top=top[: request.top],
        reference=compare_with_published(recipe, top) if recipe else None,
        milliseconds=round(1000 * seconds, 1),
        device=str(classifier.device),
        source=facts(image),
        notices=(*classifier.notices, *classifier.transform.changes(image).texts),
    )


def predict(request: PredictValues, task: Task) -> NumericPrediction:
    """The prediction of a run from numbers."""
    result = predict_numbers(Path(request.run), [request.text], request.top)[0]
    if result.error:
        raise UserError(result.error)
    return NumericPrediction(top=result.top, values=result.values or ())


def trace(request: TracePipeline, task: Task) -> Pipeline:
    """The steps from an image to the probabilities, or to a model's input without a classifier."""
    image = load_image(request.image, task)
    if request.classifier is None:
        return Pipeline(model=None, steps=tuple(dataset_steps(image)))
    classifier = load_classifier_for(request.image, request.classifier, request.device, task)
    return Pipeline(model=classifier.name, steps=tuple(classifier_steps(classifier, image)[0]))


def summarize_model(request: SummarizeModel, task: Task) -> ModelSummary:
    """The layers of a model for the inputs of a dataset.

    Raises `UserError` where they are incompatible, or the weights file of the model does not fit it.
    """
    check_weights(request.model)
    info = models.find(request.model.name)
    dataset = datasets.describe(request.data.name, request.data.options)
    shape, outputs = _shape_and_outputs(dataset, info, request)
    # User code may need real parameter values while it is built, not meta tensors.
    build = build_model if info.kind == "custom" else build_shapes
    built = build(request.model, shape=shape, outputs=outputs, task=dataset.task)
    inputs = built.preprocessing().output_shape(shape)
    try:
        rows = summarize(built.module, (1, *inputs))
    except Exception as error:
        raise UserError(f"{info.name} can't take inputs of shape {list(inputs)}: {error}") from None
    return ModelSummary(
        layers=tuple(rows),
        parameters=sum(row.parameters for row in rows),
        trainable=sum(row.trainable for row in rows),
        data_shape=shape,
        input_shape=tuple(inputs),
        outputs=outputs,
        head=tuple(built.head),
        pretrained=built.pretrained,
    )


def _shape_and_outputs(
    dataset: DatasetDescription, info: models.ModelInfo, request: SummarizeModel
) -> tuple[tuple[int, ...], int]:
    """The shape of one raw sample and the number of outputs, known or assumed without loading the dataset."""
    shape, classes = request.shape or dataset.shape, request.classes or dataset.classes
    if is_listed(dataset.name) and not (request.shape and request.classes):
        contents = summarize_data(request.data, request.model)
        assert contents is not None
        shape, classes = contents.shape, len(contents.facts.classes)
    if dataset.task == "regression":
        classes = 1
    if not shape and dataset.kind == "custom":
        raise UserError("the shape of a custom dataset is unknown until a run has loaded it")
    if not shape:
        size = info.load_size(request.model.options)
        shape = (info.channels or 3, size, size)
    return shape, classes or 2


def list_samples(request: ListSamples, task: Task) -> ImagePage:
    """A page of a split's images, in stored order."""
    loaded = load_dataset(request.dataset, task)
    split = data.find_split(loaded, request.split)
    if not preview.has_images(loaded):
        raise UserError("this dataset has no images")
    if loaded.input is None or not loaded.input.is_affine:
        raise UserError(unknown_input_message(loaded.input or InputRecord()))
    per_page = max(1, min(200, request.per_page))
    first = max(0, request.page) * per_page
    indices = range(first, min(first + per_page, len(split)))
    return ImagePage(
        items=tuple(_sample(loaded, split, index) for index in indices), first=first, total=len(split)
    )


def _sample(loaded: Dataset, split: Split, index: int) -> ImageItem:
    """A sample with all of its pixels: it is classified from them."""
    label = int(split.targets[index]) if loaded.classes else None
    pixels = preview.image_at(loaded, split, index)
    return ImageItem(
        index=index,
        label=label,
        class_name="" if label is None else loaded.classes[label],
        name=split.names[index] if split.names else "",
        png=encode_png(to_pil_image(pixels)),
    )


HANDLERS: dict[type[AnyRequest], Callable[[Any, Task], AnyResponse]] = {
    Warm: warm,
    Classify: classify,
    PredictValues: predict,
    TracePipeline: trace,
    Explain: explain.explain,
    SummarizeModel: summarize_model,
    ListSamples: list_samples,
    ListEvaluatedSamples: examples.list_evaluated_samples,
    DescribeDataset: data.describe,
    BrowseImages: data.browse_images,
    TransformImage: data.transform_image,
    BrowseValues: data.browse_values,
    TraceDatasetImage: data.trace,
}
"""All but `OpenImage`, which the server handles without torch."""
