"""The layers of a model with their output shapes and parameter counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from workbench.models.layer_row import LayerRow


def summarize(module: nn.Module, input_shape: Sequence[int]) -> list[LayerRow]:
    """The layers (modules without children) in the order of a forward pass of zeros of `input_shape` (with the batch).

    A layer that is called twice has two rows, with its parameters in the first; parameters of a module with children
    have a row of their own. The training mode and the random states are unchanged.
    """
    rows: list[LayerRow] = []
    counted: set[int] = set()
    handles = [
        layer.register_forward_hook(_recorder(name, rows, counted))
        for name, layer in module.named_modules()
        if not list(layer.children())
    ]
    training = module.training
    device = next((p.device for p in module.parameters()), torch.device("cpu"))
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            module.eval()
            module(torch.zeros(tuple(input_shape), device=device))
    finally:
        module.train(training)
        for handle in handles:
            handle.remove()
    return rows + _remaining_parameters(module, counted)


def _recorder(name: str, rows: list[LayerRow], counted: set[int]) -> Any:
    def record(layer: nn.Module, _: Any, output: Any) -> None:
        shape = tuple(output.shape[1:]) if isinstance(output, Tensor) else ()
        rows.append(LayerRow(name, type(layer).__name__, shape, *_count(layer.parameters(), counted)))

    return record


def _remaining_parameters(module: nn.Module, counted: set[int]) -> list[LayerRow]:
    """Rows for parameters that no layer call has counted (class tokens, scales, unused layers)."""
    rows = []
    for name, layer in module.named_modules():
        total, trainable = _count(layer.parameters(recurse=False), counted)
        if total:
            rows.append(LayerRow(name, type(layer).__name__, (), total, trainable))
    return rows


def _count(parameters: Any, counted: set[int]) -> tuple[int, int]:
    new = [p for p in parameters if id(p) not in counted]
    counted.update(id(p) for p in new)
    return sum(p.numel() for p in new), sum(p.numel() for p in new if p.requires_grad)
