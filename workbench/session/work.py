"""What the session process can be asked, with torch: `warm`, `classify`, `values`, `steps`, `summary`, `samples` here,
`examples`, `reason` and those of a dataset (`data`, ...) in the modules called so.
"""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from workbench.datasets import catalogue as datasets
from workbench.datasets.data import Data, Split
from workbench.datasets.load import load
from workbench.errors import BadInput
from workbench.inference.classifier import Classifier
from workbench.inference.labels import read_labels
from workbench.inference.pictures import as_picture, open_source
from workbench.inference.recipe import held_against
from workbench.inference.recipe import load as load_recipe
from workbench.inference.steps import steps_of, steps_of_data
from workbench.inference.values import answers
from workbench.io.atomic import read_json
from workbench.io.pictures import open_picture
from workbench.models import catalogue as models
from workbench.models.build import build_model, build_shapes
from workbench.models.summary import summarise
from workbench.models.zoo import Door, torchvision_models
from workbench.paths import given
from workbench.runs.layout import RunFolder
from workbench.session import data as data_requests
from workbench.session import examples, reasons
from workbench.session.data import chosen
from workbench.session.pictures import png
from workbench.session.task import Task
from workbench.settings import Choice

_KEPT_CLASSIFIERS = 2
_LARGEST_SAMPLE = 128  # pixels; a terminal shows fewer

_classifiers: dict[tuple[Any, ...], Classifier] = {}
_data: dict[str, Data] = {}


def answer(task: Task) -> dict[str, Any]:
    """The answer to a request, as JSON values. Raises `BadInput` with one line, or `Interrupted`."""
    do = task.request.get("do")
    if do not in _ANSWERS:
        raise BadInput(f"there is no request '{do}'; known: {', '.join(_ANSWERS)}")
    return _ANSWERS[do](task)


def is_own_code(request: Mapping[str, Any]) -> bool:
    """Whether answering would run a file of somebody's own."""
    do = request.get("do")
    if do in {"classify", "steps", "reason", "values"}:
        run = (request.get("by") or {}).get("run")
        return run is not None and models.is_own(str(_experiment(run)["model"].get("name")))
    choices = [request.get("model") or {}] if do == "summary" else []
    if do in {"samples", "examples"} or do in data_requests.REQUESTS:
        choices = [_experiment(request["run"])["data"] if request.get("run") else request.get("data") or {}]
    return any(models.is_own(str(choice.get("name"))) for choice in choices)


def _warm(task: Task) -> dict[str, Any]:
    """Torch is imported, on the way here; with `torchvision` that too."""
    if task.request.get("torchvision"):
        torchvision_models()
    return {"torch": torch.__version__}


def _classify(task: Task) -> dict[str, Any]:
    """`path` (or URL) or `png` (base64), `by` {run, which}, {model, weights} or {recipe, weights}, `top`, `device`.

    By a recipe, `reference` holds its published figures beside ours.
    """
    request = task.request
    image, classifier = _picture(task), _asked_for(task)
    started = time.perf_counter()
    top = classifier.top(image, len(classifier.classes))
    ms = 1000 * (time.perf_counter() - started)
    recipe = (request.get("by") or {}).get("recipe")
    return {
        "model": classifier.name,
        "reference": held_against(load_recipe(str(recipe)), top) if recipe else None,
        "top": [one.to_dict() for one in top[: int(request.get("top", 5))]],
        "ms": round(ms, 1),
        "device": str(classifier.device),
        "source": {"width": image.width, "height": image.height, "mode": image.mode},
        "notices": list(classifier.notices),
    }


def _values(task: Task) -> dict[str, Any]:
    """`run` and `text` (numbers with commas between them) → what it says to them: `top`, or `values`."""
    run = Path(str((task.request.get("by") or {})["run"]))
    found = answers(run, [str(task.request.get("text", ""))], int(task.request.get("top", 5)))[0]
    if found["error"]:
        raise BadInput(found["error"])
    return {"top": found["top"], "values": found.get("values", [])}


def _steps(task: Task) -> dict[str, Any]:
    """Picture and `by` as in classify → what each step between picture and answer makes.

    Without `by`, `model` is `None` and the steps end where a model would begin.
    """
    image = _picture(task)
    classifier = _asked_for(task) if task.request.get("by") else None
    steps = steps_of(classifier, image)[0] if classifier else steps_of_data(image)
    return {"model": classifier.name if classifier else None, "steps": [step.to_dict() for step in steps]}


def _picture(task: Task) -> Image.Image:
    request = task.request
    if "png" in request:
        try:
            return open_picture(base64.b64decode(request["png"], validate=True))
        except (binascii.Error, TypeError):
            raise BadInput("png must be a picture in base64") from None
    if not request.get("path"):
        raise BadInput("no picture is named: give a path or a URL")
    return open_source(str(request["path"]), task.progress, task.cancelled)


def _asked_for(task: Task) -> Classifier:
    by = dict(task.request.get("by") or {})
    if by.get("recipe"):
        model = load_recipe(str(by["recipe"])).model
        by = {"weights": model.weights, "labels": model.labels, **by, "model": model.name}
    return _classifier(by, str(task.request.get("device", "auto")), task)


