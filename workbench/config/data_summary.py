"""What an experiment will train on, as far as it is known before its data is loaded. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from workbench.config.cross_validation import chosen_fold
from workbench.config.experiment import Experiment
from workbench.config.training_settings import TrainingSettings
from workbench.core.settings_schema import Choice
from workbench.core.text import plural, sanitize
from workbench.datasets.dataset_facts import drawn_count
from workbench.datasets.image_folder_facts import (
    FolderFacts,
    describe_folder,
    describe_resizing,
    folder_facts,
    folder_warnings,
    list_names,
)
from workbench.datasets.image_sizes import StoredSides, stored_sides
from workbench.io.fit_mode import describe_crops
from workbench.models import catalog as models

RARE_SHARE = 0.25
"""A class is rare if it has less than this part of the images that it would have in equal shares."""
_MAX_RARE = 3
BALANCE_SETTINGS = {
    "train.class_weights=balanced": "rare classes count more in the loss",
    "train.balanced_sampling=yes": "rare classes are seen more often in each epoch",
}
"""Settings for data with rare classes, as `KEY=VALUE`, and what each does."""


class DataSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The classes, splits and images of a run, before it starts."""

    facts: FolderFacts
    counts: dict[str, tuple[int, ...]]
    """Images of each class by split, as the run will use them."""
    shape: tuple[int, int, int]
    """Of one stored image: channels, height, width."""
    input_shape: tuple[int, int, int]
    """Of one input of the model."""
    lines: tuple[str, ...]
    """All of it as text."""
    warnings: tuple[str, ...]
    """Those of the lines that say what is left out or skipped, or that classes are rare."""

    @property
    def is_imbalanced(self) -> bool:
        """Whether a class is rare."""
        training = self.counts["train"]
        return any(is_rare(training, index) for index in range(len(training)))

    @property
    def short(self) -> str:
        """`2 classes, 3 skipped, imbalanced`."""
        facts = self.facts
        parts = [plural(len(facts.classes), "class")]
        parts += [f"{plural(len(facts.left_out), 'folder')} left out"] * bool(facts.left_out)
        parts += [f"{facts.skipped.count:,} skipped"] * bool(facts.skipped.count)
        parts += ["imbalanced"] * self.is_imbalanced
        return ", ".join(parts)


def summarize_data(data: Choice, model: Choice, train: TrainingSettings | None = None) -> DataSummary | None:
    """What a run on a folder of images will use; `None` for other datasets. Raises `UserError`.

    Lists the folder and reads the headers of a few images, so it may take seconds. Without `train`, no validation split
    is drawn, and imbalance is not reported.
    """
    facts = folder_facts(data.name, data.options, chosen_fold(train) if train else None)
    if facts is None:
        return None
    counts = split_counts(facts, train.validation if train else 0.0)
    sides = _stored_sides(facts, data, model)
    shape, input_shape = _shapes(sides.side, model)
    crops = _describe_crops(facts, data, sides)
    resizing = describe_resizing(facts.sizes, shape, input_shape, sides.store)
    rare = [] if train is None else imbalance(facts.classes, counts, train)
    return DataSummary(
        facts=facts,
        counts=counts,
        shape=shape,
        input_shape=input_shape,
        lines=(*describe_folder(facts), *resizing, *crops, *rare),
        warnings=(*folder_warnings(facts), *crops, *rare),
    )


def experiment_data(experiment: Experiment) -> DataSummary | None:
    """`summarize_data` of an experiment."""
    return summarize_data(experiment.data, experiment.model, experiment.train)


def split_counts(facts: FolderFacts, validation: float) -> dict[str, tuple[int, ...]]:
    """Images of each class by split, after the fraction `validation` is drawn from the training data if needed."""
    if "validation" in facts.counts or validation <= 0:
        return facts.counts
    drawn = tuple(drawn_count(count, validation) for count in facts.counts["train"])
    if not any(drawn):
        return facts.counts
    train = tuple(a - b for a, b in zip(facts.counts["train"], drawn, strict=True))
    return {"train": train, "validation": drawn, "test": facts.counts["test"]}


def _stored_sides(facts: FolderFacts, data: Choice, model: Choice) -> StoredSides:
    """The sides of stored images."""
    info, options = models.find(model.name), data.options
    return stored_sides(
        facts.sizes,
        info.load_size(model.options),
        info.center_crop(model.options),
        size=options.get("size", "auto"),
        store=options.get("store", "auto"),
    )


def _describe_crops(facts: FolderFacts, data: Choice, sides: StoredSides) -> tuple[str, ...]:
    if facts.sizes is None:
        return ()
    fit, whole = data.options.get("fit", "crop"), sides.store is not None
    return describe_crops(facts.sizes.squareness, facts.sizes.longest, fit, sides.crop, is_stored_whole=whole)


def _shapes(side: int, model: Choice) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """The shapes of a stored image of `side` and of a model's input."""
    info = models.find(model.name)
    shape = (1 if info.channels == 1 else 3, side, side)
    input_side = info.size_for(model.options, shape) or side
    return shape, (info.channels or shape[0], input_side, input_side)


# Imbalance


def imbalance(
    classes: Sequence[str], counts: Mapping[str, Sequence[int]], train: TrainingSettings
) -> list[str]:
    """Lines on classes without training images, with few of them, and without validation or test images; often none."""
    training = counts["train"]
    lines = [untrained_class(name) for name, count in zip(classes, training, strict=True) if not count]
    rare = sorted(
        (index for index in range(len(classes)) if training[index] and is_rare(training, index)),
        key=lambda index: training[index],
    )
    if rare:
        shown = [f"{sanitize(classes[i], 24)} has {class_support(i, counts)}" for i in rare[:_MAX_RARE]]
        more = f" and {plural(len(rare) - _MAX_RARE, 'more class')}" if len(rare) > _MAX_RARE else ""
        lines.append(f"imbalanced: {'; '.join(shown)}{more}{balance_hint(train)}")
    validation = counts.get("validation", ())
    missing = [
        classes[i] for i, count in enumerate(validation) if not count and training[i] and i not in rare
    ]
    if missing:
        lines.append(f"no validation images: {list_names(missing)}")
    untested = [classes[i] for i, count in enumerate(counts.get("test", ())) if not count and training[i]]
    if untested:
        lines.append(f"no test images: {list_names(untested)}")
    return lines


def untrained_class(name: str) -> str:
    """What follows from a class without training images, which has some for the tests."""
    return f"class {sanitize(name, 24)!r} has no training images, so it can't be learned: add some, or remove the class"


def is_rare(training: Sequence[int], index: int) -> bool:
    """Whether a class has far fewer training images than it would have in equal shares."""
    return training[index] < RARE_SHARE * sum(training) / len(training)


def class_support(index: int, counts: Mapping[str, Sequence[int]]) -> str:
    """`1 of 510 training images, none in validation`."""
    text = f"{counts['train'][index] or 'none'} of {plural(sum(counts['train']), 'training image')}"
    if "validation" in counts:
        text += f", {counts['validation'][index] or 'none'} in validation"
    return text


def balance_hint(train: TrainingSettings) -> str:
    """The settings that help with rare classes; empty where one is set."""
    if train.class_weights != "none" or train.balanced_sampling:
        return ""
    return f"; consider {' or '.join(BALANCE_SETTINGS)}"
