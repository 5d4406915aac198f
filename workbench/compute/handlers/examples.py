"""The samples that a run was evaluated on, with their predictions and images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from workbench.compute.handlers.datasets import clamp_count
from workbench.compute.handlers.images import png
from workbench.compute.handlers.loading import load_dataset, load_run_experiment
from workbench.compute.protocol import ListEvaluatedSamples
from workbench.compute.protocol_records import EvaluatedSample, RunDataset
from workbench.compute.protocol_responses import EvaluatedSamplePage
from workbench.compute.task import Task
from workbench.config.data_location import check_data_is_there
from workbench.core.errors import UserError
from workbench.datasets import preview
from workbench.datasets.dataset import Dataset, Split
from workbench.io.images import convert_mode, open_image
from workbench.io.record_codec import read_record
from workbench.runs.metrics import EvaluationFile
from workbench.runs.predictions import SamplePrediction, read_predictions
from workbench.runs.records import Setup
from workbench.runs.run_folder import RunFolder
from workbench.runs.script import read_script


def list_evaluated_samples(request: ListEvaluatedSamples, task: Task) -> EvaluatedSamplePage:
    """A page of the requested samples."""
    run = RunFolder(Path(request.run))
    if (script := read_script(run.experiment)) is not None:
        return _list_script_samples(request, run, Path(script.working_directory))
    check_data_is_there(run.id, load_run_experiment(request.run).data.name, "evaluate")
    data = load_dataset(RunDataset(request.run), task)
    if not preview.has_images(data):
        raise UserError("this dataset has no images; the plots pane draws its points")
    split = data.splits.get(request.split)
    setup = read_record(run.setup, Setup)
    if split is None or (setup is not None and setup.fingerprint != data.fingerprint):
        raise UserError("the dataset has changed since the run was evaluated; its images can't be shown")
    return _page(
        run, request, len(split), len(data.classes), lambda one: _item(one, data, split, request.side)
    )


def _list_script_samples(
    request: ListEvaluatedSamples, run: RunFolder, directory: Path
) -> EvaluatedSamplePage:
    """A page of the samples of a script's evaluation, from the files that it has named."""
    evaluation = read_record(run.evaluation(request.step, request.split), EvaluationFile)
    if evaluation is None or not evaluation.paths:
        raise UserError("the script logged no paths of these images: pass paths= to log_evaluation()")
    paths, names = evaluation.paths, [row.name for row in evaluation.per_class]

    def item(prediction: SamplePrediction) -> EvaluatedSample:
        path = directory / paths[prediction.index]
        return _sample(prediction, path.name, names, png(convert_mode(open_image(path), "RGB"), request.side))

    return _page(run, request, len(paths), len(names), item)


def _page(
    run: RunFolder,
    request: ListEvaluatedSamples,
    samples: int,
    classes: int,
    item: Callable[[SamplePrediction], EvaluatedSample],
) -> EvaluatedSamplePage:
    """The requested page of an evaluation of so many samples and classes."""
    matching = _matching(read_predictions(run, request.step, request.split), request, samples, classes)
    first = max(0, request.first)
    page = matching[first : first + clamp_count(request.count)]
    return EvaluatedSamplePage(items=tuple(map(item, page)), first=first, total=len(matching))


def _matching(
    predictions: Sequence[SamplePrediction], request: ListEvaluatedSamples, count: int, classes: int
) -> list[SamplePrediction]:
    """The requested ones among the split's first `count` samples, in the requested order."""
    matching = [
        prediction
        for prediction in predictions
        if (prediction.is_error or not request.errors_only)
        and request.label in {None, prediction.label}
        and request.predicted in {None, prediction.top[0]}
        and prediction.index < count  # and other values of a damaged file
        and max(prediction.label, prediction.top[0]) < classes
    ]
    return sorted(matching, key=lambda one: one.error_order) if request.mistakes_first else matching


def _item(prediction: SamplePrediction, data: Dataset, split: Split, side: int) -> EvaluatedSample:
    name = split.names[prediction.index] if split.names else ""
    image = preview.to_pil(preview.image_at(data, split, prediction.index))
    return _sample(prediction, name, data.classes, png(image, side))


def _sample(prediction: SamplePrediction, name: str, classes: Sequence[str], image: bytes) -> EvaluatedSample:
    return EvaluatedSample(
        index=prediction.index,
        name=name,
        label=prediction.label,
        class_name=classes[prediction.label],
        predicted=classes[prediction.top[0]],
        probability=round(prediction.probability, 4),
        confidence=_confidence(prediction),
        png=image,
    )


def _confidence(prediction: SamplePrediction) -> float | None:
    """The probability of the predicted class, as far as it is known."""
    known = prediction.confidence if prediction.is_error else prediction.probability
    return None if known is None else round(known, 4)
