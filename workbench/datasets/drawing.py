"""Random numbers that follow from a seed and a purpose, and splits that are drawn with them. Does not import torch."""

from __future__ import annotations

import hashlib
import random
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
