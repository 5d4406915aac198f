"""What the session process tells of a dataset that somebody looks at: `data`, `data_page`, `data_one`, `data_values`,
`data_steps`.

Every request names `data` (a choice), and `model`, `seed` and `validation` as an experiment has them. Nothing is
ever downloaded by looking.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from workbench.datasets import catalogue as datasets
from workbench.datasets import preview
from workbench.datasets.data import Data, Split
from workbench.errors import BadInput
from workbench.inference.steps import steps_of_data
from workbench.models import catalogue as models
from workbench.models.build import build_shapes
from workbench.models.preprocess import Preprocessing
from workbench.recipes import how_to_fetch
from workbench.session.pictures import png
from workbench.session.task import Task
from workbench.settings import Choice
from workbench.text import size
from workbench.training.device import pick_device

Loaded = Callable[[Mapping[str, Any], Task], Data]
Answers = dict[str, Callable[[Task], dict[str, Any]]]

_MOST = 200
"""Examples that one answer holds at most."""
_POINTS = 1000
"""Points of a scatter."""
_LARGEST = 256  # pixels; a terminal shows fewer


def answers(loaded: Loaded) -> Answers:
    """The requests by name; `loaded` gives a request's data."""

    def asked(
        answer: Callable[[Data, Mapping[str, Any]], dict[str, Any]],
    ) -> Callable[[Task], dict[str, Any]]:
        def with_data(task: Task) -> dict[str, Any]:
            _must_be_here(task.request)
            return answer(loaded(task.request, task), task.request)

        return with_data

    return {
        "data": asked(_facts),
        "data_page": asked(_page),
        "data_one": asked(_one),
        "data_values": asked(_values),
        "data_steps": asked(_steps),
    }


REQUESTS = ("data", "data_page", "data_one", "data_values", "data_steps")


def chosen(request: Mapping[str, Any], key: str) -> Choice:
    """The dataset (`data`) or the model that a request names. Raises `BadInput` where it names none."""
    given = request.get(key)
    if not isinstance(given, Mapping) or not given.get("name"):
        raise BadInput(f"no {'dataset' if key == 'data' else key} is chosen")
    return Choice(str(given["name"]), {k: v for k, v in given.items() if k != "name"})


def _must_be_here(request: Mapping[str, Any]) -> None:
    choice = chosen(request, "data")
    about = datasets.describe(choice.name, choice.options)
    if not about["here"] and about["kind"] == "published":
        raise BadInput(
            f"{about['name']} is not here: t downloads it ({size(about['download'])}) and trains; "
            f"{how_to_fetch(about['name'])}; without a network see workbench fetch --help"
        )


def _facts(data: Data, request: Mapping[str, Any]) -> dict[str, Any]:
    """`batch` → what `preview.describe` says, and `output`: a batch's shape behind the untrained model."""
    found = preview.describe(data, max(1, int(request.get("batch", 32))))
    return {**found, "output": _output(data, found["batch"], request)}


def _output(data: Data, batch: list[int], request: Mapping[str, Any]) -> list[int] | None:
    """The shape of what the untrained model makes of one batch; `None` where that can't be told so soon."""
    if not request.get("model") or models.is_own(str(request["model"].get("name"))):
        return None
    shape = tuple(batch[1:])
    outputs = len(data.classes) or max(1, data.train.targets[0].numel())
    try:
        built = build_shapes(chosen(request, "model"), shape=shape, outputs=outputs, task=data.task)
        inputs = (batch[0], *built.preprocessing().output_shape(shape))
        with torch.no_grad():
            return list(built.module.eval()(torch.empty(inputs, device="meta")).shape)
    except Exception:
        return None  # the experiment pane says what is wrong with the pair


def _page(data: Data, request: Mapping[str, Any]) -> dict[str, Any]:
    """`split`, `label` (of one class only), `first`, `count`, `side` → pictures; noise stands before all others."""
    split, label = _split(data, request), _label(request)
    indices = preview.members(split, label)
    before = 1 if label is None else 0
    first = max(0, int(request.get("first", 0)))
    places = range(first, min(first + _count(request), len(indices) + before))
    side = int(request.get("side", 64))
    return {
        "items": [
            _item(data, split, preview.NOISE if place < before else indices[place - before], side)
            for place in places
        ],
        "first": first,
        "total": len(indices) + before,
    }


