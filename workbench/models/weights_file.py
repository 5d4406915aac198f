"""Weights of a file of any tool, loaded into the module that they fit."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from workbench.io import torch_files
from workbench.models.loaded_weights import LoadedWeights, WeightsMatch, match_weights


def read_matching_weights(module: nn.Module, path: Path) -> tuple[WeightsMatch, dict[str, Tensor]]:
    """The tensors of a file by their names in `module`, and where they were found in the file. Raises `UserError`."""
    tables, expected = torch_files.load_weight_tables(path), torch_files.shapes_of(module.state_dict())
    entries = {entry: torch_files.shapes_of(table) for entry, table in tables.items()}
    match = match_weights(entries, expected, str(path))
    return match, {inner: tables[match.entry][original] for inner, original in match.names.items()}


def load_weights_file(module: nn.Module, path: Path) -> LoadedWeights:
    """Load the weights in a file into a custom model; a head of another size (other classes) is left as it is.

    Returns what was loaded. Raises `UserError` if they do not fit.
    """
    match, tensors = read_matching_weights(module, path)
    expected = torch_files.shapes_of(module.state_dict())
    head = head_names(module)
    in_head = tuple(f"{name}." for name in head)
    if all(
        tensors[name].shape == expected[name]
        for name in tensors.keys() & expected
        if name.startswith(in_head)
    ):
        head = ()
    torch_files.load_into(module, tensors, str(path), head)
    return match.loaded(expected, head, str(path))


def head_names(module: nn.Module) -> tuple[str, ...]:
    """The name of the last dense or convolutional layer, which is the head in all architectures of torchvision."""
    kinds = (nn.Linear, nn.Conv2d)
    names = [name for name, layer in module.named_modules() if isinstance(layer, kinds) and name]
    return (names[-1],) if names else ()
