"""One metrics model for all runs: series of values by name, of trainings and of scripts alike."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence

import msgspec

from workbench.logs.series import Series
from workbench.runs.journal import SystemSample
from workbench.runs.metrics import EvaluationMetrics, EvaluationRow, LogRow, MetricLine, Wall
from workbench.runs.reader import TIME, RunReader, RunView
from workbench.runs.run_folder import RunFolder

TRAINING = "train"
"""The prefix of training metrics; those of an evaluation have the name of its split."""
NOT_METRICS = frozenset({"epoch", "count", TIME})
"""Columns of the training steps that are no metrics."""


class MetricSummary(msgspec.Struct, frozen=True):
    """The values of one metric."""

    last: float
    """May be NaN or infinite."""
    min: float | None
    max: float | None
    """Of the finite values; `None` without one."""
    count: int
    last_step: int


def metric_series(view: RunView) -> dict[str, Series]:
    """All metrics of a run by name: what a script has logged, what our trainer has recorded (`train/loss`,
    `validation/accuracy`), and what its supervisor has measured (`machine/cpu`)."""
    return {**_training_series(view), **_evaluation_series(view), **_machine_series(view), **view.logged}


def newest_values(rows: Sequence[MetricLine]) -> dict[str, float]:
    """The newest value of each metric among some lines of `metrics.jsonl`, by the names of `metric_series`."""
    found: dict[str, float] = {}
    for row in rows:
        if isinstance(row, LogRow):
            found |= row.values
        else:
            prefix = row.split if isinstance(row, EvaluationRow) else TRAINING
            values = {f"{prefix}/{name}": row.metric(name) for name in row.METRICS}
            found |= {name: value for name, value in values.items() if value is not None}
    return found


def summarize(series: Series) -> MetricSummary:
    """The summary of a series with at least one value."""
    finite = [value for value in series.values if math.isfinite(value)]
    return MetricSummary(
        last=series.values[-1],
        min=min(finite, default=None),
        max=max(finite, default=None),
        count=len(series),
        last_step=int(series.steps[-1]),
    )


def external_rows(folder: RunFolder) -> Iterator[LogRow]:
    """What another program, or a script in logs of its own, has logged, a row for each step; for other runs nothing."""
    reader = RunReader(folder)
    reader.read_all()
    reader.close()
    rows: dict[tuple[int, int], dict[str, float]] = {}
    times: dict[tuple[int, int], float] = {}
    for name, series in reader.external_series.items():
        seen: Counter[int] = Counter()
        for step, value, wall_time in zip(series.steps, series.values, series.wall_times, strict=True):
            key = step, seen[step]  # a step that is repeated gets another row
            seen[step] += 1
            rows.setdefault(key, {})[name] = value
            if math.isfinite(wall_time):
                times.setdefault(key, wall_time)
    for key in sorted(rows):
        yield LogRow(step=key[0], values=rows[key], wall=Wall(time=times.get(key, 0.0)))


def _training_series(view: RunView) -> dict[str, Series]:
    found: dict[str, Series] = {}
    for name in view.steps.values.keys() - NOT_METRICS:
        series = Series()
        for step, value in zip(view.steps.step, view.steps.column(name), strict=True):
            if not math.isnan(value):  # NaN is a missing value here
                series.append(int(step), value)
        if len(series):
            found[f"{TRAINING}/{name}"] = series
    return dict(sorted(found.items()))


def _evaluation_series(view: RunView) -> dict[str, Series]:
    found: dict[str, Series] = {}
    for row in view.evaluations:
        for name in EvaluationMetrics.METRICS:
            if (value := row.metric(name)) is not None:
                found.setdefault(f"{row.split}/{name}", Series()).append(row.step, value, row.wall.time)
    return found


def _machine_series(view: RunView) -> dict[str, Series]:
    found: dict[str, Series] = {}
    for line in view.journal:
        if isinstance(line, SystemSample):
            for name, value in machine_values(line).items():
                found.setdefault(name, Series()).append(line.step, value, line.time or math.nan)
    return found


def machine_values(sample: SystemSample) -> dict[str, float]:
    """The known values of a sample by the names of their metrics: `machine/cpu`, `machine/gpu0/temperature`."""
    values = {
        "worker_cores": sample.cpu,
        "worker_memory": sample.rss,
        "cpu": sample.machine_cpu,
        "memory": sample.machine_memory,
        "disk_read": sample.disk_read,
        "disk_write": sample.disk_write,
        "network_in": sample.network_in,
        "network_out": sample.network_out,
    }
    for gpu in sample.gpus:
        for name in ("load", "memory", "power", "temperature"):
            values[f"gpu{gpu.index}/{name}"] = getattr(gpu, name)
    return {f"machine/{name}": float(value) for name, value in values.items() if value is not None}
