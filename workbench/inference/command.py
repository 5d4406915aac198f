"""`workbench classify`: pictures, folders and URLs, answered by a run or a published model."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from PIL import Image

from workbench import console
from workbench.errors import BadInput
from workbench.experiment import load_recipe
from workbench.inference.classifier import Answer, Classifier
from workbench.inference.pictures import is_url
from workbench.runs.store import Store
from workbench.text import safe


def classify(options: argparse.Namespace) -> int:
    """Answer every picture; 2 where one has no answer (the JSON has the others all the same)."""
    sources = [found for given in options.pictures for found in pictures_at(given)]
    if options.top < 1:
        raise BadInput(f"--top must be at least 1, not {options.top}")
    if not sources:
        raise BadInput(
            "name a picture, a folder of pictures or a URL: workbench classify dog.jpg --model alexnet"
        )
    classifier = _classifier(options)
    for notice in classifier.notices:
        console.say(f"workbench: {safe(notice)}")
    answers = list(classifier.answers(sources, options.top, console.progress_printer()))
    if options.json:
        console.print_json({"model": classifier.name, "results": [answer.to_dict() for answer in answers]})
    for answer in answers:
        _tell(answer, on_stdout=not options.json)
    return 2 if any(answer.error for answer in answers) else 0


def pictures_at(given: str) -> list[str]:
    """A picture or URL as it is; a folder as the pictures in it, in the order of their names."""
    path = Path(given).expanduser()
    if is_url(given) or not path.is_dir():
        return [given]
    suffixes = Image.registered_extensions()
    found = sorted(
        str(file) for file in path.rglob("*") if file.suffix.lower() in suffixes and file.is_file()
    )
    if not found:
        raise BadInput(f"there are no pictures in the folder {given}")
    return found


def _classifier(options: argparse.Namespace) -> Classifier:
    chosen = [name for name in ("recipe", "run", "model") if getattr(options, name)]
    if len(chosen) != 1:
        raise BadInput("say who classifies with one of --run RUN, --model NAME or --recipe RECIPE")
    if options.weights and not options.model:
        raise BadInput("--weights FILE goes with --model NAME")
    if options.run:
        return Classifier.from_run(Store.default().find(options.run).path, device=options.device)
    model = options.model or _model_of(options.recipe)
    weights = Path(options.weights).expanduser() if options.weights else None
    return Classifier.from_torchvision(model, weights, device=options.device)


def _model_of(recipe: str) -> str:
    content: dict[str, Any] = load_recipe(recipe)
    if content.get("do", "train") != "classify":
        raise BadInput(
            f"the recipe '{recipe}' trains a model: workbench train {recipe}, then classify with --run"
        )
    return str((content.get("model") or {}).get("name") or "")


def _tell(answer: Answer, *, on_stdout: bool) -> None:
    if answer.error:
        console.say(f"workbench: {safe(answer.error)}")
    elif on_stdout:
        print(safe(answer.path))
        for row in answer.top:
            print(f"  {row.index:5d}  {100 * row.probability:6.2f} %  {safe(row.label)}")
