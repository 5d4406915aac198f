"""`workbench classify`: pictures, folders and URLs, answered by a run or a published model."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from workbench import console
from workbench.errors import BadInput
from workbench.inference import recipe as recipes
from workbench.inference import values
from workbench.inference.classifier import Answer, Classifier
from workbench.inference.labels import read_labels
from workbench.inference.pictures import is_url, open_source
from workbench.inference.recipe import ClassifyRecipe
from workbench.inference.steps import steps_of
from workbench.io.progress import Report
from workbench.models.zoo import Door
from workbench.paths import given, is_folder
from workbench.runs.store import Store
from workbench.telling import reference_line
from workbench.text import safe, times


def classify(options: argparse.Namespace) -> int:
    """Answer every picture; 2 where one has no answer (the JSON has the others all the same)."""
    if options.top < 1:
        raise BadInput(f"--top must be at least 1, not {options.top}")
    recipe = recipes.load(options.recipe) if options.recipe else None
    if options.run and options.pictures and not (options.recipe or options.model or options.labels):
        run = Store.default().find(options.run).path
        if values.takes_values(run):
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
        document = {"model": classifier.name, "results": results, "pictures_per_second": round(rate, 3)}
        console.print_json(document | ({"recipe": options.recipe, "reference": reference} if recipe else {}))
    for answer, result in zip(answers, results, strict=True):
        _tell(answer, result, options)
    if reference and not options.json:
        _tell_reference(reference)
    if len(answers) > 1:
        unread = f"; {failed:,} could not be read" if failed else ""
        console.say(f"  {len(answers):,} pictures, {rate:.3g} a second on {classifier.device}{unread}")
    return 2 if failed else 0


def _classify_values(run: Path, options: argparse.Namespace) -> int:
    """What a run that learned from numbers says to new ones."""
    results = values.answers(run, options.pictures, options.top)
    if options.json:
        console.print_json({"model": run.name, "results": results})
    for result in results:
        if result["error"]:
            console.say(f"workbench: {safe(result['error'])}")
        elif not options.json:
            said = ", ".join(f"{value:.6g}" for value in result.get("values", ()))
            console.tell(f"{result['path']}  {said}")
            for row in result["top"]:
                console.tell(f"  {row['index']:5d}  {100 * row['probability']:6.2f} %  {row['label']}")
    return 2 if any(result["error"] for result in results) else 0


def pictures_at(source: str) -> list[str]:
    """A picture or URL as it is; a folder as the pictures in it, in the order of their names."""
    path = given(source)
    if is_url(source) or not is_folder(path):
        return [source]
    suffixes = Image.registered_extensions()
    found = sorted(
        str(file) for file in path.rglob("*") if file.suffix.lower() in suffixes and file.is_file()
    )
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


def _reference(recipe: ClassifyRecipe | None, answers: Sequence[Answer]) -> dict[str, Any] | None:
    """The published figures beside those of the first picture that shows the same; beside none, where none does."""
    if recipe is None:
        return None
    told = [recipes.held_against(recipe, answer.top) for answer in answers if answer.top]
    same = [one for one in told if one and one["ours"] is not None]
    return (same or told or [recipes.held_against(recipe, ())])[0]


def _result(answer: Answer, classifier: Classifier, options: argparse.Namespace) -> dict[str, Any]:
    """An answer as JSON values, cut to the classes that are asked for; with its steps where they are."""
    result = answer.to_dict()
    result["top"] = result["top"][: options.top]
    if options.steps and not answer.error:
        steps, _ = steps_of(classifier, open_source(answer.path))
        result["steps"] = [step.to_dict() for step in steps]
    return result


def _tell(answer: Answer, result: Mapping[str, Any], options: argparse.Namespace) -> None:
    if answer.error:
        console.say(f"workbench: {safe(answer.error)}")
    elif not options.json:
        console.tell(answer.path)
        if options.steps:
            _tell_steps(result["steps"])
        for row in answer.top[: options.top]:
            logit = f"  logit {row.logit:8.4f}" if options.recipe and row.logit is not None else ""
            console.tell(f"  {row.index:5d}  {100 * row.probability:6.2f} %{logit}  {row.label}")


def _tell_steps(steps: Sequence[Mapping[str, Any]]) -> None:
    devices = {row["device"] for row in steps}
    several = len(devices) > 1
    if not several:
        console.tell(f"  each step on {devices.pop()}")
    console.print_table(
        ("  step", "by", "shape", "type", "from … to", *(["device"] if several else []), "memory"),
        [
            ("  " + row["name"], row["code"], shape_of(row), row["dtype"], f"{row['low']:.4g} … {row['high']:.4g}",
             *([row["device"]] if several else []), row["memory"])
            for row in steps
        ],
        spare=("from … to", "device"),
    )  # fmt: skip


def shape_of(step: Mapping[str, Any]) -> str:
    """`1546×1213` of a picture, `[1, 3, 224, 224]` of a tensor."""
    if step["kind"] == "picture":
        return times(step["shape"])
    return f"[{', '.join(map(str, step['shape']))}]"


def _tell_reference(reference: Mapping[str, Any]) -> None:
    source, rows = reference["source"], reference["top"]
    if reference["ours"] is None:
        first = rows[0]
        console.tell(
            f"published: {first['label']} {_percent(first['published'])} ({source}), of another photo or other weights"
        )
        return
    console.print_table(
        ("  class", "published", "ours", "logit published", "ours"),
        [
            ("  " + (row["label"] or "(not named)"), _percent(row["published"]), _percent(row["ours"]),
             _number(row["published_logit"]), _number(row["logit"] if row["published_logit"] else None))
            for row in rows
        ],
    )  # fmt: skip
    console.tell("  " + reference_line(dict(reference)))


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f} %"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
