"""A picture and a model: which class, and how sure."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from PIL import Image
from torch import Tensor, nn

from workbench.errors import BadInput
from workbench.experiment import Choice
from workbench.inference.pictures import PublishedPictures, RunPictures, open_source
from workbench.io.atomic import read_json
from workbench.io.progress import Cancelled, Interrupted, Progress, Report, never, silent
from workbench.io.weights import load_checkpoint, load_into
from workbench.models import catalogue, zoo
from workbench.models.build import build_model
from workbench.models.preprocess import Preprocessing
from workbench.runs.layout import RunFolder
from workbench.training.device import pick_device

BATCH = 32


@dataclass(frozen=True)
class Prediction:
    """One class for one picture; `probability` from 0 to 1."""

    index: int
    label: str
    probability: float


@dataclass(frozen=True)
class Answer:
    """What is said to one path or URL: the likeliest classes first, or why there are none."""

    path: str
    error: str | None
    top: tuple[Prediction, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


class Pictures(Protocol):
    """From an open picture to what a model takes."""

    def one(self, image: Image.Image) -> Tensor:
        """One picture as a tensor; called in several threads."""

    def batch(self, pictures: Sequence[Tensor], device: torch.device) -> Tensor:
        """Several of them as the model's inputs, float32 [N, C, H, W] on `device`."""


@dataclass
class Classifier:
    """A model in evaluation mode with its classes and what goes in front of it."""

    name: str
    module: nn.Module
    classes: tuple[str, ...]
    pictures: Pictures
    device: torch.device
    notices: tuple[str, ...] = ()
    """Warnings in words (NaN weights, a damaged checkpoint that was passed over)."""

    def __post_init__(self) -> None:
        self.module.eval().requires_grad_(False).to(self.device)

    @classmethod
    def from_run(cls, run: Path, which: Literal["best", "last"] = "best", device: str = "auto") -> Classifier:
        """The model of a run's best or newest checkpoint that is whole. Raises `BadInput` with one line."""
        content, notices = load_run_checkpoint(run, which)
        spec = content["spec"]
        if spec.get("task", "classification") != "classification":
            raise BadInput(f"the run {run.name} learned a {spec['task']}: only classes can be classified")
        classes = tuple(spec["classes"])
        module, preprocessing = build_from_spec(spec)
        notices += load_into(module, content["model"], f"{run.name}'s checkpoint")
        pictures = RunPictures(tuple(spec["shape"]), preprocessing)
        return cls(run.name, module, classes, pictures, pick_device(device), notices)

    @classmethod
    def from_torchvision(
        cls,
        name: str,
        weights: Path | None = None,
        labels: Sequence[str] | None = None,
        device: str = "auto",
        *,
        door: zoo.Door | None = None,
    ) -> Classifier:
        """An architecture of torchvision with its published weights, or those in a file, and its own transforms.

        Raises `BadInput`: no such model, weights that can't be had or don't fit, a wrong number of labels.
        """
        info = catalogue.find(name)
        if info.kind != "torchvision":
            raise BadInput(
                f"{info.name} has no published weights: name a run (--run), or a model as resnet18"
            )
        classes = tuple(labels) if labels else zoo.published_classes(name)
        module = zoo.build(name, len(classes), size=info.input_size, pretrained=True)
        notices = zoo.load_published(module, name, str(weights or ""), door=door)
        pictures = PublishedPictures(zoo.published_transforms(name))
        return cls(name, module, classes, pictures, pick_device(device), notices)

    def classify(self, images: Sequence[Image.Image]) -> Tensor:
        """Probabilities of open pictures: float32 [N, classes] on the CPU, rows summing to 1."""
        return self._probabilities([self.pictures.one(image) for image in images])

    def top(self, image: Image.Image, k: int = 5) -> tuple[Prediction, ...]:
        """The `k` likeliest classes of one open picture."""
        return self._top(self.classify([image])[0], k)

    def answers(
        self,
        sources: Iterable[str | Path],
        k: int = 5,
        progress: Report = silent,
        cancelled: Cancelled = never,
    ) -> Iterator[Answer]:
        """An answer to each path or http(s) URL, in order; what can't be opened is answered with its error.

        The next pictures are decoded by all cores while these go through the model. Raises `Interrupted`.
        """
        names = [str(source) for source in sources]
        done = 0
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            waiting = iter(_chunks(names, BATCH))
            submitted = [self._submit(pool, chunk) for chunk in itertools.islice(waiting, 2)]
            while submitted:
                if cancelled():
                    pool.shutdown(cancel_futures=True)
                    raise Interrupted
                chunk = submitted.pop(0)
                submitted += [self._submit(pool, more) for more in itertools.islice(waiting, 1)]
                yield from self._answer(chunk, k)
                done += len(chunk)
                progress(Progress("classifying", done, len(names), "pictures"))

    def _submit(self, pool: ThreadPoolExecutor, names: Sequence[str]) -> list[tuple[str, Future[Tensor]]]:
        return [(name, pool.submit(self._open, name)) for name in names]

    def _open(self, name: str) -> Tensor:
        return self.pictures.one(open_source(name))

    def _answer(self, chunk: Sequence[tuple[str, Future[Tensor]]], k: int) -> Iterator[Answer]:
        opened, errors = {}, {}
        for position, (_, future) in enumerate(chunk):
            try:
                opened[position] = future.result()
            except BadInput as error:
                errors[position] = str(error)
        probabilities = dict(zip(opened, self._probabilities(list(opened.values())), strict=True))
        for position, (name, _) in enumerate(chunk):
            if position in errors:
                yield Answer(name, errors[position])
            else:
                yield Answer(name, None, self._top(probabilities[position], k))

    def _probabilities(self, pictures: Sequence[Tensor]) -> Tensor:
        if not pictures:
            return torch.empty(0, len(self.classes))
        with torch.inference_mode():
            logits = self.module(self.pictures.batch(pictures, self.device))
            probabilities: Tensor = logits.float().softmax(1).cpu()
        if probabilities.shape[1] != len(self.classes):
            raise BadInput(
                f"{self.name} gives {probabilities.shape[1]} classes, {len(self.classes)} have names"
            )
        return probabilities

    def _top(self, probabilities: Tensor, k: int) -> tuple[Prediction, ...]:
        values, indices = probabilities.topk(min(k, len(self.classes)))
        pairs = zip(indices.tolist(), values.tolist(), strict=True)
        return tuple(Prediction(index, self.classes[index], value) for index, value in pairs)


