"""The training loop: forward, backward, step."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from workbench.errors import RunFailed
from workbench.training.batches import Batch, Batches, Epochs
from workbench.training.checkpoint import copied, random_states, restore_random_states
from workbench.training.device import Precision
from workbench.training.optim import Backbone, lr_at, make_optimizer, plain_step, set_lr
from workbench.training.report import Report
from workbench.training.task import Task
from workbench.training.timeline import Timeline


class Requests(Protocol):
    """What people and the clock ask of a run between two steps."""

    def answer(self, state: TrainState) -> None:
        """Do what is asked: checkpoint, pause, change a setting, or raise `Stop`."""


def train(
    state: TrainState, epochs: Epochs, report: Report, requests: Requests, end_epoch: Callable[[], None]
) -> None:
    """All epochs that are left; `end_epoch` evaluates, counts the epoch and keeps the checkpoint."""
    while not state.done:
        train_epoch(state, epochs.batches(state.epoch), report, requests)
        end_epoch()


def train_epoch(state: TrainState, batches: Batches, report: Report, requests: Requests) -> None:
    """One pass over the training data, from where `state` stands in it."""
    state.begin_epoch(len(batches))
    for batch in batches.starting_at(state.position):
        loss, outputs = state.forward(batch)
        state.backward(loss)
        state.update()
        report.sums.add(loss, outputs, batch)  # stays on the device until it is due
        if state.step % report.every == 0:
            report.step(state.step, state.progress, state.lr)
            state.check_losses()
        requests.answer(state)  # stop, checkpoint, pause, learning rate


class TrainState:
    """Everything that training changes; all of it travels in checkpoints.

    `step` counts optimizer steps done, `epoch` completed epochs, `position` batches done in this epoch.
    `best` is `{"value", "loss", "step", "epoch"}` of the best evaluation by the monitor, `stale` the epochs since.
    """

    def __init__(
        self,
        backbone: Backbone,
        *,
        task: Task,
        precision: Precision,
        timeline: Timeline,
        report: Report,
    ) -> None:
        self.module = module = backbone.module
        self.task, self.precision, self.timeline = task, precision, timeline
        self.settings = timeline.at(0)
        self._renew_optimizer()
        self.step = self.epoch = self.position = self.stale = 0
        self.best: dict[str, Any] | None = None
        self.steps_per_epoch = 1
        self.lr = self.settings.lr
        self._backbone, self._report = backbone, report
        self._scaler = precision.scaler()
        self._parameters = list(module.parameters())
        self._check_each_step = precision.device.type == "cpu"
        self._next_change: int | None = None

    @property
    def done(self) -> bool:
        """Whether no epoch is left, or none has been better for as long as `train.patience` says."""
        patient = self.settings.patience
        return self.epoch >= self.settings.epochs or (patient > 0 and self.stale >= patient)

    @property
    def progress(self) -> float:
        """Epochs done, with the part of the one that goes on."""
        return self.epoch + self.position / self.steps_per_epoch

    def begin_epoch(self, steps: int) -> None:
        """Set the module to training, its backbone frozen or not."""
        self.steps_per_epoch = steps
        self.renew_settings()
        self._backbone.train(frozen=self.epoch < self.settings.freeze_epochs)

    def renew_settings(self) -> None:
        """Take the settings that hold from this step on."""
        self.settings = self.timeline.at(self.step)
        self._next_change = self.timeline.next_change(self.step)

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Loss (a scalar) and outputs of one batch. On the CPU, raises `RunFailed` for a loss that is no number."""
        if self.step == self._next_change:
            self.renew_settings()
        # Not `step`: a resume with another batch size has made other steps than these epochs have.
        done = self.epoch * self.steps_per_epoch + self.position
        self.lr = lr_at(done, self.settings, self.steps_per_epoch)
        set_lr(self.optimizer, self.lr)
        with self.precision.autocast():
            outputs = self.module(batch.inputs)
            loss = self.task.loss(outputs, batch.wanted)
        # Reading one number costs a CPU nothing; a GPU would have to wait for it.
        if self._check_each_step and not math.isfinite(loss.item()):
            raise RunFailed(_diverged(loss.item(), f"at step {self.step + 1}"))
        return loss, outputs

    def backward(self, loss: Tensor) -> None:
        """Gradients of the loss, and none of the step before."""
        for parameter in self._parameters:
            parameter.grad = None
        (loss if self._scaler is None else self._scaler.scale(loss)).backward()

    def update(self) -> None:
        """One step of the optimizer, with the gradients clipped where that is asked for."""
        if self.settings.clip_norm:
            if self._scaler is not None:
                self._scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self._parameters, self.settings.clip_norm)
        if self._scaler is None:
            self._step()
        else:
            self._scaler.step(self.optimizer)
            self._scaler.update()
        self.step += 1
        self.position += 1

    def check_losses(self) -> None:
        """Raise `RunFailed` if a loss since the epoch began was no number (reads the device)."""
        if not self._report.sums.finite:
            raise RunFailed(
                _diverged(math.nan, f"within the {self._report.every} steps before step {self.step}")
            )

    def end_epoch(self, value: float | None, loss: float = math.nan) -> bool:
        """Count an epoch whose monitored value (larger is better) is `value`; whether it is the best so far.

        Of two equal ones that with the lower `loss` is better: on small validation sets many epochs are equal.
        `None`: there is no validation data, and so no best one.
        """
        self.epoch += 1
        self.position = 0
        better = value is not None and not math.isnan(value) and self._beats_best(value, loss)
        if better:
            self.best = {"value": value, "loss": loss, "step": self.step, "epoch": self.epoch}
        self.stale = 0 if better or value is None else self.stale + 1
        return better

    def _beats_best(self, value: float, loss: float) -> bool:
        best = self.best
        return best is None or value > best["value"] or (value == best["value"] and loss < best["loss"])

    def state_dict(self) -> dict[str, Any]:
        """A copy of this moment. Raises `RunFailed` rather than copying weights that are no numbers."""
        self.check_losses()
        model = copied(self.module.state_dict())
        if not all(bool(torch.isfinite(t).all()) for t in model.values() if t.is_floating_point()):
            raise RunFailed(_diverged(math.nan, f"or a weight did at step {self.step}"))
        return {
            "v": 1,
            "model": model,
            "optimizer": {"name": self.settings.optimizer, **copied(self.optimizer.state_dict())},
            "scaler": None if self._scaler is None else copied(self._scaler.state_dict()),
            "step": self.step,
            "epoch": self.epoch,
            "position": self.position,
            "best": None if self.best is None else dict(self.best),
            "stale": self.stale,
            "sums": self._report.sums.state_dict(),
            "report_every": self._report.every,
            "random": random_states(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> list[str]:
        """Go back to a moment; returns, in words, what could not be taken over as it was."""
        self.step, self.epoch, self.position = state["step"], state["epoch"], state["position"]
        self.best, self.stale = state["best"], state["stale"]
        self._report.sums.load_state_dict(state["sums"])
        self.module.load_state_dict(state["model"])
        self.settings = self.timeline.at(self.step)
        self._renew_optimizer()
        notes = self._load_optimizer(state["optimizer"])
        if self._scaler is not None and state["scaler"] is not None:
            self._scaler.load_state_dict(state["scaler"])
        restore_random_states(state["random"])
        return notes

    def _renew_optimizer(self) -> None:
        self.optimizer = make_optimizer(self.module, self.settings, self.precision.device)
        self._step = plain_step(self.optimizer)

    def _load_optimizer(self, state: Mapping[str, Any]) -> list[str]:
        """Take over the optimizer's memory, with the hyperparameters that the settings say now."""
        groups = [{k: v for k, v in g.items() if k != "params"} for g in self.optimizer.param_groups]
        shapes = [len(g["params"]) for g in self.optimizer.param_groups]
        if state["name"] != self.settings.optimizer or shapes != [
            len(g["params"]) for g in state["param_groups"]
        ]:
            return ["the optimizer was changed: it begins without the memory of the steps before"]
        self.optimizer.load_state_dict({"state": state["state"], "param_groups": state["param_groups"]})
        for group, wanted in zip(self.optimizer.param_groups, groups, strict=True):
            group.update(wanted)
        return []


def _diverged(value: float, where: str) -> str:
    word = "NaN" if math.isnan(value) else "infinite"
    return f"the loss became {word} {where}; the last good checkpoint is kept: try a lower train.lr"
