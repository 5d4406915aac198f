"""Drop path: the probability with which torchvision's models leave out their blocks in training."""

from __future__ import annotations

from torch import nn


def set_drop_path(module: nn.Module, probability: float) -> bool:
    """Set the probability of the last block with stochastic depth; returns whether there is one.

    The others keep their proportion to it; where the model has none, they rise linearly from 0.
    """
    from torchvision.ops import StochasticDepth  # noqa: PLC0415 - takes half a second, which few runs need

    layers = [part for part in module.modules() if isinstance(part, StochasticDepth)]
    largest = max((layer.p for layer in layers), default=0.0)
    for index, layer in enumerate(layers):
        share = layer.p / largest if largest else index / max(1, len(layers) - 1)
        layer.p = probability * share
    return bool(layers)
