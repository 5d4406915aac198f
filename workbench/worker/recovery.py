"""Recovery from errors in training: rollback to the last good checkpoint, or the failed step in micro-batches."""

from __future__ import annotations

import contextlib
import gc
import re
import traceback
from dataclasses import dataclass

import torch

from workbench.core import text
from workbench.core.errors import NonFiniteLoss, NotEnoughMemory, RunFailed
from workbench.core.settings_schema import SettingValue
from workbench.engine.nan_guard import Diverged
from workbench.engine.settings_history import SettingOverride
from workbench.engine.torch_compat import has_batch_norm
from workbench.runs.enums import ChangeCause
from workbench.runs.journal import Attempt, SettingChange, read_journal
from workbench.runs.records import CheckpointEntry
from workbench.system.memory import address_space_left, host_memory, is_out_of_memory
from workbench.worker.attempt import TrainingAttempt
from workbench.worker.checkpoint_reader import LoadedCheckpoint
from workbench.worker.resume import load_checkpoint_into, open_metrics, row_seconds

MAX_ROLLBACKS = 5
"""The maximum number of rollbacks within one epoch."""
UNITS = {
    "bytes": 1,
    "KiB": 1 << 10,
    "KB": 1 << 10,
    "MiB": 1 << 20,
    "MB": 1 << 20,
    "GiB": 1 << 30,
    "GB": 1 << 30,
}
REQUESTED_PATTERN = re.compile(r"(?:[Tt]ried to allocate|Unable to allocate) ([\d.]+) (\w+)")
FREE_PATTERN = re.compile(r"of which ([\d.]+) (\w+) is free")


