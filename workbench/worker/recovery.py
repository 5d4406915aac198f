"""What is done when training goes wrong: back to the last good checkpoint, or the same step in smaller parts."""

from __future__ import annotations

import contextlib
import gc
import re
import traceback
from dataclasses import dataclass

import torch

from workbench.core import text
from workbench.core.errors import NonFiniteLoss, NotEnoughMemory, RunFailed
from workbench.engine.batches import has_batch_norm
from workbench.engine.nan_guard import Diverged
from workbench.engine.settings_history import Change
from workbench.engine.train_state import TrainState
from workbench.runs.enums import ChangeCause
from workbench.runs.journal import Attempt, SettingChange, SettingValue, read_journal
from workbench.system.memory import address_space_left, host_memory, is_out_of_memory
from workbench.worker.checkpoints import Checkpoints
from workbench.worker.context import Context
from workbench.worker.metrics_writer import Report
from workbench.worker.resume import open_metrics, take_over

TIMES = 5
"""How often a run goes back within one epoch before it gives up."""
UNITS = {
    "bytes": 1,
    "KiB": 1 << 10,
    "KB": 1 << 10,
    "MiB": 1 << 20,
    "MB": 1 << 20,
    "GiB": 1 << 30,
    "GB": 1 << 30,
}
WANTED = re.compile(r"(?:[Tt]ried to allocate|Unable to allocate) ([\d.]+) (\w+)")
FREE = re.compile(r"of which ([\d.]+) (\w+) is free")


class Recovery:
    """Called with the error that ended training: puts the state where it can go on, or raises."""

    def __init__(
        self, context: Context, state: TrainState, checkpoints: Checkpoints, report: Report, batch_size: int
    ) -> None:
        self._context, self._state = context, state
        self._checkpoints, self._report = checkpoints, report
        self._batch_size = batch_size
        self._device = state.precision.device

    def __call__(self, error: Exception) -> None:
        """Mend what `error` says is wrong. Raises it, or `RunFailed`, where that can't be or is not wanted.

        Memory that ran short between two steps (in an evaluation, a checkpoint) is none that smaller parts would spare.
        """
        if isinstance(error, Diverged) and self._state.settings.on_nan == "go_back":
            self._go_back(error)
        elif self._state.in_step and (short := shortage(error, self._device)) is not None:
            let_go(error, self._device)
            self._split(short)
        else:
            raise error
        self._report.restart_clock()

    def _go_back(self, error: Diverged) -> None:
        """Take up the newest checkpoint with half the learning rate; the change is on record before it is used."""
        with contextlib.suppress(Diverged):  # a moment that was not worth keeping
            self._context.room.keep_trying(self._checkpoints.settle)
        restored = self._checkpoints.newest()
        epoch = self._state.epoch
        times = 1 + sum(change.during_epoch == epoch for change in self._rollbacks())
        if restored is None or times > TIMES:
            why = (
                "there is no checkpoint to go back to"
                if times == 1
                else f"after going back {times - 1} times"
            )
            raise NonFiniteLoss(f"{error} ({why})")
        step = restored.entry.step
        before = self._state.timeline.at(step).lr
        self._change(step, "lr", before / 2, before, ChangeCause.ROLLBACK, during_epoch=epoch)
        self._context.notice(
            f"{error.what} at step {error.step}: back to step {step} with half the learning rate, "
            f"{before / 2:g} ({times} of {TIMES} times in this epoch)"
        )
        self._report.metrics.close()
        self._report.metrics = open_metrics(self._context, restored)
        take_over(self._state, restored, self._batch_size)
        self._context.heartbeat.show(step=self._state.step, epoch=self._state.epoch)

    def _split(self, short: Shortage) -> None:
        """Compute the step's batch in parts of half the size; their gradients add up to those of the whole."""
        state, settings = self._state, self._state.settings
        size = settings.micro_batch or self._batch_size
        fits = fitting(size, short, free_memory(self._device))
        words = f"out of memory on {self._device} with {size} examples at once ({short})"
        if not settings.auto_micro_batch:
            raise NotEnoughMemory(
                f"{words}: train.batch_size={fits} should fit, by estimate; or train.auto_micro_batch=yes "
                "computes each batch in parts"
            )
        normed = has_batch_norm(state.module)
        if size <= 1 + normed:
            raise NotEnoughMemory(
                f"{words}: no fewer can be learned from; take smaller pictures or a smaller model"
            )
        fits = max(fits, 1 + normed)
        state.undo_step()
        self._change(state.step, "micro_batch", fits, settings.micro_batch, ChangeCause.OUT_OF_MEMORY)
        norms = "; batch norm sees the smaller batches" if normed else ""
        self._context.notice(
            f"{words}: from step {state.step + 1} on batches are computed {fits} examples at a time, "
            f"with the gradients of the whole{norms}"
        )

    def smaller_evaluation(self, error: Exception, size: int) -> int:
        """After evaluating `size` examples at once failed with `error`: how many to take. Raises as a call does."""
        short = shortage(error, self._device)
        if short is None:
            raise error
        let_go(error, self._device)
        words = f"out of memory on {self._device} evaluating {size} examples at once ({short})"
        if size == 1:
            raise NotEnoughMemory(f"{words}: not even one fits; take smaller pictures or a smaller model")
        fits = fitting(size, short, free_memory(self._device))
        before = self._state.settings.evaluation_batch
        self._change(self._state.step, "evaluation_batch", fits, before, ChangeCause.OUT_OF_MEMORY)
        self._context.notice(f"{words}: from now on {fits}")
        return fits

    def _change(
        self,
        step: int,
        key: str,
        value: SettingValue,
        before: SettingValue,
        cause: ChangeCause,
        *,
        during_epoch: int | None = None,
    ) -> None:
        """A change of a setting that the worker makes by itself: on record, durable, then in force."""
        journal = self._context.journal
        journal.note(
            SettingChange(
                setting=f"train.{key}", value=value, before=before, step=step, cause=cause,
                during_epoch=during_epoch,
            )
        )  # fmt: skip
        journal.sync()
        self._state.timeline.add(Change(step, key, value))
        self._state.renew_settings()

    def _rollbacks(self) -> list[SettingChange]:
        """The changes with which this attempt was rolled back; a resume restarts the count."""
        records = read_journal(self._context.folder.journal)
        starts = [i for i, record in enumerate(records) if isinstance(record, Attempt)]
        return [
            record
            for record in records[max(starts, default=0) :]
            if isinstance(record, SettingChange) and record.cause is ChangeCause.ROLLBACK
        ]


