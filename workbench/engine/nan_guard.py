"""Keeps updates away from weights once a loss was no number."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.optim import Optimizer

from workbench.core.errors import NonFiniteLoss


class Diverged(NonFiniteLoss):
    """The loss, or a weight, became NaN or infinite at `step`; `what` says so in a few words."""

    def __init__(self, what: str, step: int) -> None:
        super().__init__(f"{what} at step {step}; the last good checkpoint is kept: try a lower train.lr")
        self.what, self.step = what, step


class Guard:
    """Sees to it that no update is made with a loss that is no number, nor any update after it.

    On the CPU every loss is read. Elsewhere (`deferred`) reading one would make the host wait for the device: a
    flag on the device holds back the updates instead, and counts them, until `check` reads how many.
    """

    def __init__(self, device: torch.device, *, deferred: bool | None = None) -> None:
        self.deferred = device.type != "cpu" if deferred is None else deferred
        self.held = torch.zeros((), device=device)
        """1 while updates are held back, else 0: what torch's fused optimizers take as `found_inf`."""
        self._poison = torch.zeros((), device=device)
        self._zero = torch.zeros((), device=device)
        self._count = torch.zeros((), dtype=torch.int64, device=device)

    def begin(self) -> None:
        """All is well from here on."""
        for value in self.tensors():
            value.zero_()

    def tensors(self) -> list[Tensor]:
        """What it keeps on the device from step to step."""
        return [self.held, self._poison, self._count]

    def watch(self, loss: Tensor, step: int) -> None:
        """Look at a loss of step number `step`. On the CPU, raises `Diverged` where it is no number."""
        if self.deferred:
            # 0 times anything is 0, but NaN times infinity or NaN; what is added stays.
            self._poison.addcmul_(loss.detach(), self._zero)
        elif not math.isfinite(value := loss.item()):
            raise Diverged(f"the loss became {'NaN' if math.isnan(value) else 'infinite'}", step)

    @property
    def factor(self) -> Tensor:
        """1, or NaN while updates are held back: a loss times this has gradients that a `GradScaler` passes over."""
        return 1 + self._poison

    def hold(self) -> None:
        """Before an update: hold it back if a loss was no number."""
        if self.deferred:
            torch.ne(self._poison, self._poison, out=self.held)
            self._count.add_(self.held.long())

    def check(self, step: int) -> None:
        """Raise `Diverged` with the step that began it if updates were held back by now, `step` steps done.

        Reads the device.
        """
        if self.deferred and (held := int(self._count)):
            raise Diverged("the loss became NaN or infinite", step - held + 1)

    def guarded(
        self, optimizer: Optimizer, step: Callable[[], None], parameters: Sequence[Tensor]
    ) -> Callable[[], None]:
        """The optimizer's `step`, which leaves `parameters` as they are while updates are held back."""
        if not self.deferred:
            return step
        if getattr(optimizer, "_step_supports_amp_scaling", False):
            vars(optimizer)["found_inf"] = self.held
            return step
        kept = [torch.empty_like(p) for p in parameters]

        def run() -> None:
            with torch.no_grad():
                torch._foreach_copy_(kept, list(parameters))
                step()
                for parameter, before in zip(parameters, kept, strict=True):
                    torch.where(self.held > 0, before, parameter, out=parameter)

        return run
