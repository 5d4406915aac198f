"""`workbench classify`: images, folders and URLs, classified by a run or a published model."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from workbench.cli import console
from workbench.cli.result_stream import user_output_on_stderr
from workbench.cli.run_text import reference_line
from workbench.cli.tables import print_table
from workbench.config import classification_recipe as recipes
from workbench.config.classification_recipe import ClassifyRecipe
from workbench.core.errors import UserError
from workbench.core.exit_codes import BAD_INPUT, DONE
from workbench.core.paths import expand_user_path, is_folder
from workbench.core.progress import ProgressCallback
from workbench.core.text import (
    class_text,
    format_decimals,
    format_outputs,
    format_percent,
    format_range,
    format_shape,
    sanitize,
)
from workbench.datasets.dataset_facts import SkippedFiles
from workbench.datasets.image_folder_facts import describe_skipped
from workbench.inference import numeric
from workbench.inference.classifier import Classifier
from workbench.inference.image_changes import ChangeCounts
from workbench.inference.image_pipeline import is_url, open_source
from workbench.inference.labels import read_labels
from workbench.inference.pipeline_steps import classifier_steps
from workbench.inference.published_comparison import PublishedComparison, compare_with_published
from workbench.inference.results import ImageResult, NumericResult, PipelineStep, Prediction
from workbench.io.image_files import misnamed_reason, read_tree
from workbench.launcher.gpu_assignment import claimed_gpu
from workbench.models.pretrained_weights import WeightsLoading
from workbench.runs.store import Store


@user_output_on_stderr()
def classify(options: argparse.Namespace) -> int:
    """Classify all images; the exit code is 2 if one of them can't be read."""
    if options.top < 1:
        raise UserError(f"--top must be at least 1, not {options.top}")
    recipe = recipes.load_classification_recipe(options.recipe) if options.recipe else None
    if options.run and options.images and not (options.recipe or options.model or options.labels):
        run = Store.default().find(options.run).path
        if numeric.takes_numbers(run):
            return _classify_values(run, options)
    with claimed_gpu("classify", options.device) as device:
        options.device = device
        return _classify_images(recipe, options)


def _classify_images(recipe: ClassifyRecipe | None, options: argparse.Namespace) -> int:
    expanded = [expand_source(source) for source in options.images]
    sources = [image for images, _ in expanded for image in images]
    skipped = SkippedFiles.of([item for _, items in expanded for item in items])
    if not sources:
        raise UserError(_missing_image_message(recipe))
    for file in skipped.files:
        console.print_status(f"workbench: skipped {file.path}: {file.reason}")
    progress = console.progress_printer()
    classifier = _classifier(options, recipe, progress)
    for notice in classifier.notices:
        console.print_status(f"workbench: {sanitize(notice)}")
    # A class that a recipe's publication names may rank far down in our prediction.
    k = len(classifier.classes) if recipe else options.top
    start, counts = time.perf_counter(), ChangeCounts()
    predictions = list(classifier.predict(sources, k, progress, counts=counts))
    rate = len(predictions) / (time.perf_counter() - start)
    for notice in counts.notices():
        console.print_status(f"workbench: {sanitize(notice)}")
    reference = _reference(recipe, predictions)
    results = [_result(prediction, classifier, options) for prediction in predictions]
    if options.json:
        document = {
            "model": classifier.name,
            "results": [_without_logits(result) for result in results],
            "images_per_second": round(rate, 3),
            "skipped": skipped,
            "notices": [*classifier.notices, *counts.notices()],
        }
        console.print_json(document | ({"recipe": options.recipe, "reference": reference} if recipe else {}))
    _print_results(results, reference, options)
    failed = sum(bool(result.error) for result in results)
    if len(results) > 1:
        failures = f"; {failed:,} could not be read" if failed else ""
        console.print_status(
            f"  {len(results):,} images, {rate:.3g} images/s on {classifier.device}{failures}"
        )
    return BAD_INPUT if failed else DONE


def _print_results(
    results: Sequence[ImageResult], reference: PublishedComparison | None, options: argparse.Namespace
) -> None:
    for result in results:
        _print_result(result, options)
    if reference and not options.json:
        _print_published(reference)


def _classify_values(run: Path, options: argparse.Namespace) -> int:
    """Predict for numbers with a run that was trained on numbers."""
    results = numeric.predict_numbers(run, options.images, options.top)
    if options.json:
        console.print_json({"model": run.name, "results": results})
    for result in results:
        if result.error:
            console.print_status(f"workbench: {sanitize(result.error)}")
        elif not options.json:
            _print_numeric(result)
    return BAD_INPUT if any(result.error for result in results) else DONE


def _print_numeric(result: NumericResult) -> None:
    console.print_result(f"{result.path}  {format_outputs(result.values or ())}")
    for row in result.top:
        console.print_result(_prediction_line(row))


def _prediction_line(row: Prediction, logit: str = "") -> str:
    """`  index   258   95.24 %  Samoyed`."""
    return f"  index {row.index:5d}  {100 * row.probability:6.2f} %{logit}  {class_text(row.label)}"


