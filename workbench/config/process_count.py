"""How many processes train a run together, and on which devices."""

from __future__ import annotations

from workbench.config.training_settings import TrainingSettings
from workbench.core.errors import UserError
from workbench.system.device_names import device_names


def process_count(train: TrainingSettings) -> int:
    """The number of processes: one for each device that is named, else `train.processes`."""
    named = len(device_names(train.device))
    return named if named > 1 else train.processes


def global_batch_size(train: TrainingSettings) -> int:
    """The samples of a step in all processes together."""
    return train.batch_per_process * process_count(train) or train.batch_size


def check_processes(train: TrainingSettings) -> None:
    """Raise `UserError` for settings of several processes that contradict each other."""
    names, count = device_names(train.device), process_count(train)
    if len(set(names)) < len(names):
        raise UserError(f"train.device {train.device}: a GPU is named twice; each process needs its own")
    if train.processes not in {1, count}:
        raise UserError(
            f"train.processes is {train.processes}, but train.device {train.device} names {count} GPUs: "
            "leave train.processes out"
        )
    if count > 1 and len(names) == 1 and train.device not in {"auto", "cpu", "cuda"}:
        raise UserError(
            f"train.processes {count} on {train.device}: several processes train on cpu, cuda (any GPUs) or "
            "GPUs that are named, as in cuda:0,1"
        )
    if count > 1 and train.batch_per_process == 0 and train.batch_size < count:
        raise UserError(
            f"train.batch_size {train.batch_size} can't be divided among {count} processes: "
            f"set it to {count} or more"
        )
