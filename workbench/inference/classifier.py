"""Image classification with a trained run or a published model."""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

import torch
from PIL import Image
from torch import Tensor, nn

from workbench.config.experiment import read_experiment
from workbench.core.errors import UserError
from workbench.core.progress import (
    CancelCheck,
    Cancelled,
    Progress,
    ProgressCallback,
    ignore_progress,
    never_cancelled,
)
from workbench.core.user_code import user_code_errors
from workbench.datasets import catalog as datasets
from workbench.engine.device import pick_device
from workbench.engine.torch_compat import use_full_fp32_convolutions
from workbench.inference.image_changes import ChangeCounts, ImageChanges
from workbench.inference.image_pipeline import PipelineStage, PublishedTransform, RunTransform, open_source
from workbench.inference.labels import labels_for_outputs
from workbench.inference.results import ImageResult, Prediction
from workbench.inference.run_checkpoint import image_input, load_run_model
from workbench.models import catalog, published
from workbench.models.outputs import OutputKind, output_kind, probabilities
from workbench.models.pretrained_weights import WeightsLoading, WeightsRequest
from workbench.models.top_k import top_k
from workbench.runs.run_folder import RunFolder
from workbench.system.cpu import usable_cores

LoadedImage = tuple[Tensor, ImageChanges]
"""The input of the model, and what it does not have of the image."""

BATCH = 32
CPU_BATCH_VALUES = 6 * 3 * 224 * 224
"""The most input values in one forward pass on a CPU: with more, the activations of common networks exceed the 32 MiB
that the C library's allocator keeps, and memory is requested from the system again for each layer."""


class ImageTransform(Protocol):
    """Maps an open image to the input of a model."""

    def to_tensor(self, image: Image.Image) -> Tensor:
        """One image as a tensor; called from several threads."""

    def batch(self, images: Sequence[Tensor], device: torch.device) -> Tensor:
        """Model inputs, float32 [N, C, H, W] on `device`, from several results of `to_tensor`."""

    def stages(self, image: Image.Image, device: torch.device) -> Iterator[PipelineStage]:
        """The stages of `to_tensor` and `batch` for one image; the last one is the input of the model."""

    def for_samples(self) -> ImageTransform:
        """The transform for images that show the pixels of a sample of the dataset: they are cropped already."""

    def changes(self, image: Image.Image) -> ImageChanges:
        """What of an image the model does not see, or sees otherwise."""