def expand_source(source: str) -> tuple[list[str], list[tuple[str, str]]]:
    """The source itself for an image file or URL; for a folder all image files below it, sorted by path.

    Also files of a folder that are passed over, with the reason, by the rule of training: they are no errors.
    """
    path = expand_user_path(source)
    if is_url(source) or not is_folder(path):
        return [source], []
    tree = read_tree(path)
    skipped, images = tree.all_skipped(), []
    for image in sorted(image.path for image in tree.all_images()):
        if reason := misnamed_reason(image):
            skipped.append((image, reason))
        else:
            images.append(image)
    if not images:
        cause = f" that can be read: {describe_skipped(SkippedFiles.of(skipped))}" if skipped else ""
        raise UserError(f"there are no images in the folder {source}{cause}")
    return images, skipped


def _missing_image_message(recipe: ClassifyRecipe | None) -> str:
    if recipe is None:
        return (
            "no images given: name image files, folders or URLs (workbench classify dog.jpg --model alexnet)"
        )
    return (
        f"no images given: workbench classify IMAGE --recipe {recipe.recipe or recipe.name} (a file or a URL; "
        "the tutorial's own photo can't be distributed)"
    )


def _classifier(
    options: argparse.Namespace, recipe: ClassifyRecipe | None, progress: ProgressCallback
) -> Classifier:
    sources = [name for name in ("recipe", "run", "model") if getattr(options, name)]
    if len(sources) != 1:
        raise UserError("choose a classifier with exactly one of --run RUN, --model NAME or --recipe RECIPE")
    for option in ("weights", "labels"):
        if getattr(options, option) and options.run:
            raise UserError(
                f"--{option} requires --model NAME or --recipe RECIPE and can't be used with --run"
            )
    if options.run:
        return Classifier.from_run(Store.default().find(options.run).path, device=options.device)
    weights = options.weights or (recipe.model.weights if recipe else "")
    labels = options.labels or (recipe.model.labels if recipe else "")
    return Classifier.from_published(
        recipe.model.name if recipe else options.model,
        expand_user_path(weights) if weights else None,
        read_labels(labels, progress) if labels else None,
        options.device,
        loading=WeightsLoading(progress=progress),
    )


def _reference(
    recipe: ClassifyRecipe | None, predictions: Sequence[ImageResult]
) -> PublishedComparison | None:
    """The comparison for the first image with the published prediction; without our values if there is none."""
    if recipe is None:
        return None
    comparisons = [compare_with_published(recipe, image.top) for image in predictions if image.top]
    matching = [comparison for comparison in comparisons if comparison and comparison.ours is not None]
    return (matching or comparisons or [compare_with_published(recipe, ())])[0]


def _result(prediction: ImageResult, classifier: Classifier, options: argparse.Namespace) -> ImageResult:
    """The prediction with the `--top` most probable classes, and its pipeline steps with `--steps`."""
    result = msgspec.structs.replace(prediction, top=prediction.top[: options.top])
    if not options.steps or prediction.error:
        return result
    steps, _ = classifier_steps(classifier, open_source(prediction.path))
    return msgspec.structs.replace(result, steps=tuple(steps))


def _without_logits(result: ImageResult) -> ImageResult:
    top = tuple(msgspec.structs.replace(prediction, logit=None) for prediction in result.top)
    return msgspec.structs.replace(result, top=top)


def _print_result(result: ImageResult, options: argparse.Namespace) -> None:
    if result.error:
        console.print_status(f"workbench: {sanitize(result.error)}")
    elif not options.json:
        console.print_result(result.path)
        if result.steps:
            _print_steps(result.steps)
        for row in result.top:
            logit = f"  logit {row.logit:8.4f}" if options.recipe and row.logit is not None else ""
            console.print_result(_prediction_line(row, logit))


def _print_steps(steps: Sequence[PipelineStep]) -> None:
    devices = {row.device for row in steps}
    mixed = len(devices) > 1
    if not mixed:
        console.print_result(f"  all steps on {devices.pop()}")
    print_table(
        ("  step", "code", "shape", "dtype", "range", *(["device"] if mixed else []), "memory"),
        [
            ("  " + row.name, row.code, format_step_shape(row), row.dtype, format_range(row.low, row.high),
             *([row.device] if mixed else []), row.memory)
            for row in steps
        ],
        droppable=("range", "device"),
    )  # fmt: skip


def format_step_shape(step: PipelineStep) -> str:
    """`1546×1213` of an image, `[1, 3, 224, 224]` of a tensor."""
    if step.kind == "image":
        return format_shape(step.shape)
    return f"[{', '.join(map(str, step.shape))}]"


def _print_published(reference: PublishedComparison) -> None:
    if reference.ours is None:
        first = reference.top[0]
        console.print_result(
            f"published: {first.label} {format_percent(first.published)} ({reference.source}), "
            "for another photo or other weights"
        )
        return
    print_table(
        ("  class", "published", "ours", "logit published", "ours"),
        [
            ("  " + (row.label or "(unnamed)"), format_percent(row.published), format_percent(row.ours),
             format_decimals(row.published_logit), format_decimals(row.logit if row.published_logit else None))
            for row in reference.top
        ],
    )  # fmt: skip
    console.print_result("  " + reference_line(reference))
