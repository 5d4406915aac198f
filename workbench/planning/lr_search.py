"""Finds a learning rate by a range test, in the planning process."""

from __future__ import annotations

import contextlib

from workbench.core.errors import RunFailed
from workbench.core.progress import Progress
from workbench.engine.lr_finder import range_test
from workbench.planning.lr_curve import LrCurve, make_curve, trial_rates
from workbench.planning.timed_training import TimedTraining
from workbench.worker.checkpoints import CheckpointManager
from workbench.worker.components import TrainingComponents
from workbench.worker.context import Context
from workbench.worker.resume import StartPoint

MIN_LOSSES = 20
"""With fewer finite losses there is nothing to choose from."""


def find_learning_rate(context: Context) -> LrCurve:
    """The losses of the experiment of `context` at rising learning rates. Raises `UserError`, `RunFailed` or `Stop`."""
    rates = trial_rates()

    def after_step(done: int) -> None:
        context.requests.raise_if_stopped()
        context.heartbeat.report_progress(Progress("learning rates", done, len(rates), "steps"))

    with contextlib.closing(CheckpointManager(context.folder)) as checkpoints:
        components = TrainingComponents(context, StartPoint(context, checkpoints))
        training = TimedTraining(components, context.folder, context.requests)
        with contextlib.closing(training):
            losses = range_test(training.state, components.epochs, rates, after_step)
    if len(losses) < MIN_LOSSES:
        raise RunFailed(
            f"the loss is not finite from a learning rate of {rates[len(losses)]:.2g} on: check the data and the model"
        )
    return make_curve(rates, losses, tuple(training.notices))
