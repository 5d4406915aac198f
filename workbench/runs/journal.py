"""The lines of `journal.jsonl`, what happened to a run, and their writer and reader."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

import msgspec

from workbench.core.settings_schema import SettingValue
from workbench.io.record_codec import Record
from workbench.runs.enums import ChangeCause, Outcome, Phase, RequestKind
from workbench.runs.jsonl import LineWriter, read_lines
from workbench.runs.records import Seconds
from workbench.system.processes import ProcessId


class JournalRecord(Record, tag_field="kind", frozen=True, kw_only=True):
    """One line of `journal.jsonl`, with the time at which it was written."""

    time: float = 0.0


class GpuChoice(Record, frozen=True, kw_only=True):
    """The GPU that a supervisor chose for an attempt."""

    index: int
    uuid: str
    name: str


class Attempt(JournalRecord, tag="attempt", frozen=True, kw_only=True):
    """A start of the run, written by the supervisor: where, with what, from which step."""

    attempt: int = 0
    overrides: dict[str, SettingValue] = {}
    """Settings changed by this resume, by their full names."""
    accept_changed_data: bool = False
    from_start: bool = False
    from_step: int | None = None
    host: str = ""
    boot_id: str = ""
    pid: int = 0
    start: int | None = None
    gpu: GpuChoice | None = None
    versions: dict[str, str | None] = {}
    launcher: str = ""
    job: str | None = None
    """Of Slurm."""
    command: tuple[str, ...] = ()

    @property
    def process(self) -> ProcessId:
        """The supervisor."""
        return ProcessId(host=self.host, boot_id=self.boot_id, pid=self.pid, start=self.start)


class SettingChange(JournalRecord, tag="change", frozen=True, kw_only=True):
    """A setting that changed while the run went on; synced before it is used, replayed on resume."""

    setting: str
    """Its full name: `train.lr`."""
    value: SettingValue = None
    before: SettingValue = None
    step: int = 0
    """Holds from the step after this one."""
    request: str | None = None
    """The id of the request that asked for it; `None` where the worker did it by itself."""
    cause: ChangeCause | None = msgspec.field(default=None, name="why")
    """Why the worker did it by itself."""
    during_epoch: int | None = None
    """The epoch in which a rollback became necessary."""


class PhaseChange(JournalRecord, tag="phase", frozen=True, kw_only=True):
    """A worker begins something else; the last one of an attempt has phase `ended`."""

    phase: Phase
    attempt: int = 0
    step: int | None = None
    device: str | None = None
    threads: int | None = None
    status: Phase | None = None
    """With `ended`: how."""
    seconds: Seconds | None = None
    """With `ended`: the wall time of the attempt."""


class Answer(JournalRecord, tag="answer", frozen=True, kw_only=True):
    """A request and what became of it."""

    request: RequestKind
    id: str = ""
    text: str = ""
    outcome: Outcome = Outcome.DONE


class Notice(JournalRecord, tag="notice", frozen=True, kw_only=True):
    """A line for people."""

    text: str = ""
    attempt: int = 0
    exact: bool = True
    """False where from here on the run is not exactly what an uninterrupted one would be."""
    from_step: int | None = None
    """Where an attempt begins, if not where the supervisor expected it to."""
    stalled: bool = False
    """Whether it says that nothing has moved for too long."""
    before: dict[str, float] = {}
    """Metrics before and after an upgrade, of the same weights."""
    now: dict[str, float] = {}


class SystemSample(JournalRecord, tag="system", frozen=True, kw_only=True):
    """What the worker uses of the machine; `None` where it can't be known."""

    attempt: int = 0
    cpu: float | None = None
    """Busy cores since the sample before."""
    rss: int | None = None
    gpu_load: float | None = None
    """From 0 to 1."""
    gpu_memory: int | None = None
    """Used by all processes on that GPU."""
    gpu_total: int | None = None


JournalLine = Attempt | SettingChange | PhaseChange | Answer | Notice | SystemSample


class Journal(LineWriter):
    """Appends what happened, with the time."""

    def note(self, record: JournalLine) -> None:
        """Append one line, on a row of its own even if another writer was killed within its line."""
        self.check_end()
        self.write(msgspec.structs.replace(record, time=round(time.time(), 3)))


def read_journal(path: Path) -> list[JournalLine]:
    """All records of a journal, oldest first."""
    return read_lines(path, JournalLine)


def attempts_of(journal: Iterable[JournalLine]) -> list[Attempt]:
    """The starts of a run among the records of its journal, oldest first."""
    return [record for record in journal if isinstance(record, Attempt)]
