"""Starting, resuming and stopping runs, for the command line, the screen and Python."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from workbench.config.cross_validation import check_one_run
from workbench.config.experiment import Experiment, run_name_part
from workbench.config.process_count import process_count
from workbench.core import paths
from workbench.core.errors import UserError
from workbench.core.paths import is_file, is_folder
from workbench.core.progress import ProgressCallback, ignore_progress
from workbench.core.settings_schema import SettingValue
from workbench.core.text import plural
from workbench.datasets.image_folder_facts import folder_facts
from workbench.io.atomic_files import read_json, write_json
from workbench.io.disk_full import DISK_FULL_ERRNOS, describe_disk_error
from workbench.io.record_codec import VERSION, encode, read_record, write_record
from workbench.launcher.detached import HERE, Reply, Surroundings, start_detached
from workbench.launcher.placement import check_placement, local_processes, resumed_placement, write_placement
from workbench.launcher.queue import QueueOptions, enqueue
from workbench.launcher.resume_settings import ResumedRun
from workbench.launcher.slurm import forget_job, resubmission, submit_run
from workbench.launcher.slurm_script import SlurmOptions
from workbench.models.weights_check import check_weights
from workbench.runs import locks, requests
from workbench.runs.attempts import last_attempt_number
from workbench.runs.enums import Phase, RequestKind
from workbench.runs.external_log import check_is_ours
from workbench.runs.nodes import SINGLE_NODE, Placement
from workbench.runs.records import Heartbeat, Launch, Notes, RequestValues
from workbench.runs.requests import NO_VALUES
from workbench.runs.restart import missing_checkpoints_error
from workbench.runs.run_folder import (
    RunFolder,
    allocate_reserve,
    check_owner,
    create_run_folder,
    storage_hint,
)
from workbench.runs.script import NO_DEVICE, Script, read_script
from workbench.runs.slurm_job import cancel_job, leave_queue, read_job
from workbench.runs.status import Status, describe_holder, may_be_live, status_of
from workbench.runs.tickets import ResumeOptions, Ticket, TicketQueue
from workbench.system import devices, logout
from workbench.system.cpu import usable_cores
from workbench.system.device_names import device_names
from workbench.system.gpu import read_inventory
from workbench.system.nvml import driver_is_silent
from workbench.system.processes import this_process
from workbench.system.slurm import own_job

NO_NOTES = Notes()

SUPERVISOR = "workbench.launcher.supervisor"


def start_run(
    experiment: Experiment, launcher: str, runs: Path | None = None, *, notes: Notes = NO_NOTES,
    queue: QueueOptions | SlurmOptions | None = None, max_hours: float = 0.0, placement: Placement = SINGLE_NODE,
    before_start: Callable[[RunFolder], None] = lambda _: None,
) -> RunFolder:  # fmt: skip
    """Start a new run in the background, in the folder `runs` (by default `paths.runs()`), or queue or submit it.

    It gets the tags and the group in `notes`. `before_start` is called with its folder before anything else is in it.
    Returns once its supervisor holds the lock of the run, or it has its ticket or its Slurm job. Raises `UserError`.
    """
    check_experiment(experiment, placement, here=not isinstance(queue, SlurmOptions))
    train = experiment.train
    folder = create_run_folder(runs or paths.runs(), experiment.name)

    def describe() -> None:
        before_start(folder)
        write_json(folder.experiment, experiment.to_dict())
        _write_notes(folder, notes)
        write_placement(folder, placement)

    options = ResumeOptions(max_hours=max_hours)
    start = _starter(folder, options, launcher, queue, train.device, processes=process_count(train))
    return _create(folder, launcher, describe, start)


def join_run(experiment: Experiment, launcher: str, placement: Placement) -> RunFolder:
    """Join the run that another host has, as one of its nodes; returns the folder of what this host does for it."""
    return start_run(experiment, launcher, paths.nodes(), placement=placement)


def check_experiment(
    experiment: Experiment, placement: Placement = SINGLE_NODE, *, here: bool = True
) -> None:
    """Raise `UserError` for an experiment that can't be trained, as far as this is known before the start.

    `here`: on a device of this host.
    """
    check_placement(experiment.train, placement)
    if here:
        check_device(experiment.train.device, local_processes(experiment.train, placement))
    check_one_run(experiment.train)
    folder_facts(experiment.data.name, experiment.data.options)  # raises for folders that can't be trained on
    check_weights(experiment.model)


def _write_notes(folder: RunFolder, notes: Notes) -> None:
    if notes != NO_NOTES:
        write_record(folder.notes, notes)


def start_script(
    script: Script, launcher: str, notes: Notes = NO_NOTES, *,
    queue: QueueOptions | SlurmOptions | None = None, max_hours: float = 0.0, placement: Placement = SINGLE_NODE,
) -> RunFolder:  # fmt: skip
    """Start a script as a new run in the background, or queue or submit it, with tags and a group in `notes`.

    Returns once its supervisor holds the lock of the run, or it has its ticket or its Slurm job. Raises `UserError`.
    """
    check_script(script, here=not isinstance(queue, SlurmOptions))
    runs = paths.nodes() if placement.joins else paths.runs()
    folder = create_run_folder(runs, run_name_part(script.name))

    def describe() -> None:
        write_record(folder.experiment, script)
        _write_notes(folder, notes)
        write_placement(folder, placement)

    start = _script_starter(folder, script, launcher, queue, max_hours)
    return _create(folder, launcher, describe, start)


def check_script(script: Script, *, here: bool = True) -> None:
    """Raise `UserError` for a command, a working directory or (`here`) a device that does not exist."""
    if script.device and here:
        check_device(script.device)
    if not is_folder(Path(script.working_directory)):
        raise UserError(f"the working directory {script.working_directory} does not exist")
    program = script.command[0]
    place = str(Path(script.working_directory, program)) if "/" in program else program
    if shutil.which(place) is None:
        exists = "/" in program and is_file(Path(place))
        raise UserError(f"{program} is {f'not executable (chmod +x {program})' if exists else 'not found'}")


def _starter(
    folder: RunFolder, resume: ResumeOptions, launcher: str, queue: QueueOptions | SlurmOptions | None,
    device: str, *, processes: int = 1,
) -> Callable[[], None]:  # fmt: skip
    """What starts a run: its supervisor, its ticket in the queue, or a Slurm job."""
    if isinstance(queue, SlurmOptions):
        return lambda: submit_run(folder, queue, resume, launcher, processes)
    forget_job(folder)
    if queue is None:
        return lambda: _start_supervisor(folder, resume, launcher)
    return lambda: enqueue(folder, queue, resume, device, launcher, processes=processes)


def _script_starter(
    folder: RunFolder, script: Script, launcher: str, queue: QueueOptions | SlurmOptions | None,
    max_hours: float,
) -> Callable[[], None]:  # fmt: skip
    device, options = script.device or NO_DEVICE, ResumeOptions(max_hours=max_hours)
    return _starter(folder, options, launcher, queue, device, processes=len(device_names(device)))


def _create(
    folder: RunFolder, launcher: str, describe: Callable[[], None], start: Callable[[], None]
) -> RunFolder:
    """Start a new run; `describe` writes what the run does. Raises `UserError`."""
    try:
        describe()
        process = msgspec.structs.asdict(this_process())
        write_record(folder.launch, Launch(launcher=launcher, time=time.time(), job=own_job(), **process))
        allocate_reserve(folder)  # without it the end of a run might not find room either
        start()
    except (OSError, UserError) as error:
        _discard(folder)
        if isinstance(error, OSError) and error.errno in DISK_FULL_ERRNOS:
            raise UserError(
                f"{describe_disk_error(error, folder.path.parent)}: {storage_hint(error)}"
            ) from None
        raise
    return folder


def _discard(folder: RunFolder) -> None:
    """Remove the folder of a run that failed to start, unless its log contains the reason."""
    if not folder.log.exists() or not folder.log.stat().st_size:
        shutil.rmtree(folder.path, ignore_errors=True)


def discard_queued(folder: RunFolder) -> bool:
    """Remove a new run that waits in the queue, as if it had never been queued; false where it has been started."""
    if TicketQueue.of(folder).remove(folder.id) is None:
        return False
    shutil.rmtree(folder.path, ignore_errors=True)
    return True


def start_warnings(
    experiment: Experiment, *, placement: Placement = SINGLE_NODE, here: bool = True
) -> list[str]:
    """Warnings before a run starts: its shell commands, and (`here`) a GPU that it can't use, and its end at logout.

    Raises `UserError` where it can't start because its device isn't `here`: nobody needs to be warned then.
    """
    count, cores = local_processes(experiment.train, placement), usable_cores()
    if here:
        check_device(experiment.train.device, count)
    crowded = (
        [f"{count} processes share {plural(cores, 'CPU core')}: fewer processes train faster"]
        if experiment.train.device == "cpu" and count > cores
        else []
    )
    commands = [(name, getattr(experiment, name)) for name in ("on_finish", "on_fail")]
    warnings = [
        f"{name}: the run will execute the command: {command}" for name, command in commands if command
    ]
    if not here:
        return warnings
    problem = logout.logout_policy().problem
    return [*device_warnings(experiment.train.device), *crowded, *warnings, *([problem] if problem else [])]


def device_warnings(device: str) -> list[str]:
    """Warnings before a run or a resume with this `train.device`: that it trains on the CPU although there is a GPU."""
    return [f"WARNING: {text}" for text in devices.device_warnings(device)]


def resume_run(
    folder: RunFolder,
    overrides: Mapping[str, SettingValue],
    launcher: str,
    *,
    accept_changed_data: bool = False,
    take_over: bool = False,
    from_start: bool = False,
    data: str = "",
    queue: QueueOptions | SlurmOptions | None = None,
    without_slurm: bool = False,
    max_hours: float = 0.0,
    placement: Placement | None = None,
    announce: Callable[[str], None] = lambda _: None,
    progress: ProgressCallback = ignore_progress,
) -> None:
    """Resume an ended run, or queue that, with settings changed by full name. Raises `UserError`.

    `announce` is called before the start with what becomes of the learning rate if that changes, and with warnings.

    `take_over`: also a run of another host that may still be live; its worker ends once it notices.
    `from_start`: restart from step 0 and archive the current record. `data`: where its dataset is now;
    the worker records it once it has found the same data there. A run of Slurm is submitted again, with the options
    that it had and those in `queue`, unless `without_slurm`. `placement`: on other nodes than the last time.
    """
    status = _check_resumable(folder, take_over)
    if not without_slurm and not isinstance(queue, QueueOptions):
        queue = resubmission(folder, queue)
    if (script := read_script(folder.experiment)) is not None:
        _check_script_resume(folder, script, overrides, data, here=not isinstance(queue, SlurmOptions))
        write_placement(folder, resumed_placement(folder, placement))
        _script_starter(folder, script, launcher, queue, max_hours)()
        return
    if not from_start and (error := missing_checkpoints_error(folder)):
        raise UserError(error)
    resumed = ResumedRun(folder, overrides, moved_to=data)
    if not accept_changed_data:
        resumed.check_classes()
        if not from_start:
            resumed.check_content(progress)
    train = resumed.after.train
    # In Slurm the nodes of the job are the placement: the first one records it.
    placement = SINGLE_NODE if isinstance(queue, SlurmOptions) else resumed_placement(folder, placement)
    check_placement(train, placement)
    if not isinstance(queue, SlurmOptions):
        check_device(train.device, local_processes(train, placement))
        for warning in device_warnings(train.device):
            announce(warning)
    if not from_start:
        resumed.check_epochs(status)
        if remark := resumed.learning_rate_remark():
            announce(remark)
    options = ResumeOptions(
        overrides=resumed.changed_settings, accept_changed_data=accept_changed_data, from_start=from_start,
        data=resumed.after.data.name if data else "", max_hours=max_hours,
    )  # fmt: skip
    write_placement(folder, placement)
    _starter(folder, options, launcher, queue, train.device, processes=process_count(train))()


def _check_script_resume(
    folder: RunFolder, script: Script, overrides: Mapping[str, SettingValue], data: str, *, here: bool
) -> None:
    """Raise `UserError` for a script that can't be run again, or options that only a training has."""
    option = "--set" if overrides else "--data" if data else ""
    if option:
        raise UserError(
            f"{folder.id} is a script: {option} is for trainings of workbench; start a new run of it"
        )
    check_script(script, here=here)


