"""Trying a module without changing it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import nn
from torch.nn.parameter import is_lazy


@contextlib.contextmanager
def trial_mode(module: nn.Module, *, training: bool) -> Iterator[None]:
    """Put a module into training or evaluation mode; modes, buffers and random states are restored at the end.

    Lazy layers keep the parameters that they get meanwhile.
    """
    modes = [(part, part.training) for part in module.modules()]
    buffers = {key: value.clone() for key, value in module.named_buffers() if not is_lazy(value)}
    with torch.random.fork_rng(devices=[]):
        module.train(training)
        try:
            yield
        finally:
            for part, mode in modes:
                part.training = mode
            with torch.no_grad():
                for key, value in module.named_buffers():
                    if key in buffers:
                        value.copy_(buffers[key])
