"""Which settings a resume may change, and what becomes of the run with them."""

from __future__ import annotations

import math
from collections.abc import Mapping

from workbench.config.data_location import can_be_moved, check_data_is_there, moved_dataset
from workbench.config.experiment import (
    Experiment,
    all_settings,
    apply_overrides,
    experiment_from_dict,
    read_experiment,
    suggest_setting,
)
from workbench.config.lr_schedule import describe_lr_change
from workbench.config.setting_aliases import upgrade_overrides
from workbench.core.errors import UserError
from workbench.core.progress import ProgressCallback, ignore_progress
from workbench.core.settings_schema import SettingValue
from workbench.datasets.class_folders import same_names
from workbench.datasets.image_folder_facts import folder_facts, list_names
from workbench.datasets.load_request import RecordedData
from workbench.io.record_codec import read_record
from workbench.runs.checkpoint_index import newest_checkpoint_step, read_entries
from workbench.runs.data_files import check_image_files
from workbench.runs.enums import Cause
from workbench.runs.journal import read_journal
from workbench.runs.reader import RunView
from workbench.runs.records import Exit, Heartbeat, Setup
from workbench.runs.run_folder import RunFolder
from workbench.runs.run_report import effective_experiment
from workbench.runs.setting_changes import epochs_error
from workbench.runs.status import Status

END_SETTINGS = ("on_finish", "on_fail", "stall_seconds")
"""Settings of the hooks."""
FIXED_SETTINGS = {
    "train.validation": "another validation split would contain samples that the model was trained on",
    "train.folds": "the test data follows from it",
    "train.fold": "the test data follows from it",
    "train.fold_seed": "the test data follows from it",
    "seed": "the split and the order of the samples follow from it",
    "name": "it is part of the run; the notes (i on the screen) can give it another one",
    "weights": "it decides which checkpoints were kept",
}
"""Why a resume can't change these settings."""
FIXED_SECTIONS = {
    "model": "the checkpoint has the weights of this model",
    "data": "the checkpoint was trained on this data",
}
"""Why a resume can't change the settings of these sections."""
DATA_NAMES = frozenset({"data", "data.name", "dataset"})
"""What people call the setting that names the dataset."""


