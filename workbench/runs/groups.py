"""Repeats as one thing: runs of a group, or that differ only in their seed, with the statistics of their results."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from itertools import combinations

import msgspec

from workbench.core import student_t
from workbench.core.settings_schema import SettingValue
from workbench.core.text import format_compact, format_decimals, format_setting, plural
from workbench.io.record_codec import encode_json
from workbench.runs.store import RunSummary

SEED = "seed"
FOLD, FOLDS = "train.fold", "train.folds"
NOT_VARIED = {SEED, FOLD, "recipe", "on_finish", "on_fail", "stall_seconds"}
"""Settings in which repeats may differ."""
OUT_OF_FOLD = "out_of_fold"
OUT_OF_FOLD_METRICS = ("accuracy", "loss")
MIN_FOR_TEST = 3
"""Runs that a group needs for Welch's test to say anything in words."""
CONFIDENCE = 0.95


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    """A metric over the runs of a group."""

    n: int
    mean: float
    sd: float | None
    """Standard deviation of the sample (n - 1); `None` of a single value."""
    low: float | None
    high: float | None
    """The 95 % interval of the mean, by Student's t; `None` of a single value."""
    values: tuple[float, ...]
    """In the order of the runs."""

    @property
    def text(self) -> str:
        """`.9132 ± .0041`: mean and standard deviation, of a single value the value."""
        mean = format_decimals(self.mean)
        return mean if self.sd is None else f"{mean} ± {format_decimals(self.sd)}"


class RunGroup(msgspec.Struct, frozen=True, kw_only=True, rename={"name": "group"}):
    """Repeats of one experiment."""

    name: str
    n: int
    runs: tuple[str, ...]
    """Ids, oldest first."""
    settings: dict[str, SettingValue]
    """The settings that differ between the groups, by full name; `None` where the scripts of a group differ too."""
    metrics: dict[str, Statistics]
    """Test results by `test.METRIC`, the best value on validation data as `validation.METRIC`, and of a
    cross-validation that has tested all folds `out_of_fold.METRIC`: over all samples, each held out once (a value for
    each seed).
    """


class GroupDifference(msgspec.Struct, frozen=True, kw_only=True):
    """Welch's test of one metric between two groups."""

    metric: str
    first: str
    second: str
    difference: float
    """The mean of the second group minus that of the first."""
    low: float | None
    high: float | None
    """The 95 % interval of the difference; `None` where a group has a single value or nothing varies."""
    t: float | None
    df: float | None
    p: float | None
    conclusion: str
    """What can be said, for people."""


class GroupComparison(msgspec.Struct, frozen=True, kw_only=True):
    """The document that `workbench compare --groups --json` prints."""

    groups: tuple[RunGroup, ...]
    differences: tuple[GroupDifference, ...]


def statistics_of(values: Sequence[float]) -> Statistics:
    """Mean, standard deviation and 95 % interval of at least one finite value."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return Statistics(n=1, mean=mean, sd=None, low=None, high=None, values=tuple(values))
    sd = statistics.stdev(values)
    half = student_t.quantile((1 + CONFIDENCE) / 2, len(values) - 1) * sd / math.sqrt(len(values))
    return Statistics(
        n=len(values), mean=mean, sd=sd, low=mean - half, high=mean + half, values=tuple(values)
    )


def welch_test(metric: str, first: tuple[str, Statistics], second: tuple[str, Statistics]) -> GroupDifference:
    """Welch's t test of two groups, each a name and the statistics of `metric` (https://doi.org/10.1093/biomet/34.1-2.28).

    Without variation in either group, or with a single value, there is no test.
    """
    (first_name, a), (second_name, b) = first, second
    difference = b.mean - a.mean
    variances = [(one.sd**2 / one.n if one.sd is not None else math.nan) for one in (a, b)]
    error = math.sqrt(sum(variances))
    low = high = t = df = p = None
    if error > 0:  # not NaN
        parts = sum(variance**2 / (one.n - 1) for variance, one in zip(variances, (a, b), strict=True))
        t, df = difference / error, sum(variances) ** 2 / parts
        p = student_t.two_sided_p(t, df)
        half = student_t.quantile((1 + CONFIDENCE) / 2, df) * error
        low, high = difference - half, difference + half
    return GroupDifference(
        metric=metric, first=first_name, second=second_name, difference=difference, low=low, high=high, t=t, df=df, p=p,
        conclusion=_conclusion(metric, (a, b), difference, p, (low, high)),
    )  # fmt: skip


def _conclusion(
    metric: str, groups: tuple[Statistics, Statistics], difference: float, p: float | None,
    interval: tuple[float | None, float | None],
) -> str:  # fmt: skip
    """One sentence that claims no more than the numbers of runs allow."""
    by = f"{metric} differs by {difference:+.4g}"
    few = min(one.n for one in groups)
    if few < MIN_FOR_TEST:
        return f"{by}, but {plural(few, 'run')} in a group {'is' if few == 1 else 'are'} too few for a conclusion"
    if p is None:
        return f"{by}; the runs of each group are equal, so there is no test"
    low, high = interval
    figures = f"95 % interval {low:+.4g} to {high:+.4g}, Welch's test p = {format_compact(p)}"
    if p >= 1 - CONFIDENCE:
        return f"no difference in {metric} is shown: {difference:+.4g} ({figures})"
    return f"{by} ({figures})"


def group_runs(rows: Sequence[RunSummary]) -> list[list[RunSummary]]:
    """The runs in groups, newest group first: those that differ only in their seed, scripts by the user's group.

    Trainings of one group of the user with several settings, as a grid has them, are as many groups here; a run that
    nothing repeats is one of its own.
    """
    groups: dict[tuple[str, str | bytes], list[RunSummary]] = {}
    for row in sorted(rows, key=lambda row: row.id):
        groups.setdefault(_key(row), []).append(row)
    return sorted(groups.values(), key=lambda group: group[-1].id, reverse=True)


def _key(row: RunSummary) -> tuple[str, str | bytes]:
    if not row.settings or not row.is_training:  # nothing is known of what it repeats but what the user says
        return ("group", row.group) if row.group else ("run", row.id)
    kept = {name: value for name, value in row.settings.items() if name not in NOT_VARIED}
    return row.group, encode_json(kept, sort_keys=True)


def compare_groups(rows: Sequence[RunSummary]) -> GroupComparison:
    """The groups of some runs, with the settings that differ between them, and Welch's tests of each two groups."""
    members = group_runs(rows)
    settings = [_common_settings(group) for group in members]
    names = list(dict.fromkeys(name for one in settings for name in one))
    varied = [
        name for name in names
        if name not in NOT_VARIED and len({repr(one.get(name)) for one in settings}) > 1
    ]  # fmt: skip
    labels = group_labels(members)
    groups = tuple(
        RunGroup(
            name=label, n=len(group), runs=tuple(row.id for row in group),
            settings={name: one.get(name) for name in varied}, metrics=group_metrics(group),
        )
        for label, group, one in zip(labels, members, settings, strict=True)
    )  # fmt: skip
    differences = tuple(
        welch_test(metric, (first.name, first.metrics[metric]), (second.name, second.metrics[metric]))
        for first, second in combinations(groups, 2)
        for metric in first.metrics.keys() & second.metrics.keys()
        if not metric.startswith(OUT_OF_FOLD)  # a single value of all folds
    )
    return GroupComparison(groups=groups, differences=tuple(sorted(differences, key=lambda one: one.metric)))


