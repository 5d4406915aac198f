"""Saving and restoring the random generators that training uses."""

from __future__ import annotations

from typing import NotRequired, TypedDict

import torch
from torch import Tensor


class RandomStates(TypedDict):
    """The states of torch's random generators."""

    cpu: Tensor
    cuda: NotRequired[list[Tensor]]
    mps: NotRequired[Tensor]


def random_states() -> RandomStates:
    """The states of all random generators that training uses."""
    states: RandomStates = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        states["cuda"] = torch.cuda.get_rng_state_all()
    if torch.backends.mps.is_available():
        states["mps"] = torch.mps.get_rng_state()
    return states


def restore_random_states(states: RandomStates) -> str | None:
    """Restore earlier `random_states()`; one line where GPUs are present, but in another number than then."""
    torch.set_rng_state(states["cpu"])
    if "mps" in states and torch.backends.mps.is_available():
        torch.mps.set_rng_state(states["mps"])
    cuda = states.get("cuda") or []
    present = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if cuda and present == len(cuda):
        torch.cuda.set_rng_state_all(cuda)
    elif cuda and present:
        # Which of them is the one that computed is not known.
        return f"{present} visible GPUs instead of {len(cuda)}, so their random numbers start anew"
    return None
