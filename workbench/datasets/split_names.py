"""Names of folders that are splits of a dataset, in the spellings that people use."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

UNLABELED = "unlabeled"
"""The kind of folders of images to predict, which have no classes."""

_WORDS = {
    "train": ("train", "training", "trainval", "trn"),
    "validation": ("val", "valid", "validation", "validate", "dev", "devel", "development", "eval", "evaluation"),
    "test": ("test", "testing", "tests", "tst", "holdout"),
    UNLABELED: ("pred", "predict", "prediction", "predictions", "unlabeled", "unlabelled", "submission"),
}  # fmt: skip
_SPLIT_OF_WORD = {word: split for split, words in _WORDS.items() for word in words}
_FILLERS = frozenset(
    {
        "set", "sets", "ds", "data", "dataset", "image", "images", "img", "imgs", "pic", "pics", "picture",
        "pictures", "photo", "photos", "split", "splits", "folder", "folders", "dir", "sample", "samples",
        "raw", "the", "stg",
    }
)  # fmt: skip
"""Words beside the name of a split that say nothing: `training_set`, `test images`."""
_GLUED = re.compile(
    f"({'|'.join(sorted(_SPLIT_OF_WORD, key=len, reverse=True))})({'|'.join(sorted(_FILLERS, key=len, reverse=True))})"
)
_WORD_BOUNDARY = re.compile(r"(?<=[a-z])(?=[A-Z])|[\W_]+|(?<=[^\W\d])(?=\d)|(?<=\d)(?=[^\W\d])")
NATURAL_CLASS_WORDS = frozenset({"train", "valid"})
"""Names of splits that are also plausible class names: a vehicle; valid and invalid samples."""
_EVALUATION_WORDS = frozenset({"eval", "evaluation"})


@dataclass(frozen=True)
class SplitName:
    """The split that the name of a folder stands for."""

    split: str
    """`train`, `validation`, `test` or `UNLABELED`."""
    rest: tuple[str, ...]
    """Other words of the name, such as that of the dataset (`seg_train`); empty if it names nothing but a split."""
    is_evaluation: bool
    """Whether it is called `eval`, which is the test data where there is another validation split."""


def parse_split_name(name: str) -> SplitName | None:
    """The split that a folder is named after: `Train`, `training_set`, `test1`, `TestImages`, `seg_train`.

    `None` if the name has no such word, or several for different splits.
    """
    words = [word for part in _WORD_BOUNDARY.split(unicodedata.normalize("NFKC", name)) if part
             for word in _unglue(part.lower())]  # fmt: skip
    splits = {_SPLIT_OF_WORD[word] for word in words if word in _SPLIT_OF_WORD}
    if splits == {"train", "validation"}:
        splits = {"train"}  # `train_val`: to be divided
    if len(splits) != 1:
        return None
    rest = tuple(w for w in words if w not in _SPLIT_OF_WORD and w not in _FILLERS and not w.isdigit())
    return SplitName(splits.pop(), rest, bool(_EVALUATION_WORDS & set(words)))


def _unglue(word: str) -> tuple[str, ...]:
    """`trainset` as `train`, `set`; other words unchanged."""
    match = _GLUED.fullmatch(word)
    return match.groups() if match else (word,)


def find_split_names(names: Iterable[str]) -> dict[str, SplitName]:
    """Those of the names of sibling folders that are splits.

    A name with other words counts only beside one with the same words for another split: `seg_train` and `seg_test`,
    but not a class `train station`.
    """
    parsed = {name: split for name in names if (split := parse_split_name(name))}
    return {
        name: split
        for name, split in parsed.items()
        if not split.rest or any(o.rest == split.rest and o.split != split.split for o in parsed.values())
    }
