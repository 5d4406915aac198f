"""The events of a run, the lines of `journal.jsonl`: their types, writer and reader."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

import msgspec

from workbench.core.settings_schema import SettingValue
from workbench.core.text import plural
from workbench.io.record_codec import Record
from workbench.io.regular_files import read_regular_file
from workbench.runs import upgrades
from workbench.runs.enums import ChangeCause, NodeEvent, Outcome, Phase, RequestKind
from workbench.runs.jsonl import LineWriter, decode_lines, read_lines
from workbench.runs.records import Seconds
from workbench.system.processes import ProcessId


class JournalRecord(Record, tag_field="kind", frozen=True, kw_only=True):
    """One line of `journal.jsonl`."""

    time: float = 0.0
    """When it was written, Unix seconds."""


class GpuChoice(Record, frozen=True, kw_only=True):
    """The GPU that a supervisor chose for an attempt."""

    index: int
    """In PCI order."""
    uuid: str
    name: str
    device: str = ""
    """What `train.device` calls it: `cuda:1`, or the start of its UUID."""


class SourceVersion(Record, frozen=True, kw_only=True):
    """The git repository of a script, or of the Python files of a training, when an attempt started."""

    repository: str
    """The path of its root."""
    commit: str
    """The full hash."""
    branch: str = ""
    changed: tuple[str, ...] = ()
    """Files that differed from the commit; `RunFolder.source_diff` has the changes of those that git tracks."""

    @property
    def text(self) -> str:
        """`4f3a9c01 (main), 2 files changed: net.py, train.py`."""
        branch = f" ({self.branch})" if self.branch else ""
        if not self.changed:
            return f"{self.commit[:8]}{branch}"
        names = ", ".join(self.changed[:4]) + (", …" if len(self.changed) > 4 else "")
        return f"{self.commit[:8]}{branch}, {plural(len(self.changed), 'file')} changed: {names}"


class Attempt(JournalRecord, tag="attempt", frozen=True, kw_only=True):
    """The start of an attempt, written by the supervisor."""

    attempt: int = 0
    overrides: dict[str, SettingValue] = {}
    """Settings changed by this resume, by full name."""
    accept_changed_data: bool = False
    from_start: bool = False
    data: str = ""
    """The name of the dataset at its new location, if the user gave one."""
    max_hours: float = 0.0
    """The hours after which it is stopped; 0: no limit."""
    from_step: int | None = None
    """Steps done at the start: those of the newest checkpoint."""
    host: str = ""
    boot_id: str = ""
    pid: int = 0
    start: int | None = None
    gpu: GpuChoice | None = None
    """The first of its GPUs."""
    gpus: tuple[GpuChoice, ...] = ()
    """All of them, by rank, where several processes train: see `assigned`."""
    processes: int = 1
    """The number of processes that train together (world size)."""
    nodes: int = 1
    """The number of hosts that have them, the same number each."""
    versions: dict[str, str | None] = {}
    launcher: str = ""
    job: str | None = None
    """The Slurm job id."""
    command: tuple[str, ...] = ()
    source: SourceVersion | None = None
    """`None` where no code of the user is run, or it is in no git repository."""

    @staticmethod
    def upgrade(content: upgrades.JsonObject) -> upgrades.JsonObject:
        """Content of an older version in the current form."""
        return upgrades.attempt(content)

    @property
    def assigned(self) -> tuple[GpuChoice, ...]:
        """Its GPUs, one for each process."""
        return self.gpus or ((self.gpu,) if self.gpu else ())

    @property
    def process(self) -> ProcessId:
        """The supervisor process."""
        return ProcessId(host=self.host, boot_id=self.boot_id, pid=self.pid, start=self.start)


class RefusedResume(JournalRecord, tag="refused", frozen=True, kw_only=True):
    """An attempt to resume that bad input prevented before its first step: the run stays as it was before."""

    attempt: int = 0
    reason: str = ""
    """One line for people."""


class SettingChange(JournalRecord, tag="change", frozen=True, kw_only=True):
    """A setting that changed during the run. It is synced to disk before it takes effect, and replayed on resume."""

    setting: str
    """The full name: `train.lr`."""
    value: SettingValue = None
    before: SettingValue = None
    step: int = 0
    """Steps done when it takes effect."""
    request: str | None = None
    """The id of the request; `None` for a change by the worker itself."""
    cause: ChangeCause | None = None
    """Why the worker changed the setting by itself."""
    during_epoch: int | None = None
    """The epoch that required a rollback."""

    @staticmethod
    def upgrade(content: upgrades.JsonObject) -> upgrades.JsonObject:
        """Content of an older version in the current form."""
        return upgrades.setting_change(content)


class PhaseChange(JournalRecord, tag="phase", frozen=True, kw_only=True):
    """The start of a phase; the last one of an attempt is `ended`."""

    phase: Phase
    attempt: int = 0
    step: int | None = None
    device: str | None = None
    threads: int | None = None
    status: Phase | None = None
    """With `ended`: how the attempt ended."""
    seconds: Seconds | None = None
    """With `ended`: the wall time of the attempt, in seconds."""


class AnsweredRequest(JournalRecord, tag="answer", frozen=True, kw_only=True):
    """A request and its outcome."""

    request: RequestKind
    id: str = ""
    text: str = ""
    outcome: Outcome = Outcome.DONE

    @staticmethod
    def upgrade(content: upgrades.JsonObject) -> upgrades.JsonObject:
        """Content of an older version in the current form."""
        return upgrades.answer(content, "text")


class Notice(JournalRecord, tag="notice", frozen=True, kw_only=True):
    """A message for people."""

    text: str = ""
    attempt: int = 0
    exact: bool = True
    """False where from here on the run is no longer identical to an uninterrupted one."""
    from_step: int | None = None
    """The step at which the attempt starts, if it differs from the supervisor's."""
    stalled: bool = False
    """Whether the notice reports a stalled run."""
    before: dict[str, float] = {}
    """Metrics before and after an upgrade of workbench, with the same weights."""
    after: dict[str, float] = {}

    @staticmethod
    def upgrade(content: upgrades.JsonObject) -> upgrades.JsonObject:
        """Content of an older version in the current form."""
        return upgrades.notice(content)


