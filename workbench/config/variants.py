"""Several experiments from one: every combination of a grid of settings, repeats with other seeds, and folds."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from itertools import product

import msgspec

from workbench.config.experiment import MAX_NAME_BYTES, Experiment, check_run_name, run_name_part
from workbench.core.errors import UserError

SEPARATORS = ("|", ",")
"""Between the values of a grid; the first that occurs, so that `256,128 | 64` are two values of a list."""
SEED = "seed"
FOLD, FOLDS = "train.fold", "train.folds"
MAX_VARIANTS = 1000
BAR = SEPARATORS[0]
COMMANDS = ("on_finish", "on_fail")
"""Settings in which a `|` is one of the shell."""


class Variant(msgspec.Struct, frozen=True, kw_only=True):
    """One of several experiments."""

    experiment: Experiment
    changed: tuple[tuple[str, str], ...]
    """The settings that make it this one, by full name, as they are typed; empty where there is only one."""


def make_variants(
    build: Callable[[Sequence[str]], Experiment], grid: Iterable[str] = (), repeat: int = 1
) -> list[Variant]:
    """The experiments of `grid` (`KEY=V1,V2` each), each of them with `repeat` seeds: seed … seed + repeat - 1.

    Those with `train.folds` and without `train.fold` are one for each fold. `build` makes an experiment of additional
    settings (`KEY=VALUE`). All are built, and so validated, before the first is started. Repeats of one combination
    follow each other. Raises `UserError`.
    """
    axes = [parse_axis(text) for text in grid]
    _check(axes, repeat)
    made = []
    for combination in product(*([(key, value) for value in values] for key, values in axes)):
        settings = [f"{key}={value}" for key, value in combination]
        first = build(settings)
        for seed in range(first.seed, first.seed + repeat):
            changed = (*combination, *([(SEED, str(seed))] if repeat > 1 else []))
            experiment = first if seed == first.seed else build([*settings, f"{SEED}={seed}"])
            made += [
                Variant(experiment=_named(one, (*changed, *fold)), changed=(*changed, *fold))
                for one, fold in _folds(experiment)
            ]
    if len(made) > MAX_VARIANTS:
        raise _too_many(len(made))
    return made


def _folds(experiment: Experiment) -> list[tuple[Experiment, tuple[tuple[str, str], ...]]]:
    """The experiment of each fold, with the setting that makes it; the experiment itself where it is of one run."""
    train = experiment.train
    if not train.folds or train.fold:
        return [(experiment, ())]
    return [
        (
            msgspec.structs.replace(experiment, train=msgspec.structs.replace(train, fold=fold)),
            ((FOLD, str(fold)),),
        )
        for fold in range(1, train.folds + 1)
    ]


def parse_axis(text: str) -> tuple[str, list[str]]:
    """Setting and values of `KEY=V1,V2,…`; with `|` between values that contain commas. Raises `UserError`."""
    key, equals, listed = text.partition("=")
    key = key.strip()
    if not equals or not key:
        raise UserError(f"--grid expects KEY=V1,V2,…, not '{text}' (for example --grid train.lr=0.1,0.03)")
    values = split_values(listed)
    if not values or not all(values):
        raise UserError(f"{key}: an empty value among several: '{listed}'")
    if len(set(values)) < len(values):
        raise UserError(f"{key}: the same value twice: '{listed}'")
    return key, values


def split_values(text: str) -> list[str]:
    """The values of `0.1 | 0.03`, or of `0.1,0.03` where there is no `|`."""
    separator = next((mark for mark in SEPARATORS if mark in text), SEPARATORS[0])
    return [part.strip() for part in text.split(separator)]


def is_axis(key: str, text: str) -> bool:
    """Whether the typed value of a setting is several, as `0.1 | 0.03`."""
    return BAR in text and key not in COMMANDS


def _check(axes: Sequence[tuple[str, Sequence[str]]], repeat: int) -> None:
    keys = [key for key, _ in axes]
    for key in keys:
        if keys.count(key) > 1:
            raise UserError(f"--grid {key} is there twice: put all its values into one, KEY=V1,V2")
    if SEED in keys and repeat > 1:
        raise UserError("--grid seed and --repeat both choose seeds: leave one of them out")
    if repeat < 1:
        raise UserError(f"--repeat must be at least 1, not {repeat}")
    count = repeat
    for _, values in axes:
        count *= len(values)
    if count > MAX_VARIANTS:
        raise _too_many(count)


def _too_many(count: int) -> UserError:
    return UserError(f"these are {count:,} runs, more than {MAX_VARIANTS:,}: fewer values, or a sweep")


def _named(experiment: Experiment, changed: Sequence[tuple[str, str]]) -> Experiment:
    """The experiment with a name that tells it from the others: `digits-mlp-lr0.03-seed1`."""
    parts = [f"{key.rpartition('.')[2]}{_name_part(value)}" for key, value in changed if key != "name"]
    name = "-".join([experiment.name, *parts])
    return msgspec.structs.replace(experiment, name=os.fsdecode(os.fsencode(name)[:MAX_NAME_BYTES]))


def _name_part(value: str) -> str:
    try:
        return check_run_name(value)
    except UserError:
        return run_name_part(value)
