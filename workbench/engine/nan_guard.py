"""Detection of a NaN or infinite loss, and protection of the weights from it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.optim import Optimizer

from workbench.core.errors import NonFiniteLoss
from workbench.engine.process_group import SINGLE, ProcessGroup
from workbench.engine.torch_compat import attach_found_inf, copy_tensors_


class Diverged(NonFiniteLoss):
    """The loss or a weight became NaN or infinite at `step`; `what` describes which, in a few words."""

    def __init__(self, what: str, step: int) -> None:
        super().__init__(f"{what} at step {step}; the last good checkpoint is kept; try a lower train.lr")
        self.what, self.step = what, step


class NonFiniteGuard:
    """Prevents the optimizer update of a step with a NaN or infinite loss, and all updates after it.

    On the CPU every loss is checked at once. On other devices (`deferred`) that would synchronize host and device in
    each step: a flag on the device suppresses and counts the updates instead, until `check` reads the count. So it is
    with several processes, where a bad loss of one of them suppresses the update of all.
    """

    def __init__(
        self, device: torch.device, *, deferred: bool | None = None, group: ProcessGroup = SINGLE
    ) -> None:
        self.deferred = device.type != "cpu" or group.size > 1 if deferred is None else deferred
        self._group = group
        self.found_inf = torch.zeros((), device=device)
        """1 while updates are skipped, else 0: the `found_inf` of PyTorch's fused optimizers (float32 scalar)."""
        self._nan_marker = torch.zeros((), device=device)
        self._zero = torch.zeros((), device=device)
        self._skipped = torch.zeros((), dtype=torch.int64, device=device)

    def reset(self) -> None:
        """Forget any NaN or infinite loss seen so far."""
        for value in self.tensors():
            value.zero_()

    def tensors(self) -> list[Tensor]:
        """The tensors on the device that change from step to step."""
        return [self.found_inf, self._nan_marker, self._skipped]

    def observe(self, loss: Tensor, step: int) -> None:
        """Check the loss (a scalar) of step number `step`. Raises `Diverged` if it is bad, unless that is deferred."""
        if self.deferred:
            # 0 times a finite loss is 0, 0 times infinity or NaN is NaN; and a sum with NaN stays NaN.
            self._nan_marker.addcmul_(loss.detach(), self._zero)
        elif not math.isfinite(value := loss.item()):
            raise Diverged(f"the loss became {'NaN' if math.isnan(value) else 'infinite'}", step)

    @property
    def nan_scale(self) -> Tensor:
        """1, or NaN while updates are skipped: a `GradScaler` skips the gradients of a loss multiplied by NaN."""
        return 1 + self._nan_marker

    def skip_if_nonfinite(self) -> None:
        """Before an update: mark it as skipped if a loss was NaN or infinite, in any process."""
        if self.deferred:
            self._group.sum(self._nan_marker)
            torch.ne(self._nan_marker, self._nan_marker, out=self.found_inf)
            self._skipped.add_(self.found_inf.long())

    def check(self, step: int) -> None:
        """Raise `Diverged` with the first bad step if updates were skipped; `step`: steps done so far.

        Synchronizes with the device.
        """
        if self.deferred and (skipped := int(self._skipped)):
            raise Diverged("the loss became NaN or infinite", step - skipped + 1)

    def wrap_step(
        self, optimizer: Optimizer, step: Callable[[], None], parameters: Sequence[Tensor]
    ) -> Callable[[], None]:
        """The optimizer's `step`, changed so that it leaves `parameters` unchanged while updates are skipped."""
        if not self.deferred:
            return step
        if attach_found_inf(optimizer, self.found_inf):
            return step
        previous = [torch.empty_like(p) for p in parameters]

        def run() -> None:
            with torch.no_grad():
                copy_tensors_(previous, list(parameters))
                step()
                for parameter, before in zip(parameters, previous, strict=True):
                    torch.where(self.found_inf > 0, before, parameter, out=parameter)

        return run