def group_metrics(group: Sequence[RunSummary]) -> dict[str, Statistics]:
    """The statistics of each result that the runs have; runs without it are left out."""
    found: dict[str, list[float]] = {}
    for row in group:
        for name, value in _results(row).items():
            if math.isfinite(value):
                found.setdefault(name, []).append(value)
    for name, values in out_of_fold(group).items():
        found[f"{OUT_OF_FOLD}.{name}"] = values
    return {name: statistics_of(values) for name, values in found.items()}


def out_of_fold(group: Sequence[RunSummary]) -> dict[str, list[float]]:
    """The accuracy and the loss over all samples of a cross-validation, each held out once: a value for each seed.

    The mean over the folds, weighted by their samples, is exactly that for these two metrics. Seeds whose folds have
    not all been tested once are left out.
    """
    by_seed: dict[SettingValue, list[RunSummary]] = {}
    for row in group:
        if row.settings.get(FOLDS):
            by_seed.setdefault(row.settings.get(SEED), []).append(row)
    found: dict[str, list[float]] = {}
    for rows in by_seed.values():
        if not _is_complete(rows):
            continue
        total = sum(row.test_count for row in rows)
        for name in OUT_OF_FOLD_METRICS:
            values = [(row.test or {}).get(name) for row in rows]
            known = [value for value in values if value is not None and math.isfinite(value)]
            if len(known) == len(rows):
                weighted = zip(known, (row.test_count for row in rows), strict=True)
                found.setdefault(name, []).append(sum(value * count for value, count in weighted) / total)
    return found


def _is_complete(rows: Sequence[RunSummary]) -> bool:
    """Whether some runs have tested every fold once."""
    folds = sorted(fold for row in rows if isinstance(fold := row.settings.get(FOLD), int))
    return folds == list(range(1, len(rows) + 1)) and all(
        row.settings.get(FOLDS) == len(rows) and row.test and row.test_count for row in rows
    )


def _results(row: RunSummary) -> dict[str, float]:
    """The test result and the best value on validation data; of a script its newest values."""
    if row.command:
        return dict(row.metrics)
    results = {f"test.{name}": value for name, value in (row.test or {}).items() if value is not None}
    if row.best is not None:
        results[f"validation.{row.monitor}"] = row.best
    return results


def _common_settings(group: Sequence[RunSummary]) -> dict[str, SettingValue]:
    """The settings of a group; `None` where its runs differ."""
    names = dict.fromkeys(name for row in group for name in row.settings)
    first = group[0].settings
    return {
        name: first.get(name) if all(row.settings.get(name) == first.get(name) for row in group) else None
        for name in names
    }


def group_labels(members: Sequence[Sequence[RunSummary]]) -> list[str]:
    """A name for each group: the user's, else that of its runs; groups of one name get what differs, or a number."""
    names = [group[0].group or group[0].name for group in members]
    labels = list(names)
    for name, count in Counter(names).items():
        if count > 1:
            same = [index for index, other in enumerate(names) if other == name]
            for index, differing in zip(same, _differing([members[i] for i in same]), strict=True):
                labels[index] = " ".join([name, *differing])
    used = Counter[str]()
    for index, label in enumerate(labels):
        used[label] += 1
        if used[label] > 1:
            labels[index] = f"{label} ({used[label]})"
    return labels


def _differing(members: Sequence[Sequence[RunSummary]]) -> list[list[str]]:
    """For each of some groups the settings in which not all of them are equal: `["lr=0.1"]`."""
    settings = [_common_settings(group) for group in members]
    names = dict.fromkeys(name for one in settings for name in one if name not in NOT_VARIED)
    varied = [name for name in names if any(one.get(name) != settings[0].get(name) for one in settings)]
    return [
        [
            f"{name.rpartition('.')[2]}={format_setting(one[name])}"
            for name in varied
            if one.get(name) is not None
        ]
        for one in settings
    ]
