"""The names of metrics: which a filter shows, and the sections in which they are listed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

OTHERS = ""
"""The section of names without a prefix that another name has too."""
_REGEX_CHARACTERS = frozenset("|^$()[]+\\")


class Section(NamedTuple):
    """Metrics with one prefix."""

    prefix: str
    names: Sequence[str]


def matches(text: str) -> Callable[[str], bool]:
    """Whether a name matches every word of `text`, in upper or lower case.

    A word is a part of the name (`acc`, `train/`), a glob for the whole name where it has `*` or `?`, else a regular
    expression for a part of it where it has one of `|^$()[]+\\`. An invalid one is taken as it is written.
    """
    tests = [_word_test(word) for word in text.lower().split()]
    return lambda name: all(test(name.lower()) for test in tests)


def _word_test(word: str) -> Callable[[str], bool]:
    if ".*" in word or _REGEX_CHARACTERS.intersection(word):
        try:
            pattern = re.compile(word)
        except re.error:
            return lambda name: word in name
        return lambda name: pattern.search(name) is not None
    if "*" in word or "?" in word:
        return lambda name: fnmatchcase(name, word)
    return lambda name: word in name


def sections(names: Iterable[str]) -> list[Section]:
    """The names by their prefix (up to the first `/`): those without a common one first, then by name."""
    every = list(names)
    counts = Counter(_prefix(name) for name in every)
    found: dict[str, list[str]] = {}
    for name in every:
        prefix = _prefix(name)
        found.setdefault(prefix if counts[prefix] > 1 else OTHERS, []).append(name)
    return [
        Section(prefix, sorted(found[prefix], key=_order)) for prefix in sorted(found, key=_section_order)
    ]


def _prefix(name: str) -> str:
    return name.partition("/")[0] if "/" in name else OTHERS


def _section_order(prefix: str) -> tuple[int, list[str | int]]:
    """What is learned stands before what the machine does."""
    ranks = {OTHERS: 0, "train": 1, "val": 2, "valid": 2, "validation": 2, "eval": 2, "test": 3, "machine": 9}
    return ranks.get(prefix.lower(), 4), _natural(prefix)


def _order(name: str) -> tuple[int, list[str | int]]:
    """Losses first, then accuracies, then the others; numbers within names by their value."""
    lower = name.lower()
    rank = 0 if "loss" in lower else 1 if "acc" in lower else 2
    return rank, _natural(name)


def _natural(name: str) -> list[str | int]:
    """A sort key by which `layer2` is before `layer10`; text and numbers alternate, so that only likes are compared."""
    return [
        int(part) if index % 2 else part for index, part in enumerate(re.split(r"([0-9]+)", name.lower()))
    ]
