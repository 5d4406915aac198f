"""Starts the process that makes a plan, and waits for its result.

No run is created, nothing is downloaded, and only caches (decoded images, thread timings) are left behind.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Self, TypeVar

import msgspec

from workbench.config.experiment import Experiment
from workbench.config.process_count import global_batch_size, process_count
from workbench.config.recipes import download_hint
from workbench.core.errors import RunFailed, UserError
from workbench.core.progress import Cancelled, Progress, ProgressCallback
from workbench.core.text import format_bytes
from workbench.datasets import catalog as datasets
from workbench.datasets.image_folder_facts import folder_facts
from workbench.io.atomic_files import write_json
from workbench.io.file_tail import read_tail
from workbench.io.record_codec import read_record
from workbench.launcher import launch
from workbench.launcher.fork_client import start_python
from workbench.launcher.gpu_assignment import GpuAssigner, worker_environment
from workbench.models import catalog as models
from workbench.models.weights_check import check_weights
from workbench.planning.batch_sizes import BatchSizes
from workbench.planning.lr_curve import LrCurve
from workbench.planning.plan import RESULT_FILE, Measurement, Plan, PlanResult
from workbench.runs.journal import Attempt, Journal
from workbench.runs.records import Heartbeat
from workbench.runs.run_folder import RunFolder
from workbench.system.device_names import device_names

POLL_SECONDS = 0.1

Noted = TypeVar("Noted", Plan, LrCurve, BatchSizes)


class PlanProcess:
    """The process that makes one plan, or another measurement; as a context manager it ends the process and removes its
    folder.
    """

    def __init__(self, experiment: Experiment, measurement: Measurement = Measurement.PLAN) -> None:
        launch.check_device(experiment.train.device, process_count(experiment.train))
        # Raises for folders that can't be trained on.
        folder_facts(experiment.data.name, experiment.data.options)
        check_weights(experiment.model)
        experiment, notices = without_downloads(experiment, measurement)
        experiment, more = in_one_process(experiment)
        self._notices, self._measurement = (*notices, *more), measurement
        self._folder = RunFolder(Path(tempfile.mkdtemp(prefix="workbench-plan-")))
        try:
            self._start(experiment)
        except BaseException:  # a signal too
            self._remove_folder()
            raise

    def _start(self, experiment: Experiment) -> None:
        write_json(self._folder.experiment, experiment.to_dict())
        self._gpus = GpuAssigner(f"plan of {experiment.name}")
        gpu = self._gpus.assign(experiment.train.device)
        journal = Journal(self._folder.journal)
        journal.append(Attempt(attempt=1, gpu=gpu))
        journal.close()
        reading, self._stdin = os.pipe()
        with self._folder.log.open("ab") as log, os.fdopen(reading):
            self._process = start_python(
                "workbench.planning.worker", [str(self._folder.path), self._measurement], stdin=reading,
                stdout=log.fileno(), stderr=log.fileno(),
                environment=worker_environment(os.environ, *([gpu] if gpu else [])),
            )  # fmt: skip

    def _remove_folder(self) -> None:
        shutil.rmtree(self._folder.path, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()
        self._process.wait()
        self._gpus.release()
        os.close(self._stdin)
        self._remove_folder()

    def cancel(self) -> None:
        """Kill the process; `wait` then raises `Cancelled`. May be called from any thread."""
        self._process.kill()

    def wait(self, progress: ProgressCallback) -> Plan:
        """The plan. Raises `UserError`, `RunFailed` (it would fail in training too) or `Cancelled`."""
        plan = self._wait(progress).plan
        assert plan is not None
        return self._noted(plan)

    def wait_for_lr_curve(self, progress: ProgressCallback) -> LrCurve:
        """The losses over the learning rate. Raises as `wait`."""
        lr_curve = self._wait(progress).lr_curve
        assert lr_curve is not None
        return self._noted(lr_curve)

    def wait_for_batch_sizes(self, progress: ProgressCallback) -> BatchSizes:
        """The batch sizes that fit. Raises as `wait`."""
        batch_sizes = self._wait(progress).batch_sizes
        assert batch_sizes is not None
        return self._noted(batch_sizes)

    def _noted(self, result: Noted) -> Noted:
        """A result, with the notices about the experiment before its own."""
        return msgspec.structs.replace(result, notices=(*self._notices, *result.notices))

    def _wait(self, progress: ProgressCallback) -> PlanResult:
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(POLL_SECONDS)
            self._report_progress(progress)
            if self._process.returncode is not None:
                return self._result()

    def _report_progress(self, progress: ProgressCallback) -> None:
        beat = read_record(self._folder.heartbeat, Heartbeat)
        if beat is None:
            progress(Progress("importing PyTorch"))
        elif beat.progress is not None:
            progress(beat.progress)

    def _result(self) -> PlanResult:
        result = read_record(self._folder.path / RESULT_FILE, PlanResult)
        if result is not None and result.error is None:
            return result
        if result is not None and result.error is not None:
            raise (UserError if result.invalid_input else RunFailed)(result.error)
        if self._process.returncode == -9:
            raise Cancelled
        raise RunFailed(
            f"nothing was measured: {self._last_log_line() or f'exit {self._process.returncode}'}"
        )

    def _last_log_line(self) -> str:
        with contextlib.suppress(OSError):
            lines = read_tail(self._folder.log, 16_000)[0].decode(errors="replace").splitlines()
            return next((line.strip()[:200] for line in reversed(lines) if line.strip()), "")
        return ""


def in_one_process(experiment: Experiment) -> tuple[Experiment, tuple[str, ...]]:
    """The experiment as one process tries it, with the whole batches, and a notice if it is one of several."""
    train, count = experiment.train, process_count(experiment.train)
    if count == 1:
        return experiment, ()
    changed = msgspec.structs.replace(
        train, processes=1, batch_per_process=0, batch_size=global_batch_size(train), sync_batch_norm=False,
        fsdp=False, device=device_names(train.device)[0],
    )  # fmt: skip
    notice = (
        f"the plan is of one process, which computes the whole batches of {changed.batch_size}; each of {count} "
        f"processes computes 1/{count} of them, and exchanges gradients"
    )
    return msgspec.structs.replace(experiment, train=changed), (notice,)


def without_downloads(
    experiment: Experiment, measurement: Measurement = Measurement.PLAN
) -> tuple[Experiment, tuple[str, ...]]:
    """The experiment as it can be tried without downloads, and one notice for each deviation from it.

    Raises `UserError` where the dataset is not downloaded; the message names the command that downloads it. Also where
    weights are missing from which a learning rate depends.
    """
    about = datasets.describe(experiment.data.name, experiment.data.options)
    if not about.here:
        hint = download_hint(experiment.data.name, experiment.recipe or "")
        raise UserError(
            f"the dataset {about.name} is not downloaded ({format_bytes(about.download)}): {hint}"
        )
    info, options = models.find(experiment.model.name), experiment.model.options
    if not options.get("pretrained") or options.get("weights") or info.local_weights():
        return experiment, ()
    missing = f"the weights of {info.name} are not downloaded yet ({format_bytes(info.weights_bytes)})"
    if measurement is Measurement.LEARNING_RATES:
        raise UserError(
            f"{missing}, and random ones need another learning rate: start the training once first"
        )
    size = info.size_for(options, about.shape)  # that of random weights may be another one
    changed = msgspec.structs.replace(
        experiment.model, options={**options, "pretrained": False, "input_size": size or "auto"}
    )
    notice = f"{missing}; random weights are used here"
    return msgspec.structs.replace(experiment, model=changed), (notice,)
