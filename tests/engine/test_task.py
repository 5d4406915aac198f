from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch import nn

from workbench.config.training_settings import TrainingSettings
from workbench.core.errors import RunFailed
from workbench.datasets.dataset import Dataset, Split
from workbench.engine.task import (
    Classification,
    Regression,
    balanced_class_weights,
    make_task,
    precision_setting,
)

CPU = torch.device("cpu")


def test_balanced_class_weights_equal_scikit_learns() -> None:
    targets = torch.tensor([0] * 70 + [1] * 29 + [2])
    theirs = compute_class_weight("balanced", classes=np.arange(3), y=targets.numpy())
    assert balanced_class_weights(targets, 3).tolist() == pytest.approx(theirs.tolist())
    assert balanced_class_weights(targets, 4)[3] == 0


def test_a_classification_counts_correct_predictions() -> None:
    task = Classification(3)
    outputs, targets = torch.eye(3), torch.tensor([0, 1, 0])
    assert task.num_correct(outputs, targets) == 2
    assert task.loss(outputs, targets) == nn.CrossEntropyLoss()(outputs, targets)


def test_settings_reach_the_loss() -> None:
    split = Split(torch.zeros(4, 1), torch.tensor([0, 0, 0, 1]))
    data = Dataset("classification", ("a", "b"), split, None, split)
    outputs, targets = torch.randn(4, 2), split.targets
    task = make_task(data, TrainingSettings(label_smoothing=0.1, class_weights="balanced"), CPU)
    weights = balanced_class_weights(targets, 2)
    theirs = nn.CrossEntropyLoss(weight=weights, label_smoothing=0.1)(outputs, targets)
    assert task.loss(outputs, targets) == theirs
    assert task.num_outputs == 2
    assert make_task(data, TrainingSettings(), CPU).loss(outputs, targets) == nn.CrossEntropyLoss()(
        outputs, targets
    )


def test_a_regression_computes_in_full_precision_by_default() -> None:
    assert precision_setting(TrainingSettings(), "regression") == "fp32"
    assert precision_setting(TrainingSettings(), "classification") == "auto"
    assert precision_setting(TrainingSettings(precision="bf16"), "regression") == "bf16"


def test_a_regression_never_broadcasts_over_pairs() -> None:
    wanted = torch.tensor([1.0, 2.0, 3.0])
    assert Regression(1).loss(wanted[:, None] + 1, wanted) == 1.0
    assert Regression(1).num_correct(wanted, wanted) is None
    with pytest.raises(RunFailed, match=r"output shape per sample is \(2,\)"):
        Regression(1).loss(torch.zeros(3, 2), wanted)
    for targets, outputs in ((wanted, 1), (wanted[:, None], 1), (torch.zeros(3, 2, 2), 4)):
        data = Dataset("regression", (), *[Split(torch.zeros(3, 1), targets)] * 3)
        assert make_task(data, TrainingSettings(), CPU).num_outputs == outputs
