"""Datasets that need no network."""

from __future__ import annotations

import pytest
import torch

from workbench.core.errors import UserError
from workbench.core.progress import Cancelled
from workbench.core.settings_schema import Choice
from workbench.datasets.builtin import SHAPES
from workbench.datasets.loader import load


def same(first, second):
    return torch.equal(first.inputs, second.inputs) and torch.equal(first.targets, second.targets)


def test_digits_are_whole_and_split_evenly():
    data = load(Choice("digits"))
    assert len(data.train) + len(data.test) == 1797
    assert data.train.inputs.dtype == torch.uint8
    assert data.train.inputs.shape[1:] == (1, 8, 8)
    assert int(data.train.inputs.max()) == 255
    shares = torch.bincount(data.test.targets) / (
        torch.bincount(data.test.targets) + torch.bincount(data.train.targets)
    )
    assert (shares - 0.2).abs().max() < 0.01


def test_digits_are_those_of_scikit_learn():
    from sklearn.datasets import load_digits

    theirs, data = load_digits(), load(Choice("digits"))
    images = torch.cat([data.train.inputs, data.test.inputs]).reshape(1797, 64)
    labels = torch.cat([data.train.targets, data.test.targets])
    expected = torch.from_numpy(theirs.images).mul(255 / 16).round().to(torch.uint8).reshape(1797, 64)
    mine = sorted(zip(images.tolist(), labels.tolist(), strict=True))
    assert mine == sorted(zip(expected.tolist(), theirs.target.tolist(), strict=True))


@pytest.mark.parametrize(
    ("name", "options"),
    [("digits", {}), ("shapes", {"train": 40, "test": 20, "size": 8}), ("line", {}), ("clusters", {})],
)
def test_every_seed_of_an_experiment_is_tested_on_the_same(name, options):
    first, second = (load(Choice(name, options), validation=0.25, seed=seed) for seed in (1, 2))
    assert same(first.test, second.test) and first.fingerprint == second.fingerprint
    assert not same(first.validation, second.validation)
    assert same(load(Choice(name, options), validation=0.25, seed=1).validation, first.validation)
    other = load(Choice(name, {**options, "seed": 1}), validation=0.25, seed=1)
    assert not same(other.test, first.test) and other.fingerprint != first.fingerprint


def test_digits_can_be_learned():
    data = load(Choice("digits"))
    x, y = data.train.inputs.flatten(1).float(), data.train.targets
    nearest = torch.cdist(data.test.inputs.flatten(1).float(), x).argmin(1)
    assert (y[nearest] == data.test.targets).float().mean() > 0.97


def test_shapes_are_even_and_of_any_size():
    updates = []
    data = load(Choice("shapes", {"train": 60, "test": 25, "size": 20}), progress=updates.append)
    assert data.train.inputs.shape == (60, 3, 20, 20)
    assert data.train.inputs.dtype == torch.uint8
    assert torch.bincount(data.train.targets).tolist() == [6] * 10
    assert sorted(torch.bincount(data.test.targets).tolist()) == [2] * 5 + [3] * 5
    assert data.classes == tuple(SHAPES)
    assert (updates[-1].done, updates[-1].total) == (85, 85)
    assert not torch.equal(data.train.inputs[:25], data.test.inputs)


def test_shapes_that_would_fill_the_memory_are_refused():
    with pytest.raises(UserError, match=r"lower data\.train"):
        load(Choice("shapes", {"train": 10_000_000, "size": 512}))


def test_drawing_can_be_cancelled():
    with pytest.raises(Cancelled):
        load(Choice("shapes"), cancelled=lambda: True)


def test_the_line_is_a_line():
    data = load(Choice("line"))
    assert data.task == "regression" and data.classes == () and data.mean == ()
    x, y = data.train.inputs, data.train.targets
    assert x.shape == y.shape == (800, 1) and x.dtype == y.dtype == torch.float32
    slope = ((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum()
    assert abs(float(slope) - 2) < 0.2
    assert abs(float((y - 2 * x).std()) - 0.3) < 0.03


def test_the_clusters_lie_where_they_should():
    data = load(Choice("clusters"))
    for label, place in ((0, 0.2), (1, 0.8)):
        points = data.train.inputs[data.train.targets == label]
        assert len(points) == 400
        assert (points.mean(0) - place).abs().max() < 0.02
        assert (points.std(0) - 0.1).abs().max() < 0.02
