"""Starts runs, and asks things of them: what the command line and the screen do alike."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from workbench.config.experiment import Experiment, apply_overrides, from_dict
from workbench.core import paths
from workbench.core.errors import BadInput
from workbench.datasets import image_folder_layout
from workbench.io.atomic_files import write_json
from workbench.io.disk_full import NO_ROOM, why_no_room
from workbench.io.record_codec import read_record, write_record
from workbench.runs import locks, requests
from workbench.runs.attempts import last_attempt
from workbench.runs.enums import Phase, RequestKind
from workbench.runs.journal import SettingValue
from workbench.runs.reader import RunReader, RunView
from workbench.runs.records import Heartbeat, Launch, RequestValues
from workbench.runs.requests import NO_VALUES
from workbench.runs.restart import lost_checkpoints
from workbench.runs.run_folder import LARGER_DISK, RunFolder, create_run_folder, hold_reserve
from workbench.runs.run_report import effective_experiment
from workbench.runs.status import Status, status_of, who_has
from workbench.system import logout, machine_info
from workbench.system.processes import python, this_process

ENDINGS = ("on_finish", "on_fail", "stall_seconds")
"""Settings of what is done when a run ends."""


def start(experiment: Experiment, launcher: str, runs: Path | None = None) -> RunFolder:
    """Start a new run in the background, in the folder `runs` (by default `paths.runs()`).

    Returns when its supervisor holds it. Raises `BadInput`.
    """
    check_device(experiment.train.device)
    image_folder_layout.check_choice(experiment.data.name)
    folder = create_run_folder(runs or paths.runs(), experiment.name)
    try:
        write_json(folder.experiment, experiment.to_dict())
        process = msgspec.structs.asdict(this_process())
        write_record(folder.launch, Launch(launcher=launcher, time=time.time(), **process))
        hold_reserve(folder)  # without it the end of a run might not find room either
        _supervise(folder, {}, launcher)
    except (OSError, BadInput) as error:
        _discard(folder)
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            raise BadInput(f"{why_no_room(error, folder.path.parent)}: {LARGER_DISK}") from None
        raise
    return folder


def _discard(folder: RunFolder) -> None:
    """Remove a run that never began, unless its log says why: it would be listed as one that was lost."""
    if not folder.log.exists() or not folder.log.stat().st_size:
        shutil.rmtree(folder.path, ignore_errors=True)


def remarks(experiment: Experiment) -> list[str]:
    """What to know before a run starts here: commands of its own that it will run, and what a logout does to it."""
    commands = [(name, getattr(experiment, name)) for name in ("on_finish", "on_fail")]
    found = [f"{name}: this will run the command: {command}" for name, command in commands if command]
    problem = logout.at_logout().problem
    return found + ([problem] if problem else [])


def resume(
    folder: RunFolder,
    overrides: Mapping[str, SettingValue],
    launcher: str,
    *,
    accept_changed_data: bool = False,
    take_over: bool = False,
    from_start: bool = False,
) -> None:
    """Go on with a run that has ended, with settings changed by their full names. Raises `BadInput`.

    `take_over`: also with one of a host that has fallen silent; its worker, should it live, ends when it sees that.
    `from_start`: begin again at step 0, with what was recorded kept beside.
    """
    status = _resumable(folder, take_over)
    if not from_start and (lost := lost_checkpoints(folder)):
        raise BadInput(lost)
    reader = RunReader(folder)
    view = reader.read_all()
    reader.close()
    after = _changed(view, overrides)
    done = view.heartbeat.epoch
    if status is Status.FINISHED and not from_start and after.train.epochs <= done and not overrides:
        raise BadInput(
            f"{folder.id} is finished after {done} epochs; "
            f"resume with more of them: --set train.epochs={done + max(1, done // 2)}"
        )
    changed = {key: _value(after, key) for key in overrides}
    flags = {"--accept-changed-data": accept_changed_data, "--from-start": from_start}
    _supervise(folder, changed, launcher, [flag for flag, wanted in flags.items() if wanted])


def _resumable(folder: RunFolder, take_over: bool) -> Status:
    """The run's status. Raises `BadInput` where somebody works on it, or might, or it is not this user's."""
    status = status_of(folder)
    if status.live:
        beat = read_record(folder.heartbeat, Heartbeat)
        paused = beat is not None and beat.phase is Phase.PAUSED
        way = f"continue {folder.id} goes on" if paused else f"stop {folder.id} ends it"
        said = "paused" if paused else f"{status} ({who_has(folder)})"
        raise BadInput(f"{folder.id} is {said}: nothing to resume (workbench {way})")
    if status is Status.UNKNOWN and not take_over:
        raise BadInput(
            f"{folder.id} may still run ({who_has(folder)}): look there, and where it does not, "
            f"workbench resume {folder.id} --take-over goes on here"
        )
    check_owner(folder)
    return status


def _changed(view: RunView, overrides: Mapping[str, SettingValue]) -> Experiment:
    """The experiment of a run that goes on with these settings. Raises `BadInput` for what can't change."""
    experiment = effective_experiment(view)
    if experiment is None:
        raise BadInput(
            f"{view.folder.experiment} is missing or damaged: nothing else says what the run trains"
        )
    # Another validation part would be of examples that the model has already learned.
    fixed = sorted(key for key in overrides if not _may_change(key))
    if fixed:
        raise BadInput(f"{fixed[0]} can't change when a run is resumed; start a new run with it")
    after = from_dict(apply_overrides(experiment.to_dict(), overrides))
    check_device(after.train.device)
    return after


