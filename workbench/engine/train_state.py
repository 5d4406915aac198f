"""The training state: everything that training changes, and the operations of one step on it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn

from workbench.config.lr_schedule import lr_at
from workbench.config.progressive_resizing import training_side
from workbench.engine.batches import Batch, WholeBatch, batch_bounds
from workbench.engine.cuda_graphs import GraphedStep, TensorSnapshot
from workbench.engine.data_parallel import ParallelNetwork, make_parallel_network
from workbench.engine.device import Precision
from workbench.engine.freezing import Backbone
from workbench.engine.lookahead import Lookahead, make_lookahead
from workbench.engine.nan_guard import NonFiniteGuard
from workbench.engine.optimizer import load_optimizer_state, make_optimizer, set_lr
from workbench.engine.process_group import SINGLE, ProcessGroup
from workbench.engine.rng_state import random_states, restore_random_states
from workbench.engine.running_sums import RunningSums
from workbench.engine.settings_history import SettingsHistory
from workbench.engine.sharded_tensors import full_state, full_tensor, is_sharded, load_weights, local_shard
from workbench.engine.state_content import (
    BestEpochContent,
    ProcessContent,
    StateDict,
    TrainingContent,
)
from workbench.engine.task import Task
from workbench.engine.torch_compat import has_batch_norm, relative_change, unwrapped_step
from workbench.engine.weight_average import make_average


@dataclass(frozen=True)
class BestEpoch:
    """The best evaluation so far by the monitored metric."""

    value: float
    """The monitored metric, oriented so that larger is better: a loss is negated."""
    loss: float
    step: int
    epoch: int

    def to_dict(self) -> BestEpochContent:
        """The content of a checkpoint's `best`."""
        return {"value": self.value, "loss": self.loss, "step": self.step, "epoch": self.epoch}

    @classmethod
    def from_dict(cls, content: BestEpochContent) -> BestEpoch:
        """The inverse of `to_dict`."""
        return cls(content["value"], content["loss"], content["step"], content["epoch"])

    def is_beaten_by(self, value: float, loss: float) -> bool:
        """Whether another epoch is better: by the metric, and for equal metrics by a lower loss."""
        return value > self.value or (value == self.value and loss < self.loss)