@dataclass
class Classifier:
    """A model in evaluation mode with its classes and its image transform."""

    name: str
    module: nn.Module
    classes: tuple[str, ...]
    transform: ImageTransform
    device: torch.device
    notices: tuple[str, ...] = ()
    """Warnings for the user (which weights of a file were loaded, a corrupt checkpoint that was skipped)."""
    code: str = ""
    """The name of the model where it is the user's own, whose errors are shown with its line."""
    channels_last: bool = False
    """Whether to use the channels-last memory format: faster for convolutions, but not supported by every module."""

    def __post_init__(self) -> None:
        if self.device.type == "cuda":
            use_full_fp32_convolutions()  # the same answers as on a CPU
        self.module.eval().requires_grad_(False).to(self.device)
        if self.channels_last:
            self.module.to(memory_format=torch.channels_last)

    @classmethod
    def from_run(cls, run: Path, which: Literal["best", "last"] = "best", device: str = "auto") -> Classifier:
        """The model of a run's best or newest readable checkpoint. Raises `UserError` with one line."""
        model = load_run_model(run, which)
        spec = model.spec
        if spec.task != "classification":
            raise UserError(
                f"the run {run.name} is a {spec.task}: images can be classified by a classification run only"
            )
        if len(spec.shape) != 3:
            raise UserError(
                f"{run.name} was trained on numbers, not on images; to classify numbers: "
                f"workbench classify --run {run.name} {','.join(['0.5'] * min(4, math.prod(spec.shape)))}"
            )
        transform = RunTransform(
            spec.shape, spec.preprocessing, image_input(model), has_fit=_dataset_has_fit(run)
        )
        channels_last = catalog.find(spec.model.name).published
        return cls(
            run.name, model.module, spec.classes, transform, pick_device(device), model.notices, spec.model.name,
            channels_last,
        )  # fmt: skip

    @classmethod
    def from_published(
        cls,
        name: str,
        weights: Path | None = None,
        labels: Sequence[str] | None = None,
        device: str = "auto",
        *,
        loading: WeightsLoading | None = None,
    ) -> Classifier:
        """An architecture of torchvision or timm with its published weights, or those in a file, and its transforms.

        Raises `UserError`: unknown model, weights that are not available or do not fit, wrong number of labels.
        """
        info = catalog.find(name)
        if not info.published:
            raise UserError(
                f"{info.name} has no published weights: choose a run (--run) or a model such as resnet18"
            )
        library, source = published.library(info), str(weights or "")
        outputs = (library.output_count(info, weights) if weights else None) or info.classes
        if labels is None and weights and outputs != info.classes:
            raise UserError(
                f"the weights in {weights} have {outputs:,} outputs: pass their names (--labels FILE)"
            )
        classes = library.published_classes(info) if labels is None else ()
        if labels is not None:
            classes = labels_for_outputs(labels, outputs, source or name)
        request = WeightsRequest(source, with_head=True, loading=loading or WeightsLoading())
        module, loaded = library.build_pretrained(info, outputs, info.input_size, request)
        notices = (loaded.describe(),) if source else ()
        transform = PublishedTransform(library.published_transforms(info))
        return cls(name, module, classes, transform, pick_device(device), notices, channels_last=True)

    def for_samples(self) -> Classifier:
        """This classifier, for images that show the pixels of a sample of its dataset."""
        return replace(self, transform=self.transform.for_samples())

    @property
    def output_kind(self) -> OutputKind:
        """What the outputs of the model are."""
        return output_kind(self.module)

    def classify(self, images: Sequence[Image.Image]) -> Tensor:
        """Probabilities of open images: float32 [N, classes] on the CPU, rows summing to 1."""
        return self.probabilities(self._logits([self.transform.to_tensor(image) for image in images]))

    def predict_image(self, image: Image.Image, k: int = 5) -> tuple[Prediction, ...]:
        """The `k` most probable classes of one open image."""
        return self._top(self._logits([self.transform.to_tensor(image)]), k)[0]

    def predict(
        self,
        sources: Iterable[str | Path],
        k: int = 5,
        progress: ProgressCallback = ignore_progress,
        cancelled: CancelCheck = never_cancelled,
        counts: ChangeCounts | None = None,
    ) -> Iterator[ImageResult]:
        """The result for each path or http(s) URL, in order; with an error for one that can't be opened.

        `counts` gets what the model does not see of the images, or sees otherwise. The next images are decoded by all
        cores during the forward pass of the current ones. Raises `Cancelled`.
        """
        names = [str(source) for source in sources]
        done, finished = 0, threading.Event()

        def load_input(name: str) -> LoadedImage:
            image = open_source(name, progress, lambda: finished.is_set() or cancelled())
            return self.transform.to_tensor(image), self.transform.changes(image)

        def submit(chunk: Sequence[str]) -> list[tuple[str, Future[LoadedImage]]]:
            return [(name, pool.submit(load_input, name)) for name in chunk]

        with ThreadPoolExecutor(usable_cores()) as pool:
            chunks = iter(_chunks(names, BATCH))
            submitted = [submit(chunk) for chunk in itertools.islice(chunks, 2)]
            try:
                while submitted:
                    if cancelled():
                        raise Cancelled
                    chunk = submitted.pop(0)
                    submitted += [submit(more) for more in itertools.islice(chunks, 1)]
                    yield from self._predict_chunk(chunk, k, counts or ChangeCounts())
                    done += len(chunk)
                    progress(Progress("classifying", done, len(names), "images"))
            finally:
                finished.set()  # stops downloads whose result is no longer needed
                pool.shutdown(cancel_futures=True)

    def _predict_chunk(
        self, chunk: Sequence[tuple[str, Future[LoadedImage]]], k: int, counts: ChangeCounts
    ) -> Iterator[ImageResult]:
        tensors, errors = {}, {}
        for position, (_, future) in enumerate(chunk):
            try:
                tensors[position], changes = future.result()
                counts.add(changes)
            except UserError as error:
                errors[position] = str(error)
        tops = dict(zip(tensors, self._top(self._logits(list(tensors.values())), k), strict=True))
        for position, (name, _) in enumerate(chunk):
            if position in errors:
                yield ImageResult(name, errors[position])
            else:
                yield ImageResult(name, None, tops[position])

    def logits(self, batch: Tensor) -> Tensor:
        """The outputs of the model, float32 [N, classes] on the CPU, for inputs on its device."""
        if self.channels_last:
            batch = batch.contiguous(memory_format=torch.channels_last)
        with torch.inference_mode(), user_code_errors(self.code):
            outputs = torch.cat([self.module(part).float().cpu() for part in self._split_for_cpu(batch)])
        if outputs.shape[1] != len(self.classes):
            raise UserError(
                f"{self.name} has {outputs.shape[1]} outputs, but {len(self.classes)} class names are known"
            )
        return outputs

    def _split_for_cpu(self, batch: Tensor) -> tuple[Tensor, ...]:
        if batch.device.type != "cpu":
            return (batch,)
        parts: tuple[Tensor, ...] = batch.split(max(1, CPU_BATCH_VALUES // max(1, batch[0].numel())))
        return parts

    def probabilities(self, logits: Tensor) -> Tensor:
        """Probabilities, float32 [N, classes], rows summing to 1."""
        return probabilities(self.module, logits)

    def _logits(self, images: Sequence[Tensor]) -> Tensor:
        if not images:
            return torch.empty(0, len(self.classes))
        return self.logits(self.transform.batch(images, self.device))

    def _top(self, logits: Tensor, k: int) -> list[tuple[Prediction, ...]]:
        """The `k` most probable classes of each row."""
        values, indices = top_k(self.probabilities(logits), k)
        top_logits: list[list[float | None]] = logits.gather(1, indices).tolist()
        if self.output_kind is not OutputKind.LOGITS:
            top_logits = [[None] * indices.shape[1] for _ in top_logits]
        return [
            tuple(Prediction(i, self.classes[i], p, x) for i, p, x in zip(*row, strict=True))
            for row in zip(indices.tolist(), values.tolist(), top_logits, strict=True)
        ]


def _dataset_has_fit(run: Path) -> bool:
    """Whether the dataset of a run has the setting `data.fit`."""
    experiment = read_experiment(RunFolder(run).experiment)
    try:
        options = datasets.find(experiment.data.name).options if experiment else None
    except UserError:
        return False
    return options is not None and "fit" in options.__struct_fields__


def _chunks(names: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(names), size):
        yield names[start : start + size]