def let_go(error: BaseException, device: torch.device) -> None:
    """Free what the step that ended with `error` still holds: its frames, and the memory that torch keeps cached."""
    traceback.clear_frames(error.__traceback__)
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


@dataclass(frozen=True)
class Shortage:
    """Bytes wanted and free at the moment when memory ran out, as far as somebody said so."""

    wanted: int | None
    free: int | None

    def __str__(self) -> str:
        wanted = None if self.wanted is None else f"{text.size(self.wanted)} more were wanted"
        free = None if self.free is None else f"{text.size(self.free)} were free"
        return ", ".join(part for part in (wanted, free) if part) or "nobody says how much was wanted"


def shortage(error: BaseException, device: torch.device) -> Shortage | None:
    """What an error tells of memory that ran short on `device` or the host; `None` for any other error."""
    if isinstance(error, RunFailed) or not is_out_of_memory(error):
        return None
    message = str(error)
    free = _bytes(FREE, message)
    return Shortage(_bytes(WANTED, message), free_memory(device) if free is None else free)


def _bytes(pattern: re.Pattern[str], said: str) -> int | None:
    found = pattern.search(said)
    if found is None or found[2] not in UNITS:
        return None
    return int(float(found[1]) * UNITS[found[2]])


def free_memory(device: torch.device) -> int | None:
    """Bytes that could still be had on `device`; on the CPU within the limits of control group and process."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type != "cpu":
        return None
    _, free = host_memory()
    return free if free is None else min(free, address_space_left())


def fitting(batch: int, short: Shortage, free: int | None) -> int:
    """The batch size (a power of two, at most a half of `batch`) that should fit, with `free` bytes free before it.

    The step that failed had taken what was free before it and not at the end, and wanted more: a lower bound of
    what it needs, taken as proportional to its examples.
    """
    limit = max(1, batch // 2)
    if short.wanted is not None and short.free is not None and free is not None:
        needed = max(0, free - short.free) + short.wanted
        limit = min(limit, int(batch * free / needed)) if needed > free else limit
    return 1 << (max(1, limit).bit_length() - 1)