class ResumedRun:
    """A run as it would be resumed with settings changed by full name, and its dataset at `moved_to` if that is given.

    Raises `UserError`.
    """

    def __init__(
        self, folder: RunFolder, overrides: Mapping[str, SettingValue], *, moved_to: str = ""
    ) -> None:
        self._folder = folder
        self._overrides = upgrade_overrides(overrides)
        view = RunView(
            folder, experiment=read_experiment(folder.experiment), journal=read_journal(folder.journal)
        )
        before = effective_experiment(view)
        if before is None:
            raise UserError(f"{folder.experiment} is missing or damaged: the run can't be resumed without it")
        if moved_to:
            before = before.with_dataset(moved_dataset(before.data.name, moved_to))
        self.before: Experiment = before
        self._check_keys()
        check_data_is_there(folder.id, before.data.name, "resume")
        self.after: Experiment = experiment_from_dict(apply_overrides(before.to_dict(), self._overrides))
        self._beat = read_record(folder.heartbeat, Heartbeat) or Heartbeat()

    @property
    def changed_settings(self) -> dict[str, SettingValue]:
        """The changed settings with their validated values, as in JSON."""
        return {key: _setting_value(self.after, key) for key in self._overrides}

    def _check_keys(self) -> None:
        """Raise `UserError` for a setting that is unknown or can't change, with the reason."""
        data, model = self.before.data, self.before.model
        settings = all_settings(data.name, model.name)
        known = {setting.key for setting in settings}
        for key in self._overrides:
            section = key.partition(".")[0]
            is_option = section in FIXED_SECTIONS and "." in key
            if key in known or key in ("data.name", "model.name") or (is_option and self._is_option(key)):
                reason = FIXED_SETTINGS.get(key) or FIXED_SECTIONS.get(section)
                if reason:
                    raise UserError(self._fixed_setting_error(key, reason))
            elif key in FIXED_SECTIONS or key == "dataset":
                raise UserError(
                    self._fixed_setting_error(key, FIXED_SECTIONS.get(key, FIXED_SECTIONS["data"]))
                )
            else:
                raise UserError(
                    f"unknown setting {key}{suggest_setting(key, settings)}; a resume can change train.* and "
                    f"{', '.join(END_SETTINGS)}"
                )

    def _fixed_setting_error(self, key: str, reason: str) -> str:
        moved = key in DATA_NAMES and can_be_moved(self.before.data.name)
        way_out = ", or say with --data PATH where the same data is now" if moved else ""
        return f"{key} can't change when a run is resumed: {reason}; start a new run with it{way_out}"

    def _is_option(self, key: str) -> bool:
        """Whether it is an option of a custom dataset or model, which has no list of them."""
        section, _, name = key.partition(".")
        return name in (self.before.model if section == "model" else self.before.data).options

    def check_classes(self) -> None:
        """Raise `UserError` where the folder of images can't be trained on, or has other classes."""
        facts = folder_facts(self.before.data.name, self.before.data.options)
        setup = read_record(self._folder.setup, Setup)
        recorded = setup.classes if setup else ()
        if facts and recorded and not same_names(facts.classes, recorded):
            raise UserError(
                f"{facts.root} has the classes {list_names(facts.classes)}, but {self._folder.id} was trained on "
                f"{list_names(recorded)}: name the folder of its data with --data PATH"
            )

    def check_content(self, progress: ProgressCallback = ignore_progress) -> None:
        """Raise `UserError` where the folder of images is not the data that the checkpoint was trained on.

        Other data is checked by the worker, which has to load it for that.
        """
        setup = read_record(self._folder.setup, Setup)
        if setup is not None and read_entries(self._folder):
            recorded = RecordedData(setup.classes, setup.shape, setup.fingerprint, setup.input)
            whole = self.before.train.folds > 0
            check_image_files(self._folder, self.before.data, recorded, "resume", progress, whole=whole)

    def check_epochs(self, status: Status) -> None:
        """Raise `UserError` where the resumed run would have nothing to train."""
        train, run, done = self.after.train, self._folder.id, self._completed_epochs
        more = f"--set train.epochs={done + max(1, done // 2)}"
        if "train.epochs" in self._overrides and train.epochs <= done:
            raise UserError(f"{run}: {epochs_error(train.epochs, done)}")
        if status is not Status.FINISHED:
            return
        if train.epochs <= done:
            raise UserError(
                f"{run} is finished after {done} epochs; resume with more epochs: {more} "
                f"(the smallest number is {done + 1})"
            )
        ended, best = read_record(self._folder.exit, Exit), self._beat.best
        stale = done - best.epoch if best else done
        if ended and ended.cause is Cause.EARLY_STOPPING and 0 < train.patience <= stale:
            raise UserError(
                f"{run} ended by early stopping after {done} of {self.before.train.epochs} epochs, {stale} of them "
                f"without improvement; resume with --set train.patience={stale + 1} or more, or 0 for no early stopping"
            )

    @property
    def _completed_epochs(self) -> int:
        """The completed epochs in the newest checkpoint, from which the run resumes.

        The heartbeat of a killed run may be of an earlier epoch.
        """
        entries = read_entries(self._folder)
        return entries[-1].epoch if entries else self._beat.epoch

    def learning_rate_remark(self) -> str | None:
        """What becomes of the learning rate where the run is resumed, in one line; `None` where it stays the same."""
        setup, step = read_record(self._folder.setup, Setup), newest_checkpoint_step(self._folder)
        if setup is None or not step:
            return None
        steps = setup.steps_per_epoch
        count, size = setup.counts.get("train", 0), self.after.train.batch_size
        steps_after = math.ceil(count / size) if count and size != self.before.train.batch_size else steps
        return describe_lr_change(self.before.train, self.after.train, step, steps, steps_after)


def _setting_value(experiment: Experiment, key: str) -> SettingValue:
    """The value of a setting by full name, as in JSON."""
    section, dot, name = key.partition(".")
    content = experiment.to_dict()
    value: SettingValue = content[section][name] if dot else content[key]
    return value