def _may_change(key: str) -> bool:
    """Whether a resume may set this."""
    return (key.startswith("train.") and key != "train.validation") or key in ENDINGS


def _value(experiment: Experiment, key: str) -> SettingValue:
    """A setting that a resume may change, as JSON has it."""
    section, dot, name = key.partition(".")
    content = experiment.to_dict()
    value: SettingValue = content[section][name] if dot else content[key]
    return value


def ask(folder: RunFolder, kind: RequestKind, values: RequestValues = NO_VALUES) -> str:
    """Ask something of a live run; returns the request's id. Raises `BadInput`."""
    attempt = _live_attempt(folder)
    try:
        return requests.ask(folder, kind, attempt, values)
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise BadInput(
            f"{why_no_room(error, folder.path.parent)}, and what is asked of a run is left there: make room and "
            f"ask again ('workbench stop {folder.id}' works all the same)"
        ) from None


def stop(folder: RunFolder) -> str | None:
    """Ask a live run to stop; where there is no room for a request, its process is sent SIGTERM instead.

    Returns why that was done, `None` where the run was asked as usual. Raises `BadInput`.
    """
    attempt = _live_attempt(folder)
    try:
        requests.ask(folder, RequestKind.STOP, attempt)
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        why = why_no_room(error, folder.path.parent)
        if not _terminate(folder):
            raise BadInput(
                f"{why}: make room, or stop {folder.id} where it runs ({who_has(folder)})"
            ) from None
        return why
    return None


def _terminate(folder: RunFolder) -> bool:
    """Send SIGTERM to the process of this host that holds a run; whether there is one."""
    with contextlib.suppress(OSError):  # a disk without locks, or it has ended by itself
        pid = locks.holder_of(folder.lock, locks.WRITER) or locks.holder_of(folder.lock, locks.SUPERVISOR)
        if pid:
            os.kill(pid, signal.SIGTERM)
            return True
    return False


def _live_attempt(folder: RunFolder) -> int:
    """The attempt that works on a run. Raises `BadInput` where none does, or it is not this user's."""
    status = status_of(folder)
    if not status.live:
        more = " --set train.epochs=…" if status is Status.FINISHED else ""
        raise BadInput(
            f"{folder.id} is {status}: it takes no requests (workbench resume {folder.id}{more} goes on)"
        )
    check_owner(folder)
    return last_attempt(folder) or 1


def check_device(wanted: str) -> None:
    """Raise `BadInput` for a device that this host has not, as far as it is known without torch."""
    here = [row.device for row in machine_info.devices()]
    kinds = {"auto", "cpu", *here, *(name.partition(":")[0] for name in here)}
    if wanted not in kinds:
        raise BadInput(f"train.device: there is no {wanted} here; there is {', '.join(here)} (or auto)")


def check_owner(folder: RunFolder) -> None:
    """Raise `BadInput` for a run of another user, or one that anybody may write: it is only looked at."""
    found = folder.path.stat()
    if found.st_uid != os.geteuid():
        raise BadInput(f"{folder.id} belongs to another user: it can be looked at, not changed")
    if found.st_mode & 0o002:
        raise BadInput(
            f"anybody may write {folder.path}: make it yours alone (chmod 700) before it is changed"
        )


def _supervise(
    folder: RunFolder, overrides: Mapping[str, SettingValue], launcher: str, flags: Sequence[str] = ()
) -> None:
    command = python("workbench.launcher.supervisor", str(folder.path), "--launcher", launcher)
    command += ["--overrides", json.dumps(dict(overrides)), *flags]
    scope = logout.scope(logout.at_logout())
    # The user's manager may not be reachable from here (sudo, cron): then without it.
    answer = (scope and _spawn([*scope, *command], folder)) or _spawn(command, folder)
    if answer != "ready":
        raise BadInput(f"{folder.id} could not be started: {answer or 'see ' + str(folder.log)}")


def _spawn(command: list[str], folder: RunFolder) -> str:
    """Start a supervisor in a session of its own; what it says once it holds the run, or can't."""
    reading, writing = os.pipe()
    with folder.log.open("ab") as log:
        process = subprocess.Popen(
            [*command, "--ready-fd", str(writing)], stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            start_new_session=True, pass_fds=(writing,),
        )  # fmt: skip
    os.close(writing)
    process.wait()
    with os.fdopen(reading, "rb") as said:
        return said.read().decode(errors="replace").strip()
