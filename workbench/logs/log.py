"""A log written by another program: its metrics, settings and large values, followed while it grows."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from workbench.core.text import plural
from workbench.logs.columns import Row
from workbench.logs.config_files import ConfigValue, read_yaml
from workbench.logs.followed_file import FileReplaced
from workbench.logs.references import Histogram, Reference
from workbench.logs.series import Series, as_step
from workbench.logs.source import LogSource

MAX_SERIES = 10_000
MAX_POINTS = 20_000_000
MAX_REFERENCES = 200_000

T = TypeVar("T")


class NoticeKind(StrEnum):
    """What a reader did not take as it was; the value is its name in messages."""

    DAMAGED_RECORD = "damaged record"
    INVALID_LINE = "invalid line"
    INVALID_VALUE = "invalid value"
    UNREADABLE_FILE = "unreadable file"
    REWRITTEN_FILE = "rewritten file"
    """A file was replaced or truncated: everything was read again."""
    IGNORED_POINT = "ignored point"
    """A point of a metric after the first `MAX_SERIES`."""
    IGNORED_REFERENCE = "ignored image, histogram or text"
    """Any after the first `MAX_REFERENCES`."""
    DROPPED_POINT = "dropped point"
    """Of more than `MAX_POINTS`, every second one is dropped."""


class Log(ABC):
    """What was read of a log so far. Readers for each format are derived from it."""

    def __init__(self, source: LogSource) -> None:
        self.source = source
        self.series: dict[str, Series] = {}
        self.config: dict[str, ConfigValue] = {}
        self.summary: dict[str, ConfigValue] = {}
        """Results that the run itself noted."""
        self.texts: dict[str, list[Reference[str]]] = {}
        self.images: dict[str, list[Reference[bytes]]] = {}
        self.histograms: dict[str, list[Reference[Histogram]]] = {}
        self.version = 0
        """Increases whenever anything above changes."""
        self.generation = 0
        """Increases when everything is read again, because a file was replaced or truncated."""
        self.point_count = 0
        """Points in all series."""
        self._notices: Counter[NoticeKind] = Counter()
        self._references = 0
        self._settings_time = 0
        self._work: Iterator[None] | None = None

    @property
    def notices(self) -> Mapping[NoticeKind, int]:
        """How often each thing happened that a user should know."""
        return self._notices

    @property
    def notice_lines(self) -> list[str]:
        """The notices as text: `3 damaged records`."""
        return [plural(count, kind.value) for kind, count in self._notices.items()]

    @property
    def pending(self) -> bool:
        """Whether the last poll ran out of time before it had read everything."""
        return self._work is not None

    @property
    def is_garbled(self) -> bool:
        """Whether there is content, but no complete record at its start."""
        return False

    def poll(self, max_seconds: float = math.inf) -> bool:
        """Read what was added, for about `max_seconds`; whether anything changed. Never raises for bad content."""
        version, deadline = self.version, time.monotonic() + max_seconds
        work = self._work or self._read()
        self._work = None
        try:
            for _ in work:
                if time.monotonic() >= deadline:
                    self._work = work
                    break
        except FileReplaced:
            self._reset()
            self._work = self._read()
        except OSError:
            self._notice_unreadable_file()
        return self.version != version

    @abstractmethod
    def _read(self) -> Iterator[None]:
        """Read what was added since the last time; gives way to the caller every few milliseconds.

        Raises `OSError` and `FileReplaced`; the next call continues where the last one ended.
        """

    def _reset(self) -> None:
        """Forget everything that was read, as a file was rewritten."""
        for content in (self.series, self.config, self.summary, self.texts, self.images, self.histograms):
            content.clear()
        self.point_count = self._references = self._settings_time = 0
        self.generation += 1
        self._notice(NoticeKind.REWRITTEN_FILE)

    def _notice(self, kind: NoticeKind, count: int = 1) -> None:
        self._notices[kind] += count
        self.version += 1

    def _notice_unreadable_file(self) -> None:
        """Count a file that can't be read once, however often it is tried."""
        if NoticeKind.UNREADABLE_FILE not in self._notices:
            self._notice(NoticeKind.UNREADABLE_FILE)

    def _add_point(
        self, name: str, step: int | None, value: float, wall_time: float = math.nan, epoch: float = math.nan
    ) -> None:
        series = self._series_for(name, 1)
        if series is not None:
            series.append(step, value, wall_time, epoch)

    def _add_row(self, row: Row) -> None:
        """Add the metrics of a record."""
        step = None if row.step is None else as_step(row.step)
        for name, value in row.metrics.items():
            self._add_point(name, step, value, row.wall_time, row.epoch)

    def _add_points(
        self, name: str, steps: array[int], values: array[float], wall_times: array[float]
    ) -> None:
        series = self._series_for(name, len(steps))
        if series is not None:
            series.extend(steps, values, wall_times)

    def _series_for(self, name: str, added: int) -> Series | None:
        """The series that gets `added` more points; `None` if there are too many series."""
        self.version += 1
        series = self.series.get(name)
        if series is None:
            if len(self.series) >= MAX_SERIES:
                self._notice(NoticeKind.IGNORED_POINT, added)
                return None
            series = self.series[name] = Series()
        if self.point_count + added > MAX_POINTS:
            self._thin_out()
        self.point_count += added
        return series

    def _thin_out(self) -> None:
        """Drop every second point of all series."""
        before = self.point_count
        for series in self.series.values():
            series.drop_every_second()
        self.point_count = sum(map(len, self.series.values()))
        self._notice(NoticeKind.DROPPED_POINT, before - self.point_count)

    def forget_history(self) -> None:
        """Forget all points but the newest of each metric, and where images, histograms and texts are."""
        for series in self.series.values():
            series.keep_newest()
        for references in (self.texts, self.images, self.histograms):
            references.clear()
        self.point_count, self._references = len(self.series), 0

    def _add_reference(self, kind: dict[str, list[Reference[T]]], reference: Reference[T]) -> None:
        if self._references >= MAX_REFERENCES:
            self._notice(NoticeKind.IGNORED_REFERENCE)
            return
        self._references += 1
        self.version += 1
        kind.setdefault(reference.name, []).append(reference)

    def _read_settings(self, path: Path) -> None:
        """Add the settings in a YAML file, if there is one and it has changed."""
        try:
            if path.is_file() and (modified := path.stat().st_mtime_ns) != self._settings_time:
                self._settings_time = modified
                self._add_config(read_yaml(path))
        except OSError:
            self._notice_unreadable_file()

    def _add_config(self, settings: Mapping[str, ConfigValue]) -> None:
        self.config.update(settings)
        self.version += bool(settings)

    def _add_summary(self, results: Mapping[str, ConfigValue]) -> None:
        self.summary.update(results)
        self.version += bool(results)
