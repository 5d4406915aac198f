"""Which tensors of a weights file belong to a model: recognized by their names and shapes, without torch.

People have files of many tools: the state dict itself, a checkpoint with it under `state_dict`, `model` or `ema_state`,
names with the prefix of Lightning (`model.`), DataParallel and SWA (`module.`) or torch.compile (`_orig_mod.`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from workbench.core.errors import UserError
from workbench.core.text import plural
from workbench.io.weight_shapes import Shapes

_AVERAGED = re.compile(r"ema|teacher|averag|swa|shadow", re.IGNORECASE)
"""Entries and prefixes of averaged weights: the weights themselves are preferred where a file has both."""
_AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")
"""Auxiliary heads of GoogLeNet and Inception v3, which are used during their original training only."""
POSITIONS = "encoder.pos_embedding"
"""The position embeddings of vision transformers, which are resized to the size of the images."""
_SHOWN_NAMES = 4


class LoadedWeights(msgspec.Struct, frozen=True, kw_only=True):
    """What was loaded from a weights file into a model."""

    file: str
    entry: str = ""
    """Where in the file the weights are (`state_dict`); empty for the top level."""
    prefix: str = ""
    """The prefix of all their names, which was removed (`model.`)."""
    loaded: tuple[str, ...] = ()
    """The names of the loaded tensors."""
    left_out: tuple[str, ...] = ()
    """The names in the file that were not loaded."""
    new: tuple[str, ...] = ()
    """The names in the model that are not in the file, or replaced: newly initialized."""
    others: tuple[str, ...] = ()
    """Other entries or prefixes in the file with weights that fit as well (`model_ema`)."""

    def describe(self) -> str:
        """One line for people."""
        place = f" of {self.entry}" if self.entry else ""
        prefix = f" (without the prefix {self.prefix})" if self.prefix else ""
        parts = [f"{self.file}: loaded {plural(len(self.loaded), 'tensor')}{place}{prefix}"]
        if self.others:
            parts.append(f"not those of {_names(self.others)}, which fit too")
        if self.left_out:
            parts.append(f"left out {_names(self.left_out)}")
        if self.new:
            parts.append(f"newly initialized {_names(self.new)}")
        return "; ".join(parts)


@dataclass(frozen=True)
class WeightsMatch:
    """The entry of a file and the prefix of the names that fit a model."""

    entry: str
    prefix: str
    names: dict[str, str]
    """Names in the file by their names in the model; also those that the model does not have."""
    left_out: tuple[str, ...]
    """Names in the file outside of the prefix."""
    others: tuple[str, ...] = ()
    """Other entries or prefixes with weights that fit as well."""

    def loaded(self, expected: Shapes, head: Sequence[str], file: str) -> LoadedWeights:
        """What of a file is loaded into a model with these tensors, whose `head` is newly initialized."""
        replaced = tuple(f"{name}." for name in head)
        kept = [inner for inner in self.names if not inner.startswith(replaced)]
        new = [inner for inner in expected if inner not in kept and not inner.endswith("num_batches_tracked")]
        return LoadedWeights(
            file=file,
            entry=self.entry,
            prefix=self.prefix,
            loaded=tuple(kept),
            left_out=(
                *self.left_out,
                *(self.names[inner] for inner in self.names if inner.startswith(replaced)),
            ),
            new=tuple(new),
            others=self.others,
        )


def match_weights(entries: Mapping[str, Shapes], expected: Shapes, file: str) -> WeightsMatch:
    """The entry and the prefix with the most tensors of the expected names and shapes.

    `entries`: the shapes by name of each table of tensors in the file, by its place in the file. Raises `UserError`
    where none fits at all, and where several sets of weights fit equally well.
    """
    current = {entry: {current_name(name): name for name in shapes} for entry, shapes in entries.items()}
    found: list[tuple[int, bool, str, str]] = []
    for entry, names in current.items():
        scores: Counter[str] = Counter()
        for name, original in names.items():
            for prefix, inner in _splits(name):
                if inner in expected:
                    scores[prefix] += 1000 if tuple(entries[entry][original]) == tuple(expected[inner]) else 1
        found += [
            (score, not _AVERAGED.search(f"{entry}.{prefix}"), entry, prefix)
            for prefix, score in scores.items()
        ]
    if not found:
        raise UserError(_no_match_reason(entries, expected, file))
    best = max(found, key=lambda row: row[:2])
    equal = [row for row in found if row[:3] == best[:3]]
    if len(equal) > 1:
        prefixes = ", ".join(prefix or "no prefix" for *_, prefix in equal)
        raise UserError(
            f"{file} has {len(equal)} sets of weights that fit ({prefixes}): save the one to use as a state dict"
        )
    entry, prefix = best[2:]
    shapes, names = entries[entry], dict[str, str]()
    left_out = []
    for name, original in current[entry].items():
        inner = name.removeprefix(prefix)
        # What tools count beside the weights (n_averaged, total_ops) and side heads of the original training.
        is_extra = inner not in expected and (not shapes[original] or inner.startswith(_AUXILIARY))
        if name.startswith(prefix) and not is_extra:
            names[inner] = original
        else:
            left_out.append(original)
    others = [row[2] if row[2] != entry else row[3] for row in found if row[0] == best[0] and row != best]
    return WeightsMatch(entry, prefix, names, tuple(left_out), tuple(others))


def _splits(name: str) -> Iterable[tuple[str, str]]:
    """Every prefix of a name with the rest: `a.b.c` is `("", "a.b.c")`, `("a.", "b.c")` and `("a.b.", "c")`."""
    starts = [0, *(match.end() for match in re.finditer(r"\.", name))]
    return ((name[:start], name[start:]) for start in starts)


def current_name(key: str) -> str:
    """The current name (`denselayer1.norm1.weight`) of a DenseNet key of 2017 (`denselayer1.norm.1.weight`).

    Without the names of layers that torch.compile wrapped (`layer1._orig_mod.0.weight`).
    """
    values = "weight|bias|running_mean|running_var|num_batches_tracked"
    return re.sub(rf"(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\.(?:{values}))$", r"\1\2", key).replace(
        "._orig_mod.", "."
    )


def _no_match_reason(entries: Mapping[str, Shapes], expected: Shapes, file: str) -> str:
    names = [name for shapes in entries.values() for name in shapes]
    wanted = next(iter(expected), "")
    return (
        f"the weights in {file} do not fit the model: it has names such as {_names(names[:2])}, "
        f"the model expects names such as {wanted}"
    )


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN_NAMES:,} more" if len(names) > _SHOWN_NAMES else ""
    return ", ".join(names[:_SHOWN_NAMES]) + more
