"""One attempt at a run: load, build, go on from the newest checkpoint, train, measure the result."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import torch

from workbench.datasets.augment import Augment
from workbench.datasets.data import Data, derived_seed
from workbench.datasets.load import load
from workbench.errors import BadInput
from workbench.experiment import Experiment, Train, from_dict
from workbench.io.atomic import read_json, write_json
from workbench.models import catalogue as models
from workbench.models.build import BuiltModel, build_model, check_forward
from workbench.models.outputs import figures
from workbench.models.preprocess import Preprocessing
from workbench.runs.records import LineWriter, attempts_of, keep_until, read_lines
from workbench.training import evaluate as evaluating
from workbench.training.batches import Epochs, Source, has_batch_norm, source_of
from workbench.training.checkpoint import Checkpoints, Entry
from workbench.training.context import Context
from workbench.training.device import pick_device, pick_precision, set_exactness
from workbench.training.drawing import drawing
from workbench.training.evaluate import Evaluation
from workbench.training.loop import TrainState, train
from workbench.training.optim import Backbone
from workbench.training.report import Report, Sums, report_every
from workbench.training.setup import describe_data, describe_model, device_name, splits_of
from workbench.training.steering import Steering
from workbench.training.task import Task, task_of
from workbench.training.threads import pick_threads
from workbench.training.timeline import Timeline


def run(context: Context) -> None:
    """Train the run in `context` to its end. Raises `Stop`, `RunFailed`, `BadInput` or `Interrupted`."""
    attempt = Attempt(context)
    try:
        attempt.prepare()
        context.phase("training")
        with context.watch.during("train"):
            train(attempt.state, attempt.epochs, attempt.report, attempt.steering, attempt.end_epoch)
        attempt.measure()
    finally:
        attempt.checkpoints.close()


@dataclass(frozen=True)
class Restored:
    """A checkpoint to go on from."""

    content: dict[str, Any]
    entry: Entry


class Attempt:
    """The parts of one attempt, put together in `prepare`."""

    data: Data
    built: BuiltModel
    preprocessing: Preprocessing
    task: Task
    sources: dict[str, Source]
    epochs: Epochs
    report: Report
    state: TrainState
    steering: Steering

    def __init__(self, context: Context) -> None:
        self.context = context
        self.folder = context.folder
        self.experiment = self._experiment()
        self.timeline = Timeline(self.experiment.to_dict()["train"])
        self.checkpoints = Checkpoints(self.folder)
        self.restored = self._newest()
        self.settings = self._settings()
        self.device = pick_device(self.settings.device)
        self.precision = pick_precision(self.settings.precision, self.device)
        self._measured: Evaluation | None = None
        """Of the test split, after the newest step."""

    def _experiment(self) -> Experiment:
        content = read_json(self.folder.experiment)
        if content is None:
            raise BadInput(
                f"{self.folder.experiment} is missing or damaged: the run can't be started from it"
            )
        return from_dict(content)

    def _newest(self) -> Restored | None:
        content, entry, notes = self.checkpoints.newest()
        for note in notes:
            self.context.notice(note)
        return None if content is None or entry is None else Restored(content, entry)

    def _settings(self) -> Train:
        """The settings at the step where this attempt begins; from here on the timeline knows all changes."""
        step = 0 if self.restored is None else int(self.restored.content["step"])
        self.timeline = Timeline.of_journal(
            self.experiment.to_dict()["train"], read_lines(self.folder.journal), step
        )
        settings = self.timeline.at(step)
        self.checkpoints.keep_every = settings.keep_every
        return settings

    def prepare(self) -> None:
        """Everything up to the first step."""
        set_exactness(self.device)
        self.data = self._load()
        self.built = self._build()
        self.task = task_of(self.data, self.settings, self.device)
        self.sources = self._sources()
        self.epochs = self._epochs()
        threads = self._threads()
        torch.set_num_threads(threads)
        self.report = self._report()
        self.state = self._state(threads)
        write_json(self.folder.setup, self._setup(threads))
        self.steering = Steering(
            self.context, self.state, self.checkpoints, self.report, self._extra(threads)
        )
        self.context.heartbeat.began(self.state.step)
        self._show()
        self._evaluate_start()

    def _evaluate_start(self) -> None:
        """Measure the model before its first step, where it is quickly done: what is learned can then be seen.

        Pictures are left out: there the first figures are chance, and a pass over them takes its time.
        """
        if self.restored is not None or self.data.train.inputs.ndim == 4:
            return
        evaluation, seconds = self._evaluate(self._held_out)
        self._record(evaluation, seconds)

    @property
    def _held_out(self) -> str:
        """The split that is measured after each epoch."""
        return "validation" if "validation" in self.sources else "test"

    def _record(self, evaluation: Evaluation, seconds: float, **marks: Any) -> None:
        """Write down an evaluation of the weights as they are, after the newest step."""
        state = self.state
        marks = {**figures(self.built.module), **marks}
        self.report.evaluation(evaluation, state.step, state.epoch, seconds, **marks)
        first = read_json(self.folder.evaluations / f"step-0-{evaluation.split}.json") or {}
        draw = drawing(self.built.module, self.sources[evaluation.split], evaluation, first.get("draw"))
        evaluating.write(evaluation, self.folder.evaluations, state.step, state.epoch, draw)

    def _load(self) -> Data:
        info = models.find(self.experiment.model.name)
        data = load(
            self.experiment.data,
            size=info.load_size(self.experiment.model.options),
            channels=info.channels,
            validation=self.settings.validation,
            seed=self.experiment.seed,
            progress=self.context.heartbeat.progress,
            cancelled=self.context.requests.stopped,
        )
        self.context.requests.raise_if_stopped()
        if data.set_aside:
            self.context.notice(f"{len(data.set_aside)} pictures could not be read and were set aside")
        self._check_data(data)
        return data

    def _check_data(self, data: Data) -> None:
        """Refuse data that is not what the run began with, unless that is accepted."""
        if self.settings.augment and data.train.inputs.ndim != 4:
            raise BadInput("train.augment is for pictures; this dataset has none: set it to nothing")
        if self.settings.patience and data.validation is None:
            raise BadInput("train.patience needs validation data: set train.validation, or patience to 0")
        if self.restored is None or self.restored.content.get("fingerprint") == data.fingerprint:
            return
        attempts = attempts_of(read_lines(self.folder.journal))
        if not (attempts and attempts[-1].get("accept_changed_data")):
            raise BadInput(
                "the dataset is not what this run was trained on (its fingerprint changed); "
                "resume with --accept-changed-data to go on with it all the same"
            )
        self.context.notice("the dataset changed since the run began", exact=False)

    def _build(self) -> BuiltModel:
        torch.manual_seed(derived_seed(self.experiment.seed, "init"))
        data, choice = self.data, self.experiment.model
        outputs = len(data.classes) or max(1, data.train.targets[0].numel())
        built = build_model(
            choice,
            shape=tuple(data.train.inputs.shape[1:]),
            outputs=outputs,
            task=data.task,
            load=self.restored is None,
            progress=self.context.heartbeat.progress,
            cancelled=self.context.requests.stopped,
        )
        for notice in built.notices:
            self.context.notice(notice)
        self.preprocessing = built.preprocessing(data.mean, data.std, self.settings.normalize)
        check_forward(built, self.preprocessing, data.train.inputs[:2], outputs, choice.name)
        if self.settings.freeze_epochs and not built.head:
            raise BadInput(
                f"train.freeze_epochs: {choice.name} has no head that could learn alone; set it to 0"
            )
        built.module.to(self.device)
        if self._channels_last():
            built.module.to(memory_format=torch.channels_last)
        return built

    def _channels_last(self) -> bool:
        """Whether pictures are laid out pixel by pixel: what convolutions of GPUs want."""
        return self.device.type == "cuda" and self.data.train.inputs.ndim == 4

    def _sources(self) -> dict[str, Source]:
        last = self._channels_last()
        return {
            name: source_of(split, self.preprocessing, self.device, channels_last=last)
            for name, split in splits_of(self.data).items()
        }

    def _epochs(self) -> Epochs:
        settings = self.settings
        return Epochs(
            self.sources["train"],
            settings.batch_size,
            self.experiment.seed,
            balanced=settings.balanced_sampling and self.task.name == "classification",
            merge_single=has_batch_norm(self.built.module),
            augment=Augment(settings.augment) if settings.augment else None,
        )

    def _threads(self) -> int:
        wanted = self.settings.threads
        if wanted != "auto":
            return wanted
        if self.restored is not None:
            return int(self.restored.content["threads"])
        if self.device.type != "cpu":
            return torch.get_num_threads()
        self.context.phase("tuning")
        batch = next(self.epochs.batches(0).starting_at(0))
        return pick_threads(self.built.module, self.task, self.settings, batch, self.experiment.model.name)

    def _report(self) -> Report:
        every = self.settings.report_every
        if every == "auto":
            every = report_every(self.epochs.steps, self.settings.epochs)
            if self.restored is not None:
                every = int(self.restored.content["report_every"])
        offset = 0 if self.restored is None else int(self.restored.entry["metrics_offset"])
        if self.folder.metrics.exists():
            keep_until(self.folder.metrics, offset)
        return Report(Sums(self.task, self.device), LineWriter(self.folder.metrics), every)

    def _state(self, threads: int) -> TrainState:
        state = TrainState(
            Backbone(self.built.module, self.built.head),
            task=self.task,
            precision=self.precision,
            timeline=self.timeline,
            report=self.report,
        )
        state.steps_per_epoch = self.epochs.steps
        # Whatever building and timing drew must not be seen by the first step.
        torch.manual_seed(derived_seed(self.experiment.seed, "training"))
        if self.restored is not None:
            notes = state.load_state_dict(self.restored.content)
            for note in notes + self._differences(self.restored.content, threads):
                self.context.notice(f"resumed, but not exactly: {note}", exact=False)
            examples = state.position * int(self.restored.content["batch_size"])
            state.position = min(examples // self.settings.batch_size, self.epochs.steps)
        return state

    def _differences(self, before: dict[str, Any], threads: int) -> list[str]:
        """What is not as it was when the checkpoint was made, and changes the bits of the result."""
        now = {"threads": threads, "device": self.device.type, "torch": str(torch.__version__)}
        words = {"threads": "{} CPU threads", "device": "on {}", "torch": "torch {}"}
        found = [
            f"{words[name].format(value)} instead of {before[name]}"
            for name, value in now.items()
            if value != before[name]
        ]
        if before["batch_size"] != self.settings.batch_size:
            found.append(f"batches of {self.settings.batch_size} instead of {before['batch_size']}")
        return found

    def _extra(self, threads: int) -> dict[str, Any]:
        """What a checkpoint holds beside the state: what other doors need to use it."""
        model = self.experiment.model.to_dict()
        return {
            "threads": threads,
            "batch_size": self.settings.batch_size,
            "device": self.device.type,
            "torch": str(torch.__version__),
            "fingerprint": self.data.fingerprint,
            "spec": {
                "model": model,
                "shape": list(self.data.train.inputs.shape[1:]),
                "classes": list(self.data.classes),
                "task": self.data.task,
                "preprocessing": self.preprocessing.to_dict(),
            },
        }

    def _setup(self, threads: int) -> dict[str, Any]:
        """What `setup.json` says."""
        steps = self.epochs.steps
        return {
            **describe_data(self.data),
            **describe_model(self.built.module, self.preprocessing, tuple(self.data.train.inputs.shape[1:])),
            "device": str(self.device),
            "device_name": device_name(self.device),
            "resident": self.sources["train"].resident,
            "threads": threads,
            "precision": self.precision.name,
            "report_every": self.report.every,
            "steps_per_epoch": steps,
            "steps_total": steps * self.settings.epochs,
        }

    def _show(self) -> None:
        state, monitor = self.state, self.state.settings.monitor
        best = state.best and {
            "value": -state.best["value"] if monitor == "loss" else state.best["value"],
            "epoch": state.best["epoch"],
            "metric": monitor,
        }
        self.context.heartbeat.show(
            step=state.step,
            steps_total=state.settings.epochs * self.epochs.steps,
            epoch=state.epoch,
            epochs_total=state.settings.epochs,
            best=best,
            device=str(self.device),
        )

    def end_epoch(self) -> None:
        """Evaluate the epoch that ended, count it, and keep a checkpoint.

        Nothing changes before the evaluation is whole: a run that is stopped in it resumes at the epoch's end.
        """
        split = self._held_out
        try:
            evaluation, seconds = self._evaluate(split)
        except BaseException:
            self.steering.checkpoint_if_stopped()
            raise
        state = self.state
        self.report.epoch(state.step, state.epoch + 1)
        value = self._monitored(evaluation) if split == "validation" else None
        best = state.end_epoch(value, evaluation.scores["loss"])
        self._record(evaluation, seconds, best=best)
        self._measured = evaluation if split == "test" else None
        self._show()
        latest = {name: evaluation.scores[name] for name in ("loss", "accuracy") if name in evaluation.scores}
        self.context.heartbeat.show(latest=latest)
        self.steering.checkpoint(best=best, wait=False)
        self.context.heartbeat.show(phase="training")
        self.report.restart_clock()

    def _monitored(self, evaluation: Evaluation) -> float:
        """The monitored figure, larger is better."""
        monitor = self.state.settings.monitor
        value = evaluation.scores[monitor]
        return -value if monitor == "loss" else value

    def _evaluate(self, split: str) -> tuple[Evaluation, float]:
        """An evaluation and the seconds it took."""
        self.context.heartbeat.show(phase="evaluating")
        start = time.monotonic()
        with self.context.watch.during("evaluate"):
            evaluation = evaluating.evaluate(
                self.built.module,
                self.sources[split],
                self.task,
                split=split,
                classes=self.data.classes,
                precision=self.precision,
                between=self.context.requests.raise_if_stopped,
            )
        return evaluation, time.monotonic() - start

    def measure(self) -> None:
        """The run's result: the test split, by the best epoch's weights where there is a best one."""
        self.checkpoints.wait()
        marks: dict[str, Any] = {}
        best = self.checkpoints.best() if self.experiment.weights == "best" else None
        if best is not None:
            marks = self._take_weights(best)
        evaluation, seconds = self._measured, 0.0
        if evaluation is None or best is not None:
            evaluation, seconds = self._evaluate("test")
        self._record(evaluation, seconds, final=True, best=False, **marks)
        self.report.metrics.sync()

    def _take_weights(self, entry: Entry) -> dict[str, Any]:
        """Put the weights of a checkpoint into the module; what the row says of them."""
        if entry["step"] != self.state.step:
            try:
                self.built.module.load_state_dict(self.checkpoints.load(entry)["model"])
            except BadInput as error:
                self.context.notice(f"the result is of the last weights, the best can't be read: {error}")
                return {}
        return {"weights_step": entry["step"], "weights_epoch": entry["epoch"]}
