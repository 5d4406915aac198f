"""Evaluations of a script's classification, recorded like those of our own trainings."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from workbench.core.errors import UserError
from workbench.runs.evaluation import TOP_K, ClassifiedSamples, Evaluation, classification_evaluation
from workbench.runs.evaluation_writer import write_evaluation
from workbench.runs.metrics import EvaluationRow, Wall
from workbench.runs.run_folder import RunFolder

MAX_CLASSES = 10_000


def log_evaluation(
    folder: RunFolder,
    labels: Any,
    predictions: Any,
    probabilities: Any,
    *,
    classes: Sequence[str] | None,
    paths: Sequence[str] | None,
    split: str,
    step: int,
) -> EvaluationRow:
    """Write an evaluation's files, and return its row of metrics. Raises `UserError` and `OSError`."""
    evaluation = evaluate_predictions(labels, predictions, probabilities, classes, split)
    if paths is not None and len(paths) != evaluation.count:
        raise UserError(f"there are {len(paths)} paths for {evaluation.count} labels")
    folder.evaluations.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_evaluation(evaluation, folder, step, 0, paths=tuple(map(str, paths or ())))
    row = EvaluationRow(step=step, split=split, wall=Wall(time=round(time.time(), 3)))
    return msgspec.structs.replace(row, **evaluation.scores)


def evaluate_predictions(
    labels: Any, predictions: Any, probabilities: Any, classes: Sequence[str] | None, split: str
) -> Evaluation:
    """The evaluation of N samples: labels and predictions [N] as indices or names, or probabilities [N, classes].

    Raises `UserError` for anything else.
    """
    if not re.fullmatch(r"[\w.-]{1,40}", split):
        raise UserError(f"{split!r} is no name of a split: use letters, digits, and - _ .")
    if (predictions is None) == (probabilities is None):
        raise UserError("give either predictions or probabilities")
    chances = None if probabilities is None else _to_array(probabilities).astype(np.float64)
    if chances is not None and (chances.ndim != 2 or not chances.size or not np.isfinite(chances).all()):
        raise UserError(
            f"probabilities of shape {chances.shape} are not [samples, classes] of finite numbers"
        )
    given = _to_array(labels), None if predictions is None else _to_array(predictions)
    names = _class_names(given, classes, 0 if chances is None else chances.shape[1])
    truth = _to_indices(given[0], names, "labels")
    if chances is None:
        top = _to_indices(given[1], names, "predictions")[:, None]
        chances = np.zeros((len(top), len(names)))
        chances[np.arange(len(top)), top[:, 0]] = 1.0
        loss = None
    else:
        top = np.argsort(-chances, axis=1, kind="stable")[:, :TOP_K]
        loss = _log_loss(chances, truth)
    if len(truth) != len(top) or not len(truth):
        raise UserError(f"there are {len(truth)} labels and {len(top)} predictions")
    rows = np.arange(len(truth))
    samples = ClassifiedSamples(truth, top, chances[rows, truth], chances[rows, top[:, 0]])
    return classification_evaluation(split, names, samples, loss)


def _to_array(values: Any) -> np.ndarray:
    if hasattr(values, "detach"):
        values = (
            values.detach().cpu().float().numpy()
            if values.is_floating_point()
            else values.detach().cpu().numpy()
        )
    try:
        return np.asarray(values)
    except ValueError as error:
        raise UserError(f"values of different lengths: {error}") from None


def _class_names(
    given: tuple[np.ndarray, np.ndarray | None], classes: Sequence[str] | None, count: int
) -> tuple[str, ...]:
    """The names by index: as given, else the names or the numbers that occur."""
    if classes is not None:
        names = tuple(map(str, classes))
        if count and len(names) != count:
            raise UserError(f"there are {len(names)} class names for {count} probabilities a sample")
        return names
    if count:
        return tuple(map(str, range(count)))
    parts = [part for part in given if part is not None]
    if any(part.dtype.kind in "US" for part in parts):
        return tuple(sorted({str(value) for part in parts for value in part.ravel()}))
    highest = max((int(part.max()) for part in parts if part.size and part.dtype.kind in "iub"), default=0)
    if not 0 <= highest < MAX_CLASSES:
        raise UserError(f"the class index {highest} is out of range; give the names with classes=")
    return tuple(map(str, range(highest + 1)))


def _to_indices(values: np.ndarray | None, names: tuple[str, ...], what: str) -> np.ndarray:
    """Class indices, int64 [N]."""
    if values is None or values.ndim != 1:
        raise UserError(f"{what} must be one class for each sample")
    if values.dtype.kind in "US":
        index = {name: position for position, name in enumerate(names)}
        unknown = next((value for value in map(str, values) if value not in index), None)
        if unknown is not None:
            raise UserError(f"{what}: {unknown!r} is none of the classes")
        return np.array([index[str(value)] for value in values], np.int64)
    if values.dtype.kind == "f" and not (np.isfinite(values).all() and (values == np.floor(values)).all()):
        raise UserError(f"{what} must be class indices or names")
    if values.dtype.kind not in "iubf":
        raise UserError(f"{what} must be class indices or names")
    indices = values.astype(np.int64)
    if indices.size and not (indices.min() >= 0 and indices.max() < len(names)):
        raise UserError(
            f"{what} go from {indices.min()} to {indices.max()}, but there are {len(names)} classes"
        )
    return indices


def _log_loss(chances: np.ndarray, truth: np.ndarray) -> float:
    """The mean cross-entropy of probabilities, clipped like scikit-learn's `log_loss`."""
    if len(truth) != len(chances):
        raise UserError(f"there are {len(truth)} labels for {len(chances)} rows of probabilities")
    smallest = np.finfo(np.float64).eps
    true = chances[np.arange(len(truth)), truth] / chances.sum(axis=1)
    return float(-np.log(true.clip(smallest, 1.0)).mean())
