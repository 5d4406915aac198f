"""How good a model is on one split: figures over all, figures class by class, and what it said to each example."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workbench.engine.batches import Batches, in_order
from workbench.engine.data_placement import Source
from workbench.engine.device import Precision
from workbench.engine.task import Task, like
from workbench.models.outputs import probabilities, top_k
from workbench.runs.metrics import ClassMetrics

TOP_K = 5
BATCH_BYTES = 32_000_000
"""Inputs of one batch: large enough to keep any device busy, small enough for its memory."""


@dataclass(frozen=True)
class Evaluation:
    """What was measured on one split.

    `scores`: metrics over all samples, by the names of `EvaluationRow.METRICS`; `per_class`, `confusion` (true class,
    predicted class, samples; only what is not 0) and `records` (a numpy array of one structured record a sample, see
    `write`).
    """

    split: str
    count: int
    scores: dict[str, float]
    records: np.ndarray
    per_class: tuple[ClassMetrics, ...] = ()
    confusion: tuple[tuple[int, int, int], ...] = ()


def evaluate(
    module: nn.Module,
    source: Source,
    task: Task,
    *,
    split: str,
    classes: Sequence[str],
    precision: Precision,
    between: Callable[[], None] = lambda: None,
    batch_size: int | None = None,
    tta: str = "none",
) -> Evaluation:
    """Measure `module` on all of `source`, in evaluation mode, without gradients.

    The loss is the plain cross-entropy (or squared error), whatever training follows, so that runs with other
    loss settings can be compared; of a module that gives probabilities, it is that of the numbers it gives.
    `between` is called after each batch. The module's mode is put back. With test-time augmentation (`tta`, as
    `train.tta`) there is a score more, `tta_accuracy`; all others are of the pictures as they are.
    """
    size = batch_size or at_once(source)
    with evaluation_mode(module):
        outputs = _outputs(module, in_order(source, size), precision, between)
    targets = source.targets.cpu()
    if task.name == "regression":
        return _regression(outputs, targets, split)
    chances = probabilities(module, outputs.double())
    found = _classification(outputs, chances, targets, split, classes)
    if tta != "none":
        with evaluation_mode(module):
            seen = _outputs(seen_often(module, tta), in_order(source, size), precision, between)
        found.scores["tta_accuracy"] = int((seen.argmax(1) == targets).sum()) / len(targets)
    return found


def at_once(source: Source, limit: int = 0) -> int:
    """How many examples are evaluated at once: as many as are quick, no more than `limit` unless that is 0."""
    quick = max(1, min(1024, BATCH_BYTES // source.example_bytes))
    return min(quick, limit) if limit else quick


def seen_often(module: Callable[[Tensor], Tensor], how: str) -> Callable[[Tensor], Tensor]:
    """`module` whose outputs are means over views, as `train.tta` names them; `none` is the module itself.

    `mirror`: a picture and its mirror image. `translate`: half of it that, the other half the same of the picture
    moved by one pixel to the upper left and to the lower right, its border mirrored (airbench94's; Jordan,
    arXiv:2404.00498, section 3.5). Inputs: float [N, C, H, W].
    """
    if how == "none":
        return module

    def mirrored(x: Tensor) -> Tensor:
        return (module(x) + module(x.flip(-1))) / 2

    def moved(x: Tensor) -> Tensor:
        padded = F.pad(x, (1, 1, 1, 1), "reflect")
        return mirrored(x) / 2 + (mirrored(padded[..., :-2, :-2]) + mirrored(padded[..., 2:, 2:])) / 4

    return mirrored if how == "mirror" else moved


@contextmanager
def evaluation_mode(module: nn.Module) -> Iterator[None]:
    """`module` in evaluation mode and without gradients; the mode of each of its parts is put back."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        for part, mode in modes:
            part.training = mode


def _outputs(
    module: Callable[[Tensor], Tensor], batches: Batches, precision: Precision, between: Callable[[], None]
) -> Tensor:
    """What the module says to every example: float32 [N, ...] on the CPU."""
    said = []
    for batch in batches.starting_at(0):
        with precision.autocast():
            outputs = module(batch.inputs)
        said.append(outputs.float())
        between()
    return torch.cat(said).cpu()


