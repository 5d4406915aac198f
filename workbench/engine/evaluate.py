"""Evaluation of a model on one split: overall metrics, metrics per class, and the prediction for each sample."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workbench.engine.batches import Batches, sequential_batches
from workbench.engine.data_placement import PlacedSplit
from workbench.engine.device import Precision
from workbench.engine.task import Task, reshape_like
from workbench.models.outputs import probabilities
from workbench.models.top_k import top_k
from workbench.runs.metrics import ClassMetrics

TOP_K = 5
EVAL_BATCH_BYTES = 32_000_000
"""Size of one batch's inputs: large enough to keep any device busy, small enough for its memory."""


@dataclass(frozen=True)
class Evaluation:
    """The result of an evaluation on one split.

    `scores`: metrics over all samples, by the names of `EvaluationRow.METRICS`. `confusion`: (true class, predicted
    class, count) of the non-zero cells. `records`: a structured numpy array with one record per sample, of the dtype
    that `_classification` and `_regression` define.
    """

    split: str
    count: int
    scores: dict[str, float]
    records: np.ndarray
    per_class: tuple[ClassMetrics, ...] = ()
    confusion: tuple[tuple[int, int, int], ...] = ()


def evaluate(
    module: nn.Module,
    placed_split: PlacedSplit,
    task: Task,
    *,
    split: str,
    classes: Sequence[str],
    precision: Precision,
    after_batch: Callable[[], None] = lambda: None,
    batch_size: int | None = None,
    tta: str = "none",
) -> Evaluation:
    """Evaluate `module` on all samples of `placed_split`, in evaluation mode, without gradients.

    The loss is the plain cross-entropy (or squared error) whatever the training loss is, so that runs with different
    loss settings can be compared. `after_batch` is called after each batch, and may raise to abort. The mode of the
    module is restored. With test-time augmentation (`tta`, as `train.tta`), `scores` also has `tta_accuracy`; all
    other scores are without it.
    """
    size = batch_size or eval_batch_size(placed_split)
    with evaluation_mode(module):
        outputs = _outputs(module, sequential_batches(placed_split, size), precision, after_batch)
    targets = placed_split.targets.cpu()
    if task.name == "regression":
        return _regression(outputs, targets, split)
    class_probabilities = probabilities(module, outputs.double())
    evaluation = _classification(outputs, class_probabilities, targets, split, classes)
    if tta != "none":
        with evaluation_mode(module):
            averaged = _outputs(
                with_tta(module, tta), sequential_batches(placed_split, size), precision, after_batch
            )
        evaluation.scores["tta_accuracy"] = _accuracy(averaged, targets)
    return evaluation