class TrainState:
    """Everything that training changes; all of it is stored in checkpoints.

    `step` counts optimizer steps done, `epoch` completed epochs, `position` batches done in this epoch, `stale` the
    epochs since the `best` one.
    """

    def __init__(
        self,
        backbone: Backbone,
        *,
        task: Task,
        precision: Precision,
        settings_history: SettingsHistory,
        sums: RunningSums,
        group: ProcessGroup = SINGLE,
    ) -> None:
        self.group = group
        self.module = module = backbone.module
        self.task, self.precision, self.settings_history = task, precision, settings_history
        self.settings = settings_history.at(0)
        self._backbone, self.sums = backbone, sums
        self.guard = NonFiniteGuard(precision.device, group=group)
        self._scaler = precision.scaler()
        self._parameters = list(module.parameters())
        self._is_sharded = is_sharded(module)
        self._create_optimizer()
        self.lookahead = Lookahead(module) if self.settings.lookahead else None
        self.average = make_average(module, self.settings)
        self.step = self.epoch = self.position = self.epochs_since_best = 0
        self.best: BestEpoch | None = None
        self.steps_per_epoch = 1
        self.lr = self.settings.lr
        self._merge_last_singleton = has_batch_norm(module)
        self._next_change: int | None = None
        self._step_snapshot: TensorSnapshot | None = None
        self.in_step = False
        """Whether a step is under way, so that an error was raised by the step itself."""
        self._num_frozen = 0
        self._side: int | None = None
        self.network: Callable[[Tensor], Tensor] = module
        """Computes the outputs in training: the module, or its compiled or parallel version."""
        self._parallel = make_parallel_network(module, group)
        if self._parallel is not None:
            self.network = self._parallel
        self.graphed_step: GraphedStep | None = None
        """Replays steps as a CUDA graph; `None` where they run eagerly."""

    @property
    def done(self) -> bool:
        """Whether all epochs are done, or early stopping ends the run."""
        return self.epoch >= self.settings.epochs or self.out_of_patience

    @property
    def out_of_patience(self) -> bool:
        """Whether early stopping ends the run before its last epoch."""
        patience = self.settings.patience
        return self.epoch < self.settings.epochs and 0 < patience <= self.epochs_since_best

    @property
    def progress(self) -> float:
        """Epochs done, including the fraction of the current one."""
        return self.epoch + self.position / self.steps_per_epoch

    @property
    def training_side(self) -> int | None:
        """The side of training images in this epoch; `None`: that of evaluated ones.

        By the settings at its first step: a change during an epoch applies from the next one on, also after a resume.
        """
        return training_side(self.settings_history.at(self.step - self.position), self.epoch)

    def begin_epoch(self, steps: int) -> None:
        """Start or continue an epoch of `steps` steps: training mode, stages frozen or not."""
        self.in_step = False
        self.steps_per_epoch = steps
        self.refresh_settings()
        if self.training_side != self._side:
            self._side = self.training_side
            self._invalidate_graph()
        num_frozen = self._backbone.num_frozen(self.epoch, self.settings)
        self._backbone.train(num_frozen)
        if num_frozen != self._num_frozen:
            self._num_frozen = num_frozen
            self._invalidate_graph()
            if self._parallel is not None:
                self._parallel.invalidate()

    def _invalidate_graph(self) -> None:
        if self.graphed_step is not None:
            self.graphed_step.invalidate()

    def refresh_settings(self) -> None:
        """Apply the settings in force at the current step."""
        before, self.settings = self.settings, self.settings_history.at(self.step)
        if before.micro_batch != self.settings.micro_batch:
            self._invalidate_graph()
        if not self._needs_grad_norm:
            self.sums.grad_norm.fill_(math.nan)
        self._next_change = self.settings_history.next_change(self.step)

    def replay(self, batch: Batch, *, measure_update: bool = False) -> bool:
        """Make the step with `batch` by replaying its CUDA graph; `False`, with nothing done, where there is none."""
        graph = self.graphed_step
        if graph is None or not graph.is_ready(batch):
            return False
        with self._update_measured(measure_update):
            graph.replay(batch)
        return True

    def zero_grad(self) -> None:
        """Discard all gradients."""
        for parameter in self._parameters:
            parameter.grad = None

    def mutated_tensors(self) -> list[Tensor]:
        """Every tensor that a step changes and the next one reads."""
        optimizer_state = [value for state in self.optimizer.state.values() for value in state.values()]
        tensors = [*self._parameters, *self.module.buffers(), *optimizer_state, *self.guard.tensors()]
        return [value for value in tensors if isinstance(value, Tensor)] + self.sums.tensors()

    def loss_sum(self) -> Tensor:
        """The sum of the losses not reported yet (a scalar on the device)."""
        return self.sums.loss

    def micro_batches(self, batch: Batch) -> Iterable[tuple[Batch, float | Tensor | None]]:
        """`batch` in micro-batches of `train.micro_batch`, each with its share in the loss of the batch.

        A batch that is computed as a whole has no share (`None`).
        """
        if batch.whole is not None and self._parallel is not None:
            return self._parallel_micro_batches(batch, batch.whole, self._parallel)
        size = self.settings.micro_batch or len(batch)
        if size >= len(batch):
            return [(batch, None)]
        micro_batches = [
            batch.slice(start, end)
            for start, end in batch_bounds(len(batch), size, self._merge_last_singleton)
        ]
        total_weight = self.task.loss_weight(batch.loss_targets)
        return [
            (micro_batch, self.task.loss_weight(micro_batch.loss_targets) / total_weight)
            for micro_batch in micro_batches
        ]

    def _parallel_micro_batches(
        self, batch: Batch, whole: WholeBatch, network: ParallelNetwork
    ) -> Iterator[tuple[Batch, float | Tensor]]:
        """The micro-batches of this process's part of a batch: equally many in every process.

        Their shares are those in the loss of the whole batch. The gradients are averaged once, by the last one.
        """
        smallest, largest = whole.part_sizes
        size = self.settings.micro_batch or largest
        count = max(1, min(-(-largest // size), smallest // (1 + self._merge_last_singleton)))
        bounds = [(len(batch) * i // count, len(batch) * (i + 1) // count) for i in range(count)]
        network.prepare(partial(self._compute_gradients, batch.slice(*bounds[0])), self.mutated_tensors())
        is_soft = batch.soft_targets is not None  # then each sample has the same weight
        total = len(whole.targets) if is_soft else self.task.loss_weight(whole.targets)
        for number, (start, end) in enumerate(bounds, 1):
            network.synchronize(number == count)
            micro_batch = batch.slice(start, end)
            weight = self.task.loss_weight(micro_batch.loss_targets) / total
            yield micro_batch, weight / whole.processes if whole.is_copied else weight

    def _compute_gradients(self, batch: Batch, network: Callable[[Tensor], Tensor]) -> None:
        """A forward and a backward pass without consequences, see `ParallelNetwork.prepare`."""
        with self.precision.autocast():
            self.task.loss(network(batch.inputs), batch.loss_targets).backward()

    def begin_step(self) -> None:
        """Apply the settings and the learning rate of the next step."""
        if self.step == self._next_change:
            self.refresh_settings()
        # Not `step`: a run resumed with another batch size has made a different number of steps for these epochs.
        done = self.epoch * self.steps_per_epoch + self.position
        self.lr = lr_at(done, self.settings, self.steps_per_epoch)
        set_lr(self.optimizer, self.lr, self.settings)
        self._step_snapshot = self._snapshot_before_step() if self.settings.auto_micro_batch else None
        self.in_step = True

    def forward(self, batch: Batch, share: float | Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Loss (a scalar) and outputs of a batch or micro-batch. On the CPU, raises `Diverged` for a bad loss.

        `share`: the share of a micro-batch in the loss of its batch. Its loss is multiplied by it, so that gradients
        and losses of all micro-batches add up to those of the batch.
        """
        with self.precision.autocast():
            outputs = self.network(batch.inputs)
            loss = self.task.loss(outputs, batch.loss_targets)
        self.guard.observe(loss, self.step + 1)
        return loss if share is None else loss * share, outputs

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of `loss`; of several processes, which then average them, each of its part of the loss."""
        if self.group.size > 1:
            loss = loss * self.group.size
        (loss if self._scaler is None else self._scaler.scale(loss * self.guard.nan_scale)).backward()

    def optimizer_step(self, *, measure_update: bool = False) -> None:
        """One optimizer step, with the gradients clipped to `train.max_grad_norm` if that is set.

        The update is measured here where the step is computed: the memory of its activations is free by now.
        """
        self.guard.skip_if_nonfinite()
        if self._needs_grad_norm:
            if self._scaler is not None:
                self._scaler.unscale_(self.optimizer)
            self.sums.grad_norm.copy_(self._clip_gradients())
        with self._update_measured(measure_update):
            if self._scaler is None:
                self._step_optimizer()
            else:
                self._scaler.step(self.optimizer)
                self._scaler.update()

    @contextmanager
    def _update_measured(self, measured: bool) -> Iterator[None]:
        """Compute the norm of the change inside the context, divided by that of the weights, if `measured`."""
        weights = [local_shard(p.detach()) for p in self._parameters if p.requires_grad] if measured else []
        before = [weight.clone() for weight in weights]
        yield
        if weights:
            add_up = self.group.sum if self._is_sharded else None
            self.sums.update_ratio.copy_(relative_change(before, weights, add_up))

    @property
    def _needs_grad_norm(self) -> bool:
        return self.settings.max_grad_norm > 0 or self.settings.log_grad_norm

    def _clip_gradients(self) -> Tensor:
        """Clip the gradients if that is set; returns their norm before it (a scalar)."""
        norm = full_tensor(nn.utils.get_total_norm([p.grad for p in self._parameters if p.grad is not None]))
        if self.settings.max_grad_norm:
            nn.utils.clip_grads_with_norm_(self._parameters, self.settings.max_grad_norm, norm)
        return norm

    def end_step(self, samples: int) -> None:
        """Count a completed step of this number of samples."""
        self.in_step, self._step_snapshot = False, None
        self.sums.end_step(samples)
        self.step += 1
        self.position += 1
        self._update_lookahead()
        if self.average is not None:
            ends_epoch = self.position == self.steps_per_epoch
            self.average.after_step(self.settings, self.epoch, ends_epoch=ends_epoch)

    def _update_lookahead(self) -> None:
        """Update Lookahead every `train.lookahead` steps and at the end of the run."""
        if self.lookahead is not None:
            done = self.progress / self.settings.epochs
            if self.step % self.settings.lookahead == 0 or done >= 1:
                self.lookahead.update(done)

    def _snapshot_before_step(self) -> TensorSnapshot:
        """What a step changes before its update: random states, running statistics of norms, and unreported sums."""
        return TensorSnapshot([*self.module.buffers(), *self.sums.tensors()])

    def undo_step(self) -> None:
        """Restore the state before the current, failed step; only where `train.auto_micro_batch` is on."""
        if self._step_snapshot is not None:
            self._step_snapshot.restore()

    def end_epoch(self, value: float | None, loss: float = math.nan) -> bool:
        """Count an epoch with the monitored `value` (larger is better); returns whether it is the best so far.

        For equal values the lower `loss` decides: on small validation sets many epochs are equal. `None`: there is no
        validation data, and thus no best epoch.
        """
        self.epoch += 1
        self.position = 0
        if value is None:
            self.epochs_since_best = 0
            return False
        is_best = not math.isnan(value) and (self.best is None or self.best.is_beaten_by(value, loss))
        if is_best:
            self.best = BestEpoch(value, loss, self.step, self.epoch)
        self.epochs_since_best = 0 if is_best else self.epochs_since_best + 1
        return is_best

    def state_dict(self) -> TrainingContent:
        """The state for a checkpoint, to be copied before the next step. Raises `Diverged` after a bad loss.

        Of a sharded module, the writer has the full tensors, and the other processes have none.
        """
        self.guard.check(self.step)
        sums, random = self.sums.state_dict(), random_states()
        ranks = self.group.gather(ProcessContent(random=random, sums=sums["device"]))
        content: TrainingContent = {
            "v": 1,
            "model": self.module.state_dict(),
            "optimizer": {"name": self.settings.optimizer, **self.optimizer.state_dict()},
            "lookahead": None if self.lookahead is None else self.lookahead.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "scaler": None if self._scaler is None else self._scaler.state_dict(),
            "step": self.step,
            "epoch": self.epoch,
            "position": self.position,
            "best": None if self.best is None else self.best.to_dict(),
            "stale": self.epochs_since_best,
            "sums": sums,
            "random": random,
        }
        if self.group.size > 1:
            loss, correct = (sum(rank["sums"][i] for rank in ranks) for i in (0, 1))
            content["sums"] = {**sums, "device": [loss, correct, *sums["device"][2:]]}
            content["ranks"] = ranks
        return full_state(content, keep=self.group.is_writer) if self._is_sharded else content

    def load_state_dict(self, state: TrainingContent) -> list[str]:
        """Restore the state of a checkpoint; returns one line for each part that could not be restored exactly."""
        self.guard.reset()
        self._invalidate_graph()
        self.step, self.epoch, self.position = state["step"], state["epoch"], state["position"]
        best = state["best"]
        self.best, self.epochs_since_best = (
            None if best is None else BestEpoch.from_dict(best),
            state["stale"],
        )
        ranks = state.get("ranks") or []
        own = ranks[self.group.rank] if len(ranks) == self.group.size > 1 else None
        self.sums.load_state_dict(state["sums"], None if own is None else own["sums"])
        load_weights(self.module, state["model"])
        self.settings = self.settings_history.at(self.step)
        self._create_optimizer()
        self.lookahead = make_lookahead(state.get("lookahead"), self.settings.lookahead, self.module)
        self.average = make_average(self.module, self.settings, state.get("average"))
        notes = self._load_optimizer_state(state["optimizer"])
        if self._scaler is not None and state["scaler"] is not None:
            self._scaler.load_state_dict(state["scaler"])
        if own is None and not self.group.is_writer:
            return notes  # the random numbers of each process are its own
        random_note = restore_random_states(state["random"] if own is None else own["random"])
        return notes if random_note is None else [*notes, random_note]

    def _create_optimizer(self) -> None:
        head = self._backbone.head
        self.optimizer = make_optimizer(self.module, self.settings, self.precision.device, head)
        step = unwrapped_step(self.optimizer)
        # A scaler skips updates by itself, by their gradients.
        plain = self._scaler is None
        parts = [local_shard(parameter) for parameter in self._parameters]
        self._step_optimizer = self.guard.wrap_step(self.optimizer, step, parts) if plain else step

    def _load_optimizer_state(self, state: StateDict) -> list[str]:
        """Load the optimizer's state, with the hyperparameters of the current settings."""
        if state["name"] == self.settings.optimizer and load_optimizer_state(self.optimizer, state):
            return []
        return ["the optimizer changed, so its state (momentum, moments) starts from zero"]
