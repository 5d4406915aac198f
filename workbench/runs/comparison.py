"""Comparison of runs: their results, and the settings in which they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from workbench.core.settings_schema import SettingValue
from workbench.runs.flat_settings import flat_settings
from workbench.runs.lookup import id_suffix
from workbench.runs.reader import RunView
from workbench.runs.run_report import RunReport, build_report
from workbench.runs.status import Status

IDENTITY_COLUMNS = {"run", "name"}
"""Columns that identify the runs of a comparison."""
REQUIRED_METRICS = ("loss", "accuracy")
"""Test metrics that every comparison has, even if they are not measured."""


class ComparedRun(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a comparison; all runs of it have the same metrics and settings."""

    run: str
    name: str
    status: Status
    epoch: int
    """Completed epochs."""
    seconds: float
    """Wall time in seconds, summed over attempts."""
    test: dict[str, float | None]
    """Test metrics by name, rounded to four decimals; `None` where one is not measured."""
    logged: dict[str, float | None] = {}
    """Newest values that scripts and other programs have logged, by name, rounded likewise."""
    settings: dict[str, SettingValue]
    """Settings that differ between the runs, by full name, and where they ran: the git commit of the user's code, host,
    device, package versions.
    """

    @property
    def row(self) -> dict[str, SettingValue]:
        """The run as one row, with the column names of `workbench compare`: `test.accuracy`, `train.lr`."""
        return {
            "run": self.run,
            "name": self.name,
            "status": str(self.status),
            "epoch": self.epoch,
            "seconds": self.seconds,
            **{f"test.{name}": value for name, value in self.test.items()},
            **self.logged,
            **self.settings,
        }


def differing_keys(runs: Sequence[ComparedRun]) -> list[str]:
    """The columns of `ComparedRun.row` whose values differ between the runs."""
    rows = [run.row for run in runs]
    return [key for key in rows[0] if key not in IDENTITY_COLUMNS and _differs(key, rows)]


def display_names(runs: Sequence[ComparedRun]) -> list[str]:
    """The names of the runs in a table; those of runs with the same name are followed by the end of the run id."""
    names = [run.name for run in runs]
    return [run.name if names.count(run.name) == 1 else f"{run.name} {id_suffix(run.run)}" for run in runs]


def compare_runs(views: Sequence[RunView]) -> list[ComparedRun]:
    """The comparison of runs, in the same order."""
    reports = [build_report(view) for view in views]
    settings = [_compared_settings(report) for report in reports]
    changed = [name for name in _union(settings) if _differs(name, settings)]
    measured = [_test_metrics(report) for report in reports]
    metrics = _union(measured)
    logged = [_logged_metrics(report) for report in reports]
    logged_names = _union(logged)
    return [
        ComparedRun(
            run=report.run,
            name=report.name,
            status=report.status,
            epoch=report.epoch,
            seconds=report.seconds.total,
            test={name: test.get(name) for name in metrics},
            logged={name: values.get(name) for name in logged_names},
            settings={name: flat.get(name) for name in changed},
        )
        for report, test, values, flat in zip(reports, measured, logged, settings, strict=True)
    ]


def _differs(key: str, rows: Sequence[Mapping[str, SettingValue]]) -> bool:
    return len({repr(row.get(key)) for row in rows}) > 1


def _union(rows: Sequence[Mapping[str, object]]) -> list[str]:
    """The keys of all rows, in the order in which they first occur."""
    return list(dict.fromkeys(key for row in rows for key in row))


def _test_metrics(report: RunReport) -> dict[str, float | None]:
    measured = {
        name: None if value is None else round(value, 4) for name, value in (report.test or {}).items()
    }
    return {**dict.fromkeys(REQUIRED_METRICS), **measured}


def _compared_settings(report: RunReport) -> dict[str, SettingValue]:
    """The settings of a run, and those of a script as it reports them, with the code and the environment."""
    code: dict[str, SettingValue] = {}
    if report.source is not None:
        code = {"code.commit": report.source.commit[:8], "code.changed": ", ".join(report.source.changed)}
    environment = {f"environment.{name}": value for name, value in report.environment.items()}
    return {**flat_settings(report.experiment), **report.config, **code, **environment}


def _logged_metrics(report: RunReport) -> dict[str, float | None]:
    """The newest values of a script or an external log; of our own trainings the test result is compared."""
    if report.experiment is not None:
        return {}
    return {name: round(row.last, 4) for name, row in report.metrics.items()}
