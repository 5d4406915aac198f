"""The columns of the list of runs, for the screen and the command line: what each shows, and how it is sorted.

A column is named by a field (`duration`, `tags`), a setting (`lr` for `train.lr`), a metric (`val/loss`: its newest
value), or a value of a metric over the whole run: `best:val/loss`, `min:`, `max:` and `smooth:`, its moving average.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from workbench.core import text
from workbench.core.errors import UserError, did_you_mean
from workbench.core.user_code import short_name
from workbench.runs.enums import Phase
from workbench.runs.groups import Statistics, statistics_of
from workbench.runs.metric_direction import named_direction
from workbench.runs.run_query import ALIASES as QUERY_ALIASES
from workbench.runs.run_query import (
    FIELDS,
    FieldValue,
    getter,
    known_keys,
    metric_name,
    setting_value,
)
from workbench.runs.scores import Score, score_key
from workbench.runs.status import Status
from workbench.runs.store import RunSummary


class Ranked(NamedTuple):
    """A text with its place in the order."""

    rank: float
    text: str


SortKey = tuple[float, float, str]
CellValue = FieldValue | Score | Ranked

VARIED = "varied"
"""Stands for a setting that repeats do not share."""
UNREAD = Ranked(math.nan, "…")
"""Stands for a value that is not read yet."""


@dataclass(frozen=True)
class RunColumn:
    """A column of the list of runs."""

    name: str
    """How it is named: `lr`, `best:val/loss`, `duration`."""
    header: str
    value: Callable[[RunSummary], CellValue]
    """Its value for a run; `None` without one."""
    format: Callable[[float], str] = text.format_compact
    """The text of a number."""
    descending: bool = False
    """Whether the largest come first until the order is reversed."""
    varies: bool = False
    """Whether repeats that do not share its text say so; else they show that of one of them."""
    by_start: bool = False
    """Whether its order is that of the starts: runs that wait are newer than all others.

    They are numbered downwards where the newest come first, as a person expects of a queue.
    """
    needs_ranges: bool = False
    """Whether it shows what only `MetricRanges` knows."""

    def text(self, row: RunSummary, repeats: Sequence[RunSummary] = ()) -> str:
        """The cell of a run, or of several that `row` stands for: `.913 ±.004`. Not sanitized."""
        values = [self.value(run) for run in repeats or [row]]
        if (statistics := _statistics(values)) is not None and statistics.sd is not None:
            first = next(value for value in values if _number(value) is not None)
            spread = replace(first, value=statistics.sd).figure if isinstance(first, Score) else None
            return (
                f"{self._text(_with_number(first, statistics.mean))} ±{spread or self.format(statistics.sd)}"
            )
        if self.varies and len({repr(value) for value in values}) > 1:
            return VARIED
        return self._text(self.value(row))

    def _text(self, value: CellValue) -> str:
        match value:
            case None:
                return ""
            case Score():
                return value.text_without_epoch if self.name in LABELED else value.unlabeled_split
            case Ranked():
                return value.text
            case float():
                return self.format(value)
        return "" if value in ("", ()) else text.format_setting(value)

    def key(self, row: RunSummary, repeats: Sequence[RunSummary] = ()) -> SortKey | None:
        """The place of a run in the order, or of several by their mean; `None` comes last."""
        if self.by_start and row.position:
            return _AFTER_ALL, -float(row.position), ""
        statistics = _statistics([self.value(run) for run in repeats])
        value = self.value(row)
        return _key(value if statistics is None else _with_number(value, statistics.mean))


_AFTER_ALL = 2.0
"""The kind of a key after numbers and texts."""
LABELED = {"result", "newest"}
"""The columns whose figures name their split, as their header does not."""


def _number(value: CellValue) -> float | None:
    """The finite number of which repeats have a mean; a setting and a rank are none."""
    number = value.value if isinstance(value, Score) else value
    return number if isinstance(number, float) and math.isfinite(number) else None


def _with_number(value: CellValue, number: float) -> CellValue:
    return replace(value, value=number, epoch=None) if isinstance(value, Score) else number


def _statistics(values: Iterable[CellValue]) -> Statistics | None:
    """Of the numbers among some values, and of the figures of one metric."""
    known = [(number, value) for value in values if (number := _number(value)) is not None]
    labels = [value.label if isinstance(value, Score) else "" for _, value in known]
    numbers = [number for (number, _), label in zip(known, labels, strict=True) if label == labels[0]]
    return statistics_of(numbers) if numbers else None


def _key(value: CellValue) -> SortKey | None:
    """Numbers in their order before texts in theirs; nothing, an empty text and NaN have none."""
    match value:
        case Score():
            kind, key = score_key(value)
            return None if math.isnan(value.value) else (float(kind), key, "")
        case Ranked():
            return None if math.isnan(value.rank) else (0.0, value.rank, value.text.lower())
        case int() | float():
            return None if math.isnan(value) else (0.0, float(value), "")
    return (1.0, 0.0, text.format_setting(value).lower()) if value else None


def sort_runs(
    rows: Sequence[RunSummary],
    column: RunColumn,
    *,
    reverse: bool = False,
    repeats: Mapping[str, Sequence[RunSummary]] | None = None,
) -> list[RunSummary]:
    """The runs by a column, those without a value last; among equal ones, queued runs by their starts.

    `repeats`: by the id of a row all runs that it stands for.
    """
    groups = repeats or {}
    if any(row.position for row in rows):
        rows = sorted(rows, key=lambda row: RUN_FIELDS["run"].key(row) or (0.0, 0.0, ""), reverse=True)
    keys = [(column.key(row, groups.get(row.id, ())), row) for row in rows]
    known = [(key, row) for key, row in keys if key is not None]
    known.sort(key=lambda item: item[0], reverse=column.descending != reverse)
    return [row for _, row in known] + [row for key, row in keys if key is None]


def run_column(name: str) -> RunColumn:
    """The column of this name, whether a run has it or not."""
    key = ALIASES.get(name.lower(), name.lower())
    if key in RUN_FIELDS:
        return RUN_FIELDS[key]
    prefix, colon, metric = name.partition(":")
    if colon and metric and prefix.lower() in OVER_RUN:
        return _over_run(prefix.lower(), metric, name)
    lowest, get = named_direction(name), getter(name)

    def value(row: RunSummary) -> CellValue:
        setting = None if key in FIELDS else setting_value(row, name)
        if isinstance(setting, int | float):
            return Ranked(float(setting), text.format_setting(setting))
        return get(row)

    return RunColumn(
        name, _header(name), value, lambda number: format_metric(name, number), descending=lowest is False, varies=True
    )  # fmt: skip


def _header(name: str) -> str:
    """`lr` of `train.lr`, `best:val/loss` of `best:validation/loss`."""
    return name.removeprefix("train.").replace("validation/", "val/")


def parse_columns(names: Iterable[str], rows: Sequence[RunSummary]) -> list[RunColumn]:
    """The columns of these names. Raises `UserError`, see `check_column`."""
    columns = [run_column(name) for name in names]
    for column in columns:
        check_column(column, rows)
    return columns


def check_column(column: RunColumn, rows: Sequence[RunSummary]) -> None:
    """Raise `UserError` for the name of no field, and of no setting or metric of these runs; and for the best value of
    a metric whose direction its name does not show.
    """
    if column.name in RUN_FIELDS or column.name.lower() in FIELDS.keys() | QUERY_ALIASES.keys():
        return
    prefix, _, metric = column.name.partition(":")
    if column.needs_ranges:
        if any(metric_name(row, metric) for row in rows):
            if prefix.lower() == BEST and named_direction(metric) is None:
                ways = f"use min:{metric} or max:{metric}"
                raise UserError(f"which values of '{metric}' are better is unknown; {ways}")
            return
        near = did_you_mean(metric, _metric_names(rows))
        raise UserError(f"no run has a metric '{metric}'{near}")
    if all(value is None for value in map(getter(column.name), rows)):
        near = did_you_mean(column.name, [*RUN_FIELDS, *ALIASES, *known_keys(rows)])
        raise UserError(f"no run has a column '{column.name}'{near}")


def known_columns(rows: Sequence[RunSummary]) -> dict[str, str]:
    """The names of the columns that these runs can have, with what each is."""
    found = dict.fromkeys(RUN_FIELDS, "")
    for names in {tuple(row.settings) for row in rows}:
        found |= dict.fromkeys((name for name in names if name not in found), "setting")
    for name in _metric_names(rows):
        over_run = ("min", "max", "smooth") if named_direction(name) is None else ("best", "smooth")
        found |= {name: "metric, newest value"}
        found |= {f"{prefix}:{name}": f"metric, {OVER_RUN[prefix]}" for prefix in over_run}
    return found


def _metric_names(rows: Iterable[RunSummary]) -> list[str]:
    return sorted({name for row in rows for name in row.metrics})


def format_metric(name: str, value: float) -> str:
    """A value as its kind is compared: `.913` of an accuracy, else `.31`, `1.2e-4`."""
    is_fraction = named_direction(name) is False and 0 <= value <= 1
    return text.format_fraction(value) if is_fraction else text.format_compact(value)


BEST = "best"
OVER_RUN = {
    BEST: "best value", "min": "lowest value", "max": "highest value", "smooth": "newest value, smoothed",
}  # fmt: skip
"""What the values over a whole run are, by the prefix of the column's name."""


