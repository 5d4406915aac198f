"""Random numbers that follow from a seed and a purpose, and splits that are drawn with them. Does not import torch."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Sequence

from workbench.datasets.dataset_facts import drawn_count


def derived_seed(seed: int, *purpose: object) -> int:
    """A 63-bit seed for one purpose, hashed so that neighboring seeds give unrelated random numbers."""
    text = "\0".join(str(part) for part in (seed, *purpose))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def stratified_split(
    labels: Sequence[int], fraction: float, seed: int, purpose: str
) -> tuple[list[int], list[int]]:
    """Split indices in two: the remaining ones, and `fraction` of every class, drawn at random by `seed`.

    Every class with at least two samples is represented in both. Both lists are ascending.
    """
    indices_by_label: dict[int, list[int]] = {}
    for index, label in enumerate(labels):
        indices_by_label.setdefault(label, []).append(index)
    generator = random.Random(derived_seed(seed, purpose))
    drawn: set[int] = set()
    for label in sorted(indices_by_label):
        indices = indices_by_label[label]
        drawn.update(generator.sample(indices, drawn_count(len(indices), fraction)))
    return [i for i in range(len(labels)) if i not in drawn], sorted(drawn)


def draw_split(
    labels: Sequence[int],
    groups: Sequence[int] | None,
    fraction: float,
    seed: int,
    purpose: str,
    *,
    required: bool = True,
) -> tuple[list[int], list[int]]:
    """As `stratified_split`; with `groups`, all samples of one are in the same part, see `grouped_split`."""
    if groups is None:
        return stratified_split(labels, fraction, seed, purpose)
    return grouped_split(labels, groups, fraction, seed, purpose, required=required)


def grouped_split(
    labels: Sequence[int],
    groups: Sequence[int],
    fraction: float,
    seed: int,
    purpose: str,
    *,
    required: bool = True,
) -> tuple[list[int], list[int]]:
    """Split indices in two without dividing a group: the remaining ones, and about `fraction` of every class.

    Groups are taken in a random order, each that brings the number of samples of the classes nearer to `fraction`, and
    where all are too large for that the smallest if the second part is `required`; one with the last samples of a class
    stays. Both lists are ascending; the second is empty where no group can be taken.
    """
    members: dict[int, list[int]] = {}
    for index, group in enumerate(groups):
        members.setdefault(group, []).append(index)
    order = sorted(members) if fraction > 0 else []
    random.Random(derived_seed(seed, purpose)).shuffle(order)
    counts = {group: Counter(labels[index] for index in indices) for group, indices in members.items()}
    remaining = Counter(labels)
    missing = {label: fraction * count for label, count in remaining.items()}

    def may_go(group: int) -> bool:
        return all(remaining[label] > count for label, count in counts[group].items())

    drawn: list[int] = []
    for group in order:
        gain = sum(abs(missing[x]) - abs(missing[x] - count) for x, count in counts[group].items())
        if gain > 0 and may_go(group):
            drawn.append(group)
            remaining.subtract(counts[group])
            for label, count in counts[group].items():
                missing[label] -= count
    if not drawn and required:
        drawn = sorted(filter(may_go, order), key=lambda group: len(members[group]))[:1]
    held_out = {index for group in drawn for index in members[group]}
    return [i for i in range(len(labels)) if i not in held_out], sorted(held_out)