def _classifier(by: Mapping[str, Any], device: str, task: Task) -> Classifier:
    if by.get("run"):
        run, which = Path(by["run"]), by.get("which", "best")
        # A new checkpoint is a new classifier.
        manifest = RunFolder(run).manifest
        stamp = manifest.stat().st_mtime_ns if manifest.exists() else 0
        return _kept((str(run), which, stamp, device), lambda: Classifier.from_run(run, which, device))
    if by.get("model"):
        name, weights, labels = str(by["model"]), by.get("weights"), by.get("labels")
        path = given(weights) if weights else None
        door = Door(True, task.progress, task.cancelled)

        def make() -> Classifier:
            read = read_labels(str(labels), task.progress, task.cancelled) if labels else None
            return Classifier.from_torchvision(name, path, read, device, door=door)

        return _kept((name, weights, labels, device), make)
    raise BadInput("nothing is named to classify by: give a run or a model")


def _kept(key: tuple[Any, ...], make: Callable[[], Classifier]) -> Classifier:
    """The classifier of `key`, made where it is not kept from before; the oldest is let go."""
    found = _classifiers.pop(key, None) or make()
    _classifiers[key] = found
    while len(_classifiers) > _KEPT_CLASSIFIERS:
        del _classifiers[next(iter(_classifiers))]
    return found


def _summary(task: Task) -> dict[str, Any]:
    """`data` and `model` (choices), or for own data `shape` and `classes` → layers, parameters, shapes."""
    data, model = chosen(task.request, "data"), chosen(task.request, "model")
    info = models.find(model.name)
    about = datasets.describe(data.name, data.options)
    shape, outputs = _shape_and_outputs(about, info, model, task.request)
    # Own code may compute with its values while it is built.
    build = build_model if info.kind == "own" else build_shapes
    built = build(model, shape=shape, outputs=outputs, task=about["task"])
    inputs = built.preprocessing().output_shape(shape)
    try:
        rows = summarise(built.module, (1, *inputs))
    except Exception as error:
        raise BadInput(f"{info.name} can't take inputs of shape {list(inputs)}: {error}") from None
    return {
        "layers": [row.to_dict() for row in rows],
        "parameters": sum(row.parameters for row in rows),
        "trainable": sum(row.trainable for row in rows),
        "data_shape": list(shape),
        "input_shape": list(inputs),
        "outputs": outputs,
        "head": list(built.head),
        "pretrained": built.pretrained,
    }


def _shape_and_outputs(
    about: Mapping[str, Any], info: models.ModelInfo, model: Choice, request: Mapping[str, Any]
) -> tuple[tuple[int, ...], int]:
    """The shape of one raw input and the number of outputs, as far as they are known before loading."""
    shape, classes = request.get("shape") or about["shape"], request.get("classes") or about["classes"]
    if about["task"] == "regression":
        classes = 1
    if not shape and about["kind"] == "own":
        raise BadInput("the shape of your own data is known once a run has loaded it")
    if not shape:
        size = info.load_size(model.options)
        shape = (info.channels or 3, size, size)
    return tuple(shape), int(classes or 2)


def _samples(task: Task) -> dict[str, Any]:
    """`run` or `data` (and `model`, `seed`, `validation`), `split`, `page`, `per_page` → pictures with labels."""
    request = task.request
    data = _loaded(request, task)
    name = str(request.get("split", "test"))
    split = {"train": data.train, "validation": data.validation, "test": data.test}.get(name)
    if split is None:
        raise BadInput(
            f"there is no {name} split; there are train, validation (where data is kept for it), test"
        )
    if split.inputs.dtype != torch.uint8:
        raise BadInput("this dataset has no pictures to show")
    per_page = max(1, min(200, int(request.get("per_page", 20))))
    first = max(0, int(request.get("page", 0))) * per_page
    indices = range(first, min(first + per_page, len(split)))
    return {
        "samples": [_sample(split, i, data.classes) for i in indices],
        "total": len(split),
        "classes": list(data.classes),
    }


def _sample(split: Split, index: int, classes: tuple[str, ...]) -> dict[str, Any]:
    label = int(split.targets[index])
    return {
        "index": index,
        "label": label,
        "class": classes[label],
        "name": split.names[index] if split.names else "",
        "png": png(as_picture(split.example(index)), _LARGEST_SAMPLE, Image.Resampling.NEAREST),
    }


def _loaded(request: Mapping[str, Any], task: Task) -> Data:
    """The data as the run has it (same split, same size), kept until another is asked for."""
    about = _experiment(request["run"]) if request.get("run") else request
    data, model = chosen(about, "data"), about.get("model") or {"name": "mlp"}
    train = about.get("train") or {}
    validation = float(train.get("validation", about.get("validation", 0.0)))
    seed = int(about.get("seed", 0))
    key = repr((data, model, validation, seed))
    if key not in _data:
        options = {k: v for k, v in model.items() if k != "name"}
        info = models.find(model["name"])
        loaded = load(data, size=info.load_size(options), channels=info.channels, validation=validation,
                      seed=seed, progress=task.progress, cancelled=task.cancelled)  # fmt: skip
        _data.clear()
        _data[key] = loaded
    return _data[key]


def _experiment(run: str) -> dict[str, Any]:
    found = read_json(RunFolder(Path(run)).experiment)
    if not found or not isinstance(found.get("data"), dict) or not isinstance(found.get("model"), dict):
        raise BadInput(f"{run} is no run's folder: it has no experiment.json that can be read")
    return found


_ANSWERS: dict[Any, Callable[[Task], dict[str, Any]]] = {
    "warm": _warm,
    "classify": _classify,
    "steps": _steps,
    "summary": _summary,
    "samples": _samples,
    "values": _values,
    "examples": examples.answerer(_loaded),
    "reason": reasons.answerer(_picture, _asked_for),
    **data_requests.answers(_loaded),
}
