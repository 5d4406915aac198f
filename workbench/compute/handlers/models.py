"""What the process computes, with torch: a function for each type of request.

Those about datasets, evaluations and explanations stand in modules of their own.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from workbench.compute.handlers import datasets as data
from workbench.compute.handlers import examples, explain
from workbench.compute.handlers.images import facts, png
from workbench.compute.handlers.loading import (
    experiment_dataset,
    load_classifier,
    load_dataset,
    open_image,
    run_experiment,
)
from workbench.compute.protocol import (
    AnyAnswer,
    AnyRequest,
    BrowseImages,
    BrowseValues,
    Classification,
    Classify,
    DescribeDataset,
    Explain,
    ImagePage,
    ListExamples,
    ListSamples,
    ModelSummary,
    NumericPrediction,
    OpenImage,
    Pipeline,
    PredictValues,
    Ready,
    SummarizeModel,
    TraceDatasetImage,
    TracePipeline,
    TransformImage,
    Warm,
)
from workbench.compute.protocol_records import ClassifierRef, ImageItem, RecipeClassifier, RunClassifier
from workbench.compute.task import Task
from workbench.config.classification_recipe import load as load_recipe
from workbench.core.errors import BadInput
from workbench.core.user_code import is_user_code
from workbench.datasets import catalog as datasets
from workbench.datasets.catalog import DatasetDescription
from workbench.datasets.dataset import Data, Split
from workbench.inference.image_pipeline import as_picture
from workbench.inference.numeric import predict_values
from workbench.inference.pipeline_steps import steps_of, steps_of_data
from workbench.inference.published_comparison import compare_with_published
from workbench.models import catalog as models
from workbench.models.factory import build_model, build_shapes
from workbench.models.summary import summarise
from workbench.models.torchvision_models import torchvision_models

_LARGEST_SAMPLE = 128  # pixels; a terminal shows fewer


def answer(task: Task) -> AnyAnswer:
    """The answer to a request. Raises `BadInput` with one line, or `Interrupted`."""
    return HANDLERS[type(task.request)](task.request, task)


def runs_user_code(request: AnyRequest) -> bool:
    """Whether answering would run a file of the user's own."""
    if isinstance(request, Classify | TracePipeline | Explain):
        return _is_user_model(request.classifier)
    if isinstance(request, PredictValues):
        return _is_user_model(RunClassifier(request.run))
    if isinstance(request, SummarizeModel):
        return is_user_code(request.model.name)
    if isinstance(request, ListExamples):
        return is_user_code(str(run_experiment(request.run)["data"].get("name")))
    if isinstance(request, Warm | OpenImage):
        return False
    return is_user_code(experiment_dataset(request.dataset).data.name)


def _is_user_model(classifier: ClassifierRef | None) -> bool:
    if not isinstance(classifier, RunClassifier):
        return False
    return is_user_code(str(run_experiment(classifier.run)["model"].get("name")))


def warm(request: Warm, task: Task) -> Ready:
    """Torch was imported with this module."""
    if request.torchvision:
        torchvision_models()
    return Ready(torch=str(torch.__version__))


def classify(request: Classify, task: Task) -> Classification:
    """The likeliest classes of an image; by a recipe, beside its published figures."""
    image = open_image(request.image, task)
    classifier = load_classifier(request.classifier, request.device, task)
    started = time.perf_counter()
    top = classifier.top(image, len(classifier.classes))
    seconds = time.perf_counter() - started
    by = request.classifier
    recipe = load_recipe(by.recipe) if isinstance(by, RecipeClassifier) else None
    return Classification(
        model=classifier.name,
        top=top[: request.top],
        reference=compare_with_published(recipe, top) if recipe else None,
        milliseconds=round(1000 * seconds, 1),
        device=str(classifier.device),
        source=facts(image),
        notices=classifier.notices,
    )


def predict(request: PredictValues, task: Task) -> NumericPrediction:
    """The prediction of a run for numbers."""
    result = predict_values(Path(request.run), [request.text], request.top)[0]
    if result.error:
        raise BadInput(result.error)
    return NumericPrediction(top=result.top, values=result.values or ())


def trace(request: TracePipeline, task: Task) -> Pipeline:
    """Each step from an image to its probabilities, or to a model's input."""
    image = open_image(request.image, task)
    if request.classifier is None:
        return Pipeline(model=None, steps=tuple(steps_of_data(image)))
    classifier = load_classifier(request.classifier, request.device, task)
    return Pipeline(model=classifier.name, steps=tuple(steps_of(classifier, image)[0]))


def summarize(request: SummarizeModel, task: Task) -> ModelSummary:
    """The layers of a model for raw inputs of a dataset's shape. Raises `BadInput` where they don't fit."""
    info = models.find(request.model.name)
    about = datasets.describe(request.data.name, request.data.options)
    shape, outputs = _shape_and_outputs(about, info, request)
    # User code may compute with its values while it is built.
    build = build_model if info.kind == "own" else build_shapes
    built = build(request.model, shape=shape, outputs=outputs, task=about.task)
    inputs = built.preprocessing().output_shape(shape)
    try:
        rows = summarise(built.module, (1, *inputs))
    except Exception as error:
        raise BadInput(f"{info.name} can't take inputs of shape {list(inputs)}: {error}") from None
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
    about: DatasetDescription, info: models.ModelInfo, request: SummarizeModel
) -> tuple[tuple[int, ...], int]:
    """The shape of one raw input and the number of outputs, as far as they are known before loading."""
    shape, classes = request.shape or about.shape, request.classes or about.classes
    if about.task == "regression":
        classes = 1
    if not shape and about.kind == "own":
        raise BadInput("the shape of your own data is known once a run has loaded it")
    if not shape:
        size = info.load_size(request.model.options)
        shape = (info.channels or 3, size, size)
    return shape, classes or 2


def list_samples(request: ListSamples, task: Task) -> ImagePage:
    """A page of a split's images, in the order in which they are stored."""
    loaded = load_dataset(request.dataset, task)
    splits = {"train": loaded.train, "validation": loaded.validation, "test": loaded.test}
    split = splits[request.split]
    if split is None:
        raise BadInput(
            f"there is no {request.split} split; there are train, validation (where data is kept for it), test"
        )
    if split.inputs.dtype != torch.uint8:
        raise BadInput("this dataset has no images to show")
    per_page = max(1, min(200, request.per_page))
    first = max(0, request.page) * per_page
    places = range(first, min(first + per_page, len(split)))
    return ImagePage(
        items=tuple(_sample(loaded, split, index) for index in places), first=first, total=len(split)
    )


def _sample(loaded: Data, split: Split, index: int) -> ImageItem:
    label = int(split.targets[index])
    return ImageItem(
        index=index,
        label=label,
        class_name=loaded.classes[label],
        name=split.names[index] if split.names else "",
        png=png(as_picture(split.example(index)), _LARGEST_SAMPLE, Image.Resampling.NEAREST),
    )


HANDLERS: dict[type[AnyRequest], Callable[[Any, Task], AnyAnswer]] = {
    Warm: warm,
    Classify: classify,
    PredictValues: predict,
    TracePipeline: trace,
    Explain: explain.explain,
    SummarizeModel: summarize,
    ListSamples: list_samples,
    ListExamples: examples.list_examples,
    DescribeDataset: data.describe,
    BrowseImages: data.browse_images,
    TransformImage: data.transform_image,
    BrowseValues: data.browse_values,
    TraceDatasetImage: data.trace,
}
"""All but `OpenImage`, which the server answers without torch."""
