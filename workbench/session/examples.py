"""The examples that a run was evaluated on: what each is, what the run said, and its picture (`examples`)."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.datasets import preview
from workbench.datasets.data import Data, Split
from workbench.errors import BadInput
from workbench.io.atomic import read_json
from workbench.runs.layout import RunFolder
from workbench.session.data import Loaded
from workbench.session.pictures import png
from workbench.session.task import Task

MOST = 200
"""Examples of one answer at most."""


@dataclass(frozen=True)
class Said:
    """What an evaluation has of one example."""

    index: int
    label: int
    top: Sequence[int]
    probability: float
    """Of the true class."""


def answerer(loaded: Loaded) -> Callable[[Task], dict[str, Any]]:
    """The answer to `examples`; `loaded` gives a request's data."""

    def answer(task: Task) -> dict[str, Any]:
        return _answer(task.request, loaded(task.request, task))

    return answer


def _answer(request: Mapping[str, Any], data: Data) -> dict[str, Any]:
    """`run`, `step`, `split`, `wrong` (errors only), `label` (of one class), `first`, `count`, `side`.

    Gives `items` (index, name, label, class, said, chances of both where they are known, png), `first`, `total`.
    """
    if not preview.has_pictures(data):
        raise BadInput("this dataset has no pictures to show: the plots pane draws its points")
    run = RunFolder(Path(str(request["run"])))
    split = preview.splits_of(data).get(str(request.get("split", "test")))
    known = (read_json(run.setup) or {}).get("fingerprint")
    if split is None or (known is not None and known != data.fingerprint):
        raise BadInput("the data is not what the run was evaluated on: its pictures can't be told any more")
    wanted = _wanted(read(run, int(request["step"]), str(request.get("split", "test"))), request, len(split))
    first = max(0, int(request.get("first", 0)))
    shown = wanted[first : first + max(1, min(MOST, int(request.get("count", 20))))]
    side = int(request.get("side", 64))
    return {
        "items": [_item(said, data, split, side) for said in shown],
        "first": first,
        "total": len(wanted),
    }


def _wanted(every: Sequence[Said], request: Mapping[str, Any], count: int) -> list[Said]:
    """Those of the split's first `count` examples that are asked for."""
    return [
        said
        for said in every
        if not (request.get("wrong") and said.label == said.top[0])
        and request.get("label") in {None, said.label}
        and said.index < count
    ]


def _item(said: Said, data: Data, split: Split, side: int) -> dict[str, Any]:
    return {
        "index": said.index,
        "name": split.names[said.index] if split.names else "",
        "label": said.label,
        "class": data.classes[said.label],
        "said": data.classes[said.top[0]],
        "chance": round(said.probability, 4),
        "png": png(preview.drawn(preview.picture_at(data, split, said.index)), side),
    }


def read(run: RunFolder, step: int, split: str) -> list[Said]:
    """What the evaluation of a step says to each example, in their order. Raises `BadInput` where it is not kept."""
    described = read_json(run.evaluations / f"step-{step}-{split}.json") or {}
    records = described.get("records") or {}
    names = [name for name, _ in records.get("fields") or ()]
    if names != ["index", "label", "top", "probability"]:
        raise BadInput(f"what was said to each example at step {step} ({split}) is not kept")
    try:
        content = (run.evaluations / str(records["file"])).read_bytes()
        rows = list(struct.iter_unpack(records["struct"], content))
    except (OSError, struct.error) as error:
        raise BadInput(f"{records['file']} can't be read: {error}") from None
    return [Said(row[0], row[1], row[2:-1], row[-1]) for row in rows]
