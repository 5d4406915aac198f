"""Everything that training changes, and one step of it: forward, backward, step."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from workbench.engine.batches import Batch, bounds, has_batch_norm
from workbench.engine.cuda_graphs import Before, Captured
from workbench.engine.device import Precision
from workbench.engine.freezing import Backbone
from workbench.engine.lookahead import Lookahead, lookahead_of
from workbench.engine.lr_schedule import lr_at
from workbench.engine.nan_guard import Guard
from workbench.engine.optimizer import load_memory, make_optimizer, plain_step, set_lr
from workbench.engine.rng_state import random_states, restore_random_states
from workbench.engine.running_sums import Sums
from workbench.engine.settings_history import Timeline
from workbench.engine.state_content import BestContent, StateDict, TrainingContent
from workbench.engine.task import Task


@dataclass(frozen=True)
class BestEpoch:
    """The best evaluation so far by the monitored metric."""

    value: float
    """Larger is better: of a loss its negative."""
    loss: float
    step: int
    epoch: int

    def to_dict(self) -> BestContent:
        """For a checkpoint."""
        return {"value": self.value, "loss": self.loss, "step": self.step, "epoch": self.epoch}

    @classmethod
    def from_dict(cls, content: BestContent) -> BestEpoch:
        """From a checkpoint."""
        return cls(content["value"], content["loss"], content["step"], content["epoch"])

    def beaten_by(self, value: float, loss: float) -> bool:
        """Whether another epoch is better; of two equal ones that with the lower loss is."""
        return value > self.value or (value == self.value and loss < self.loss)


class TrainState:
    """Everything that training changes; all of it travels in checkpoints.

    `step` counts optimizer steps done, `epoch` completed epochs, `position` batches done in this epoch, `stale` the
    epochs since the `best` one.
    """

    def __init__(
        self,
        backbone: Backbone,
        *,
        task: Task,
        precision: Precision,
        timeline: Timeline,
        sums: Sums,
    ) -> None:
        self.module = module = backbone.module
        self.task, self.precision, self.timeline = task, precision, timeline
        self.settings = timeline.at(0)
        self.guard = Guard(precision.device)
        self._scaler = precision.scaler()
        self._parameters = list(module.parameters())
        self._renew_optimizer()
        self.lookahead = Lookahead(module) if self.settings.lookahead else None
        self.step = self.epoch = self.position = self.stale = 0
        self.best: BestEpoch | None = None
        self.steps_per_epoch = 1
        self.lr = self.settings.lr
        self._backbone, self.sums = backbone, sums
        self._merge_single = has_batch_norm(module)
        self._next_change: int | None = None
        self._moment: Before | None = None
        self.in_step = False
        """Whether a step was begun and has not ended: what goes wrong now is the step's."""
        self._frozen = False
        self.network: Callable[[Tensor], Tensor] = module
        """What computes the outputs in training: the module, or what it was compiled to."""
        self.captured: Captured | None = None
        """What plays steps back, where they are recorded."""

    @property
    def done(self) -> bool:
        """Whether no epoch is left, or none has been better for as long as `train.patience` says."""
        return self.epoch >= self.settings.epochs or self.out_of_patience

    @property
    def out_of_patience(self) -> bool:
        """Whether early stopping ends the run before its last epoch."""
        patience = self.settings.patience
        return self.epoch < self.settings.epochs and 0 < patience <= self.stale

    @property
    def progress(self) -> float:
        """Epochs done, with the part of the one that goes on."""
        return self.epoch + self.position / self.steps_per_epoch

    def begin_epoch(self, steps: int) -> None:
        """Set the module to training, its backbone frozen or not."""
        self.in_step = False
        self.steps_per_epoch = steps
        self.renew_settings()
        frozen = self.epoch < self.settings.freeze_epochs
        self._backbone.train(frozen)
        if frozen != self._frozen:
            self._frozen = frozen
            self._forget()

    def _forget(self) -> None:
        """What was recorded of a step holds no longer."""
        if self.captured is not None:
            self.captured.forget()

    def renew_settings(self) -> None:
        """Take the settings that hold from this step on."""
        before, self.settings = self.settings, self.timeline.at(self.step)
        if before.micro_batch != self.settings.micro_batch:
            self._forget()
        self._next_change = self.timeline.next_change(self.step)

    def replay(self, batch: Batch) -> bool:
        """Make the step with `batch` by playing back what was recorded; `False` where there is nothing such."""
        return self.captured is not None and self.captured.play(batch)

    def compute(self, batch: Batch) -> None:
        """Forward, backward, step: all that the device does for one batch."""
        for parameter in self._parameters:
            parameter.grad = None
        for part, share in self.parts(batch):  # the whole, unless memory has no room for it
            loss, outputs = self.forward(part)
            self.backward(loss, share)
            self.sums.add(loss, outputs, part)  # stays on the device until it is due
        self.update()

    def changed(self) -> list[Tensor]:
        """Every tensor that `compute` changes and the next step reads."""
        memory = [value for state in self.optimizer.state.values() for value in state.values()]
        kept = [*self._parameters, *self.module.buffers(), *memory, *self.guard.tensors()]
        return [value for value in kept if isinstance(value, Tensor)] + self.sums.tensors()

    def losses(self) -> Tensor:
        """What the losses of steps are added to."""
        return self.sums.loss

    def parts(self, batch: Batch) -> list[tuple[Batch, float | Tensor | None]]:
        """`batch` in the parts that are computed at once, and the share of each in its loss.

        The whole at once has no share (`None`).
        """
        size = self.settings.micro_batch or len(batch)
        if size >= len(batch):
            return [(batch, None)]
        parts = [batch.part(start, end) for start, end in bounds(len(batch), size, self._merge_single)]
        whole = self.task.weight(batch.wanted)
        return [(part, self.task.weight(part.wanted) / whole) for part in parts]

    def begin_step(self) -> None:
        """Take the settings and the learning rate of the step that comes."""
        if self.step == self._next_change:
            self.renew_settings()
        # Not `step`: a resume with another batch size has made other steps than these epochs have.
        done = self.epoch * self.steps_per_epoch + self.position
        self.lr = lr_at(done, self.settings, self.steps_per_epoch)
        set_lr(self.optimizer, self.lr)
        self._moment = self._before_step() if self.settings.auto_micro_batch else None
        self.in_step = True

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Loss (a scalar) and outputs of one batch. On the CPU, raises `Diverged` for a loss that is no number."""
        with self.precision.autocast():
            outputs = self.network(batch.inputs)
            loss = self.task.loss(outputs, batch.wanted)
        self.guard.watch(loss, self.step + 1)
        return loss, outputs

    def backward(self, loss: Tensor, share: float | Tensor | None = None) -> None:
        """Add the gradients of the loss, or of its `share` in the loss of the step."""
        if share is not None:
            loss = loss * share
        (loss if self._scaler is None else self._scaler.scale(loss * self.guard.factor)).backward()

    def update(self) -> None:
        """One step of the optimizer, with the gradients clipped where that is asked for."""
        self.guard.hold()
        if self.settings.clip_norm:
            if self._scaler is not None:
                self._scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self._parameters, self.settings.clip_norm)
        if self._scaler is None:
            self._step()
        else:
            self._scaler.step(self.optimizer)
            self._scaler.update()

    def end_step(self, examples: int) -> None:
        """Count a step that was made with so many examples."""
        self.in_step, self._moment = False, None
        self.sums.end_step(examples)
        self.step += 1
        self.position += 1
        self._look_ahead()

    def _look_ahead(self) -> None:
        """Draw the weights to their average where that is due; at the end of the run it is they."""
        if self.lookahead is not None:
            done = self.progress / self.settings.epochs
            if self.step % self.settings.lookahead == 0 or done >= 1:
                self.lookahead.update(done)

    def _before_step(self) -> Before:
        """What a step changes before its update: random states, statistics of norms, and sums not yet reported."""
        return Before([*self.module.buffers(), *self.sums.tensors()])

    def undo_step(self) -> None:
        """Back to before the step that began and was not made; only where `train.auto_micro_batch` is on."""
        if self._moment is not None:
            self._moment.restore()

    def end_epoch(self, value: float | None, loss: float = math.nan) -> bool:
        """Count an epoch whose monitored value (larger is better) is `value`; whether it is the best so far.

        Of two equal ones that with the lower `loss` is better: on small validation sets many epochs are equal.
        `None`: there is no validation data, and so no best one.
        """
        self.epoch += 1
        self.position = 0
        if value is None:
            self.stale = 0
            return False
        better = not math.isnan(value) and (self.best is None or self.best.beaten_by(value, loss))
        if better:
            self.best = BestEpoch(value, loss, self.step, self.epoch)
        self.stale = 0 if better else self.stale + 1
        return better

    def state_dict(self) -> TrainingContent:
        """All of it, to be copied before the next step. Raises `Diverged` where a loss was no number."""
        self.guard.check(self.step)
        return {
            "v": 1,
            "model": self.module.state_dict(),
            "optimizer": {"name": self.settings.optimizer, **self.optimizer.state_dict()},
            "lookahead": None if self.lookahead is None else self.lookahead.state_dict(),
            "scaler": None if self._scaler is None else self._scaler.state_dict(),
            "step": self.step,
            "epoch": self.epoch,
            "position": self.position,
            "best": None if self.best is None else self.best.to_dict(),
            "stale": self.stale,
            "sums": self.sums.state_dict(),
            "random": random_states(),
        }

    def load_state_dict(self, state: TrainingContent) -> list[str]:
        """Go back to a moment; returns, in words, what could not be taken over as it was."""
        self.guard.begin()
        self._forget()
        self.step, self.epoch, self.position = state["step"], state["epoch"], state["position"]
        best = state["best"]
        self.best, self.stale = None if best is None else BestEpoch.from_dict(best), state["stale"]
        self.sums.load_state_dict(state["sums"])
        self.module.load_state_dict(state["model"])
        self.settings = self.timeline.at(self.step)
        self._renew_optimizer()
        self.lookahead = lookahead_of(state.get("lookahead"), self.settings.lookahead, self.module)
        notes = self._load_optimizer(state["optimizer"])
        if self._scaler is not None and state["scaler"] is not None:
            self._scaler.load_state_dict(state["scaler"])
        restore_random_states(state["random"])
        return notes

    def _renew_optimizer(self) -> None:
        self.optimizer = make_optimizer(self.module, self.settings, self.precision.device)
        step = plain_step(self.optimizer)
        # With a scaler it is the gradients that hold an update back.
        plain = self._scaler is None
        self._step = self.guard.guarded(self.optimizer, step, self._parameters) if plain else step

    def _load_optimizer(self, state: StateDict) -> list[str]:
        """Take over the optimizer's memory, with the hyperparameters that the settings say now."""
        if state["name"] == self.settings.optimizer and load_memory(self.optimizer, state):
            return []
        return ["the optimizer was changed: it begins without the memory of the steps before"]