def _over_run(kind: str, metric: str, name: str) -> RunColumn:
    """A value of a metric over the whole run; none is the best where the metric's direction is unknown."""
    lowest = named_direction(metric)
    undefined = kind == BEST and lowest is None
    attribute = {"min": "min", "max": "max", "smooth": "smoothed"}.get(kind, "min" if lowest else "max")

    def value(row: RunSummary) -> CellValue:
        if isinstance(row.ranges, msgspec.UnsetType):
            return UNREAD
        found = row.ranges.get(metric_name(row, metric) or "")
        return None if found is None or undefined else float(getattr(found, attribute))

    return RunColumn(
        name, _header(name), value, lambda number: format_metric(metric, number), descending=not lowest,
        needs_ranges=True,
    )  # fmt: skip


def _status(row: RunSummary) -> Ranked:
    """Live runs first."""
    status = row.phase if row.phase is Phase.PAUSED else row.status
    if row.status is Status.QUEUED:
        return Ranked(list(Status).index(row.status) + (row.position or 0) / 1e6, _queue_text(row))
    return Ranked(float(list(Status).index(row.status)), str(status))


def _queue_text(row: RunSummary) -> str:
    if row.slurm_reason:
        return f"{row.status}: {row.slurm_reason}"
    return f"{'held' if row.held else row.status} #{row.position}" if row.position else str(row.status)


