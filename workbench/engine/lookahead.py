"""The Lookahead optimizer wrapper: every k steps, the weights are set to a moving average of themselves."""

from __future__ import annotations

from torch import Tensor, nn

from workbench.engine.sharded_tensors import local_shard, shard_like
from workbench.engine.torch_compat import copy_tensors_, lerp_tensors_

FINAL_RETENTION = 0.95**5
"""Share of the slow weights that is kept per update at the end of the run; before, times the cube of the progress."""


class Lookahead:
    """Slow weights beside the fast ones that the optimizer updates.

    At each update the slow weights move towards the fast ones, and the fast ones are set to them (Zhang et al.,
    arXiv:1907.08610), with a decay that grows during the run as in hlb-CIFAR10 and airbench94 (Jordan,
    arXiv:2404.00498). Running statistics of batch norms are averaged as well.
    """

    def __init__(self, module: nn.Module) -> None:
        values = [value for value in module.state_dict().values() if value.is_floating_point()]
        self._values = [value.clone() for value in values]
        # Of a module that is sharded over processes, the shards of this one.
        self._fast, self._slow = ([local_shard(value) for value in each] for each in (values, self._values))

    def update(self, progress: float) -> None:
        """Synchronize both at `progress` of the run (0 to 1); at 1 the fast weights become the slow ones, unmixed."""
        if progress < 1:
            lerp_tensors_(self._slow, self._fast, 1 - FINAL_RETENTION * progress**3)
        copy_tensors_(self._fast, self._slow)

    def state_dict(self) -> list[Tensor]:
        """The slow weights, not copied."""
        return self._values

    def load_state_dict(self, slow: list[Tensor]) -> None:
        """Copy the slow weights of a checkpoint."""
        for value, before in zip(self._values, slow, strict=True):
            local_shard(value).copy_(local_shard(shard_like(before, value)))


def make_lookahead(slow: list[Tensor] | None, every: int, module: nn.Module) -> Lookahead | None:
    """A `Lookahead` with the slow weights of a checkpoint, or the module's weights without; `None` if `every` is 0."""
    if not every:
        return None
    lookahead = Lookahead(module)
    if slow is not None:
        lookahead.load_state_dict(slow)
    return lookahead
