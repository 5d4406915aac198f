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


def restore_random_states(states: RandomStates) -> None:
    """Restore earlier `random_states()`, for those devices that are present in the same number."""
    torch.set_rng_state(states["cpu"])
    cuda = states.get("cuda") or []
    if cuda and torch.cuda.is_available() and torch.cuda.device_count() == len(cuda):
        torch.cuda.set_rng_state_all(cuda)
    if "mps" in states and torch.backends.mps.is_available():
        torch.mps.set_rng_state(states["mps"])
