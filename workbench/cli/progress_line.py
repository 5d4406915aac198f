"""One line about a live run, and one about each epoch."""

from __future__ import annotations

from workbench.cli.console import format_progress
from workbench.core import text
from workbench.core.text import sanitize
from workbench.runs.enums import Phase
from workbench.runs.eta import eta
from workbench.runs.journal import PhaseChange
from workbench.runs.metrics import EpochRow, EvaluationRow
from workbench.runs.queue_state import Waiting
from workbench.runs.reader import RunView
from workbench.runs.run_report import effective_experiment, phase_seconds, throughput

SHOWN_METRICS = ("loss", "accuracy", "top5", "mae", "r2")
"""Metrics that the line of an evaluation shows, if it has them."""
SHOWN_LOGGED_METRICS = 3
"""Metrics of a script in its progress line."""
GAP = "  "
NAME_CELLS = 24
"""The most cells of a run's name on a terminal."""


def progress_line(view: RunView, width: int, now: float) -> str:
    """The current phase, epoch, step, loss, learning rate, epoch time, throughput and ETA in at most `width` cells.

    What does not fit is left out, the throughput first. `now`: Unix seconds, for the clock of phases without steps.
    """
    name = sanitize(view.name, min(NAME_CELLS, max(8, width // 3)))
    if view.waiting is not None:
        return text.truncate(f"{name}: {waiting_text(view.waiting)}", width)
    if view.script is not None and view.heartbeat.phase is Phase.RUNNING:
        return text.truncate(GAP.join([f"{name}:", *_script_parts(view, now)]), width)
    if view.heartbeat.phase is not Phase.TRAINING:
        seconds = phase_seconds(view, now)
        clock = "" if seconds is None else GAP + text.format_duration(seconds)
        room = width - len(clock)
        return text.truncate(f"{name}: {current_activity(view)}", room) + clock
    parts = _training_parts(view)
    for label in (None, "throughput", "step", "epoch", "epoch time", "lr", "loss"):
        parts.pop(label or "", None)
        line = GAP.join([f"{name}: {view.heartbeat.phase}", *parts.values()])
        if text.cell_width(line) <= width:
            break
    return text.truncate(line, width)


def waiting_text(waiting: Waiting) -> str:
    """`queued #2, waits for a free CPU slot (1 of 1 taken by a)`."""
    return f"queued {waiting.place}, waits for {waiting.text}"


def current_activity(view: RunView) -> str:
    """What a run without steps does: `importing PyTorch`, `decoding images 12 of 40`, else its phase or status."""
    beat = view.heartbeat
    return format_progress(beat.progress) if beat.progress else str(beat.phase or view.status)


def _script_parts(view: RunView, now: float) -> list[str]:
    """What a script's output and its metrics say."""
    beat, parts = view.heartbeat, list[str]()
    if beat.epochs_total:
        parts.append(f"epoch {min(beat.epoch + 1, beat.epochs_total)}/{beat.epochs_total}")
    if beat.progress:
        parts.append(format_progress(beat.progress))
    parts += logged_parts(view)
    if (left := eta(beat)) is not None:
        parts.append(f"ETA {text.format_duration(left)}")
    if (seconds := phase_seconds(view, now)) is not None:
        parts.append(text.format_duration(seconds))
    return parts


def logged_parts(view: RunView) -> list[str]:
    """The newest step and values that a script, or another program, has logged."""
    if not view.logged:
        return []
    newest = [(name, series) for name, series in view.logged.items() if len(series)][:SHOWN_LOGGED_METRICS]
    values = [f"{sanitize(name)} {text.format_decimals(series.values[-1])}" for name, series in newest]
    return [f"step {view.logged_step}", *values]


def _training_parts(view: RunView) -> dict[str, str]:
    """The parts of the line of a run that trains, by label; those that are unknown are left out."""
    beat, parts = view.heartbeat, dict[str, str]()
    if beat.epochs_total:
        parts["epoch"] = f"epoch {min(beat.epoch + 1, beat.epochs_total)}/{beat.epochs_total}"
    if beat.steps_total:
        step = int(view.steps.step[-1]) if len(view.steps) else beat.step
        parts["step"] = f"step {step}/{beat.steps_total}"
    if loss := view.steps.column("loss"):
        parts["loss"] = f"loss {text.format_decimals(loss[-1])}"
    if lr := view.steps.column("lr"):
        parts["lr"] = f"lr {lr[-1]:.3g}"
    if (seconds := _current_epoch_seconds(view)) is not None:
        parts["epoch time"] = f"{format_seconds(seconds)}/epoch"
    if rate := throughput(view):
        parts["throughput"] = f"{text.format_count(rate)} samples/s"
    if (left := eta(beat)) is not None:
        parts["ETA"] = f"ETA {text.format_duration(left)}"
    return parts


def _current_epoch_seconds(view: RunView) -> float | None:
    """The time of the newest epoch; during the first one an estimate, `None` without one."""
    if view.epochs and (seconds := epoch_seconds(view, view.epochs[-1])) is not None:
        return seconds
    beat, left = view.heartbeat, eta(view.heartbeat)
    steps_left = (beat.steps_total or 0) - beat.step
    if left is None or steps_left <= 0 or not beat.steps_total or not beat.epochs_total:
        return None
    return left / steps_left * beat.steps_total / beat.epochs_total


def epoch_seconds(view: RunView, row: EpochRow) -> float | None:
    """The seconds from the end of the previous epoch, or the start of training, to the end of this one."""
    starts = [other.wall.time for other in view.epochs if other.step < row.step]
    starts += [
        line.time for line in view.journal if isinstance(line, PhaseChange) and line.phase is Phase.TRAINING
    ]
    before = [time for time in starts if 0 < time < row.wall.time]
    return row.wall.time - max(before) if before else None


def evaluation_line(view: RunView, row: EvaluationRow) -> str:
    """Epoch, split and metrics of an evaluation; after an epoch also its training loss, its time and the ETA."""
    experiment = effective_experiment(view)
    total = experiment.train.epochs if experiment else None
    parts = [f"epoch {int(row.epoch)}/{total or '?'}", row.split]
    if row.weights_of_epoch != row.epoch:
        parts[0] = f"result of epoch {row.weights_of_epoch}"
    values = ((name, row.metric(name)) for name in SHOWN_METRICS)
    parts += [f"{name} {text.format_decimals(value)}" for name, value in values if value is not None]
    if row.best:
        parts.append("best")
    return GAP.join([*parts, *([] if row.final else _epoch_parts(view, row, total))])


def _epoch_parts(view: RunView, row: EvaluationRow, total: int | None) -> list[str]:
    """Training loss, learning rate, time and ETA after the epoch that `row` evaluates."""
    epoch = next((epoch for epoch in reversed(view.epochs) if epoch.step == row.step), None)
    if epoch is None:
        return []
    parts = [] if epoch.loss is None else [f"training loss {text.format_decimals(epoch.loss)}"]
    rates = zip(view.steps.step, view.steps.column("lr"), strict=False)
    if (lr := max(((step, lr) for step, lr in rates if step <= row.step), default=None)) is not None:
        parts.append(f"lr {lr[1]:.3g}")
    if (seconds := epoch_seconds(view, epoch)) is not None:
        parts.append(f"{format_seconds(seconds)}/epoch")
        if total and total > row.epoch:
            parts.append(f"ETA {text.format_duration(seconds * (total - row.epoch))}")
    return parts


def format_seconds(seconds: float) -> str:
    """The time of an epoch: `0.4s`, `59s`, `12m05`."""
    return f"{seconds:.1f}s" if seconds < 10 else text.format_duration(seconds)
