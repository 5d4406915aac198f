"""`train.hours`: the number of epochs that fits into a time, found by a few steps and recorded once.

A resumed run takes the number from the journal, so that its schedule is that of the first attempt.
"""

from __future__ import annotations

import itertools
import time

from workbench.core.settings_schema import SettingValue
from workbench.core.text import format_duration, plural
from workbench.engine.batches import sequential_batches
from workbench.engine.cuda_graphs import TensorSnapshot
from workbench.engine.evaluate import eval_batch_size, evaluation_mode
from workbench.engine.loop import compute_step
from workbench.engine.settings_history import SettingOverride
from workbench.engine.train_state import TrainState
from workbench.runs.enums import ChangeCause
from workbench.runs.journal import SettingChange, read_journal
from workbench.worker.components import TrainingComponents
from workbench.worker.context import Context

TIMING_SECONDS = 5.0
MAX_TIMING_SHARE = 0.02
"""How long steps are timed at most: so many seconds, and this share of the limit."""
RESERVE = 0.03
"""The share of the limit that is left for checkpoints, and for a machine that gets slower."""
MAX_EPOCHS = 1_000_000


def fit_epochs(context: Context, components: TrainingComponents, state: TrainState) -> bool:
    """Set `train.epochs` to what `train.hours` allows, unless an earlier attempt has; returns whether it was set.

    All processes measure together, and use the number of the writer. The state is unchanged apart from its settings.
    """
    train = state.settings
    if not train.hours or state.step or _is_recorded(context):
        return False
    limit = 3600 * train.hours
    try:
        step_seconds = _seconds_per_step(state, components, min(TIMING_SECONDS, MAX_TIMING_SHARE * limit))
    except (RuntimeError, MemoryError):
        if components.group.size > 1:
            raise  # the other processes wait for this one
        context.notice(f"train.hours is not used: no step could be timed; the run has {train.epochs} epochs")
        return False
    epoch_seconds = step_seconds * components.epochs.steps
    epoch_seconds += _evaluation_seconds(components, components.held_out_split)
    rest = limit * (1 - RESERVE) - _evaluation_seconds(components, "test")
    count = max(1, min(MAX_EPOCHS, int(rest / epoch_seconds)))
    epochs = components.group.broadcast(count, int)
    _record(context, epochs, train.epochs)
    state.settings_history.add(SettingOverride(0, "epochs", epochs))
    state.refresh_settings()
    context.notice(
        f"train.hours: {plural(epochs, 'epoch')} of {format_duration(epoch_seconds)} fit into "
        f"{format_duration(limit)}, by a short timing"
    )
    return True


def _is_recorded(context: Context) -> bool:
    records = read_journal(context.folder.journal)
    return any(isinstance(r, SettingChange) and r.cause is ChangeCause.TIME_LIMIT for r in records)


def _record(context: Context, epochs: int, before: SettingValue) -> None:
    """Make the change durable before it is used."""
    change = SettingChange(
        setting="train.epochs", value=epochs, before=before, step=0, cause=ChangeCause.TIME_LIMIT
    )
    context.journal.append(change)
    context.journal.sync()


def _seconds_per_step(state: TrainState, components: TrainingComponents, seconds: float) -> float:
    """The seconds of a real step, as the mean over about `seconds` after a first one; the state is restored."""
    snapshot, epoch = TensorSnapshot(state.mutated_tensors()), state.epoch
    state.epoch = MAX_EPOCHS  # when nothing is frozen any more
    state.begin_epoch(components.epochs.steps)
    start, steps = 0.0, -1  # the first one chooses kernels and allocates memory
    try:
        batches = itertools.chain.from_iterable(
            components.epochs.batches(0).iter_from(0) for _ in itertools.count()
        )
        for batch in batches:
            state.begin_step()
            if not state.replay(batch):
                compute_step(state, batch)
            state.loss_sum().item()  # waits for the device
            steps += 1
            start = start or time.perf_counter()
            elapsed = time.perf_counter() - start
            if components.group.broadcast(steps > 0 and elapsed >= seconds, bool):
                break
        return (time.perf_counter() - start) / steps
    finally:
        state.in_step, state.epoch = False, epoch
        state.zero_grad()
        snapshot.restore(state.mutated_tensors())


def _evaluation_seconds(components: TrainingComponents, split: str) -> float:
    """Estimated seconds of an evaluation, by two batches of it."""
    placed, module = components.splits[split], components.model.module
    size = eval_batch_size(placed, components.settings.evaluation_batch)
    times = []
    with evaluation_mode(module):
        for batch in itertools.islice(sequential_batches(placed, size).iter_from(0), 2):
            start = time.perf_counter()
            with components.precision.autocast():
                module(batch.inputs).float().sum().item()
            times.append((time.perf_counter() - start) / len(batch))
    return min(times) * len(placed) / components.group.size
