"""The parts that training is put together from: data, model, batches, device, precision, threads."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import msgspec
import torch

from workbench.config.experiment import Experiment
from workbench.config.training_settings import Train
from workbench.core.errors import BadInput
from workbench.datasets.augmentation import Augment
from workbench.datasets.dataset import Data, derived_seed
from workbench.datasets.loader import load
from workbench.engine.accelerate import Acceleration, step_way
from workbench.engine.autotune import tuned
from workbench.engine.batches import Epochs, has_batch_norm
from workbench.engine.data_placement import Source, source_of
from workbench.engine.device import pick_device, pick_precision, set_exactness
from workbench.engine.task import Task, task_of
from workbench.io.record_codec import read_record
from workbench.models import catalog as models
from workbench.models.factory import BuiltModel, begin_from, build_model, check_forward
from workbench.models.preprocessing import Preprocessing
from workbench.runs.enums import Phase
from workbench.runs.journal import SettingValue
from workbench.runs.records import Setup
from workbench.worker.context import Context
from workbench.worker.metrics_writer import report_every
from workbench.worker.resume import Beginning


@dataclass(frozen=True)
class PreviousAttempt:
    """What the attempt before computed with; a later one does the same."""

    device: str
    threads: int
    channels_last: bool
    report_every: int


class Parts:
    """Data, model and batches of one attempt, on the device that computes. Raises `BadInput` and `Interrupted`.

    `sources` are the splits by name; `threads` the number of CPU threads, which this process then has.
    """

    def __init__(self, context: Context, beginning: Beginning) -> None:
        self._context = context
        self.experiment: Experiment = beginning.experiment
        self.settings: Train = beginning.settings
        self.device = pick_device(self.settings.device)
        self.precision = pick_precision(self.settings.precision, self.device)
        set_exactness(self.device, self.settings.exact)
        self.data: Data = self._load(beginning)
        self.built: BuiltModel = self._build(pretrained=beginning.restored is None)
        self.task: Task = task_of(self.data, self.settings, self.device)
        self.sources: dict[str, Source] = self._sources()
        self.epochs: Epochs = self._epochs()
        self._before = self._known_before(beginning)
        self.threads: int = self._tune()
        torch.set_num_threads(self.threads)

    def _load(self, beginning: Beginning) -> Data:
        info = models.find(self.experiment.model.name)
        data = load(
            self.experiment.data,
            size=info.load_size(self.experiment.model.options),
            channels=info.channels,
            validation=self.settings.validation,
            seed=self.experiment.seed,
            progress=self._context.heartbeat.progress,
            cancelled=self._context.requests.stopped,
        )
        self._context.requests.raise_if_stopped()
        if data.set_aside:
            self._context.notice(f"{len(data.set_aside)} pictures could not be read and were set aside")
        self._check_settings(data)
        beginning.check_data(data)
        return data

    def _check_settings(self, data: Data) -> None:
        if self.settings.augment and data.train.inputs.ndim != 4:
            raise BadInput("train.augment is for pictures; this dataset has none: set it to nothing")
        if self.settings.tta != "none" and (data.train.inputs.ndim != 4 or not data.classes):
            raise BadInput("train.tta is for pictures of classes; this dataset has none: set it to none")
        if {"mixup", "cutmix"} & set(self.settings.augment) and not data.classes:
            raise BadInput("train.augment: mixup and cutmix mix classes, and a regression has none")
        if self.settings.patience and data.validation is None:
            raise BadInput("train.patience needs validation data: set train.validation, or patience to 0")

    def _build(self, *, pretrained: bool) -> BuiltModel:
        torch.manual_seed(derived_seed(self.experiment.seed, "init"))
        data, choice = self.data, self.experiment.model
        outputs = len(data.classes) or max(1, data.train.targets[0].numel())
        built = build_model(
            choice,
            shape=tuple(data.train.inputs.shape[1:]),
            outputs=outputs,
            task=data.task,
            load=pretrained,
            progress=self._context.heartbeat.progress,
            cancelled=self._context.requests.stopped,
        )
        for notice in built.notices:
            self._context.notice(notice)
        self.preprocessing: Preprocessing = built.preprocessing(data.mean, data.std, self.settings.normalize)
        check_forward(built, self.preprocessing, data.train.inputs[:2], outputs, choice.name)
        if self.settings.micro_batch == 1 and has_batch_norm(built.module):
            raise BadInput("train.micro_batch: batch norm can't learn from single examples; take 2 or more")
        if self.settings.freeze_epochs and not built.head:
            raise BadInput(
                f"train.freeze_epochs: {choice.name} has no head that could learn alone; set it to 0"
            )
        if pretrained:
            begin_from(built.module, self.preprocessing, data.train)
        built.module.to(self.device)
        return built

    def _sources(self) -> dict[str, Source]:
        return {
            name: source_of(split, self.preprocessing, self.device)
            for name, split in self.data.splits.items()
        }

    def _lay_out(self, channels_last: bool) -> None:
        """Lay pictures and weights of convolutions out pixel by pixel, which is quicker for some, or leave them."""
        self.channels_last = channels_last
        if channels_last:
            self.built.module.to(memory_format=torch.channels_last)
            self.sources = {name: replace(s, channels_last=True) for name, s in self.sources.items()}
            self.epochs = self._epochs()

    def _epochs(self) -> Epochs:
        settings = self.settings
        return Epochs(
            self.sources["train"],
            settings.batch_size,
            self.experiment.seed,
            balanced=settings.balanced_sampling and self.task.name == "classification",
            merge_single=has_batch_norm(self.built.module),
            augment=Augment(settings.augment) if settings.augment else None,
            classes=len(self.data.classes),
        )

    def _known_before(self, beginning: Beginning) -> PreviousAttempt | None:
        """What the attempt before computed with: by its checkpoint; where it came to none, on a CPU by `setup.json`."""
        if beginning.restored is not None:
            content = beginning.restored.content
            return PreviousAttempt(
                content["device"],
                content["threads"],
                content.get("channels_last", False),
                content["report_every"],
            )
        setup = read_record(self._context.folder.setup, Setup) if self._context.attempt > 1 else None
        if setup is None or setup.device != "cpu":
            return None
        return PreviousAttempt(setup.device, setup.threads, setup.channels_last, setup.report_every)

    def _tune(self) -> int:
        """Choose the layout of pictures, and how many CPU threads there are: as before in a later attempt."""
        wanted, before = self.settings.threads, self._before
        if self.device.type != "cpu":
            self._lay_out(self.device.type == "cuda" and self.data.train.inputs.ndim == 4)
            return torch.get_num_threads() if wanted == "auto" else wanted
        if before is not None:
            self._lay_out(before.channels_last and before.device == "cpu")
            return before.threads if wanted == "auto" else wanted
        if wanted != "auto":
            self._lay_out(False)
            return wanted
        self._context.phase(Phase.TUNING)
        batch = next(self.epochs.batches(0).starting_at(0))
        found = tuned(self.built.module, self.task, self.settings, batch, self.experiment.model.name)
        self._lay_out(found.channels_last)
        return found.threads

    @property
    def report_every(self) -> int:
        """Steps that a row of the record covers."""
        every = self.settings.report_every
        if every != "auto":
            return every
        if self._before is not None:
            return self._before.report_every
        return report_every(self.epochs.steps, self.settings.epochs)

    def execution(self, quick: Acceleration) -> dict[str, str]:
        """How data is provided (`data`) and steps are computed (`step`), and why: a line each, for people."""
        return {
            "data": self.sources["train"].why,
            "step": step_way(self.precision, self.threads, quick),
        }

    def with_settings(self, **changes: SettingValue) -> Parts:
        """The same data and model with other settings of `train`: batch size, precision, threads. Raises `BadInput`."""
        other = copy.copy(self)
        other.settings = msgspec.structs.replace(self.settings, **changes)
        other.precision = pick_precision(other.settings.precision, self.device)
        other.epochs = other._epochs()
        other.threads = self.threads if other.settings.threads == "auto" else other.settings.threads
        return other

    @property
    def held_out(self) -> str:
        """The split that is measured after each epoch."""
        return "validation" if "validation" in self.sources else "test"
