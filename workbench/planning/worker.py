"""The process that plans: `python -m workbench.planning.worker FOLDER` tries the experiment in FOLDER.

It goes the worker's way (load, build, batches, loop) and leaves `plan.json`; nothing of it is a run.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import sys
import time
import traceback
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

from workbench.core import paths
from workbench.core.errors import BadInput, RunFailed
from workbench.core.progress import Interrupted
from workbench.core.text import one_line
from workbench.datasets.dataset import Split
from workbench.engine.autotune import candidates
from workbench.engine.cuda_graphs import Before
from workbench.engine.data_placement import Source
from workbench.engine.evaluate import TOP_K, evaluate
from workbench.io.record_codec import write_record
from workbench.planning.plan import ANSWER, Plan, PlanAnswer, Proposal
from workbench.planning.timed_training import Pace, Trial
from workbench.runs.journal import Notice, SettingValue, read_journal
from workbench.runs.run_folder import RunFolder
from workbench.system import machine_info
from workbench.system.cpu import usable_cores
from workbench.system.memory import host_memory
from workbench.system.processes import age
from workbench.worker.checkpoints import Checkpoints, checkpoint_bytes
from workbench.worker.components import Parts
from workbench.worker.context import Context, context_of
from workbench.worker.disk_space import CHECKPOINTS, ROW_BYTES
from workbench.worker.main import in_words
from workbench.worker.metrics_writer import ROWS
from workbench.worker.recovery import Recovery
from workbench.worker.requests import Stop
from workbench.worker.resume import Beginning
from workbench.worker.setup_record import device_name

BASE_SECONDS = 1.0
TRIAL_SECONDS = 0.5
ALL_TRIALS_SECONDS = 10.0
GAIN = 1.1
"""What is less than this many times as fast is not proposed: timings differ by as much."""
BATCHES = (2, 4, 8)
"""Times the batch size that are tried."""

SAYS = {
    "threads": "learns the same, but for the last bits",
    "precision": "rounds otherwise, learns nearly the same",
    "batch_size": "learns otherwise, in fewer steps",
}


def plan(context: Context) -> Plan:
    """Try the experiment of `context`. Raises `BadInput`, `RunFailed`, `Stop` or `Interrupted`."""
    checkpoints = Checkpoints(context.folder)
    parts = Parts(context, Beginning(context, checkpoints))
    trial = Trial(parts, context.folder, context.requests)
    trial.recover = Recovery(context, trial.state, checkpoints, trial.report, parts.settings.batch_size)
    try:
        return Planner(context, parts, trial, context.watch.seconds().total).plan()
    finally:
        trial.close()
        checkpoints.close()


class Planner:
    """What a run of these parts takes, and what others would."""

    def __init__(self, context: Context, parts: Parts, trial: Trial, loaded: float) -> None:
        self._context, self._parts, self._trial, self._loaded = context, parts, trial, loaded
        self._settings = parts.settings
        self._frozen = min(self._settings.freeze_epochs, self._settings.epochs)
        self._tried: list[str] = []

    def plan(self) -> Plan:
        """All of it."""
        parts, last = self._parts, self._settings.epochs - 1
        frozen = self._trial.run(BASE_SECONDS, epoch=0) if self._frozen else None
        pace = self._trial.run(BASE_SECONDS, epoch=last)
        apart = self._trial.run(BASE_SECONDS / 2, epoch=last, apart=True)
        memory = self._memory()
        seconds = self._seconds(pace, frozen)
        return Plan(
            device=str(parts.device),
            device_name=device_name(parts.device),
            threads=parts.threads,
            precision=parts.precision.name,
            batch_size=self._settings.batch_size,
            execution=parts.execution(self._trial.quick),
            steps_total=parts.epochs.steps * self._settings.epochs,
            step_seconds=pace.step_seconds,
            samples_per_second=pace.samples_per_second,
            seconds=seconds,
            shares={name: spent / apart.seconds for name, spent in apart.apart.items()},
            memory=memory,
            disk=self._disk(),
            proposals=tuple(sorted(self._proposals(seconds), key=lambda row: -row.factor)),
            tried=tuple(self._tried),
            notices=tuple(self._notices()),
        )

    def _seconds(self, pace: Pace, frozen: Pace | None) -> dict[str, float]:
        examples, epochs = len(self._parts.sources["train"]), self._settings.epochs
        train = (epochs - self._frozen) * examples / pace.samples_per_second
        if frozen is not None:
            train += self._frozen * examples / frozen.samples_per_second
        evaluating = epochs * self._evaluation_of(self._parts.held_out)
        tta = self._settings.tta
        if self._parts.held_out != "test" or tta != "none":
            evaluating += self._evaluation_of("test", tta)
        return {
            "load": self._loaded, "train": train, "evaluate": evaluating,
            "total": self._loaded + train + evaluating,
        }  # fmt: skip

    def _evaluation_of(self, split: str, tta: str = "none") -> float:
        """Seconds an evaluation of a split takes, from one of as much of it as is quickly done."""
        source, parts = self._parts.sources[split], self._parts
        some = 64
        while True:
            start = time.perf_counter()
            evaluate(
                parts.built.module, first(source, some), parts.task, split=split, classes=parts.data.classes,
                precision=parts.precision, between=self._context.requests.raise_if_stopped, tta=tta,
            )  # fmt: skip
            spent = time.perf_counter() - start
            if some >= len(source) or spent > TRIAL_SECONDS / 2:
                return spent * len(source) / min(some, len(source))
            some *= 4

    def _memory(self) -> dict[str, int | None]:
        """Peaks so far, of this process and of the GPU."""
        device, free = self._parts.device, host_memory()[1]
        on_gpu = device.type == "cuda"
        peak = process_peak()
        return {
            "process": peak,
            # What is free now is without what this process has taken already.
            "process_free": None if free is None else free + (peak or 0),
            "device": torch.cuda.max_memory_reserved(device) if on_gpu else None,
            "device_free": torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)
            if on_gpu
            else None,
        }

    def _disk(self) -> dict[str, int | None]:
        """What the run's folder will take: its checkpoints, evaluations and metrics."""
        settings, parts = self._settings, self._parts
        checkpoint = checkpoint_bytes(parts.built.module, settings)
        kept = CHECKPOINTS + (settings.epochs // settings.keep_every if settings.keep_every else 0)
        evaluated = len(parts.sources[parts.held_out]) * (10 + 2 * TOP_K) * settings.epochs
        rows = min(parts.epochs.steps * settings.epochs, ROWS) * ROW_BYTES
        return {
            "checkpoint": checkpoint,
            "total": kept * checkpoint + evaluated + rows,
            "free": machine_info.room(paths.runs()).free,
        }

    def _proposals(self, seconds: dict[str, float]) -> Iterator[Proposal]:
        """Every change that was tried and is faster; each is held against the base at the same moment."""
        until = time.monotonic() + ALL_TRIALS_SECONDS
        for key, value in changes(self._parts):
            if time.monotonic() > until:
                return
            self._tried.append(f"train.{key}={value}")
            held = self._factor(key, value)
            if held is None or held[0] < GAIN:
                continue
            factor, pace = held
            rest = seconds["total"] - seconds["train"]
            yield Proposal(
                f"train.{key}",
                str(value),
                factor,
                pace.samples_per_second,
                rest + seconds["train"] / factor,
                SAYS[key],
            )

    def _factor(self, key: str, value: SettingValue) -> tuple[float, Pace] | None:
        """How many times as fast it is with another value, and its pace; `None` where it can't be done."""
        try:
            with self._weights_put_back():
                return self._held_against_base(self._parts.with_settings(**{key: value}))
        except (BadInput, RuntimeError, MemoryError):
            # It can't be put together, it diverges, or there is no memory for it: no proposal.
            if self._parts.device.type == "cuda":
                torch.cuda.empty_cache()
            return None

    @contextlib.contextmanager
    def _weights_put_back(self) -> Iterator[None]:
        """All trials train the same weights: where one diverges, the next would begin from what it left."""
        state = self._trial.state
        slow = [] if state.lookahead is None else state.lookahead.state_dict()
        start = Before([*state.changed(), *slow])
        try:
            yield
        finally:
            start.restore(state.changed())

    def _held_against_base(self, parts: Parts) -> tuple[float, Pace]:
        last = self._settings.epochs - 1
        with contextlib.closing(Trial(parts, self._context.folder, self._context.requests)) as trial:
            before = self._trial.run(TRIAL_SECONDS / 2, epoch=last)
            pace = trial.run(TRIAL_SECONDS, epoch=last)
            after = self._trial.run(TRIAL_SECONDS / 2, epoch=last)
        base = (before.examples + after.examples) / (before.seconds + after.seconds)
        return pace.samples_per_second / base, pace

    def _notices(self) -> Iterator[str]:
        """What the worker would have put into the journal, and what the time to the end depends on."""
        for record in read_journal(self._context.folder.journal):
            if isinstance(record, Notice):
                yield record.text
        yield from self._trial.notices
        if self._settings.patience:
            yield f"it may end sooner: after {self._settings.patience} epochs without a better one"


def changes(parts: Parts) -> Iterator[tuple[str, SettingValue]]:
    """What is worth a trial: setting of `train` and value."""
    if parts.device.type == "cpu":
        yield from (("threads", count) for count in candidates(usable_cores()) if count != parts.threads)
    for name in ("bf16", "fp16", "fp32"):
        if name != parts.precision.name and (name == "bf16" or parts.device.type == "cuda"):
            yield "precision", name
    size, most = parts.settings.batch_size, len(parts.sources["train"])
    yield from (("batch_size", size * times) for times in BATCHES if size * times <= most)


def first(source: Source, count: int) -> Source:
    """The first `count` examples of a source."""
    split = Split(source.inputs[:count], source.split.targets[:count])
    return replace(source, split=split, targets=source.targets[:count])


def process_peak() -> int | None:
    """The most memory this process has had (bytes), where the system tells."""
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    except OSError:
        return None
    return 1024 * int(found[1]) if found else None


def answer_of(context: Context) -> PlanAnswer:
    """The plan, or why there is none."""
    try:
        return PlanAnswer(plan=plan(context))
    except BadInput as error:
        return PlanAnswer(error=one_line(error, 500), invalid_input=True)
    except RunFailed as error:
        return PlanAnswer(error=one_line(error, 500))
    except (Stop, Interrupted):
        raise
    except Exception as error:
        traceback.print_exc()
        return PlanAnswer(error=in_words(error))


def main() -> None:
    """One plan; whoever asked for it holds the other end of stdin, and is obeyed as a supervisor is."""
    folder = RunFolder(Path(sys.argv[1]).absolute())
    context = context_of(folder, 1, time.monotonic() - age())
    context.requests.install()
    context.heartbeat.start()
    try:
        write_record(folder.path / ANSWER, answer_of(context), durable=False)
    except (Stop, Interrupted):
        # Who asked is gone, and can't remove the folder any more.
        shutil.rmtree(folder.path, ignore_errors=True)


if __name__ == "__main__":
    main()
