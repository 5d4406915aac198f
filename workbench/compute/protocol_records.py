"""What the requests of `protocol` are about, and what their answers consist of. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from workbench.core.settings_schema import Choice

# What requests are about


class RunClassifier(msgspec.Struct, frozen=True, tag="run", forbid_unknown_fields=True):
    """The model of a run."""

    run: str
    """The run's folder."""
    which: Literal["best", "last"] = "best"
    """Whose checkpoint."""


class PublishedClassifier(msgspec.Struct, frozen=True, tag="model", forbid_unknown_fields=True):
    """A model of torchvision."""

    model: str
    weights: str = ""
    """A file that takes the place of the published weights; empty for those."""
    labels: str = ""
    """A file or URL with the names of its classes; empty for the published ones."""


class RecipeClassifier(msgspec.Struct, frozen=True, tag="recipe", forbid_unknown_fields=True):
    """The model of a recipe that classifies."""

    recipe: str
    """Its name, or a TOML file."""
    weights: str = ""
    """A file that takes the place of the recipe's weights; empty for those."""
    labels: str = ""
    """The same of its labels."""


ClassifierRef = RunClassifier | PublishedClassifier | RecipeClassifier


class ImagePath(msgspec.Struct, frozen=True, tag="path", forbid_unknown_fields=True):
    """An image file on this machine, or at an http(s) URL."""

    path: str


class ImageData(msgspec.Struct, frozen=True, tag="png", forbid_unknown_fields=True):
    """An encoded image (base64 in JSON)."""

    png: bytes


ImageSource = ImagePath | ImageData


class ExperimentDataset(
    msgspec.Struct, frozen=True, kw_only=True, tag="experiment", forbid_unknown_fields=True
):
    """A dataset as an experiment loads it."""

    data: Choice
    model: Choice = Choice("mlp")
    """It decides the size and channels of images."""
    seed: int = 0
    validation: float = 0.0
    """The part of the training data that is kept for validation, 0..1."""

    @classmethod
    def of(cls, experiment: Mapping[str, Any]) -> ExperimentDataset:
        """The dataset of an experiment as `experiment.json` has it."""
        train = experiment.get("train") or {}
        return cls(
            data=Choice.from_dict(experiment["data"]),
            model=Choice.from_dict(experiment.get("model") or {"name": "mlp"}),
            seed=int(experiment.get("seed", 0)),
            validation=float(train.get("validation", 0.0)),
        )


class RunDataset(msgspec.Struct, frozen=True, tag="run", forbid_unknown_fields=True):
    """The dataset that a run was trained on."""

    run: str
    """The run's folder."""


DatasetRef = ExperimentDataset | RunDataset
Split = Literal["train", "validation", "test"]
Shape = tuple[int, ...]

# What answers consist of


class ImageFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An image file as it is stored."""

    width: int
    height: int
    mode: str
    """Of Pillow: `RGB`."""


class ImageItem(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One image of a dataset."""

    index: int
    """In its split; -1 for the image of noise."""
    label: int | None
    """Class index; `None` for noise and in a regression."""
    class_name: str
    """The name of its class, `noise`, or the target of a regression."""
    name: str
    """Its file; empty where it has none."""
    png: bytes


class ExampleItem(ImageItem, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One image that a run was evaluated on."""

    predicted: str
    """The name of the likeliest class."""
    probability: float
    """Of its true class, 0..1."""


class ValueRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One example of a dataset without images, as text."""

    index: int
    input: tuple[str, ...]
    """The first values."""
    target: str


class Scatter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Examples as points in a plane: the first two features, or the only one and the target."""

    xs: tuple[float, ...]
    ys: tuple[float, ...]
    labels: tuple[int, ...]
    """Class index of each point; empty for a regression."""
    x_title: str
    y_title: str


class ClassCount(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How often a class was confused with another."""

    class_name: str
    count: int


class ClassReliability(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A run's evaluation of one class. Fractions are 0..1, and `None` where they are undefined."""

    split: str | None
    epoch: float | None
    recall: float | None
    precision: float | None
    support: int
    """Examples of this class."""
    predicted_as: tuple[ClassCount, ...]
    """The classes that its examples were mistaken for, the most frequent first."""
    confused_with: tuple[ClassCount, ...]
    """The classes whose examples were mistaken for it, the most frequent first."""
