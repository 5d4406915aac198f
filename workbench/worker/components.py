"""The components of a training run: data, model, batches, device, precision, threads."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import msgspec
import torch

from workbench.config.experiment import Experiment
from workbench.config.training_settings import TrainingSettings
from workbench.core.errors import UserError
from workbench.core.settings_schema import SettingValue
from workbench.datasets.augmentation import Augment
from workbench.datasets.dataset import Dataset, derived_seed
from workbench.datasets.dataset_facts import SkippedFiles
from workbench.datasets.image_folder_facts import describe_skipped
from workbench.datasets.loader import load
from workbench.engine.accelerate import Acceleration, describe_step
from workbench.engine.autotune import autotune
from workbench.engine.batches import Epochs
from workbench.engine.data_placement import PlacedSplit, place_split
from workbench.engine.device import configure_determinism, device_name, pick_device, pick_precision
from workbench.engine.task import Task, make_task
from workbench.engine.torch_compat import has_batch_norm
from workbench.io.record_codec import read_record
from workbench.models import catalog as models
from workbench.models.factory import BuiltModel, build_model, check_forward, data_dependent_init
from workbench.models.preprocessing import Preprocessing
from workbench.runs.enums import Phase
from workbench.runs.records import Setup
from workbench.system.machine_info import cpu_name
from workbench.worker.checkpoint_content import ExecutionEnvironment, ModelSpec, RunContent, recorded_data
from workbench.worker.context import Context
from workbench.worker.metrics_writer import auto_log_every
from workbench.worker.resume import StartPoint


@dataclass(frozen=True)
class PreviousEnvironment:
    """The execution environment of the previous attempt, which a later one keeps."""

    device: str
    threads: int
    channels_last: bool
    log_every: int


def recorded_environment(setup: Setup) -> PreviousEnvironment | None:
    """The execution environment in `setup`; `None` if that is not of a CPU, or incomplete."""
    if setup.device != "cpu" or setup.threads < 1 or setup.log_every < 1:
        return None
    return PreviousEnvironment(setup.device, setup.threads, setup.channels_last, setup.log_every)


class TrainingComponents:
    """Data, model and batches of one attempt, on the compute device.

    Sets the number of CPU threads and the determinism of this process. Raises `UserError` for invalid settings or data,
    `Cancelled` or `Stop` where the run is stopped meanwhile.
    """

    def __init__(self, context: Context, start: StartPoint) -> None:
        self._context = context
        self.experiment: Experiment = start.experiment
        self.settings: TrainingSettings = start.settings
        self.device = pick_device(self.settings.device)
        self.precision = pick_precision(self.settings.precision, self.device)
        configure_determinism(self.device, self.settings.deterministic)
        self.data: Dataset = self._load_dataset(start)
        self.model: BuiltModel = self._build_model(pretrained=start.restored is None)
        self.task: Task = make_task(self.data, self.settings, self.device)
        self.splits: dict[str, PlacedSplit] = self._place_splits()
        """By name: `train`, `test` and perhaps `validation`."""
        self.epochs: Epochs = self._make_epochs()
        self._previous = self._previous_environment(start)
        self.threads: int = self._choose_threads()
        torch.set_num_threads(self.threads)

    def _load_dataset(self, start: StartPoint) -> Dataset:
        info = models.find(self.experiment.model.name)
        data = load(
            self.experiment.data,
            size=info.load_size(self.experiment.model.options),
            channels=info.channels,
            validation=self.settings.validation,
            seed=self.experiment.seed,
            progress=self._context.heartbeat.report_progress,
            cancelled=self._context.requests.stop_requested,
            recorded=None if start.restored is None else recorded_data(start.restored.content),
        )
        self._context.requests.raise_if_stopped()
        if data.skipped_files:
            skipped = describe_skipped(SkippedFiles.of(data.skipped_files))
            self._context.notice(f"skipped {skipped}")
        self._check_settings(data)
        start.check_data(data)
        return data

    def _check_settings(self, data: Dataset) -> None:
        if self.settings.augment and data.train.inputs.ndim != 4:
            raise UserError("train.augment needs a dataset of images; this one has none: set it to nothing")
        if self.settings.tta != "none" and (data.train.inputs.ndim != 4 or not data.classes):
            raise UserError("train.tta needs an image classification dataset; this is none: set it to none")
        if {"mixup", "cutmix"} & set(self.settings.augment) and not data.classes:
            raise UserError("train.augment: mixup and cutmix need classes, and a regression has none")
        if self.settings.patience and data.validation is None:
            raise UserError("train.patience needs validation data: set train.validation, or patience to 0")

    def _build_model(self, *, pretrained: bool) -> BuiltModel:
        torch.manual_seed(derived_seed(self.experiment.seed, "init"))
        data, choice = self.data, self.experiment.model
        outputs = len(data.classes) or max(1, data.train.targets[0].numel())
        built = build_model(
            choice,
            shape=tuple(data.train.inputs.shape[1:]),
            outputs=outputs,
            task=data.task,
            load=pretrained,
            progress=self._context.heartbeat.report_progress,
            cancelled=self._context.requests.stop_requested,
        )
        for notice in built.notices:
            self._context.notice(notice)
        self.preprocessing: Preprocessing = built.preprocessing(data.mean, data.std, self.settings.normalize)
        check_forward(built, self.preprocessing, data.train.inputs[:2], outputs, choice.name)
        if self.settings.micro_batch == 1 and has_batch_norm(built.module):
            raise UserError(
                "train.micro_batch: batch norm can't train on single samples; set it to 2 or more"
            )
        if self.settings.freeze_epochs and not built.head:
            raise UserError(f"train.freeze_epochs: {choice.name} has no separate head to train; set it to 0")
        if pretrained:
            data_dependent_init(built.module, self.preprocessing, data.train)
        built.module.to(self.device)
        return built

    def _place_splits(self) -> dict[str, PlacedSplit]:
        return {
            name: place_split(split, self.preprocessing, self.device)
            for name, split in self.data.splits.items()
        }

    def _set_memory_format(self, channels_last: bool) -> None:
        """Put images and convolution weights into the `channels_last` memory format, or leave them."""
        self.channels_last = channels_last
        if channels_last:
            self.model.module.to(memory_format=torch.channels_last)
            self.splits = {name: replace(s, channels_last=True) for name, s in self.splits.items()}
            self.epochs = self._make_epochs()

    def _make_epochs(self) -> Epochs:
        settings = self.settings
        return Epochs(
            self.splits["train"],
            settings.batch_size,
            self.experiment.seed,
            balanced=settings.balanced_sampling and self.task.name == "classification",
            merge_last_singleton=has_batch_norm(self.model.module),
            augment=Augment(settings.augment) if settings.augment else None,
            classes=len(self.data.classes),
        )

    def _previous_environment(self, start: StartPoint) -> PreviousEnvironment | None:
        """The environment of the previous attempt, by its checkpoint; without one, on a CPU, by `setup.json`."""
        if start.restored is not None:
            content = start.restored.content
            return PreviousEnvironment(
                content["device"],
                content["threads"],
                content.get("channels_last", False),
                content["log_every"],
            )
        setup = read_record(self._context.folder.setup, Setup) if self._context.attempt > 1 else None
        return None if setup is None else recorded_environment(setup)

    def _choose_threads(self) -> int:
        """Choose memory format and number of CPU threads; a later attempt keeps those of the previous one."""
        requested, previous = self.settings.threads, self._previous
        if self.device.type != "cpu":
            self._set_memory_format(self.device.type == "cuda" and self.data.train.inputs.ndim == 4)
            return torch.get_num_threads() if requested == "auto" else requested
        if previous is not None:
            self._set_memory_format(previous.channels_last and previous.device == "cpu")
            return previous.threads if requested == "auto" else requested
        if requested != "auto":
            self._set_memory_format(False)
            return requested
        self._context.enter_phase(Phase.TUNING)
        batch = next(self.epochs.batches(0).iter_from(0))
        tuned = autotune(self.model.module, self.task, self.settings, batch, self.experiment.model.name)
        self._set_memory_format(tuned.channels_last)
        return tuned.threads

    @property
    def log_every(self) -> int:
        """Steps per row of metrics."""
        every = self.settings.log_every
        if every != "auto":
            return every
        if self._previous is not None:
            return self._previous.log_every
        return auto_log_every(self.epochs.steps, self.settings.epochs)

    def execution_summary(self, acceleration: Acceleration) -> dict[str, str]:
        """How data is provided (`data`) and steps are computed (`step`), and why, as one line of text each."""
        return {
            "data": self.splits["train"].reason,
            "step": describe_step(self.precision, self.threads, acceleration),
        }

    def with_settings(self, **changes: SettingValue) -> TrainingComponents:
        """The same data and model with other training settings (batch size, precision, threads). Raises `UserError`."""
        changed = copy.copy(self)
        changed.settings = msgspec.structs.replace(self.settings, **changes)
        changed.precision = pick_precision(changed.settings.precision, self.device)
        changed.epochs = changed._make_epochs()
        changed.threads = self.threads if changed.settings.threads == "auto" else changed.settings.threads
        return changed

    def environment(self) -> ExecutionEnvironment:
        """What an exact result depends on beside the training state."""
        return {
            "threads": self.threads,
            "channels_last": self.channels_last,
            "batch_size": self.settings.batch_size,
            "device": self.device.type,
            "processor": cpu_name() if self.device.type == "cpu" else device_name(self.device),
            "torch": str(torch.__version__),
        }

    def checkpoint_content(self) -> RunContent:
        """The part of a checkpoint beside the training state."""
        spec = ModelSpec(
            model=self.experiment.model,
            shape=tuple(self.data.train.inputs.shape[1:]),
            classes=tuple(self.data.classes),
            task=self.data.task,
            preprocessing=self.preprocessing,
        )
        return {
            **self.environment(),
            "fingerprint": self.data.fingerprint,
            "log_every": self.log_every,
            "spec": spec.to_json(),
        }

    @property
    def held_out_split(self) -> str:
        """The split that is evaluated after each epoch: `validation`, or `test` without one."""
        return "validation" if "validation" in self.splits else "test"