def _check_resumable(folder: RunFolder, take_over: bool) -> Status:
    """The status of a run. Raises `UserError` where it is or may be live, is no run of ours, or another user's."""
    check_is_ours(folder)
    status = status_of(folder)
    if status is Status.QUEUED:
        raise UserError(
            f"{folder.id} is queued and starts by itself (workbench queue shows what it waits for, "
            f"workbench queue set {folder.id} changes its settings)"
            if read_job(folder) is None
            else f"{folder.id} waits in Slurm and starts by itself; workbench stop {folder.id} cancels it"
        )
    if status.live:
        beat = read_record(folder.heartbeat, Heartbeat)
        paused = beat is not None and beat.phase is Phase.PAUSED
        command = f"continue {folder.id} continues it" if paused else f"stop {folder.id} stops it"
        state = "paused" if paused else f"{status} ({describe_holder(folder)})"
        raise UserError(f"{folder.id} is {state}: nothing to resume (workbench {command})")
    if status is Status.UNKNOWN and not take_over and may_be_live(folder):
        raise UserError(
            f"{folder.id} may still be running ({describe_holder(folder)}): check there; if it is not, "
            f"workbench resume {folder.id} --take-over resumes it here"
        )
    check_owner(folder)
    _check_version(folder)
    return status


def _check_version(folder: RunFolder) -> None:
    """Raise `UserError` if a newer version of workbench wrote the run: its files can be read, but not continued."""
    for path in (folder.experiment, folder.setup, folder.manifest, folder.heartbeat):
        version = (read_json(path) or {}).get("v")
        if isinstance(version, int) and version > VERSION:
            raise UserError(
                f"{path} is of version {version}, and this workbench writes version {VERSION}: "
                "the run can be read, but only a newer workbench can resume it"
            )


