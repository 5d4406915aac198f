"""A training state without a run: for tests of single steps."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from workbench.config.training_settings import TrainingSettings
from workbench.engine.device import Precision
from workbench.engine.freezing import Backbone
from workbench.engine.running_sums import RunningSums
from workbench.engine.settings_history import SettingsHistory
from workbench.engine.task import Classification, Task
from workbench.engine.train_state import TrainState

CPU = torch.device("cpu")


def step_state(
    module: nn.Module,
    settings: dict[str, Any] | None = None,
    *,
    task: Task | None = None,
    precision: Precision | None = None,
    kind: type[TrainState] = TrainState,
    backbone: Backbone | None = None,
) -> TrainState:
    """The state of `module` at step 0, in training mode; by default a classification of 3 classes on the CPU."""
    task, precision = task or Classification(3), precision or Precision("fp32", CPU)
    state = kind(
        backbone or Backbone(module, ()),
        task=task,
        precision=precision,
        settings_history=SettingsHistory(TrainingSettings(**(settings or {}))),
        sums=RunningSums(task, precision.device),
    )
    state.begin_epoch(4)
    return state
