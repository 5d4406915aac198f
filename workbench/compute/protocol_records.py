"""The records that requests and responses of `protocol` consist of. Imports no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from workbench.config.cross_validation import chosen_fold
from workbench.core.settings_schema import Choice
from workbench.datasets.fold_choice import FoldChoice

if TYPE_CHECKING:
    from workbench.config.experiment import Experiment

# In requests


class RunClassifier(msgspec.Struct, frozen=True, tag="run", forbid_unknown_fields=True):
    """The model of a run."""

    run: str
    """The run's folder."""
    which: Literal["best", "last"] = "best"
    """The checkpoint of the best or the last epoch."""


class PublishedClassifier(msgspec.Struct, frozen=True, tag="model", forbid_unknown_fields=True):
    """A model of torchvision."""

    model: str
    weights: str = ""
    """A file to load instead of the published weights; empty for those."""
    labels: str = ""
    """A file or URL with the class names; empty for the published ones."""


class RecipeClassifier(msgspec.Struct, frozen=True, tag="recipe", forbid_unknown_fields=True):
    """The model of a classification recipe."""

    recipe: str
    """The name of the recipe, or a TOML file."""
    weights: str = ""
    """A file to load instead of the recipe's weights; empty for those."""
    labels: str = ""
    """A file or URL with the class names; empty for those of the recipe."""


ClassifierRef = RunClassifier | PublishedClassifier | RecipeClassifier


class ImagePath(msgspec.Struct, frozen=True, tag="path", forbid_unknown_fields=True):
    """An image file on this machine, or at an http(s) URL."""

    path: str


class ImageData(msgspec.Struct, frozen=True, tag="png", forbid_unknown_fields=True):
    """An encoded image (base64 in JSON)."""

    png: bytes
    run: str = ""
    """The run folder, if these are the pixels of a sample of its dataset."""


ImageSource = ImagePath | ImageData


class ExperimentDataset(
    msgspec.Struct, frozen=True, kw_only=True, tag="experiment", forbid_unknown_fields=True
):
    """A dataset as an experiment loads it."""

    data: Choice
    model: Choice = Choice("mlp")
    """Determines the size and channels of images."""
    seed: int = 0
    validation: float = 0.0
    """The fraction of the training split used for validation, 0..1."""
    fold: FoldChoice | None = None
    """The fold of a cross-validation that is the test split."""

    @classmethod
    def from_experiment(cls, experiment: Experiment) -> ExperimentDataset:
        """The dataset of an experiment."""
        return cls(
            data=experiment.data,
            model=experiment.model,
            seed=experiment.seed,
            validation=experiment.train.validation,
            fold=chosen_fold(experiment.train),
        )


class RunDataset(msgspec.Struct, frozen=True, tag="run", forbid_unknown_fields=True):
    """The dataset that a run was trained on."""

    run: str
    """The run's folder."""


DatasetRef = ExperimentDataset | RunDataset
Split = Literal["train", "validation", "test"]
Shape = tuple[int, ...]

# In responses


class ImageFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The stored size and mode of an image."""

    width: int
    height: int
    mode: str
    """Pillow's mode: `RGB`."""


class ImageItem(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One image of a dataset."""

    index: int
    """In its split; -1 for the image of random noise."""
    label: int | None
    """Class index; `None` for noise and in a regression."""
    class_name: str
    """The class name, `noise`, or the regression target."""
    name: str
    """The file name; empty if it has none."""
    png: bytes


class EvaluatedSample(ImageItem, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One image of an evaluation, with its prediction."""

    predicted: str
    """The name of the most probable class."""
    probability: float
    """The predicted probability of the true class, 0..1."""
    confidence: float | None = None
    """That of the predicted class; `None` if it was not stored."""


class ValueRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One sample of a dataset without images, as text."""

    index: int
    input: tuple[str, ...]
    """The first values."""
    target: str


class Scatter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Samples as points in a plane: the first two features, or the only feature and the target."""

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
    """The metrics of one class in a run's evaluation. Fractions are 0..1, or `None` if undefined."""

    split: str | None
    epoch: int | None
    recall: float | None
    precision: float | None
    support: int
    """Samples of this class."""
    predicted_as: tuple[ClassCount, ...]
    """False negatives: the classes predicted for its samples, the most frequent first."""
    confused_with: tuple[ClassCount, ...]
    """False positives: the classes of samples predicted as this class, the most frequent first."""
    trained_on: str = ""
    """`1 of 510 training images, none in validation`, and what helps a rare class; empty if unknown."""