def _classification(
    outputs: Tensor, chances: Tensor, targets: Tensor, split: str, classes: Sequence[str]
) -> Evaluation:
    """`chances`: the outputs as probabilities, float64 [N, classes]."""
    count, n = len(targets), len(classes)
    top = top_k(outputs, TOP_K).indices
    confusion = torch.bincount(targets * n + top[:, 0], minlength=n * n).reshape(n, n)
    per_class = class_figures(confusion, classes)
    scores = {"loss": float(F.cross_entropy(outputs.double(), targets)), **summary(confusion)}
    if n > 10:
        scores["top5"] = int((top == targets[:, None]).sum()) / count
    records = np.zeros(
        count, [("index", "<u4"), ("label", "<u2"), ("top", "<u2", (top.shape[1],)), ("probability", "<f4")]
    )
    records["index"] = np.arange(count)
    records["label"], records["top"] = targets.numpy(), top.numpy()
    records["probability"] = chances.gather(1, targets[:, None])[:, 0].numpy()
    pairs = tuple((t, p, int(confusion[t, p])) for t, p in torch.nonzero(confusion).tolist())
    return Evaluation(split, count, scores, records, per_class, pairs)


def summary(confusion: Tensor) -> dict[str, float]:
    """Accuracy, balanced accuracy and macro-F1 of a confusion matrix (rows: true, columns: predicted).

    As scikit-learn has them: the balanced accuracy is the mean recall of classes that have examples, the
    macro-F1 the mean F1 of classes that have examples or were predicted.
    """
    hits, support, predicted = confusion.diagonal().double(), confusion.sum(1), confusion.sum(0)
    seen, named = support > 0, support + predicted > 0
    recall = hits[seen] / support[seen]
    f1 = 2 * hits[named] / (support + predicted)[named]
    return {
        "accuracy": int(hits.sum()) / int(support.sum()),
        "balanced_accuracy": float(recall.mean()),
        "macro_f1": float(f1.mean()),
    }


def class_figures(confusion: Tensor, classes: Sequence[str]) -> tuple[ClassMetrics, ...]:
    """Accuracy (its recall), precision, recall, F1 and support of every class.

    `None` where a metric is undefined: no samples (recall), never predicted (precision), neither (F1).
    """
    hits, support, predicted = confusion.diagonal(), confusion.sum(1), confusion.sum(0)
    counts = zip(classes, hits.tolist(), support.tolist(), predicted.tolist(), strict=True)
    return tuple(_class_metrics(*row) for row in counts)


def _class_metrics(name: str, hits: int, support: int, predicted: int) -> ClassMetrics:
    recall = _ratio(hits, support)
    return ClassMetrics(
        name=name,
        accuracy=recall,
        precision=_ratio(hits, predicted),
        recall=recall,
        f1=_ratio(2 * hits, support + predicted),
        support=support,
    )


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _regression(outputs: Tensor, targets: Tensor, split: str) -> Evaluation:
    said, wanted = like(outputs, targets).double().flatten(1 if targets.ndim > 1 else 0), targets.double()
    said, wanted = said.reshape(len(targets), -1), wanted.reshape(len(targets), -1)
    error = said - wanted
    mse = float((error**2).mean())
    spread = ((wanted - wanted.mean(0)) ** 2).sum(0)
    r2 = (1 - (error**2).sum(0) / spread).mean()
    records = np.zeros(
        len(targets),
        [("index", "<u4"), ("target", "<f4", (said.shape[1],)), ("output", "<f4", (said.shape[1],))],
    )
    records["index"] = np.arange(len(targets))
    records["target"], records["output"] = wanted.numpy(), said.numpy()
    scores = {"loss": mse, "mse": mse, "mae": float(error.abs().mean()), "r2": float(r2)}
    return Evaluation(split, len(targets), scores, records)
