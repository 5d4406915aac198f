"""A plan: what a run will take, measured by a few real steps in a process of its own, and what would be faster.

No run is made, nothing is downloaded, and nothing but caches (decoded pictures, timings of threads) is left behind.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Self

import msgspec

from workbench.config.experiment import Experiment
from workbench.config.recipes import how_to_fetch
from workbench.core.errors import BadInput, RunFailed
from workbench.core.progress import Interrupted, Report
from workbench.core.text import size
from workbench.datasets import catalog as datasets
from workbench.io.atomic_files import write_json
from workbench.io.record_codec import read_record
from workbench.launcher import launch
from workbench.models import catalog as models
from workbench.planning.plan import ANSWER, Plan, PlanAnswer
from workbench.runs.records import Heartbeat
from workbench.runs.run_folder import RunFolder
from workbench.system.processes import python

POLL_SECONDS = 0.1


class Planning:
    """The process that makes one plan; a context manager that ends it and removes what it worked in."""

    def __init__(self, experiment: Experiment) -> None:
        launch.check_device(experiment.train.device)
        experiment, self._notices = without_downloads(experiment)
        self._folder = RunFolder(Path(tempfile.mkdtemp(prefix="workbench-plan-")))
        write_json(self._folder.experiment, experiment.to_dict())
        with self._folder.log.open("ab") as log:
            self._process = subprocess.Popen(
                python("workbench.planning.worker", str(self._folder.path)),
                stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()
        self._process.wait()
        if self._process.stdin:
            self._process.stdin.close()
        shutil.rmtree(self._folder.path, ignore_errors=True)

    def cancel(self) -> None:
        """End the process; whoever waits for the plan gets `Interrupted`. May be called from any thread."""
        self._process.kill()

    def wait(self, progress: Report) -> Plan:
        """The plan. Raises `BadInput`, `RunFailed` (it would fail in training too) or `Interrupted`."""
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(POLL_SECONDS)
            self._tell(progress)
            if self._process.returncode is not None:
                return self._answer()

    def _tell(self, progress: Report) -> None:
        beat = read_record(self._folder.heartbeat, Heartbeat)
        if beat is not None and beat.progress is not None:
            progress(beat.progress)

    def _answer(self) -> Plan:
        answer = read_record(self._folder.path / ANSWER, PlanAnswer) or PlanAnswer()
        if answer.plan is not None:
            plan = answer.plan
            return msgspec.structs.replace(plan, notices=(*self._notices, *plan.notices))
        if answer.error is not None:
            raise (BadInput if answer.invalid_input else RunFailed)(answer.error)
        if self._process.returncode == -9:
            raise Interrupted
        raise RunFailed(f"no plan was made: {self._last_words() or f'exit {self._process.returncode}'}")

    def _last_words(self) -> str:
        with contextlib.suppress(OSError):
            lines = self._folder.log.read_text(errors="replace").splitlines()
            return next((line.strip()[:200] for line in reversed(lines) if line.strip()), "")
        return ""


def without_downloads(experiment: Experiment) -> tuple[Experiment, tuple[str, ...]]:
    """The experiment as it can be tried with what is on this machine, and what that leaves out, in words.

    Raises `BadInput` where the dataset is not here: the message names what brings it.
    """
    about = datasets.describe(experiment.data.name, experiment.data.options)
    if not about.here:
        how = how_to_fetch(experiment.data.name, experiment.recipe or "")
        raise BadInput(f"{about.name} is not here ({size(about.download)}): {how}")
    info, options = models.find(experiment.model.name), experiment.model.options
    if not options.get("pretrained") or options.get("weights") or info.weights_here():
        return experiment, ()
    changed = msgspec.structs.replace(experiment.model, options={**options, "pretrained": False})
    missing = f"the weights of {info.name} are still to be downloaded ({size(info.weights_bytes)})"
    return msgspec.structs.replace(experiment, model=changed), (f"{missing}: random ones were tried",)
