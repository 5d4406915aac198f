"""A run that another program logs: its `experiment.json` only says where the logs are, which are read from there."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.config.experiment import run_name_part
from workbench.core.errors import UserError
from workbench.core.text import format_time
from workbench.io.record_codec import Record, read_record, write_record
from workbench.logs.source import LogFormat, LogSource, stamp_logs
from workbench.runs.run_folder import RunFolder, create_run_folder

if TYPE_CHECKING:  # finding logs imports all their readers, which a script that logs does not need
    from workbench.logs.logged_runs import LoggedRun


class LogPlace(Record, frozen=True, kw_only=True):
    """A log: a file, or the folder of its files."""

    path: str
    """Absolute."""
    format: LogFormat

    @property
    def source(self) -> LogSource:
        """The log for its reader."""
        return LogSource(Path(self.path), self.format)


class ExternalLog(Record, frozen=True, kw_only=True):
    """`experiment.json` of a run that another program logs."""

    external: tuple[LogPlace, ...]
    """Its logs, at least one."""
    name: str = ""
    opened: bool = False
    """Whether it is only shown, and is not in the list of runs: its folder is temporary."""

    @property
    def format(self) -> LogFormat:
        """The format of the first log."""
        return self.external[0].format

    @property
    def place(self) -> str:
        """The path of the first log, by which people know it."""
        return self.external[0].path

    @property
    def paths(self) -> list[Path]:
        """The paths of the logs."""
        return [Path(log.path) for log in self.external]

    @property
    def modified(self) -> float:
        """When the logs were last written, Unix seconds; 0 where they are missing."""
        return stamp_logs(self.paths)[0] / 1e9

    @property
    def missing_reason(self) -> str:
        """Why it can't be read; empty where any of its logs exists."""
        found = any(path.exists() for path in self.paths)
        return "" if found else f"its log {self.place} is missing: workbench rm removes it from the list"


def external_log(logged: LoggedRun, *, opened: bool = False) -> ExternalLog:
    """The record of a run that was found in a folder of logs."""
    places = tuple(
        LogPlace(path=str(source.path.absolute()), format=source.format) for source in logged.sources
    )
    return ExternalLog(external=places, name=logged.name, opened=opened)


def create_external_run(parent: Path, log: ExternalLog) -> RunFolder:
    """Create the folder of a run in `parent`; its logs stay where they are. Raises `UserError` and `OSError`."""
    folder = create_run_folder(parent, run_name_part(log.name))
    write_record(folder.experiment, log)
    return folder


def read_external_log(path: Path) -> ExternalLog | None:
    """The logs of a run; `None` where the file is missing or damaged, or the run is no external log."""
    log = read_record(path, ExternalLog)
    return log if log is not None and log.external else None


def check_is_ours(folder: RunFolder) -> None:
    """Raise `UserError` for a run that another program logs: there is no process, output or checkpoint of ours."""
    if read_external_log(folder.experiment) is not None:
        raise UserError(f"{folder.id} is a log of another program, which can only be read")


def stamp_text(paths: Iterable[str]) -> str:
    """What changes whenever one of these logs does."""
    modified, size = stamp_logs([Path(path) for path in paths])
    return f"{modified} {size}"


def last_change(log: ExternalLog) -> str:
    """When the logs were last written, for people; empty where they are missing."""
    return f"last written {format_time(log.modified)}" if log.modified else ""