def _item(data: Data, split: Split, index: int, side: int) -> dict[str, Any]:
    picture = preview.drawn(preview.picture_at(data, split, index))
    return {"index": index, **_named(data, split, index), "png": png(picture, min(side, _LARGEST))}


def _named(data: Data, split: Split, index: int) -> dict[str, Any]:
    """`label` (class number or `None`), `class` (or the target of a regression) and `name` of an example."""
    if index == preview.NOISE:
        return {"label": None, "class": "noise", "name": ""}
    name = split.names[index] if split.names else ""
    if data.task == "regression":
        return {"label": None, "class": _short(split.targets[index]), "name": name}
    label = int(split.targets[index])
    return {"label": label, "class": data.classes[label], "name": name}


def _one(data: Data, request: Mapping[str, Any]) -> dict[str, Any]:
    """`split`, `index`, `chain` ([[name, value]]) or `augment` (names), `draw` → the picture before and after.

    Another `draw` (a number) shows other chances of the same transforms.
    """
    split, index = _split(data, request), int(request.get("index", 0))
    picture = preview.picture_at(data, split, index)
    chain, augment = request.get("chain") or [], request.get("augment") or []
    draw = int(request.get("draw", 0))
    answer = {
        "index": index,
        **_named(data, split, index),
        "stored": preview.facts(preview.input_at(split, index)),
        "before": png(preview.drawn(picture), _LARGEST),
    }
    if not chain and not augment:
        return answer
    after = preview.augmented(picture, augment, draw) if augment else picture
    values, image = preview.transformed(after, [(str(name), value) for name, value in chain], draw, data)
    return {**answer, "after": png(image, _LARGEST), "made": preview.facts(values)}


def _steps(data: Data, request: Mapping[str, Any]) -> dict[str, Any]:
    """`split`, `index` → each step from the stored picture to what a model is given, as `steps` has them."""
    picture = preview.picture_at(data, _split(data, request), int(request.get("index", 0)))
    shown = Preprocessing(mean=tuple(data.mean or ()), std=tuple(data.std or ()))
    steps = steps_of_data(preview.drawn(picture), shown, pick_device("auto"))
    return {"steps": [step.to_dict() for step in steps]}


def _values(data: Data, request: Mapping[str, Any]) -> dict[str, Any]:
    """`split`, `label`, `count` → the first values, and points of a scatter."""
    split = _split(data, request)
    indices = preview.members(split, _label(request))
    rows = [
        {
            "index": index,
            "input": [_short(value) for value in split.example(index).reshape(-1)[:8]],
            "target": _named(data, split, index)["class"],
        }
        for index in indices[: _count(request)]
    ]
    return {"rows": rows, "total": len(indices), "scatter": _scatter(data, split, indices)}


def _scatter(data: Data, split: Split, indices: Any) -> dict[str, Any]:
    """At most `_POINTS` points, evenly spaced: the first two features, or the only one and the target."""
    chosen = torch.tensor(list(indices[:: max(1, -(-len(indices) // _POINTS))]), dtype=torch.int64)
    features = split.examples(chosen).reshape(len(chosen), -1).float()
    targets = split.targets.index_select(0, chosen)
    two = data.task == "classification" and features.shape[1] > 1
    ys = features[:, 1] if two else targets.reshape(len(chosen), -1)[:, 0].float()
    return {
        "xs": features[:, 0].tolist(),
        "ys": ys.tolist(),
        "labels": targets.tolist() if data.task == "classification" else [],
        "axes": ["first value", "second value" if two else "target"],
    }


def _split(data: Data, request: Mapping[str, Any]) -> Split:
    splits, name = preview.splits_of(data), str(request.get("split", "train"))
    if name not in splits:
        raise BadInput(f"there is no {name} split: there are {', '.join(splits)}")
    return splits[name]


def _label(request: Mapping[str, Any]) -> int | None:
    return None if request.get("label") is None else int(request["label"])


def _count(request: Mapping[str, Any]) -> int:
    return max(1, min(_MOST, int(request.get("count", 20))))


def _short(value: Tensor) -> str:
    return " ".join(f"{number:.4g}" for number in value.reshape(-1)[:4].tolist())
