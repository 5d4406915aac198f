"""The settings of a run that its supervisor needs, and how many processes it has on this host."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from workbench.config.experiment import apply_overrides
from workbench.config.training_settings import TrainingSettings
from workbench.core.settings_schema import SettingValue
from workbench.io.atomic_files import read_json
from workbench.io.record_codec import convert
from workbench.launcher.placement import local_processes
from workbench.runs.journal import attempts_of, read_journal
from workbench.runs.nodes import read_placement
from workbench.runs.run_folder import RunFolder
from workbench.runs.script import NO_DEVICE, read_script


class SupervisorSettings(msgspec.Struct, frozen=True):
    """The settings of an experiment that its supervisor needs."""

    on_finish: str = ""
    on_fail: str = ""
    stall_seconds: Annotated[float, Meta(ge=0)] = 600.0
    train: TrainingSettings = TrainingSettings()


def read_settings(folder: RunFolder, overrides: dict[str, SettingValue] | None = None) -> SupervisorSettings:
    """The settings with changes by resumes, and `overrides`; defaults where the experiment is missing or damaged.

    A script has none of them, and may be silent for as long as it likes.
    """
    if (script := read_script(folder.experiment)) is not None:
        return SupervisorSettings(
            stall_seconds=0.0, train=TrainingSettings(device=script.device or NO_DEVICE)
        )
    content = read_json(folder.experiment) or {}
    if read_placement(folder).joins:  # these are done by the first node
        content = {**content, "on_finish": "", "on_fail": "", "stall_seconds": 0.0}
    for attempt in attempts_of(read_journal(folder.journal)):
        content = dict(apply_overrides(content, attempt.overrides))
    return convert(apply_overrides(content, overrides or {}), SupervisorSettings) or SupervisorSettings()


def local_devices(folder: RunFolder, overrides: dict[str, SettingValue] | None = None) -> tuple[str, int]:
    """`train.device`, and how many processes use it on this host."""
    train = read_settings(folder, overrides).train
    return train.device, local_processes(train, read_placement(folder))
