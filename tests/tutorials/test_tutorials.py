"""Each recipe learns what its tutorial's own script learns: the same means over seeds, within their scatter."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from torch.utils.data import TensorDataset

from tests.tutorials import cifar10_convnet, mnist_mlp, points
from tests.worker.support import run_until
from workbench.config.experiment import build_experiment
from workbench.core.settings_schema import Choice
from workbench.datasets.loader import load
from workbench.io.atomic_files import write_json
from workbench.runs.run_folder import create_run_folder
from workbench.runs.run_report import RunReport, read_report

SEEDS = range(3)


def ours(home: Path, recipe: str, seed: int, *sets: str) -> RunReport:
    """What a run of the recipe with this seed amounts to."""
    experiment = build_experiment(recipe, sets=[f"seed={seed}", "train.threads=1", "train.device=cpu", *sets])
    folder = create_run_folder(home / "runs", recipe)
    write_json(folder.experiment, experiment.to_dict())
    run_until(folder, None)
    return read_report(folder)


def results(home: Path, recipe: str, *sets: str) -> np.ndarray:
    """Test loss and accuracy of every seed: [seeds, 2]."""
    found = [ours(home, recipe, seed, *sets).test or {} for seed in SEEDS]
    return np.array([[test["loss"], test["accuracy"]] for test in found])


def distance(a: np.ndarray, b: Sequence[tuple[float, float]]) -> np.ndarray:
    """Between the means of two samples, in standard errors of that difference (Welch's t), per column."""
    b = np.asarray(b)
    error = np.sqrt(a.var(0, ddof=1) / len(a) + b.var(0, ddof=1) / len(b))
    return np.abs(a.mean(0) - b.mean(0)) / np.maximum(error, 1e-9)


@pytest.mark.parametrize(("recipe", "softmax"), [("mnist-mlp", True), ("mnist-mlp-logits", False)])
def test_mnist(home: Path, mnist: Path, recipe: str, softmax: bool) -> None:
    theirs = [mnist_mlp.learn(str(mnist), 100 + seed, softmax=softmax) for seed in SEEDS]
    assert (distance(results(home, recipe), theirs) < 3.5).all()


def test_a_different_training_would_be_noticed(home: Path, mnist: Path) -> None:
    theirs = [mnist_mlp.learn(str(mnist), 100 + seed, softmax=False) for seed in SEEDS]
    assert distance(results(home, "mnist-mlp-logits", "train.normalize=auto"), theirs)[0] > 5


def test_cifar10(home: Path, cifar10: Path) -> None:
    theirs = [cifar10_convnet.learn(str(cifar10), 100 + seed, lr=0.005) for seed in SEEDS]
    assert np.mean(theirs, 0)[1] > 0.5
    # A larger rate than the recipe's, so that so few images teach something in two epochs.
    assert (distance(results(home, "cifar10-convnet", "train.lr=0.005"), theirs) < 3.5).all()


def test_line_regression_equals_the_tutorial(home: Path) -> None:
    train = load(Choice("line")).train
    theirs = [points.fit_line(train.inputs, train.targets, 100 + seed) for seed in SEEDS]
    references = [ours(home, "line-regression", seed).reference for seed in SEEDS]
    weights = [reference.ours for reference in references if reference is not None]
    assert all(reference is not None and reference.within for reference in references)
    assert abs(np.mean(weights) - np.mean(theirs)) < 3.5 * np.hypot(np.std(weights), np.std(theirs))


@pytest.mark.parametrize("optimizer", ["rmsprop", "sgd"])
def test_two_clusters(home: Path, optimizer: str) -> None:
    data = load(Choice("clusters"))
    train, test = (TensorDataset(split.inputs, split.targets) for split in (data.train, data.test))
    theirs = [points.tell_clusters_apart(train, test, 100 + s, optimizer=optimizer) for s in SEEDS]
    reached = results(home, "two-clusters" + ("-sgd" if optimizer == "sgd" else ""))
    assert (distance(reached, theirs) < 3.5).all()
    assert (reached[:, 1] == 1).all()