class NodeChange(JournalRecord, tag="node", frozen=True, kw_only=True):
    """A node has joined the run, is lost, is back, or was refused."""

    event: NodeEvent
    host: str = ""
    attempt: int = 0
    step: int | None = None
    """Steps done when it was lost; else those from which the run starts or continues."""
    reason: str = ""
    """Why it was refused, for people."""


class GpuSample(Record, frozen=True, kw_only=True):
    """The state of a GPU; `None` where a value is unknown."""

    index: int
    """In PCI order."""
    load: float | None = None
    """From 0 to 1."""
    memory: int | None = None
    """Bytes used by all processes."""
    power: float | None = None
    """Watts."""
    temperature: float | None = None
    """Degrees Celsius."""


class SystemSample(JournalRecord, tag="system", frozen=True, kw_only=True):
    """The resource usage of the worker and of its machine; `None` where a value is unknown."""

    attempt: int = 0
    step: int | None = None
    """The last step that the worker reported before."""
    cpu: float | None = None
    """Mean number of busy cores since the previous sample."""
    rss: int | None = None
    """Resident memory in bytes."""
    gpu_load: float | None = None
    """From 0 to 1."""
    gpu_memory: int | None = None
    """Bytes used by all processes on that GPU."""
    gpu_total: int | None = None
    """Bytes of memory of that GPU."""
    machine_cpu: float | None = None
    """Busy share of all cores of the machine since the previous sample, from 0 to 1."""
    machine_memory: int | None = None
    """Bytes in use on the machine."""
    disk_read: float | None = None
    disk_write: float | None = None
    network_in: float | None = None
    network_out: float | None = None
    """Bytes per second of the machine since the previous sample."""
    gpus: tuple[GpuSample, ...] = ()
    """The GPUs that the run may use."""


class SavedFile(JournalRecord, tag="file", frozen=True, kw_only=True):
    """A file that a script has saved, usually a checkpoint."""

    path: str
    sha256: str = ""
    size: int = 0
    """Bytes."""
    step: int = 0


JournalLine = (
    Attempt
    | RefusedResume
    | SettingChange
    | PhaseChange
    | AnsweredRequest
    | Notice
    | NodeChange
    | SystemSample
    | SavedFile
)


class Journal(LineWriter):
    """Appends events to `journal.jsonl`."""

    def append(self, record: JournalLine) -> None:
        """Append one event with the current time, on a new line even if another writer was killed within its own."""
        self.check_last_line()
        self.write(msgspec.structs.replace(record, time=round(time.time(), 3)))


def read_journal(path: Path) -> list[JournalLine]:
    """All records of a journal, oldest first."""
    return without_refused_settings(read_lines(path, JournalLine))


def read_starts_and_ends(path: Path) -> list[JournalLine]:
    """Only the attempts and the phases of a journal, oldest first: of a long one, few of its lines."""
    try:
        lines = read_regular_file(path).split(b"\n")
    except OSError:
        return []
    few = [line for line in lines if b'"kind":"attempt"' in line or b'"kind":"phase"' in line]
    return decode_lines(few, JournalLine)


def without_refused_settings(journal: list[JournalLine]) -> list[JournalLine]:
    """The records without the settings of resumes that were refused."""
    refused = refused_attempts(journal)
    return [
        msgspec.structs.replace(line, overrides={})
        if isinstance(line, Attempt) and line.attempt in refused
        else line
        for line in journal
    ]


def refused_attempts(journal: Iterable[JournalLine]) -> dict[int, str]:
    """Why attempts to resume were refused, by their number."""
    return {line.attempt: line.reason for line in journal if isinstance(line, RefusedResume)}


def attempts_of(journal: Iterable[JournalLine]) -> list[Attempt]:
    """The attempts in a journal, oldest first."""
    return [record for record in journal if isinstance(record, Attempt)]
