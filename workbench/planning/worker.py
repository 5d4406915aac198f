"""The planning process: `python -m workbench.planning.worker FOLDER WHAT` tries the experiment in FOLDER.

It uses the worker's components and training loop, and writes `plan.json`; it creates no run. WHAT is a
`Measurement`.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import time
import traceback
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

from workbench.core import paths
from workbench.core.errors import RunFailed, UserError
from workbench.core.progress import Cancelled, Progress
from workbench.core.settings_schema import SettingValue
from workbench.core.text import one_line
from workbench.datasets.dataset import Split
from workbench.engine.autotune import candidate_thread_counts
from workbench.engine.cuda_graphs import TensorSnapshot
from workbench.engine.data_placement import PlacedSplit
from workbench.engine.device import device_name
from workbench.engine.evaluate import evaluate
from workbench.io.record_codec import write_record
from workbench.planning.batch_search import find_batch_size
from workbench.planning.lr_search import find_learning_rate
from workbench.planning.plan import (
    RESULT_FILE,
    Measurement,
    Plan,
    PlanResult,
    Proposal,
    describe_cpu_wait,
)
from workbench.planning.timed_training import MAX_WAIT, Throughput, TimedTraining
from workbench.runs.evaluation import TOP_K
from workbench.runs.journal import Notice, read_journal
from workbench.runs.run_folder import RunFolder
from workbench.system import machine_info
from workbench.system.cpu import usable_cores
from workbench.system.cpu_wait import CpuWait
from workbench.system.memory import host_memory, peak_process_bytes
from workbench.system.processes import process_age
from workbench.worker.attempt import TrainingAttempt
from workbench.worker.checkpoints import CheckpointManager, estimate_checkpoint_bytes
from workbench.worker.components import TrainingComponents
from workbench.worker.context import Context, make_context
from workbench.worker.disk_space import MAX_CHECKPOINTS_ON_DISK, ROW_BYTES
from workbench.worker.main import describe_error
from workbench.worker.metrics_writer import MAX_STEP_ROWS
from workbench.worker.recovery import Recovery
from workbench.worker.requests import Stop
from workbench.worker.resume import StartPoint

BASE_SECONDS = 1.0
TRIAL_SECONDS = 0.5
ALL_TRIALS_SECONDS = 10.0
MIN_SPEEDUP = 1.1
"""Smaller speedups are not proposed, because timings vary by as much."""
BATCH_FACTORS = (2, 4, 8)
"""The multiples of the batch size that are tried."""

SIDE_EFFECTS = {
    "threads": "same training up to rounding",
    "precision": "different rounding, nearly the same training",
    "batch_size": "different training, with fewer steps",
}


def make_plan(context: Context) -> Plan:
    """Try the experiment of `context`. Raises `UserError`, `RunFailed`, `Stop` or `Cancelled`."""
    checkpoints = CheckpointManager(context.folder)
    components = TrainingComponents(context, StartPoint(context, checkpoints))
    context.heartbeat.report_progress(Progress("timing steps"))
    training = TimedTraining(components, context.folder, context.requests)
    training.recover = Recovery(
        TrainingAttempt(context, components, training.state, checkpoints, training.metrics)
    )
    try:
        return Planner(context, components, training, context.stopwatch.seconds().total).plan()
    finally:
        training.close()
        checkpoints.close()


class Planner:
    """Measures the resources that a run needs, with its own settings and with alternatives."""

    def __init__(
        self, context: Context, components: TrainingComponents, training: TimedTraining, load_seconds: float
    ) -> None:
        self._context, self._components, self._training = context, components, training
        self._load_seconds = load_seconds
        self._settings = components.settings
        self._frozen_epochs = min(self._settings.freeze_epochs, self._settings.epochs)
        self._tried: list[str] = []

    def plan(self) -> Plan:
        """The plan. Raises `UserError`, `RunFailed` or `Stop`."""
        components, last = self._components, self._settings.epochs - 1
        frozen_throughput = self._training.run(BASE_SECONDS, epoch=0) if self._frozen_epochs else None
        throughput = self._training.run(BASE_SECONDS, epoch=last)
        phases = self._training.run(BASE_SECONDS / 2, epoch=last, by_phase=True)
        memory = self._memory()
        durations = self._durations(throughput, frozen_throughput)
        return Plan(
            device=components.device_label,
            device_name=device_name(components.device),
            threads=components.threads,
            precision=components.precision.name,
            batch_size=self._settings.batch_size,
            execution=components.execution_summary(self._training.acceleration),
            steps_total=components.epochs.steps * self._settings.epochs,
            step_seconds=throughput.step_seconds,
            samples_per_second=throughput.samples_per_second,
            seconds=durations,
            shares={name: seconds / phases.seconds for name, seconds in phases.by_phase.items()},
            cpu_wait=throughput.cpu_wait,
            memory=memory,
            disk=self._disk(),
            proposals=tuple(sorted(self._proposals(durations), key=lambda row: -row.factor)),
            tried=tuple(self._tried),
            notices=tuple(self._notices(throughput)),
        )

    def _durations(self, throughput: Throughput, frozen_throughput: Throughput | None) -> dict[str, float]:
        """The `seconds` of the plan; `frozen_throughput` is that of epochs with a frozen backbone."""
        samples, epochs = len(self._components.splits["train"]), self._settings.epochs
        train = (epochs - self._frozen_epochs) * samples / throughput.samples_per_second
        if frozen_throughput is not None:
            train += self._frozen_epochs * samples / frozen_throughput.samples_per_second
        evaluation = epochs * self._evaluation_seconds(self._components.held_out_split)
        tta = self._settings.tta
        if self._components.held_out_split != "test" or tta != "none":
            evaluation += self._evaluation_seconds("test", tta)
        return {
            "load": self._load_seconds, "train": train, "evaluate": evaluation,
            "total": self._load_seconds + train + evaluation,
        }  # fmt: skip

    def _evaluation_seconds(self, split: str, tta: str = "none") -> float:
        """Estimated seconds of an evaluation of a split, from an evaluation of part of it."""
        components = self._components
        placed_split = components.splits[split]
        count = 64
        while True:
            start, cpu_wait = time.perf_counter(), CpuWait()
            evaluate(
                components.model.module,
                first_samples(placed_split, count),
                components.task,
                split=split,
                classes=components.data.classes,
                precision=components.precision,
                after_batch=self._context.requests.raise_if_stopped,
                tta=tta,
            )
            elapsed = time.perf_counter() - start
            if count >= len(placed_split) or elapsed > TRIAL_SECONDS / 2:
                elapsed -= min(cpu_wait.seconds(), MAX_WAIT * elapsed)
                return elapsed * len(placed_split) / min(count, len(placed_split))
            count *= 4

    def _memory(self) -> dict[str, int | None]:
        """Peak memory so far and free memory, of this process and of the GPU."""
        device, free = self._components.device, host_memory()[1]
        on_gpu = device.type == "cuda"
        peak = peak_process_bytes()
        return {
            "process": peak,
            # Free memory excludes what this process already uses.
            "process_free": None if free is None else free + (peak or 0),
            "device": torch.cuda.max_memory_reserved(device) if on_gpu else None,
            "device_free": torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)
            if on_gpu
            else None,
        }

    def _disk(self) -> dict[str, int | None]:
        """The size of the run's folder: checkpoints, evaluations and metrics."""
        settings, components = self._settings, self._components
        checkpoint = estimate_checkpoint_bytes(components.model.module, settings)
        checkpoints = MAX_CHECKPOINTS_ON_DISK + (
            settings.epochs // settings.keep_checkpoint_every if settings.keep_checkpoint_every else 0
        )
        evaluations = len(components.splits[components.held_out_split]) * (10 + 2 * TOP_K) * settings.epochs
        rows = min(components.epochs.steps * settings.epochs, MAX_STEP_ROWS) * ROW_BYTES
        return {
            "checkpoint": checkpoint,
            "total": checkpoints * checkpoint + evaluations + rows,
            "free": machine_info.disk_space(paths.runs()).free,
        }

    def _proposals(self, durations: dict[str, float]) -> Iterator[Proposal]:
        """Every alternative setting that is faster; each is timed together with the base settings."""
        deadline = time.monotonic() + ALL_TRIALS_SECONDS
        for key, value in candidate_settings(self._components):
            if time.monotonic() > deadline:
                return
            self._tried.append(f"train.{key}={value}")
            measured = self._speedup(key, value)
            if measured is None or measured[0] < MIN_SPEEDUP:
                continue
            factor, throughput = measured
            other_seconds = durations["total"] - durations["train"]
            yield Proposal(
                f"train.{key}",
                str(value),
                factor,
                throughput.samples_per_second,
                other_seconds + durations["train"] / factor,
                SIDE_EFFECTS[key],
            )

    def _speedup(self, key: str, value: SettingValue) -> tuple[float, Throughput] | None:
        """The speedup with another value of a setting, and its throughput; `None` where it does not work."""
        try:
            with self._restored_weights():
                return self._compare_with_base(self._components.with_settings(**{key: value}))
        except (UserError, RuntimeError, MemoryError):
            # Invalid, diverged or out of memory: no proposal.
            if self._components.device.type == "cuda":
                torch.cuda.empty_cache()
            return None

    @contextlib.contextmanager
    def _restored_weights(self) -> Iterator[None]:
        """Restore the weights afterwards: all measurements train the same ones, and one may diverge."""
        state = self._training.state
        slow_weights = [] if state.lookahead is None else state.lookahead.state_dict()
        snapshot = TensorSnapshot([*state.mutated_tensors(), *slow_weights])
        try:
            yield
        finally:
            snapshot.restore(state.mutated_tensors())

    def _compare_with_base(self, components: TrainingComponents) -> tuple[float, Throughput]:
        """The speedup over the base settings, timed before and after, and the throughput with `components`."""
        last = self._settings.epochs - 1
        with contextlib.closing(
            TimedTraining(components, self._context.folder, self._context.requests)
        ) as training:
            before = self._training.run(TRIAL_SECONDS / 2, epoch=last)
            throughput = training.run(TRIAL_SECONDS, epoch=last)
            after = self._training.run(TRIAL_SECONDS / 2, epoch=last)
        seconds = before.undisturbed_seconds + after.undisturbed_seconds
        base = (before.samples + after.samples) / seconds
        return throughput.samples_per_second / base, throughput

    def _notices(self, throughput: Throughput) -> Iterator[str]:
        """The notices that the worker would have recorded, and what the total time depends on."""
        if remark := describe_cpu_wait(throughput.cpu_wait):
            yield remark
        for record in read_journal(self._context.folder.journal):
            if isinstance(record, Notice):
                yield record.text
        yield from self._training.notices
        if self._settings.hours:
            yield "train.hours: the run itself chooses its epochs, by a timing before its first step"
        if self._settings.patience:
            yield f"early stopping may end the run sooner, after {self._settings.patience} epochs without improvement"


