"""The components of a training run: data, model, batches, device, precision, threads."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import msgspec
import torch
from torch import Tensor, nn

from workbench.config.cross_validation import chosen_fold
from workbench.config.experiment import Experiment
from workbench.config.progressive_resizing import resizing_steps
from workbench.config.training_settings import TrainingSettings
from workbench.core.errors import UserError
from workbench.core.progress import Progress
from workbench.core.settings_schema import SettingValue
from workbench.core.text import plural
from workbench.core.user_code import is_user_code
from workbench.datasets.augmentation import Augment
from workbench.datasets.dataset import Dataset
from workbench.datasets.drawing import derived_seed
from workbench.datasets.loader import load
from workbench.engine.accelerate import Acceleration, describe_step
from workbench.engine.activation_checkpointing import checkpoint_blocks
from workbench.engine.autotune import autotune
from workbench.engine.batches import Epochs
from workbench.engine.data_placement import PlacedSplit, place_split
from workbench.engine.device import configure_determinism, device_name, pick_precision, pick_training_device
from workbench.engine.process_group import SINGLE, ProcessGroup
from workbench.engine.settings_history import SettingOverride
from workbench.engine.sharded_tensors import local_shard
from workbench.engine.stochastic_depth import set_drop_path
from workbench.engine.task import Task, make_task, precision_setting
from workbench.engine.torch_compat import has_batch_norm
from workbench.engine.weight_average import describe_average
from workbench.io.record_codec import read_record
from workbench.models import catalog as models
from workbench.models.factory import (
    BuiltModel,
    build_model,
    check_forward,
    data_dependent_init,
    supports_channels_last,
)
from workbench.models.outputs import (
    OutputKind,
    detect_output_kind,
    output_kind,
    set_output_kind,
    set_training_output_kind,
    training_output_kind,
)
from workbench.models.preprocessing import Preprocessing
from workbench.runs.attempts import assigned_gpus
from workbench.runs.enums import Phase
from workbench.runs.journal import GpuChoice
from workbench.runs.records import Setup
from workbench.runs.run_folder import RunFolder
from workbench.system.cpu import cpu_name
from workbench.system.device_names import device_names, join_names
from workbench.system.memory import is_out_of_memory
from workbench.worker.checkpoint_content import ExecutionEnvironment, ModelSpec, RunContent, recorded_data
from workbench.worker.context import Context
from workbench.worker.group import (
    adapt_settings,
    check_same_data,
    threads_per_process,
    with_synchronized_batch_norm,
)
from workbench.worker.metrics_writer import auto_log_every
from workbench.worker.previous_environment import PreviousEnvironment, recorded_environment
from workbench.worker.resume import StartPoint

_FOR_CLASSES = ("label_smoothing", "class_weights", "balanced_sampling")
"""Settings that only a classification has a use for."""


def supports_channels_last_on_gpu(built: BuiltModel, inputs: Tensor, name: str) -> bool:
    """Whether to use the channels-last memory format on a GPU, where it is faster. Only custom models are tried."""
    if not is_user_code(name):
        return inputs.ndim == 4
    return supports_channels_last(built.module, inputs)


def _output_notice(kind: OutputKind, name: str, classes: int) -> str:
    """What follows from outputs that are not logits, and how to mend it."""
    if kind is OutputKind.LOG_PROBABILITIES:
        return f"{name} ends in a log-softmax; the loss applies its own, which changes nothing: logits are enough"
    end = "softmax" if kind is OutputKind.PROBABILITIES else "sigmoid"
    lowest = math.log(math.e + classes - 1) - 1
    return (
        f"{name} ends in a {end}, to which the loss applies its own softmax, so the loss can't fall below {lowest:.3f} "
        f"and training is slow: return the logits, without the {end}"
    )


def _examples(data: Dataset, count: int) -> Tensor:
    """Some raw inputs, [N, ...]: the first of training."""
    train = data.train
    return train.inputs[:count] if train.cut is None else train.centers(torch.arange(min(count, len(train))))


class TrainingComponents:
    """Data, model and batches of one attempt, on the compute device.

    Sets the number of CPU threads and the determinism of this process. Raises `UserError` for invalid settings or data,
    `Cancelled` or `Stop` where the run is stopped meanwhile.
    """

    def __init__(self, context: Context, start: StartPoint, group: ProcessGroup = SINGLE) -> None:
        self._context, self.group = context, group
        self.experiment: Experiment = start.experiment
        self.settings: TrainingSettings = start.settings
        if group.size > 1 or self.settings.batch_per_process or self.settings.fsdp:
            self.settings = adapt_settings(context, start.settings_history, start.step, group)
        self._gpus = assigned_gpus(context.folder, context.attempt)
        own = self._gpus[group.local_rank :]
        self.gpu: GpuChoice | None = own[0] if own else None
        """The GPU of this process."""
        self.device, self._device_reason = self._pick_device()
        self.precision = pick_precision(self.settings.precision, self.device)
        configure_determinism(self.device, self.settings.deterministic)
        with group.writer_first():  # the others find decoded images and downloaded weights in the caches
            self.data: Dataset = self._load_dataset(start)
            self.precision = pick_precision(precision_setting(self.settings, self.data.task), self.device)
            self.model: BuiltModel = self._build_model(pretrained=start.restored is None)
        check_same_data(group, context, self.experiment.data.name, self.data.fingerprint)
        self.task: Task = make_task(self.data, self.settings, self.device)
        self.splits: dict[str, PlacedSplit] = self._place_splits()
        """By name: `train`, `test` and perhaps `validation`."""
        self.epochs: Epochs = self._make_epochs()
        self._previous = self._previous_environment(start)
        self._sharding = ""
        self.threads: int = self._choose_threads()
        torch.set_num_threads(self.threads)

    def _pick_device(self) -> tuple[torch.device, str]:
        """The device, and why it is the CPU although a GPU was requested or given; the reason is noticed, too."""
        names = device_names(self.settings.device)
        name = names[self.group.rank % len(names)]
        choice = pick_training_device(name, self.gpu is not None)
        if not choice.reason:
            return choice.device, ""
        instead = f", not on {self.gpu.device}" if self.gpu else ""
        self._context.notice(f"WARNING: training on the CPU{instead}: {choice.reason}")
        return choice.device, f"CPU{instead}: {choice.reason}"

    @property
    def device_label(self) -> str:
        """The devices of the run as `train.device` calls them; the GPU of this process is always `cuda:0` here."""
        names = [gpu.device for gpu in self._gpus if gpu.device]
        return join_names(names) if names and self.device.type == "cuda" else str(self.device)

    def _load_dataset(self, start: StartPoint) -> Dataset:
        info = models.find(self.experiment.model.name)
        self._context.heartbeat.report_progress(Progress(f"loading {self.experiment.data.name}"))
        data = load(
            self.experiment.data,
            size=info.load_size(self.experiment.model.options),
            channels=info.channels,
            crop=info.center_crop(self.experiment.model.options),
            validation=self.settings.validation,
            seed=self.experiment.seed,
            progress=self._context.heartbeat.report_progress,
            cancelled=self._context.requests.stop_requested,
            recorded=None if start.restored is None else recorded_data(start.restored.content),
            fold=chosen_fold(self.settings),
        )
        self._context.requests.raise_if_stopped()
        for notice in data.notices:
            self._context.notice(notice)
        self._choose_monitor(data, start)
        self._check_settings(data)
        start.check_data(data)
        return data

    def _choose_monitor(self, data: Dataset, start: StartPoint) -> None:
        """Monitor the loss of a regression: the task of a custom dataset is known only once it is loaded."""
        if data.task != "regression" or self.settings.monitor == "loss":
            return
        if self.settings.monitor != TrainingSettings().monitor:
            raise UserError(f"train.monitor: a regression has no {self.settings.monitor}; set it to loss")
        start.settings_history.add(SettingOverride(0, "monitor", "loss"))
        self.settings = msgspec.structs.replace(self.settings, monitor="loss")

    def _check_settings(self, data: Dataset) -> None:
        if self.settings.augment and data.train.inputs.ndim != 4:
            raise UserError("train.augment needs a dataset of images; this one has none: set it to nothing")
        if self.settings.resize and data.train.inputs.ndim != 4:
            raise UserError("train.resize needs a dataset of images; this one has none: set it to nothing")
        if self.settings.tta != "none" and (data.train.inputs.ndim != 4 or not data.classes):
            raise UserError("train.tta needs an image classification dataset; this is none: set it to none")
        if {"mixup", "cutmix"} & set(self.settings.augment) and not data.classes:
            raise UserError("train.augment: mixup and cutmix need classes, and a regression has none")
        if self.settings.patience and data.validation is None:
            raise UserError("train.patience needs validation data: set train.validation, or patience to 0")
        defaults, settings = TrainingSettings(), self.settings
        unused = [key for key in _FOR_CLASSES if getattr(settings, key) != getattr(defaults, key)]
        if unused and not data.classes:
            self._context.notice(
                f"{', '.join(f'train.{key}' for key in unused)}: without effect in a regression"
            )

    def _build_model(self, *, pretrained: bool) -> BuiltModel:
        self._context.heartbeat.report_progress(Progress(f"building {self.experiment.model.name}"))
        torch.manual_seed(derived_seed(self.experiment.seed, "init"))
        data, choice = self.data, self.experiment.model
        outputs = len(data.classes) or max(1, data.train.targets[0].numel())
        built = build_model(
            choice,
            shape=data.input_shape,
            outputs=outputs,
            task=data.task,
            load=pretrained,
            progress=self._context.heartbeat.report_progress,
            cancelled=self._context.requests.stop_requested,
        )
        for notice in built.notices:
            self._context.notice(notice)
        self.preprocessing: Preprocessing = built.preprocessing(data.mean, data.std, self.settings.normalize)
        self._check_batch_norm(built.module)
        check_forward(built, self.preprocessing, _examples(data, 2), outputs, choice.name)
        for side, _ in resizing_steps(self.settings.resize):
            resized = self.preprocessing.at_side(side)
            check_forward(built, resized, _examples(data, 2), outputs, f"train.resize: {choice.name}")
        self._note_outputs(built.module)
        for key in ("freeze_epochs", "unfreeze_every", "head_lr"):
            if getattr(self.settings, key) and not built.head:
                raise UserError(f"train.{key}: {choice.name} has no separate head to train; set it to 0")
        drop_path = self.settings.drop_path
        if not isinstance(drop_path, str) and not set_drop_path(built.module, drop_path):
            self._context.notice(f"train.drop_path: without effect: {choice.name} has no stochastic depth")
        if pretrained and built.weights is None:
            data_dependent_init(built.module, self.preprocessing, data.train)
        self._channels_last_on_gpu = supports_channels_last_on_gpu(
            built, self.preprocessing(_examples(data, 2)), choice.name
        )
        if self.settings.sync_batch_norm and self.group.size > 1:
            built = replace(built, module=with_synchronized_batch_norm(built.module, self.device))
        if self.settings.activation_checkpointing and not checkpoint_blocks(built.module):
            self._context.notice(
                f"train.activation_checkpointing: without effect: {choice.name} has no blocks of several layers"
            )
        if not self.settings.fsdp:
            built.module.to(self.device)
        return built

    def _check_batch_norm(self, module: nn.Module) -> None:
        """Raise `UserError` where batch norm would get single samples. A last batch of one is merged by `Epochs`."""
        if not has_batch_norm(module):
            return
        for key in ("micro_batch", "batch_size"):
            if getattr(self.settings, key) == 1:
                raise UserError(f"train.{key}: batch norm can't train on single samples; set it to 2 or more")
        if len(self.data.train) == 1:
            raise UserError(
                "batch norm can't train on one sample: add training data, or choose another model"
            )

    def _note_outputs(self, module: nn.Module) -> None:
        """Note what the outputs of a custom classifier are, with a notice if they are not logits."""
        if not is_user_code(self.experiment.model.name) or not self.data.classes:
            return
        name, examples = self.experiment.model.name, self.preprocessing(_examples(self.data, 8))
        kind = detect_output_kind(module, examples)
        try:
            in_training = detect_output_kind(module, examples, training=True)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            in_training = kind  # training itself reports it, with a batch size that fits
        set_output_kind(module, kind)
        set_training_output_kind(module, in_training)
        if in_training is not OutputKind.LOGITS:
            self._context.notice(_output_notice(in_training, name, len(self.data.classes)))
        if in_training is not kind:
            self._context.notice(
                f"{name} returns {in_training} in training mode and {kind} in evaluation mode: each is used as such"
            )

    def _place_splits(self) -> dict[str, PlacedSplit]:
        return {
            name: place_split(split, self.preprocessing, self.device, processes=self.group.size)
            for name, split in self.data.splits.items()
        }

    def _set_memory_format(self, channels_last: bool) -> None:
        """Put images and convolution weights into the `channels_last` memory format, or leave them."""
        self.channels_last = channels_last
        if channels_last:
            if not self.settings.fsdp:  # FSDP needs contiguous weights
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
            augment=Augment(settings.augment, settings.augmentation_options) if settings.augment else None,
            classes=len(self.data.classes),
            preprocess_at=self.preprocessing.at_side,
            group=self.group,
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
                content.get("processes", 1),
            )
        setup = read_record(self._context.folder.setup, Setup) if self._context.attempt > 1 else None
        return None if setup is None else recorded_environment(setup)

    def _choose_threads(self) -> int:
        """Choose memory format and number of CPU threads; a later attempt keeps those of the previous one."""
        requested, previous = self.settings.threads, self._previous
        if self.device.type != "cpu":
            self._set_memory_format(self.device.type == "cuda" and self._channels_last_on_gpu)
            threads = min(torch.get_num_threads(), threads_per_process(self.group))
            return threads if requested == "auto" else requested
        if previous is not None and previous.processes == self.group.size:
            self._set_memory_format(previous.channels_last and previous.device == "cpu")
            return previous.threads if requested == "auto" else requested
        if requested != "auto" or self.group.size > 1:
            self._set_memory_format(False)
            return threads_per_process(self.group) if requested == "auto" else requested
        self._context.enter_phase(Phase.TUNING)
        self._context.heartbeat.report_progress(Progress("choosing CPU threads"))
        batch = next(self.epochs.batches(0).iter_from(0))
        steps = self.epochs.steps * self.settings.epochs
        tuned = autotune(
            self.model.module, self.task, self.settings, batch, self.experiment.model.name, steps=steps
        )
        self._set_memory_format(tuned.channels_last)
        return tuned.threads

    def shard_model(self) -> None:
        """Shard the model over the processes, if `train.fsdp` is set."""
        if not self.settings.fsdp:
            return
        from workbench.engine.sharding import shard_module  # noqa: PLC0415 - takes half a second

        module = self.model.module
        units = shard_module(module, self.precision)
        full = sum(parameter.numel() for parameter in module.parameters())
        own = sum(local_shard(parameter).numel() for parameter in module.parameters())
        self._sharding = (
            f"sharded over {self.group.size} processes: {own:,} of {full:,} parameters in each, gathered in "
            f"{plural(units, 'unit')}"
        )

    @property
    def folder(self) -> RunFolder:
        """The folder of the run."""
        return self._context.folder

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
        """How data is provided (`data`), steps are computed (`step`), the model is sharded (`model`), which GPU does
        it, or why none does (`device`), and which average of the weights is used (`weights`): one line of text each.
        """
        summary = {
            "data": self.splits["train"].reason,
            "step": describe_step(
                self.precision, self.threads, acceleration, self.group.size, is_sharded=self.settings.fsdp
            ),
        }
        if self._sharding:
            summary["model"] = self._sharding
        if average := describe_average(self.settings):
            summary["weights"] = f"evaluated and used: {average}"
        if self._device_reason:
            summary["device"] = self._device_reason
        elif self.gpu is not None:
            summary["device"] = ", ".join(f"{gpu.device} ({gpu.name}, {gpu.uuid})" for gpu in self._gpus)
        return summary

    def with_settings(self, **changes: SettingValue) -> TrainingComponents:
        """The same data and model with other training settings (batch size, precision, threads). Raises `UserError`."""
        changed = copy.copy(self)
        changed.settings = msgspec.structs.replace(self.settings, **changes)
        changed.precision = pick_precision(precision_setting(changed.settings, self.data.task), self.device)
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
            "processes": self.group.size,
            "fsdp": self.settings.fsdp,
        }

    def checkpoint_content(self) -> RunContent:
        """The part of a checkpoint beside the training state."""
        module, classifies = self.model.module, bool(self.data.classes)
        spec = ModelSpec(
            model=self.experiment.model,
            shape=self.data.input_shape,
            classes=tuple(self.data.classes),
            task=self.data.task,
            preprocessing=self.preprocessing,
            input=self.data.input,
            outputs=output_kind(module) if classifies else None,
            training_outputs=training_output_kind(module) if classifies else None,
            targets=1 if classifies else self.task.num_outputs,
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
