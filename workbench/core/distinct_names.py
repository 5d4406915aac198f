"""Names that stay distinct where they are cut."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property

from workbench.core.text import cell_width, common_prefix, truncate, without_middle

SEPARATOR = re.compile("[- ]")
"""Between the words of the names that runs and groups get by themselves: `digits-mlp-lr0.1-seed2`, `base lr=0.1`."""
CUT = "…"


class DistinctNames:
    """Shortens names so that they stay distinct.

    Of a name that is too long the start is shown. Where others start alike, start and end are (`resne…-lr0.01`), where
    they end alike too, the part from where they differ (`…lr0.01-batch…`), and where they differ in several places,
    only these (`…lr0.1-…64-seed0`).
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names = frozenset(names)
        self._shown: dict[int, dict[str, str]] = {}
        """By width, how the names are shown that do not fit; made when one is needed, as there may be many."""

    def fit(self, name: str, width: int) -> str:
        """A name in at most `width` cells; best one of those that are to be distinct."""
        if cell_width(name) <= width:
            return name
        if width not in self._shown:
            self._shown[width] = _shorten(
                {other for other in self._names if cell_width(other) > width}, width
            )
        return self._shown[width].get(name) or truncate(name, width)


def shorten_distinct(names: Sequence[str], width: int) -> list[str]:
    """Names in at most `width` cells that stay distinct where the originals are, see `DistinctNames`."""
    distinct = DistinctNames(names)
    return [distinct.fit(name, width) for name in names]


def _shorten(names: Iterable[str], width: int) -> dict[str, str]:
    """By the long names, their short forms: of each the first that no other has, else the one that fewest have."""
    shown, fewest = dict[str, str](), dict[str, int]()
    alike = _alike(names, width)
    ways: tuple[Callable[[str], str], ...] = (
        lambda name: truncate(name, width),
        lambda name: without_middle(name, width),
        lambda name: alike[name].from_difference(name, width),
        lambda name: alike[name].differences(name, width),
    )
    rest = list(names)
    for way in ways:
        forms = {name: way(name) for name in rest}
        uses = Counter(forms.values())
        for name, form in forms.items():
            if uses[form] < fewest.get(name, len(rest) + 1):
                shown[name], fewest[name] = form, uses[form]
        rest = [name for name in rest if fewest[name] > 1]
    return shown


class _Alike:
    """Names that start alike and have as many words."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names

    @cached_property
    def _shared(self) -> str:
        return common_prefix(self._names)

    @cached_property
    def _shared_of_words(self) -> list[str]:
        """What all names share at the start of each word."""
        words = [SEPARATOR.split(name) for name in self._names]
        return [
            column[0] if len(set(column)) == 1 else common_prefix(column)
            for column in zip(*words, strict=True)
        ]

    def from_difference(self, name: str, width: int) -> str:
        """The part from the word in which a name differs from the others, and as much before as fits."""
        shared = self._shared
        word = len(shared) - len(SEPARATOR.split(shared)[-1])
        start = word if len(shared) - word <= width // 2 else len(shared)
        while start > 0 and cell_width(name[start - 1 :]) < width:
            start -= 1
        return truncate(CUT + name[start:], width)

    def differences(self, name: str, width: int) -> str:
        """The words in which the names differ; where that is too long, the longest without what they share."""
        pairs = zip(SEPARATOR.split(name), self._shared_of_words, strict=True)
        kept = [(word, shared) for word, shared in pairs if word != shared]
        words = [word for word, _ in kept]
        by_shared = sorted(range(len(kept)), key=lambda index: -len(kept[index][1]))
        for index in by_shared:
            if cell_width(CUT + "-".join(words)) <= width:
                break
            word, shared = kept[index]
            words[index] = CUT + word[len(shared) :] if len(shared) > 1 else word
        return truncate(CUT + "-".join(words).removeprefix(CUT), width)


def _alike(names: Iterable[str], width: int) -> dict[str, _Alike]:
    """By each name, those with as many words whose first half of `width` cells is the same."""
    groups = defaultdict[tuple[str, int], list[str]](list)
    for name in names:
        groups[truncate(name, (width + 1) // 2), len(SEPARATOR.split(name))].append(name)
    return {name: group for one in groups.values() for group in [_Alike(one)] for name in one}