def candidate_settings(components: TrainingComponents) -> Iterator[tuple[str, SettingValue]]:
    """The alternatives worth measuring: training setting and value."""
    if components.device.type == "cpu":
        yield from (
            ("threads", count)
            for count in candidate_thread_counts(usable_cores())
            if count != components.threads
        )
    for name in ("bf16", "fp16", "fp32"):
        if name != components.precision.name and (name == "bf16" or components.device.type == "cuda"):
            yield "precision", name
    size, samples = components.settings.batch_size, len(components.splits["train"])
    yield from (("batch_size", size * factor) for factor in BATCH_FACTORS if size * factor <= samples)


def first_samples(placed_split: PlacedSplit, count: int) -> PlacedSplit:
    """The first `count` samples of a split."""
    split = Split(placed_split.inputs[:count], placed_split.split.targets[:count])
    return replace(placed_split, split=split, targets=placed_split.targets[:count])


def make_result(context: Context, measurement: Measurement) -> PlanResult:
    """The plan or another measurement, or the error that prevented it."""
    try:
        match measurement:
            case Measurement.PLAN:
                return PlanResult(plan=make_plan(context))
            case Measurement.LEARNING_RATES:
                return PlanResult(lr_curve=find_learning_rate(context))
            case Measurement.BATCH_SIZES:
                return PlanResult(batch_sizes=find_batch_size(context))
    except UserError as error:
        return PlanResult(error=one_line(error, 500), invalid_input=True)
    except RunFailed as error:
        return PlanResult(error=one_line(error, 500))
    except (Stop, Cancelled):
        raise
    except Exception as error:
        traceback.print_exc()
        return PlanResult(error=describe_error(error, where=""))


def main() -> None:
    """Make one plan or measurement. The client holds the other end of stdin, as a supervisor does for a worker."""
    folder = RunFolder(Path(sys.argv[1]).absolute())
    context = make_context(folder, 1, time.monotonic() - process_age())
    context.requests.install()
    context.heartbeat.start()
    try:
        write_record(folder.path / RESULT_FILE, make_result(context, Measurement(sys.argv[2])), durable=False)
    except (Stop, Cancelled):
        # The client is gone and can't remove the folder.
        shutil.rmtree(folder.path, ignore_errors=True)


if __name__ == "__main__":
    main()