def send_request(folder: RunFolder, kind: RequestKind, values: RequestValues = NO_VALUES) -> str:
    """Send a request to a live run; returns its id. Raises `UserError`."""
    attempt = _live_attempt(folder)
    try:
        return requests.send_request(folder, kind, attempt, values)
    except OSError as error:
        if error.errno not in DISK_FULL_ERRNOS:
            raise
        raise UserError(
            f"{describe_disk_error(error, folder.path.parent)}, so the request can't be sent: free some space and try "
            f"again ('workbench stop {folder.id}' works without it)"
        ) from None


def stop_run(folder: RunFolder, values: RequestValues = NO_VALUES) -> str | None:
    """Request a live run to stop, with the reason in `values`.

    On a full disk, which has no space for a request, send its process SIGTERM. A queued run leaves the queue, of Slurm
    too. Returns why SIGTERM was used, else `None`. Raises `UserError`.
    """
    if status_of(folder) is Status.QUEUED:
        check_owner(folder)
        if leave_queue(folder):
            return None
    attempt = _live_attempt(folder)
    try:
        requests.send_request(folder, RequestKind.STOP, attempt, values)
    except OSError as error:
        if error.errno not in DISK_FULL_ERRNOS:
            raise
        reason = describe_disk_error(error, folder.path.parent)
        if read_job(folder) is not None:
            cancel_job(folder)
        elif not locks.terminate_holder(folder.lock):
            raise UserError(
                f"{reason}: free some space, or stop {folder.id} on its host ({describe_holder(folder)})"
            ) from None
        return reason
    return None


