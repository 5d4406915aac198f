"""The metrics of a classification from its predictions: overall, per class, and one record per sample.

They are computed with numpy, so that scripts without torch can have them too; the screen never imports this module.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from workbench.runs.metrics import ClassMetrics

TOP_K = 5
MIN_CLASSES_OF_TOP5 = 11
"""From so many classes on, top-5 accuracy says something."""


@dataclass(frozen=True)
class Evaluation:
    """The result of an evaluation on one split.

    `scores`: metrics over all samples, by the names of `EvaluationRow.METRICS`. `confusion`: (true class, predicted
    class, count) of the non-zero cells. `records`: a structured numpy array with one record per sample, of the dtype
    that `classification_evaluation` and the regression of `engine.evaluate` define.
    """

    split: str
    count: int
    scores: dict[str, float]
    records: np.ndarray
    per_class: tuple[ClassMetrics, ...] = ()
    confusion: tuple[tuple[int, int, int], ...] = ()


@dataclass(frozen=True)
class ClassifiedSamples:
    """The predictions for N samples."""

    labels: np.ndarray
    """int [N]: true classes."""
    top: np.ndarray
    """int [N, k ≤ 5]: predicted classes, best first."""
    probability: np.ndarray
    """float [N], of the true class."""
    confidence: np.ndarray
    """float [N], of the predicted class."""


def classification_evaluation(
    split: str, classes: Sequence[str], samples: ClassifiedSamples, loss: float | None
) -> Evaluation:
    """The evaluation of a classification; `loss`: its mean cross-entropy, if known."""
    labels, top = samples.labels, samples.top
    count, n = len(labels), len(classes)
    confusion = np.bincount(labels * n + top[:, 0], minlength=n * n).reshape(n, n)
    scores = {**({} if loss is None else {"loss": loss}), **confusion_metrics(confusion)}
    if n >= MIN_CLASSES_OF_TOP5 and top.shape[1] == TOP_K:
        scores["top5"] = int((top == labels[:, None]).sum()) / count
    ranks, shares = ("top", "<u2", (top.shape[1],)), [("probability", "<f4"), ("confidence", "<f4")]
    records = np.zeros(count, [("index", "<u4"), ("label", "<u2"), ranks, *shares])
    records["index"] = np.arange(count)
    records["label"], records["top"] = labels, top
    records["probability"], records["confidence"] = samples.probability, samples.confidence
    pairs = tuple((int(t), int(p), int(confusion[t, p])) for t, p in np.argwhere(confusion))
    return Evaluation(split, count, scores, records, per_class_metrics(confusion, classes), pairs)


def confusion_metrics(confusion: np.ndarray) -> dict[str, float]:
    """Accuracy, balanced accuracy and macro-F1 of a confusion matrix (rows: true, columns: predicted).

    Defined as in scikit-learn: balanced accuracy is the mean recall of classes with samples, macro-F1 the mean F1 of
    classes that have samples or were predicted.
    """
    hits, support, predicted = confusion.diagonal(), confusion.sum(1), confusion.sum(0)
    has_samples, relevant = support > 0, support + predicted > 0
    recall = hits[has_samples] / support[has_samples]
    f1 = 2 * hits[relevant] / (support + predicted)[relevant]
    return {
        "accuracy": int(hits.sum()) / int(support.sum()),
        "balanced_accuracy": float(recall.mean()),
        "macro_f1": float(f1.mean()),
    }


def per_class_metrics(confusion: np.ndarray, classes: Sequence[str]) -> tuple[ClassMetrics, ...]:
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
