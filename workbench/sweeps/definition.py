"""From what the user asks to a sweep in which every value is known to be valid."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from pathlib import Path

from workbench.config.cross_validation import check_one_run
from workbench.config.experiment import MAX_NAME_BYTES, Experiment, build_experiment
from workbench.config.recipes import RecipeContent
from workbench.core.errors import UserError, did_you_mean
from workbench.runs.flat_settings import flat_settings
from workbench.runs.metric_direction import lower_is_better, named_direction
from workbench.runs.metric_series import TRAINING
from workbench.runs.metrics import EvaluationMetrics
from workbench.sweeps.records import (
    MAX_TRIALS,
    MAX_WORKERS,
    PrunerName,
    SamplerName,
    SweepDefinition,
)
from workbench.sweeps.space import Choices, ParamValue, Space, parse_param, parse_space

VALIDATION = "validation"
EVALUATED_SPLITS = (VALIDATION, "test")
TRAINING_METRICS = ("loss", "accuracy", "lr", "grad_norm", "update_ratio")
MACHINE_PREFIX = "machine/"
NOT_SEARCHED = {"name", "on_finish", "on_fail", "stall_seconds", "train.device"}
"""Settings that change nothing in what a run learns."""


@dataclass(frozen=True, kw_only=True)
class SweepRequest:
    """What the user asks for, unchecked."""

    content: RecipeContent
    params: Sequence[str]
    """`KEY=SPACE` each."""
    trials: int | None = None
    workers: int = 1
    sampler: SamplerName = SamplerName.TPE
    pruner: PrunerName = PrunerName.MEDIAN
    metric: str | None = None
    minimize: bool = False
    seed: int = 0


def define_sweep(request: SweepRequest) -> SweepDefinition:
    """The sweep that is asked for, with an empty name. Raises `UserError` for anything that its trials would reject."""
    params = _parse_params(request.params)
    spaces = {key: parse_space(key, text) for key, text in params}
    experiment = build_experiment(request.content)
    if "train.fold" not in spaces:
        check_one_run(experiment.train)
    _check_counts(request)
    trials = _count_trials(request, spaces)
    baseline = _check_values(request.content, experiment, spaces)
    metric = _metric_name(request.metric, experiment)
    return SweepDefinition(
        name="", content=request.content, params=tuple(params), trials=trials, workers=request.workers,
        baseline={} if request.sampler is SamplerName.GRID else baseline,
        sampler=request.sampler, pruner=request.pruner, metric=metric,
        minimize=request.minimize or _is_minimized(metric), best_epoch=experiment.weights == "best",
        epochs=experiment.train.epochs, seed=request.seed, created=round(time.time(), 3), directory=str(Path.cwd()),
    )  # fmt: skip


def trial_experiment(
    content: RecipeContent, params: dict[str, ParamValue], number: int | None = None
) -> Experiment:
    """The experiment of a trial: that of the sweep with these settings. Raises `UserError`."""
    experiment = build_experiment(content, sets=[f"{key}={value}" for key, value in params.items()])
    if number is None:
        return experiment
    suffix = f"-trial{number}"
    name = experiment.name.encode()[: MAX_NAME_BYTES - len(suffix)].decode(errors="ignore")
    return build_experiment(
        content, sets=[f"{key}={value}" for key, value in params.items()], name=name + suffix
    )


def grid_points(spaces: dict[str, Space]) -> list[dict[str, ParamValue]]:
    """All combinations of a grid, the last setting changing fastest."""
    return [dict(zip(spaces, values, strict=True)) for values in product(*(s.grid for s in spaces.values()))]


def _parse_params(texts: Sequence[str]) -> list[tuple[str, str]]:
    if not texts:
        raise UserError("a sweep needs at least one --param KEY=SPACE, for example train.lr=log:1e-4:1e-1")
    params = [parse_param(text) for text in texts]
    keys = [key for key, _ in params]
    for key in keys:
        if keys.count(key) > 1:
            raise UserError(f"--param {key} is there twice")
        if key in NOT_SEARCHED:
            raise UserError(f"--param {key}: this setting changes nothing in what a run learns")
    return params


def _check_counts(request: SweepRequest) -> None:
    if request.trials is None and request.sampler is not SamplerName.GRID:
        raise UserError("how many trials? --trials N (only a grid ends by itself)")
    if request.trials is not None and not 1 <= request.trials <= MAX_TRIALS:
        raise UserError(f"--trials must be from 1 to {MAX_TRIALS:,}, not {request.trials}")
    if not 1 <= request.workers <= MAX_WORKERS:
        raise UserError(f"--workers must be from 1 to {MAX_WORKERS}, not {request.workers}")
    if not 0 <= request.seed < 2**63:
        raise UserError(f"--seed must be from 0 to 2^63 - 1, not {request.seed}")


def _count_trials(request: SweepRequest, spaces: dict[str, Space]) -> int:
    """The number of trials; of a grid at most its combinations."""
    if request.sampler is SamplerName.CMAES and sum(space.is_numeric for space in spaces.values()) < 2:
        raise UserError("--sampler cmaes needs ranges of at least two settings; tpe takes any")
    if request.sampler is not SamplerName.GRID:
        assert request.trials is not None
        return request.trials
    for (key, space), text in zip(spaces.items(), request.params, strict=True):
        if not space.grid:
            raise UserError(
                f"--param {text}: a grid has single values; list them ({key}=a,b,c) or use another --sampler"
            )
    count = prod(len(space.grid) for space in spaces.values())
    if count > MAX_TRIALS:
        raise UserError(f"this grid has {count:,} combinations, more than {MAX_TRIALS:,}")
    return count if request.trials is None else min(count, request.trials)


def _check_values(
    content: RecipeContent, experiment: Experiment, spaces: dict[str, Space]
) -> dict[str, ParamValue]:
    """Build an experiment with each end of each space; returns the experiment's own values where they are in them."""
    own = flat_settings(experiment)
    baseline: dict[str, ParamValue] = {}
    for key, space in spaces.items():
        built = {end: flat_settings(trial_experiment(content, {key: end})).get(key) for end in space.ends}
        value = own.get(key)
        if isinstance(space, Choices):
            typed = next((end for end in space.values if built[end] == value), None)
            baseline |= {} if typed is None else {key: typed}
        elif isinstance(value, int | float) and not isinstance(value, bool):
            low, high = space.ends
            if float(low) <= value <= float(high):
                baseline[key] = value
    return baseline


def _metric_name(name: str | None, experiment: Experiment) -> str:
    """A metric of the runs: by default the monitored one; a name without a split is one of the validation data."""
    full = f"{VALIDATION}/{experiment.train.monitor}" if name is None else name
    if "/" not in full:
        full = f"{VALIDATION}/{full}"
    known = [f"{split}/{metric}" for split in EVALUATED_SPLITS for metric in EvaluationMetrics.METRICS]
    known += [f"{TRAINING}/{metric}" for metric in TRAINING_METRICS]
    if full not in known and not full.startswith(MACHINE_PREFIX):
        raise UserError(
            f"--metric {name}: no such metric{did_you_mean(full, known)}; a run has {', '.join(known)}"
        )
    return full


def _is_minimized(metric: str) -> bool:
    name = metric.rpartition("/")[2]
    return lower_is_better(name) or bool(named_direction(name))
