"""Resuming: the experiment, the settings in force, and the checkpoint that an attempt continues from."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.config.data_location import (
    changed_code_data,
    changed_data_error,
    record_location,
    with_current_dataset,
    with_dataset_name,
)
from workbench.config.experiment import Experiment, experiment_from_dict
from workbench.config.training_settings import TrainingSettings
from workbench.core.errors import UserError
from workbench.core.text import format_setting
from workbench.datasets.dataset import Dataset
from workbench.engine.settings_history import SettingOverride, SettingsHistory
from workbench.engine.train_state import TrainState
from workbench.io.atomic_files import read_json
from workbench.io.record_codec import read_record
from workbench.runs.attempts import start_steps
from workbench.runs.journal import Attempt, JournalLine, SettingChange, attempts_of, read_journal
from workbench.runs.jsonl import LineWriter, read_lines, replace_with_prefix
from workbench.runs.metrics import MetricLine, StepRow
from workbench.runs.records import Launch
from workbench.runs.restart import missing_checkpoints_error
from workbench.worker.checkpoint_content import ExecutionEnvironment
from workbench.worker.checkpoint_reader import LoadedCheckpoint
from workbench.worker.checkpoints import CheckpointManager
from workbench.worker.context import Context
from workbench.worker.follower import DiscardedLines

PREFIX = "train."
DIFFERENCE_FORMATS = {
    "threads": "{} CPU threads",
    "device": "on {}",
    "processor": "computed by {}",
    "torch": "torch {}",
    "batch_size": "batches of {}",
    "processes": "world size {}",
    "fsdp": "train.fsdp={}",
}
"""The parts of the environment that change a result's bits, as worded in a notice."""


class StartPoint:
    """The state of a run before data and model are loaded; `restored` is `None` for a run that starts at step 0.

    Raises `UserError` where the experiment or all checkpoints can't be read.
    """

    def __init__(self, context: Context, checkpoints: CheckpointManager) -> None:
        self._context, self._folder = context, context.folder
        attempts = attempts_of(read_journal(self._folder.journal))
        self._attempt = attempts[-1] if attempts else Attempt()
        self.experiment = self._read_experiment()
        self.restored = self._newest_checkpoint(checkpoints)
        self.step = 0 if self.restored is None else self.restored.content["step"]
        self.settings_history = self._build_history()
        self.settings: TrainingSettings = self.settings_history.at(self.step)
        """The settings in force at the first step of this attempt."""

    def _read_experiment(self) -> Experiment:
        content = read_json(self._folder.experiment)
        if content is None:
            raise UserError(f"{self._folder.experiment} is missing or damaged, so the run can't be started")
        located = with_dataset_name(with_current_dataset(content, self._folder.path), self._attempt.data)
        return experiment_from_dict(located)

    def _newest_checkpoint(self, checkpoints: CheckpointManager) -> LoadedCheckpoint | None:
        loaded = checkpoints.newest()
        if loaded is None:
            self._check_step_0()
            return None
        for note in loaded.notices:
            self._context.notice(note, from_step=loaded.content["step"])
        return loaded

    def _check_step_0(self) -> None:
        """Accept a run that was interrupted before its first checkpoint; refuse one whose checkpoints are lost."""
        if lost := missing_checkpoints_error(self._folder):
            raise UserError(lost)
        if any(isinstance(row, StepRow) for row in read_lines(self._folder.metrics, MetricLine)):
            self._context.notice(
                "interrupted before the first checkpoint; restarted from step 0", from_step=0
            )

    def _build_history(self) -> SettingsHistory:
        return build_settings_history(self.experiment.train, read_journal(self._folder.journal), self.step)

    def check_data(self, data: Dataset) -> None:
        """Raise `UserError` if the dataset differs from the run's original one, unless that was accepted.

        Records where it is now.
        """
        if self.restored is not None and self.restored.content.get("fingerprint") != data.fingerprint:
            if not self._attempt.accept_changed_data:
                name, launch = self.experiment.data.name, read_record(self._folder.launch, Launch)
                changes = changed_code_data(name, launch.time if launch else 0.0)
                raise UserError(changed_data_error(self._folder.id, name, "resume", changes))
            self._context.notice("the dataset changed since the run was started", exact=False)
        if self._attempt.data:
            record_location(self._folder.path, self._attempt.data)


