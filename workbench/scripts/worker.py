"""The process that runs a script as a run: `python -m workbench.scripts.worker RUN_DIR`.

Its supervisor starts it as it starts the worker of a training: it holds the run's writer lock, writes the heartbeat,
answers requests, and records the end. The script itself needs to know nothing of this.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

from msgspec.structs import replace

from workbench.core.errors import UserError
from workbench.core.paths import home
from workbench.core.progress import Progress
from workbench.core.text import one_line
from workbench.io.record_codec import read_record, write_record
from workbench.logs.discovery import find_logs
from workbench.runs.enums import Cause, Ending, Outcome, Phase, RequestKind
from workbench.runs.journal import attempts_of, read_journal
from workbench.runs.jsonl import read_last_lines
from workbench.runs.log_tail import last_log_line
from workbench.runs.metrics import MetricLine
from workbench.runs.nodes import read_placement
from workbench.runs.requests import Answer
from workbench.runs.run_folder import allocate_reserve
from workbench.runs.run_logs import FoundLogs
from workbench.runs.script import RESUME_VARIABLE, RUN_VARIABLE, Script, read_script
from workbench.scripts.output import OutputReader, RotatingLog
from workbench.scripts.process import ScriptProcess
from workbench.scripts.progress import ScriptProgress
from workbench.scripts.torchrun import node_environment, torchrun_command
from workbench.system.processes import process_age
from workbench.worker.attempt_end import AttemptEnd, close_attempt, record_end
from workbench.worker.context import Context, open_attempt

STARTED = time.monotonic() - process_age()
POLL_SECONDS = 0.1
STEP_SECONDS = 2.0
"""The interval between two looks at the newest step that the script has logged."""
SEARCH_SECONDS = (2.0, 10.0, 60.0, 600.0, 3600.0)
"""When logs are searched for, after the start of a script; and once more at its end."""
OUTPUT_SECONDS = 2.0
"""The time that processes which a script leaves behind may keep its output open."""


def main() -> int:
    """Run the script to its end; returns the exit code, 1 for a failure."""
    context = open_attempt(STARTED)
    if context is None:
        return 1
    end = _run_attempt(context)
    close_attempt(context, Phase(end.status))
    record_end(context, end)
    return 1 if end.status is Ending.FAILED else 0


def _run_attempt(context: Context) -> AttemptEnd:
    script = read_script(context.folder.experiment)
    try:
        if script is None:
            raise UserError(f"{context.folder.experiment} is missing or damaged, so the command is unknown")
        environment, placement = _environment(context), read_placement(context.folder)
        if placement.nodes > 1:
            attempt = attempts_of(read_journal(context.folder.journal))[-1]
            script = replace(script, command=torchrun_command(script, placement, attempt))
            environment = {**node_environment(placement), **environment}
        process = ScriptProcess(script, environment)
    except UserError as error:
        context.requests.install()
        context.heartbeat.start()
        return AttemptEnd(Ending.FAILED, Cause.INVALID_INPUT, one_line(error, 500))
    context.requests.install()
    context.heartbeat.start()
    allocate_reserve(context.folder)
    context.stopwatch.switch("train")
    context.enter_phase(Phase.RUNNING)
    return ScriptRun(context, script, process).wait()


def _environment(context: Context) -> dict[str, str]:
    environment = {
        "PYTHONUNBUFFERED": "1",  # else a Python script's output comes in blocks of 8 kB
        **os.environ,
        "WORKBENCH_HOME": str(home()),
        RUN_VARIABLE: str(context.folder.path),
    }
    if context.attempt > 1:
        environment[RESUME_VARIABLE] = "1"
    return environment


class ScriptRun:
    """One attempt at a script, from its start to its end."""

    def __init__(self, context: Context, script: Script, process: ScriptProcess) -> None:
        self._context, self._script, self._process = context, script, process
        self._progress = ScriptProgress()
        self._reported: Progress | None = None
        self._step_due = 0.0
        self._started = time.time()
        self._searches = list(SEARCH_SECONDS)
        """Seconds after the start at which logs are searched for."""
        self._signals = [signal.SIGINT, signal.SIGTERM, signal.SIGKILL]
        """Signals to be sent to a script that has to stop."""
        self._signal_due = 0.0

    def wait(self) -> AttemptEnd:
        """Wait until the script has ended, and stop it when that is requested."""
        folder = self._context.folder
        output = OutputReader(
            self._process.output, RotatingLog(folder.log, folder.earlier_log), self._progress.add_line
        )
        output.start()
        while (code := self._process.wait(POLL_SECONDS)) is None:
            self._handle_requests()
            self._report()
            self._find_logs()
            if self._context.requests.stop and self._signals and time.monotonic() >= self._signal_due:
                self._process.send(self._signals.pop(0))
                self._signal_due = time.monotonic() + self._script.grace_seconds
        output.finish(OUTPUT_SECONDS)
        self._find_logs(ended=True)
        self._report(finished=code == 0)
        return self._end(code)

    def _handle_requests(self) -> None:
        inbox = self._context.requests
        if not inbox.due:
            return
        for request in inbox.pending():
            if request.kind is RequestKind.STOP:
                inbox.accept_stop(request, "stopping the script")
            else:
                text = f"a script does not understand {request.kind}: it can only be stopped"
                inbox.answer(request, Answer(Outcome.REJECTED, text))

    def _report(self, *, finished: bool = False) -> None:
        """Pass the progress on to the heartbeat."""
        heartbeat, progress = self._context.heartbeat, self._progress
        if progress.progress is not None and progress.progress != self._reported:
            self._reported = progress.progress
            heartbeat.report_progress(progress.progress)
        if progress.epochs_total is not None:
            epoch = progress.epochs_total if finished else progress.epoch
            heartbeat.update(epoch=epoch, epochs_total=progress.epochs_total)
        heartbeat.update(eta=progress.eta)
        if finished or time.monotonic() >= self._step_due:
            self._step_due = time.monotonic() + STEP_SECONDS
            rows = read_last_lines(self._context.folder.metrics, MetricLine)
            heartbeat.update(step=max((row.step for row in rows), default=0))

    def _find_logs(self, *, ended: bool = False) -> None:
        """Now and then, record which logs have grown below the working directory, unless the user has named them."""
        due = ended or (self._searches and time.time() >= self._started + self._searches[0])
        if self._script.logs or not due:
            return
        self._searches = self._searches[1:]
        place = Path(self._script.working_directory)
        grown = [source.path for source in find_logs(place) if _modified(source.path) >= self._started]
        found = FoundLogs(paths=tuple(map(str, grown)))
        if grown and found != read_record(self._context.folder.found_logs, FoundLogs):
            with contextlib.suppress(OSError):
                write_record(self._context.folder.found_logs, found)

    def _end(self, code: int) -> AttemptEnd:
        if self._context.requests.stop is not None:
            return AttemptEnd(Ending.STOPPED, *self._context.requests.stop, exit_code=code)
        if code == 0:
            return AttemptEnd(Ending.FINISHED, Cause.COMPLETED, exit_code=0)
        text = f"exit code {code}" if code > 0 else f"killed by {_signal_name(-code)}"
        cause = Cause.ERROR if code > 0 else Cause.CRASH
        return AttemptEnd(Ending.FAILED, cause, text + last_log_line(self._context.folder.log), code)


def _modified(path: Path) -> float:
    """When a log was last written, Unix seconds; of a folder its newest file counts."""
    try:
        return max(entry.stat().st_mtime for entry in ([path] if path.is_file() else path.iterdir()))
    except (OSError, ValueError):
        return 0.0


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