def _live_attempt(folder: RunFolder) -> int:
    """The number of the live attempt. Raises `UserError` where none is live, or the run is another user's."""
    check_is_ours(folder)
    status = status_of(folder)
    if status is Status.QUEUED:
        raise UserError(f"{folder.id} is queued and accepts no requests before it starts")
    if not status.live:
        more = " --set train.epochs=…" if status is Status.FINISHED else ""
        raise UserError(
            f"{folder.id} is {status} and accepts no requests (workbench resume {folder.id}{more} continues it)"
        )
    check_owner(folder)
    return last_attempt_number(folder) or 1


def check_device(device: str, processes: int = 1) -> None:
    """Raise `UserError` for devices that this host does not have, as far as this is known without torch.

    Also where the group's folder, in which others would see who holds it, can't be used.
    """
    if problem := paths.shared_folder_problem():
        raise UserError(problem)
    if device == "cpu" or (device == "auto" and processes == 1):
        return
    try:
        devices.find_gpus(device, processes, read_inventory())
    except UserError as error:
        raise UserError(f"train.device: {error}") from None


def start_queued_run(folder: RunFolder, ticket: Ticket) -> str:
    """Start the supervisor of a queued run, which takes the ticket; returns its reply, see `Reply`.

    The run starts in the folder, with the environment and by the interpreter of the process that queued it.
    """
    origin = ticket.origin
    surroundings = Surroundings(
        origin.environment or os.environ,
        origin.directory if is_folder(Path(origin.directory)) else str(folder.path),
        origin.python if is_file(Path(origin.python)) else sys.executable,
    )
    return _spawn_supervisor(folder, ["--launcher", origin.launcher, "--queued"], surroundings)


def _start_supervisor(folder: RunFolder, resume: ResumeOptions, launcher: str) -> None:
    arguments = ["--launcher", launcher, "--resume", encode(resume).decode()]
    reply = _spawn_supervisor(folder, arguments)
    if reply != Reply.READY:
        raise UserError(f"{folder.id} could not be started: {reply or 'see ' + str(folder.log)}")


def _spawn_supervisor(folder: RunFolder, arguments: Sequence[str], surroundings: Surroundings = HERE) -> str:
    """Start a supervisor; returns its reply."""
    silent = ["--no-driver"] if driver_is_silent() else []  # nobody waits for it a second time
    # The worker of a script needs no PyTorch.
    is_training = read_script(folder.experiment) is None
    return start_detached(
        SUPERVISOR, [str(folder.path), *arguments, *silent], folder.log, surroundings, may_fork=is_training
    )