def build_settings_history(
    base: TrainingSettings, journal: Sequence[JournalLine], start: int
) -> SettingsHistory:
    """The settings by step, from the experiment and the journal, for an attempt that starts at step `start`.

    Overrides of a resume apply from the first step of that attempt. A change at a step that was lost in an
    interruption is applied again at its step, unless a later resume overrides the same setting.
    """
    history = SettingsHistory(base)
    attempts, starts = attempts_of(journal), start_steps(journal)
    for record in journal:
        if isinstance(record, Attempt):
            step = starts.get(record.attempt, 0)
            _apply_overrides(history, record, min(step, start) if record is attempts[-1] else step)
        elif isinstance(record, SettingChange) and record.setting.startswith(PREFIX):
            history.add(SettingOverride(record.step, record.setting.removeprefix(PREFIX), record.value))
    return history


def _apply_overrides(history: SettingsHistory, attempt: Attempt, step: int) -> None:
    """Add the overrides of an attempt that started at `step`."""
    for key, value in attempt.overrides.items():
        if key.startswith(PREFIX):
            history.add_and_discard_later(SettingOverride(step, key.removeprefix(PREFIX), value))


def load_checkpoint_into(state: TrainState, restored: LoadedCheckpoint, batch_size: int) -> list[str]:
    """Restore `state` from a checkpoint; returns one line for each part that could not be restored exactly.

    With another batch size, the position in the epoch is the same in samples, rounded down to whole batches.
    """
    notes = state.load_state_dict(restored.content)
    samples = state.position * restored.content["batch_size"]
    state.position = min(samples // batch_size, state.steps_per_epoch)
    return notes


def nondeterminism_sources(
    previous: ExecutionEnvironment, current: ExecutionEnvironment, deterministic: bool = False
) -> list[str]:
    """What changed in the environment since a checkpoint and makes the result inexact: one line each.

    `deterministic`: whether deterministic GPU kernels are enabled, as `train.deterministic`.
    """
    older = {"processes": 1, "fsdp": False}
    previous_values, current_values = {**older, **previous}, {**older, **current}
    sources = [
        f"{template.format(format_setting(current_values[name]))} instead of {format_setting(previous_values[name])}"
        for name, template in DIFFERENCE_FORMATS.items()
        # Older versions stored fewer of these.
        if name in previous_values and current_values[name] != previous_values[name]
    ]
    if current["device"] != "cpu" and not deterministic:
        sources.append("GPU kernels are not deterministic unless train.deterministic is set")
    return sources


def row_seconds(restored: LoadedCheckpoint | None) -> float | None:
    """The seconds that the steps of the row under way took before the checkpoint; `None` where it has none stored."""
    return 0.0 if restored is None else restored.content["wall"].get("row_seconds")


def open_metrics(context: Context, restored: LoadedCheckpoint | None) -> LineWriter:
    """The writer of the metrics, after removing the rows of steps after the checkpoint, which are repeated."""
    if not context.is_writer:
        return DiscardedLines()
    path, offset = context.folder.metrics, 0 if restored is None else restored.entry.metrics_offset
    length = context.disk_space.retry(lambda: replace_with_prefix(path, offset)) if path.exists() else 0
    if length < offset:
        context.notice(
            f"{path.name} is shorter than at the checkpoint: rows of earlier steps are lost", exact=False
        )
    metrics = LineWriter(path)
    metrics.retry = context.disk_space.retry
    return metrics
