"""A picture and a model: which class, and how sure."""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import torch
from PIL import Image
from torch import Tensor, nn

from workbench.core.errors import BadInput
from workbench.core.progress import Cancelled, Interrupted, Progress, Report, never, silent
from workbench.engine.device import pick_device
from workbench.inference.image_pipeline import PublishedPictures, RunPictures, Stage, open_source
from workbench.inference.results import ImageResult, Prediction
from workbench.inference.run_checkpoint import build_from_spec, load_run_checkpoint
from workbench.io.torch_files import load_into
from workbench.models import catalog, torchvision_models
from workbench.models.outputs import probabilities, top_k
from workbench.system.cpu import usable_cores
from workbench.worker.checkpoint_content import ModelSpec

BATCH = 32
AT_ONCE_ON_CPU = 6 * 3 * 224 * 224
"""Values that go through a model together on a CPU: with more, what common networks make of them outgrows the 32 MiB
that the C library's allocator keeps, and is fetched from the system anew in each layer."""


class Pictures(Protocol):
    """From an open picture to what a model takes."""

    def one(self, image: Image.Image) -> Tensor:
        """One picture as a tensor; called in several threads."""

    def batch(self, pictures: Sequence[Tensor], device: torch.device) -> Tensor:
        """Several of them as the model's inputs, float32 [N, C, H, W] on `device`."""

    def stages(self, image: Image.Image, device: torch.device) -> Iterator[Stage]:
        """The same for one picture, step by step; the last but what is only looked at is the model's input."""


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
    channels_last: bool = False
    """Whether pictures are laid out pixel by pixel: faster for convolutions, and not every module can take it."""

    def __post_init__(self) -> None:
        self.module.eval().requires_grad_(False).to(self.device)
        if self.channels_last:
            self.module.to(memory_format=torch.channels_last)

    @classmethod
    def from_run(cls, run: Path, which: Literal["best", "last"] = "best", device: str = "auto") -> Classifier:
        """The model of a run's best or newest checkpoint that is whole. Raises `BadInput` with one line."""
        content, notices = load_run_checkpoint(run, which)
        spec = ModelSpec.from_json(content["spec"])
        if spec.task != "classification":
            raise BadInput(f"the run {run.name} learned a {spec.task}: only classes can be classified")
        if len(spec.shape) != 3:
            raise BadInput(
                f"what {run.name} learned from are no pictures but numbers: give it some with "
                f"'workbench classify --run {run.name} {','.join(['0.5'] * min(4, math.prod(spec.shape)))}'"
            )
        module = build_from_spec(spec)
        notices += load_into(module, content["model"], f"{run.name}'s checkpoint")
        pictures = RunPictures(spec.shape, spec.preprocessing)
        of_torchvision = catalog.find(spec.model.name).kind == "torchvision"
        return cls(run.name, module, spec.classes, pictures, pick_device(device), notices, of_torchvision)

    @classmethod
    def from_torchvision(
        cls,
        name: str,
        weights: Path | None = None,
        labels: Sequence[str] | None = None,
        device: str = "auto",
        *,
        door: torchvision_models.Door | None = None,
    ) -> Classifier:
        """An architecture of torchvision with its published weights, or those in a file, and its own transforms.

        Raises `BadInput`: no such model, weights that can't be had or don't fit, a wrong number of labels.
        """
        info = catalog.find(name)
        if info.kind != "torchvision":
            raise BadInput(
                f"{info.name} has no published weights: name a run (--run), or a model as resnet18"
            )
        published = torchvision_models.published_classes(name)
        classes = published if labels is None else tuple(labels)
        if weights is None and len(classes) != len(published):
            raise BadInput(f"{len(classes)} labels are given, {name} tells {len(published):,} classes apart")
        module = torchvision_models.build(name, len(classes), size=info.input_size, pretrained=True)
        try:
            notices = torchvision_models.load_published(module, name, str(weights or ""), door=door)
        except BadInput as error:
            if len(classes) == len(published):
                raise
            raise BadInput(f"{error} (for the {len(classes)} labels that are given)") from None
        pictures = PublishedPictures(torchvision_models.published_transforms(name))
        return cls(name, module, classes, pictures, pick_device(device), notices, channels_last=True)

    def classify(self, images: Sequence[Image.Image]) -> Tensor:
        """Probabilities of open pictures: float32 [N, classes] on the CPU, rows summing to 1."""
        return self.probabilities(self._logits([self.pictures.one(image) for image in images]))

    def top(self, image: Image.Image, k: int = 5) -> tuple[Prediction, ...]:
        """The `k` likeliest classes of one open picture."""
        return self._top(self._logits([self.pictures.one(image)]), k)[0]

    def answers(
        self,
        sources: Iterable[str | Path],
        k: int = 5,
        progress: Report = silent,
        cancelled: Cancelled = never,
    ) -> Iterator[ImageResult]:
        """The result for each path or http(s) URL, in order; one that can't be opened has an error.

        The next pictures are decoded by all cores while these go through the model. Raises `Interrupted`.
        """
        names = [str(source) for source in sources]
        done, over = 0, threading.Event()

        def opened(name: str) -> Tensor:
            return self.pictures.one(open_source(name, progress, lambda: over.is_set() or cancelled()))

        def submit(chunk: Sequence[str]) -> list[tuple[str, Future[Tensor]]]:
            return [(name, pool.submit(opened, name)) for name in chunk]

        with ThreadPoolExecutor(usable_cores()) as pool:
            waiting = iter(_chunks(names, BATCH))
            submitted = [submit(chunk) for chunk in itertools.islice(waiting, 2)]
            try:
                while submitted:
                    if cancelled():
                        raise Interrupted
                    chunk = submitted.pop(0)
                    submitted += [submit(more) for more in itertools.islice(waiting, 1)]
                    yield from self._answer(chunk, k)
                    done += len(chunk)
                    progress(Progress("classifying", done, len(names), "pictures"))
            finally:
                over.set()  # nobody waits for what is still being fetched
                pool.shutdown(cancel_futures=True)

    def _answer(self, chunk: Sequence[tuple[str, Future[Tensor]]], k: int) -> Iterator[ImageResult]:
        opened, errors = {}, {}
        for position, (_, future) in enumerate(chunk):
            try:
                opened[position] = future.result()
            except BadInput as error:
                errors[position] = str(error)
        tops = dict(zip(opened, self._top(self._logits(list(opened.values())), k), strict=True))
        for position, (name, _) in enumerate(chunk):
            if position in errors:
                yield ImageResult(name, errors[position])
            else:
                yield ImageResult(name, None, tops[position])

    def logits(self, batch: Tensor) -> Tensor:
        """What the model gives for inputs on its device: float32 [N, classes] on the CPU."""
        if self.channels_last:
            batch = batch.contiguous(memory_format=torch.channels_last)
        with torch.inference_mode():
            found = torch.cat([self.module(part).float().cpu() for part in self._parts(batch)])
        if found.shape[1] != len(self.classes):
            raise BadInput(f"{self.name} gives {found.shape[1]} classes, {len(self.classes)} have names")
        return found

    def _parts(self, batch: Tensor) -> tuple[Tensor, ...]:
        if batch.device.type != "cpu":
            return (batch,)
        return batch.split(max(1, AT_ONCE_ON_CPU // max(1, batch[0].numel())))

    def probabilities(self, logits: Tensor) -> Tensor:
        """float32 [N, classes], rows summing to 1."""
        return probabilities(self.module, logits)

    def _logits(self, pictures: Sequence[Tensor]) -> Tensor:
        if not pictures:
            return torch.empty(0, len(self.classes))
        return self.logits(self.pictures.batch(pictures, self.device))

    def _top(self, logits: Tensor, k: int) -> list[tuple[Prediction, ...]]:
        """The `k` likeliest classes of each row."""
        values, indices = top_k(self.probabilities(logits), k)
        before = logits.gather(1, indices)
        return [
            tuple(Prediction(i, self.classes[i], p, x) for i, p, x in zip(*row, strict=True))
            for row in zip(indices.tolist(), values.tolist(), before.tolist(), strict=True)
        ]


def _chunks(names: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(names), size):
        yield names[start : start + size]
