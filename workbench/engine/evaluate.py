"""Evaluation of a model on one split: overall metrics, metrics per class, and the prediction for each sample."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workbench.engine.batches import Batch, sequential_batches
from workbench.engine.data_placement import PlacedSplit
from workbench.engine.device import Precision
from workbench.engine.process_group import SINGLE, ProcessGroup
from workbench.engine.sharded_tensors import is_sharded
from workbench.engine.task import Task, reshape_like
from workbench.models.outputs import loss_outputs, probabilities
from workbench.models.top_k import top_k
from workbench.runs.evaluation import TOP_K, ClassifiedSamples, Evaluation, classification_evaluation

EVAL_BATCH_BYTES = 32_000_000
"""Size of one batch's inputs: large enough to keep any device busy, small enough for its memory."""


def evaluate(
    module: nn.Module,
    placed_split: PlacedSplit,
    task: Task,
    *,
    split: str,
    classes: Sequence[str],
    precision: Precision,
    after_batch: Callable[[], None] = lambda: None,
    batch_size: int | None = None,
    tta: str = "none",
    group: ProcessGroup = SINGLE,
) -> Evaluation:
    """Evaluate `module` on all samples of `placed_split`, in evaluation mode, without gradients.

    The loss is the plain cross-entropy (or squared error) whatever the training loss is, so that runs with different
    loss settings can be compared. `after_batch` is called after each batch, and may raise to abort. The mode of the
    module is restored. With test-time augmentation (`tta`, as `train.tta`), `scores` also has `tta_accuracy`; all
    other scores are without it. Each process of `group` computes a part of the samples, with the writer's running
    statistics; all return the evaluation of all samples.
    """
    size = batch_size or eval_batch_size(placed_split)
    collector = _OutputCollector(placed_split, size, precision, after_batch, group)
    group.broadcast_tensors(module.buffers())
    with evaluation_mode(module):
        outputs = collector.outputs(module)
    targets = placed_split.targets.cpu()
    if task.name == "regression":
        return _regression(outputs, targets, split)
    exact = outputs.double()
    loss = F.cross_entropy(loss_outputs(module, exact), targets)
    evaluation = _classification(
        outputs, probabilities(module, exact), targets, loss, split=split, classes=classes
    )
    if tta != "none":
        with evaluation_mode(module):
            averaged = collector.outputs(with_tta(module, tta))
        evaluation.scores["tta_accuracy"] = _accuracy(averaged, targets)
    return evaluation


def eval_batch_size(placed_split: PlacedSplit, limit: int = 0) -> int:
    """The batch size of an evaluation, at most 1,024 and at most `limit` (0: no limit)."""
    size = max(1, min(1024, EVAL_BATCH_BYTES // placed_split.sample_bytes))
    return min(size, limit) if limit else size


def with_tta(module: Callable[[Tensor], Tensor], how: str) -> Callable[[Tensor], Tensor]:
    """`module` with test-time augmentation: its outputs are averaged over several views of an image.

    `how`, as `train.tta` but not `none`. `mirror`: the image and its mirror image. `translate`: half the weight on
    those two, half on the same two of the image moved by one pixel to the upper left and to the lower right with
    reflected borders (airbench94; Jordan, arXiv:2404.00498, section 3.5). Inputs: float [N, C, H, W].
    """

    def mirrored(x: Tensor) -> Tensor:
        return (module(x) + module(x.flip(-1))) / 2

    def moved(x: Tensor) -> Tensor:
        padded = F.pad(x, (1, 1, 1, 1), "reflect")
        return mirrored(x) / 2 + (mirrored(padded[..., :-2, :-2]) + mirrored(padded[..., 2:, 2:])) / 4

    return mirrored if how == "mirror" else moved


@contextmanager
def evaluation_mode(module: nn.Module) -> Iterator[None]:
    """Put `module` into evaluation mode without gradients; the mode of each submodule is restored afterwards."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        # FSDP would reuse for training what it has gathered in inference mode.
        with torch.no_grad() if is_sharded(module) else torch.inference_mode():
            yield
    finally:
        for part, mode in modes:
            part.training = mode


class _OutputCollector:
    """Computes the outputs of modules for all samples of a split."""

    def __init__(
        self,
        placed_split: PlacedSplit,
        size: int,
        precision: Precision,
        after_batch: Callable[[], None],
        group: ProcessGroup,
    ) -> None:
        self._precision, self._after_batch, self._count = precision, after_batch, len(placed_split)
        # So few samples that a process would have none are computed by each of them.
        self._group = group if len(placed_split) >= group.size else SINGLE
        self._batches = sequential_batches(placed_split, size, self._group)
        largest_part = -(-len(placed_split) // self._group.size)
        self._rounds = -(-largest_part // size)
        """Batches of the process that has most: all compute so many, as FSDP and `after_batch` exchange messages."""

    def outputs(self, module: Callable[[Tensor], Tensor]) -> Tensor:
        """The outputs of `module` for all samples: float32 [N, ...] on the CPU."""
        collected = []
        for batch in self._padded_batches():
            with self._precision.autocast():
                outputs = module(batch.inputs)
            collected.append(outputs.float())
            self._after_batch()
        return self._group.gather_rows(torch.cat(collected[: len(self._batches)]).cpu(), self._count)

    def _padded_batches(self) -> Iterator[Batch]:
        """The batches of this process; the last one is repeated where others have more."""
        for batch in self._batches.iter_from(0):
            yield batch
        for _ in range(self._rounds - len(self._batches)):
            yield batch


def _classification(
    outputs: Tensor,
    class_probabilities: Tensor,
    targets: Tensor,
    loss: Tensor,
    *,
    split: str,
    classes: Sequence[str],
) -> Evaluation:
    """The evaluation of `outputs` [N, classes]; `class_probabilities`, float64 [N, classes]; `loss`, a scalar."""
    top = top_k(outputs, TOP_K).indices
    true, predicted = (class_probabilities.gather(1, index[:, None])[:, 0] for index in (targets, top[:, 0]))
    samples = ClassifiedSamples(targets.numpy(), top.numpy(), true.numpy(), predicted.numpy())
    return classification_evaluation(split, classes, samples, float(loss))


def _accuracy(outputs: Tensor, targets: Tensor) -> float:
    return int((outputs.argmax(1) == targets).sum()) / len(targets)


def _regression(outputs: Tensor, targets: Tensor, split: str) -> Evaluation:
    predictions = reshape_like(outputs, targets).double().reshape(len(targets), -1)
    expected = targets.double().reshape(len(targets), -1)
    error = predictions - expected
    mse = float((error**2).mean())
    spread = ((expected - expected.mean(0)) ** 2).sum(0)
    r2 = (1 - (error**2).sum(0) / spread).mean()
    records = np.zeros(
        len(targets),
        [
            ("index", "<u4"),
            ("target", "<f4", (predictions.shape[1],)),
            ("output", "<f4", (predictions.shape[1],)),
        ],
    )
    records["index"] = np.arange(len(targets))
    records["target"], records["output"] = expected.numpy(), predictions.numpy()
    scores = {"loss": mse, "mse": mse, "mae": float(error.abs().mean()), "r2": float(r2)}
    return Evaluation(split, len(targets), scores, records)
