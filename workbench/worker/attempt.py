"""What the helpers of a training attempt share: the run, its components, and the state that is trained."""

from __future__ import annotations

from dataclasses import dataclass

from workbench.engine.train_state import TrainState
from workbench.worker.checkpoints import CheckpointManager
from workbench.worker.components import TrainingComponents
from workbench.worker.context import Context
from workbench.worker.metrics_writer import MetricsWriter


@dataclass(frozen=True)
class TrainingAttempt:
    """One attempt at training a run, ready for its first step."""

    context: Context
    components: TrainingComponents
    state: TrainState
    checkpoints: CheckpointManager
    metrics: MetricsWriter