class Recovery:
    """Called with the error that interrupted training: restores a state from which training can continue, or raises."""

    def __init__(self, attempt: TrainingAttempt) -> None:
        self._context, self._state = attempt.context, attempt.state
        self._checkpoints, self._metrics = attempt.checkpoints, attempt.metrics
        self._group = attempt.components.group
        self._batch_size = attempt.components.settings.batch_size
        self._device = attempt.components.device
        self._device_label = attempt.components.device_label

    def __call__(self, error: Exception) -> None:
        """Recover from `error`. Raises it, or `RunFailed`, where recovery is not possible or not enabled.

        Out of memory between two steps (in an evaluation or a checkpoint) is passed on: micro-batches don't help there.
        """
        with self._metrics.clock.stopped():
            if isinstance(error, Diverged) and self._state.settings.on_nan == "rollback":
                self._roll_back(error)
            elif self._state.in_step and (shortage := parse_out_of_memory(error, self._device)) is not None:
                self._state.zero_grad()  # those of the failed step hold memory
                release_memory(error, self._device)
                self._split_batch(shortage)
            else:
                raise error

    def _roll_back(self, error: Diverged) -> None:
        """Load the newest checkpoint and halve the learning rate; the change is recorded before it is used.

        All processes roll back; one of them chooses the checkpoint.
        """
        restored = self._choose_checkpoint(error) if self._context.is_writer else None
        entry = self._group.broadcast(None if restored is None else restored.entry, CheckpointEntry)
        self._checkpoints.share(entry)
        restored = restored or LoadedCheckpoint(self._checkpoints.load(entry), entry, [])
        step, epoch = entry.step, self._state.epoch
        settings = self._state.settings_history.at(step)
        before = settings.lr
        if settings.head_lr:
            self._override_setting(
                step, "head_lr", settings.head_lr / 2, settings.head_lr, ChangeCause.ROLLBACK
            )
        self._override_setting(step, "lr", before / 2, before, ChangeCause.ROLLBACK, during_epoch=epoch)
        self._context.notice(
            f"{error.what} at step {error.step}: rolled back to step {step} with half the learning rate, "
            f"{before / 2:g} (rollback {self._rollbacks_during(epoch)} of {MAX_ROLLBACKS} in this epoch)"
        )
        self._metrics.lines.close()
        self._metrics.lines = open_metrics(self._context, restored)
        load_checkpoint_into(self._state, restored, self._batch_size)
        self._metrics.clock.restart(row_seconds(restored))
        self._context.heartbeat.update(step=self._state.step, epoch=self._state.epoch)

    def _choose_checkpoint(self, error: Diverged) -> LoadedCheckpoint:
        """The newest checkpoint. Raises `NonFiniteLoss` where there is none, or after too many rollbacks."""
        with contextlib.suppress(Diverged):  # a checkpoint with bad weights, which is dropped
            self._context.disk_space.retry(self._checkpoints.flush)
        restored = self._checkpoints.newest()
        rollbacks = 1 + self._rollbacks_during(self._state.epoch)
        if restored is None or rollbacks > MAX_ROLLBACKS:
            reason = (
                "there is no checkpoint to roll back to"
                if rollbacks == 1
                else f"after {rollbacks - 1} rollbacks in this epoch"
            )
            raise NonFiniteLoss(f"{error} ({reason})")
        return restored

    def _split_batch(self, shortage: OutOfMemory) -> None:
        """Compute the step's batch in smaller micro-batches; their gradients add up to those of the whole batch."""
        state, settings = self._state, self._state.settings
        size = settings.micro_batch or -(-self._batch_size // self._group.size)
        fitting_size = largest_fitting_batch(size, shortage, free_memory(self._device))
        description = f"out of memory on {self._device_label} with {size} samples at once ({shortage})"
        if not settings.auto_micro_batch:
            several = self._group.size > 1
            key = "micro_batch" if several else "batch_size"
            way_out = (
                ""
                if several
                else "; or set train.auto_micro_batch=yes to compute each batch in micro-batches"
            )
            raise NotEnoughMemory(
                f"{description}: train.{key}={fitting_size} should fit, by estimate{way_out}"
            )
        has_norms = has_batch_norm(state.module)
        if size <= 1 + has_norms:
            raise NotEnoughMemory(
                f"{description}: this is the smallest possible batch; use smaller images or a smaller model"
            )
        fitting_size = max(fitting_size, 1 + has_norms)
        state.undo_step()
        self._override_setting(
            state.step, "micro_batch", fitting_size, settings.micro_batch, ChangeCause.OUT_OF_MEMORY
        )
        batch_norm_note = "; batch norm uses the statistics of the micro-batches" if has_norms else ""
        self._context.notice(
            f"{description}: from step {state.step + 1} on, batches are computed in micro-batches of "
            f"{fitting_size} samples, with the gradients of the whole batch{batch_norm_note}"
        )

    def shrink_evaluation_batch(self, error: Exception, size: int) -> int:
        """The batch size to use after an evaluation with `size` samples at once failed with `error`.

        Raises `error` where it is not about memory, `NotEnoughMemory` where even one sample does not fit.
        """
        shortage = parse_out_of_memory(error, self._device)
        if shortage is None:
            raise error
        release_memory(error, self._device)
        description = f"out of memory on {self._device_label} evaluating {size} samples at once ({shortage})"
        if size == 1:
            raise NotEnoughMemory(f"{description}: not even one fits; use smaller images or a smaller model")
        fitting_size = largest_fitting_batch(size, shortage, free_memory(self._device))
        if self._group.size > 1:  # the others wait for the results of this batch
            raise NotEnoughMemory(
                f"{description}: train.evaluation_batch={fitting_size} should fit, by estimate"
            )
        before = self._state.settings.evaluation_batch
        self._override_setting(
            self._state.step, "evaluation_batch", fitting_size, before, ChangeCause.OUT_OF_MEMORY
        )
        self._context.notice(f"{description}: evaluation continues with {fitting_size} samples at once")
        return fitting_size

    def _override_setting(
        self,
        step: int,
        key: str,
        value: SettingValue,
        before: SettingValue,
        cause: ChangeCause,
        *,
        during_epoch: int | None = None,
    ) -> None:
        """Change a setting automatically: recorded and durable before it is in force."""
        journal = self._context.journal
        journal.append(
            SettingChange(
                setting=f"train.{key}", value=value, before=before, step=step, cause=cause,
                during_epoch=during_epoch,
            )
        )  # fmt: skip
        journal.sync()
        self._state.settings_history.add(SettingOverride(step, key, value))
        self._state.refresh_settings()

    def _rollbacks_during(self, epoch: int) -> int:
        """The rollbacks of this attempt that an epoch required; a resume restarts the count."""
        records = read_journal(self._context.folder.journal)
        starts = [i for i, record in enumerate(records) if isinstance(record, Attempt)]
        return sum(
            isinstance(record, SettingChange)
            and record.cause is ChangeCause.ROLLBACK
            and record.during_epoch == epoch
            for record in records[max(starts, default=0) :]
        )


def release_memory(error: BaseException, device: torch.device) -> None:
    """Free the memory held by the failed step: the frames of `error`, and torch's cache on the device."""
    traceback.clear_frames(error.__traceback__)
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


@dataclass(frozen=True)
class OutOfMemory:
    """Bytes requested and free when memory ran out, as far as they are known."""

    requested: int | None
    free: int | None

    def __str__(self) -> str:
        requested = None if self.requested is None else f"{text.format_bytes(self.requested)} requested"
        free = None if self.free is None else f"{text.format_bytes(self.free)} free"
        return ", ".join(part for part in (requested, free) if part) or "the requested size is unknown"


def parse_out_of_memory(error: BaseException, device: torch.device) -> OutOfMemory | None:
    """The sizes in an out-of-memory error on `device` or the host; `None` for any other error."""
    if isinstance(error, RunFailed) or not is_out_of_memory(error):
        return None
    message = str(error)
    free = _bytes(FREE_PATTERN, message)
    return OutOfMemory(_bytes(REQUESTED_PATTERN, message), free_memory(device) if free is None else free)


def _bytes(pattern: re.Pattern[str], message: str) -> int | None:
    match = pattern.search(message)
    if match is None or match[2] not in UNITS:
        return None
    return int(float(match[1]) * UNITS[match[2]])


def free_memory(device: torch.device) -> int | None:
    """Bytes that can still be allocated on `device`; on the CPU within the limits of control group and process."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type != "cpu":
        return None
    _, free = host_memory()
    return free if free is None else min(free, address_space_left())


def largest_fitting_batch(batch: int, shortage: OutOfMemory, free: int | None) -> int:
    """The batch size (a power of two, at most half of `batch`) that should fit into `free` bytes, by estimate.

    The failed step had allocated the difference between `free` and what was free at its end, and requested more: a
    lower bound of its need, assumed to be proportional to its samples.
    """
    limit = max(1, batch // 2)
    if shortage.requested is not None and shortage.free is not None and free is not None:
        needed = max(0, free - shortage.free) + shortage.requested
        limit = min(limit, int(batch * free / needed)) if needed > free else limit
    return 1 << (max(1, limit).bit_length() - 1)
