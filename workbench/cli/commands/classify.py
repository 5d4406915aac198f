"""`workbench classify`: pictures, folders and URLs, answered by a run or a published model."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from workbench.cli import console
from workbench.cli.run_text import reference_line
from workbench.config import classification_recipe as recipes
from workbench.config.classification_recipe import ClassifyRecipe
from workbench.core.errors import BadInput
from workbench.core.paths import given, is_file, is_folder
from workbench.core.progress import Report
from workbench.core.text import decimals, percent, safe, times, value_range
from workbench.core.text import values as shown_values
from workbench.inference import numeric
from workbench.inference.classifier import Classifier
from workbench.inference.image_pipeline import is_url, open_source
from workbench.inference.labels import read_labels
from workbench.inference.pipeline_steps import steps_of
from workbench.inference.published_comparison import PublishedComparison, compare_with_published
from workbench.inference.results import ImageResult, NumericResult, PipelineStep
from workbench.io.image_extensions import images_below
from workbench.models.torchvision_models import Door
from workbench.runs.store import Store


def classify(options: argparse.Namespace) -> int:
    """Answer every picture; 2 where one has no answer (the JSON has the others all the same)."""
    if options.top < 1:
        raise BadInput(f"--top must be at least 1, not {options.top}")
    recipe = recipes.load(options.recipe) if options.recipe else None
    if options.run and options.pictures and not (options.recipe or options.model or options.labels):
        run = Store.default().find(options.run).path
        if numeric.takes_values(run):
            return _classify_values(run, options)
    sources = [found for picture in options.pictures for found in pictures_at(picture)]
    if not sources:
        raise BadInput(_no_picture(recipe))
    progress = console.progress_printer()
    classifier = _classifier(options, recipe, progress)
    for notice in classifier.notices:
        console.say(f"workbench: {safe(notice)}")
    # What a recipe published may be far down in our own order.
    k = len(classifier.classes) if recipe else options.top
    start = time.perf_counter()
    answers = list(classifier.answers(sources, k, progress))
    rate = len(answers) / (time.perf_counter() - start)
    failed = sum(bool(answer.error) for answer in answers)
    reference = _reference(recipe, answers)
    results = [_result(answer, classifier, options) for answer in answers]
    if options.json:
        results_without_logits = [_without_logits(result) for result in results]
        document = {
            "model": classifier.name,
            "results": results_without_logits,
            "pictures_per_second": round(rate, 3),
        }
        console.print_json(document | ({"recipe": options.recipe, "reference": reference} if recipe else {}))
    for result in results:
        _print_result(result, options)
    if reference and not options.json:
        _print_reference(reference)
    if len(answers) > 1:
        unread = f"; {failed:,} could not be read" if failed else ""
        console.say(f"  {len(answers):,} pictures, {rate:.3g} a second on {classifier.device}{unread}")
    return 2 if failed else 0


def _classify_values(run: Path, options: argparse.Namespace) -> int:
    """The predictions of a run on numbers for new ones."""
    results = numeric.predict_values(run, options.pictures, options.top)
    if options.json:
        console.print_json({"model": run.name, "results": results})
    for result in results:
        if result.error:
            console.say(f"workbench: {safe(result.error)}")
        elif not options.json:
            _print_numeric(result)
    return 2 if any(result.error for result in results) else 0


def _print_numeric(result: NumericResult) -> None:
    console.tell(f"{result.path}  {shown_values(result.values or ())}")
    for row in result.top:
        console.tell(f"  {row.index:5d}  {100 * row.probability:6.2f} %  {row.label}")


def pictures_at(source: str) -> list[str]:
    """An image file or URL unchanged; of a folder the image files below it, sorted by path."""
    path = given(source)
    if is_url(source) or not is_folder(path):
        return [source]
    found = sorted(str(file) for file in images_below(path) if is_file(file))
    if not found:
        raise BadInput(f"there are no pictures in the folder {source}")
    return found


def _no_picture(recipe: ClassifyRecipe | None) -> str:
    if recipe is None:
        return "name a picture, a folder of pictures or a URL: workbench classify dog.jpg --model alexnet"
    return (
        f"name the picture: workbench classify PICTURE --recipe {recipe.recipe or recipe.name} (a file or URL; "
        "the tutorial's own photo is not ours to give)"
    )


def _classifier(options: argparse.Namespace, recipe: ClassifyRecipe | None, progress: Report) -> Classifier:
    chosen = [name for name in ("recipe", "run", "model") if getattr(options, name)]
    if len(chosen) != 1:
        raise BadInput("say who classifies with one of --run RUN, --model NAME or --recipe RECIPE")
    for option in ("weights", "labels"):
        if getattr(options, option) and options.run:
            raise BadInput(f"--{option} goes with --model NAME or --recipe RECIPE, not with --run")
    if options.run:
        return Classifier.from_run(Store.default().find(options.run).path, device=options.device)
    weights = options.weights or (recipe.model.weights if recipe else "")
    labels = options.labels or (recipe.model.labels if recipe else "")
    return Classifier.from_torchvision(
        recipe.model.name if recipe else options.model,
        given(weights) if weights else None,
        read_labels(labels, progress) if labels else None,
        options.device,
        door=Door(progress=progress),
    )


def _reference(recipe: ClassifyRecipe | None, answers: Sequence[ImageResult]) -> PublishedComparison | None:
    """The published figures beside those of the first image that shows the same; beside none, where none does."""
    if recipe is None:
        return None
    compared = [compare_with_published(recipe, answer.top) for answer in answers if answer.top]
    same = [one for one in compared if one and one.ours is not None]
    return (same or compared or [compare_with_published(recipe, ())])[0]


def _result(answer: ImageResult, classifier: Classifier, options: argparse.Namespace) -> ImageResult:
    """An answer with as many classes as are asked for, and with its steps where they are."""
    result = msgspec.structs.replace(answer, top=answer.top[: options.top])
    if not options.steps or answer.error:
        return result
    steps, _ = steps_of(classifier, open_source(answer.path))
    return msgspec.structs.replace(result, steps=tuple(steps))


def _without_logits(result: ImageResult) -> ImageResult:
    top = tuple(msgspec.structs.replace(one, logit=None) for one in result.top)
    return msgspec.structs.replace(result, top=top)


def _print_result(result: ImageResult, options: argparse.Namespace) -> None:
    if result.error:
        console.say(f"workbench: {safe(result.error)}")
    elif not options.json:
        console.tell(result.path)
        if result.steps:
            _print_steps(result.steps)
        for row in result.top:
            logit = f"  logit {row.logit:8.4f}" if options.recipe and row.logit is not None else ""
            console.tell(f"  {row.index:5d}  {100 * row.probability:6.2f} %{logit}  {row.label}")


def _print_steps(steps: Sequence[PipelineStep]) -> None:
    devices = {row.device for row in steps}
    several = len(devices) > 1
    if not several:
        console.tell(f"  each step on {devices.pop()}")
    console.print_table(
        ("  step", "by", "shape", "type", "from … to", *(["device"] if several else []), "memory"),
        [
            ("  " + row.name, row.code, shape_of(row), row.dtype, value_range(row.low, row.high),
             *([row.device] if several else []), row.memory)
            for row in steps
        ],
        spare=("from … to", "device"),
    )  # fmt: skip


def shape_of(step: PipelineStep) -> str:
    """`1546×1213` of an image, `[1, 3, 224, 224]` of a tensor."""
    if step.kind == "picture":
        return times(step.shape)
    return f"[{', '.join(map(str, step.shape))}]"


def _print_reference(reference: PublishedComparison) -> None:
    if reference.ours is None:
        first = reference.top[0]
        console.tell(
            f"published: {first.label} {percent(first.published)} ({reference.source}), "
            "of another photo or other weights"
        )
        return
    console.print_table(
        ("  class", "published", "ours", "logit published", "ours"),
        [
            ("  " + (row.label or "(not named)"), percent(row.published), percent(row.ours),
             decimals(row.published_logit), decimals(row.logit if row.published_logit else None))
            for row in reference.top
        ],
    )  # fmt: skip
    console.tell("  " + reference_line(reference))