def _progress(row: RunSummary) -> Ranked:
    """Epochs; of a script or a log that does not count them, its steps."""
    if row.epochs_total:
        return Ranked(row.epoch, f"{row.epoch}/{row.epochs_total}")
    return Ranked(row.epoch, text.format_count(row.step) if not row.is_training and row.step else "")


def _eta_or_age(row: RunSummary) -> Ranked:
    """The phase of a live run, or how long it still takes; the place of a queued one; the age of an ended one."""
    if row.status is Status.QUEUED:
        return Ranked(float(row.position or 0), _queue_text(row))
    if row.status.live:
        return Ranked(
            (row.eta or 0.0) - time.time(),
            str(row.phase or row.status) if row.eta is None else text.format_duration(row.eta),
        )
    age = time.time() - row.created
    return Ranked(age, text.format_age(age)) if row.created else Ranked(math.nan, "")


def _started(row: RunSummary) -> Ranked | None:
    """When a run was started or queued."""
    return Ranked(row.created, text.format_time(row.created)) if row.created else None


RUN_FIELDS: dict[str, RunColumn] = {
    column.name: column
    for column in (
        RunColumn("run", "run", lambda row: row.id, descending=True, by_start=True),
        RunColumn("name", "name", lambda row: row.name),
        RunColumn("status", "status", _status),
        RunColumn("epoch", "epoch", _progress, descending=True),
        RunColumn("step", "step", lambda row: row.step or None, descending=True),
        RunColumn("result", "result", lambda row: row.scores[0] if row.scores else None, descending=True),
        RunColumn("test", "test", lambda row: row.test_score, descending=True),
        RunColumn("val", "val", lambda row: row.best_score, descending=True),
        RunColumn("newest", "newest", lambda row: row.newest_score, descending=True),
        RunColumn("time", "ETA/age", _eta_or_age),
        RunColumn(
            "duration", "duration", lambda row: row.seconds or None, text.format_duration, descending=True
        ),
        RunColumn("device", "device", lambda row: row.device),
        RunColumn("host", "host", lambda row: row.host),
        RunColumn("group", "group", lambda row: row.group),
        RunColumn("tags", "tags", lambda row: ", ".join(row.tags)),
        RunColumn("notes", "notes", lambda row: " ".join(row.notes.split())),
        RunColumn("model", "model", lambda row: short_name(row.model) or row.format),
        RunColumn(
            "data", "data", lambda row: short_name(row.dataset) or row.command or "".join(row.logs[:1])
        ),
        RunColumn("started", "started", _started, descending=True, by_start=True),
        RunColumn("command", "command", lambda row: row.command),
        RunColumn("reason", "reason", lambda row: row.reason),
    )
}
"""The columns that are neither a setting nor a metric, by their names."""
ALIASES = {
    "id": "run", "dataset": "data", "tag": "tags", "note": "notes", "best": "val", "eta": "time", "age": "time",
    "epochs": "epoch", "steps": "step", "elapsed": "duration", "seconds": "duration",
}  # fmt: skip
"""Other names of them."""
