"""Where a tracked script's run comes from: the run that started the script, or one of its own."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import msgspec

from workbench.config.experiment import run_name_part
from workbench.core import paths
from workbench.io.record_codec import read_record, write_record
from workbench.runs.attempts import installed_versions
from workbench.runs.enums import Cause, Ending, Outcome, Phase, RequestKind
from workbench.runs.journal import Attempt, Journal, PhaseChange
from workbench.runs.locks import SUPERVISOR, WRITER, RunLock
from workbench.runs.records import Exit, Heartbeat, Launch, Notes, Seconds
from workbench.runs.requests import Answer, journal_line, pending_requests, write_answer
from workbench.runs.run_folder import (
    RunFolder,
    allocate_reserve,
    create_run_folder,
    write_exit,
    write_heartbeat,
)
from workbench.runs.script import RUN_VARIABLE, Script, script_name
from workbench.system.processes import command_line, this_process

BEAT_SECONDS = 5.0
MAX_REASON = 500
"""Characters of the reason of an end."""
RANK_VARIABLES = ("RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK", "PMI_RANK")


def process_rank() -> int:
    """The rank of this process among those that train together; 0 for the first, and for a process alone."""
    ranks = (os.environ.get(name, "") for name in RANK_VARIABLES)
    return next((int(rank) for rank in ranks if rank.isdigit()), 0)


def parent_run() -> RunFolder | None:
    """The run that `workbench run` started this script for; `None` for a script that runs by itself."""
    place = os.environ.get(RUN_VARIABLE)
    folder = RunFolder(Path(place)) if place else None
    return folder if folder is not None and folder.experiment.exists() else None


def describe_run(folder: RunFolder, notes: Notes) -> None:
    """Add the name, group, tags and notes that a script gives itself to those of its run. Raises `OSError`."""
    known = read_record(folder.notes, Notes) or Notes()
    changed = Notes(
        name=known.name or notes.name,
        group=known.group or notes.group,
        tags=tuple(dict.fromkeys([*known.tags, *notes.tags])),
        notes=known.notes or notes.notes,
    )
    if changed != known:
        write_record(folder.notes, changed)


class OwnRun:
    """A run of a script that runs by itself: this process holds its locks, and records its end."""

    def __init__(self, name: str) -> None:
        """Create the run. Raises `UserError` and `OSError` where that is impossible."""
        command = _command()
        name = name or script_name(command)
        self.folder = create_run_folder(paths.runs(), run_name_part(name))
        script = Script(command=command, name=name, working_directory=str(Path.cwd()))
        write_record(self.folder.experiment, script)
        process = msgspec.structs.asdict(this_process())
        write_record(self.folder.launch, Launch(launcher="python", time=time.time(), **process))
        allocate_reserve(self.folder)
        self._lock = RunLock(self.folder.lock)
        self._lock.acquire(SUPERVISOR)
        self._lock.acquire(WRITER)
        self._journal = Journal(self.folder.journal)
        self._journal.append(
            Attempt(attempt=1, versions=installed_versions(), launcher="python", command=command, **process)
        )
        self._journal.append(PhaseChange(phase=Phase.RUNNING, attempt=1))
        self._started, self._beat_due, self._counter = time.monotonic(), 0.0, 0
        self.stopped = False
        """Whether a stop was requested."""

    def tick(self, step: int) -> None:
        """Write the heartbeat when it is due, and stop the script if that was requested."""
        for request in pending_requests(self.folder):
            stops = request.kind is RequestKind.STOP
            answer = (
                Answer(Outcome.DONE, "interrupting the script")
                if stops
                else Answer(Outcome.REJECTED, "a script can only be stopped")
            )
            self._journal.append(journal_line(request, answer))
            write_answer(self.folder, request, answer)
            if stops:
                self.stopped = True
                os.kill(os.getpid(), signal.SIGINT)
        if time.monotonic() >= self._beat_due:
            self._beat_due = time.monotonic() + BEAT_SECONDS
            self.beat(Phase.RUNNING, step)

    def beat(self, phase: Phase, step: int) -> None:
        """Write the heartbeat."""
        self._counter += 1
        seconds = round(time.monotonic() - self._started, 3)
        write_heartbeat(
            self.folder,
            Heartbeat(
                attempt=1, counter=self._counter, phase=phase, step=step,
                seconds=Seconds(train=seconds, total=seconds),
            ),
        )  # fmt: skip

    def end(self, status: Ending, cause: Cause, reason: str | None, step: int, exit_code: int | None) -> None:
        """Record the end of the run. Raises `OSError`."""
        self.beat(Phase(status), step)
        text = None if reason is None else " ".join(reason.split())[:MAX_REASON]
        record = Exit(
            status=status, attempt=1, cause=cause, reason=text, time=time.time(), exit_code=exit_code
        )
        write_exit(self.folder, record)
        for byte in (WRITER, SUPERVISOR):
            self._lock.release(byte)


def _command() -> tuple[str, ...]:
    """The command of this process; of an interactive session that of its interpreter."""
    return tuple(argument for argument in command_line(os.getpid()) if argument) or (
        sys.executable,
        *sys.argv,
    )