def load_run_checkpoint(
    run: Path, which: Literal["best", "last"] = "best"
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The content of a run's best (newest, where none is) or newest checkpoint that is whole, and notices.

    A damaged one is passed over for the newest one that verifies, with a notice. Raises `BadInput` when there
    is none, or it was not written by a run.
    """
    folder = RunFolder(run)
    manifest = read_json(folder.manifest) or {}
    entries = [e for e in manifest.get("checkpoints") or [] if isinstance(e, dict) and "file" in e]
    newest_first = entries[::-1]
    if which == "best":
        newest_first.sort(key=lambda entry: not entry.get("best"))
    notices: list[str] = []
    for entry in newest_first:
        # Only the name counts: a manifest can't send us to another folder.
        path = folder.checkpoints / Path(str(entry["file"])).name
        try:
            return _checked(load_checkpoint(path, entry.get("sha256")), path), tuple(notices)
        except BadInput as error:
            notices.append(str(error))
    if notices:
        raise BadInput(f"{run.name} has no checkpoint that is whole: {notices[0]}")
    raise BadInput(f"{run.name} has no checkpoint yet: one is written each minute and at each epoch's end")


def _checked(content: dict[str, Any], path: Path) -> dict[str, Any]:
    spec = content.get("spec")
    if not isinstance(spec, dict) or not isinstance(content.get("model"), dict):
        raise BadInput(f"{path} is no checkpoint of a run: it lacks the model's description")
    missing = {"model", "shape", "classes", "preprocessing"} - spec.keys()
    if missing:
        raise BadInput(f"{path} lacks {', '.join(sorted(missing))} in the model's description")
    return content


def build_from_spec(spec: dict[str, Any]) -> tuple[nn.Module, Preprocessing]:
    """The module a checkpoint describes, without its weights, and what goes in front of it. Raises `BadInput`."""
    options = dict(spec["model"])
    choice = Choice(options.pop("name"), options)
    outputs = spec.get("outputs") or len(spec["classes"]) or 1
    built = build_model(
        choice,
        shape=tuple(spec["shape"]),
        outputs=outputs,
        task=spec.get("task", "classification"),
        load=False,
    )
    return built.module, Preprocessing.from_dict(spec["preprocessing"])


def _chunks(names: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(names), size):
        yield names[start : start + size]