def eval_batch_size(placed_split: PlacedSplit, limit: int = 0) -> int:
    """The batch size of an evaluation, at most 1,024 and at most `limit` (0: no limit)."""
    size = max(1, min(1024, EVAL_BATCH_BYTES // placed_split.sample_bytes))
    return min(size, limit) if limit else size


def with_tta(module: Callable[[Tensor], Tensor], how: str) -> Callable[[Tensor], Tensor]:
    """`module` with test-time augmentation `how` (as `train.tta`): outputs are averaged over several views of an image.

    `mirror`: the image and its mirror image. `translate`: half the weight on those two, half on the same two of the
    image moved by one pixel to the upper left and to the lower right with reflected borders (airbench94; Jordan,
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
    """Put `module` into evaluation mode without gradients; the mode of each submodule is restored afterwards."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        for part, mode in modes:
            part.training = mode


def _outputs(
    module: Callable[[Tensor], Tensor],
    batches: Batches,
    precision: Precision,
    after_batch: Callable[[], None],
) -> Tensor:
    """The outputs of the module for all samples: float32 [N, ...] on the CPU."""
    collected = []
    for batch in batches.iter_from(0):
        with precision.autocast():
            outputs = module(batch.inputs)
        collected.append(outputs.float())
        after_batch()
    return torch.cat(collected).cpu()


def _classification(
    outputs: Tensor, class_probabilities: Tensor, targets: Tensor, split: str, classes: Sequence[str]
) -> Evaluation:
    """The evaluation of logits `outputs` [N, classes]; `chances`: their probabilities, float64 [N, classes]."""
    count, n = len(targets), len(classes)
    top = top_k(outputs, TOP_K).indices
    confusion = torch.bincount(targets * n + top[:, 0], minlength=n * n).reshape(n, n)
    per_class = per_class_metrics(confusion, classes)
    scores = {"loss": float(F.cross_entropy(outputs.double(), targets)), **confusion_metrics(confusion)}
    if n > 10:
        scores["top5"] = int((top == targets[:, None]).sum()) / count
    records = np.zeros(
        count, [("index", "<u4"), ("label", "<u2"), ("top", "<u2", (top.shape[1],)), ("probability", "<f4")]
    )
    records["index"] = np.arange(count)
    records["label"], records["top"] = targets.numpy(), top.numpy()
    records["probability"] = class_probabilities.gather(1, targets[:, None])[:, 0].numpy()
    pairs = tuple((t, p, int(confusion[t, p])) for t, p in torch.nonzero(confusion).tolist())
    return Evaluation(split, count, scores, records, per_class, pairs)


def confusion_metrics(confusion: Tensor) -> dict[str, float]:
    """Accuracy, balanced accuracy and macro-F1 of a confusion matrix (rows: true, columns: predicted).

    Defined as in scikit-learn: balanced accuracy is the mean recall of classes with samples, macro-F1 the mean F1 of
    classes that have samples or were predicted.
    """
    hits, support, predicted = confusion.diagonal().double(), confusion.sum(1), confusion.sum(0)
    has_samples, relevant = support > 0, support + predicted > 0
    recall = hits[has_samples] / support[has_samples]
    f1 = 2 * hits[relevant] / (support + predicted)[relevant]
    return {
        "accuracy": int(hits.sum()) / int(support.sum()),
        "balanced_accuracy": float(recall.mean()),
        "macro_f1": float(f1.mean()),
    }


def per_class_metrics(confusion: Tensor, classes: Sequence[str]) -> tuple[ClassMetrics, ...]:
    """Accuracy (which is its recall), precision, recall, F1 and support of each class.

    `confusion`: int64 [classes, classes] (rows: true, columns: predicted). A metric is `None` where it is undefined:
    recall without samples, precision without predictions, F1 without both.
    """
    hits, support, predicted = confusion.diagonal(), confusion.sum(1), confusion.sum(0)
    counts = zip(classes, hits.tolist(), support.tolist(), predicted.tolist(), strict=True)
    return tuple(_metrics_of_class(*row) for row in counts)


def _metrics_of_class(name: str, hits: int, support: int, predicted: int) -> ClassMetrics:
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


def _accuracy(outputs: Tensor, targets: Tensor) -> float:
    return int((outputs.argmax(1) == targets).sum()) / len(targets)


def _regression(outputs: Tensor, targets: Tensor, split: str) -> Evaluation:
    predictions, expected = (
        reshape_like(outputs, targets).double().flatten(1 if targets.ndim > 1 else 0),
        targets.double(),
    )
    predictions, expected = predictions.reshape(len(targets), -1), expected.reshape(len(targets), -1)
    error = predictions - expected
    mse = float((error**2).mean())
    spread = ((expected - expected.mean(0)) ** 2).sum(0)
    r2 = (1 - (error**2).sum(0) / spread).mean()
    records = np.zeros(
        len(targets),
        [
            ("index", "<u4"),
            ("target", "<f4", (predictions.shape[1],)),
            ("output", "<f4", (predictions.shape[1],)),
        ],
    )
    records["index"] = np.arange(len(targets))
    records["target"], records["output"] = expected.numpy(), predictions.numpy()
    scores = {"loss": mse, "mse": mse, "mae": float(error.abs().mean()), "r2": float(r2)}
    return Evaluation(split, len(targets), scores, records)
