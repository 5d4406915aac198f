"""The stages of a network, from its input to its head: what layer-wise learning rates and unfreezing go by."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

MIN_STAGES = 4
"""Containers are opened until there are so many stages, where there can be."""


def in_head(name: str, head: Sequence[str]) -> bool:
    """Whether a parameter or module is in the head, which is given by prefixes of names."""
    return any(name == prefix or name.startswith(prefix.rstrip(".") + ".") for prefix in head)


def stages_of(module: nn.Module, head: Sequence[str]) -> list[list[str]]:
    """The names of the parameters of each stage outside the head, in the order in which the parts were registered.

    The stages are the parts of the network; while there are fewer than four with weights, the part with most layers is
    replaced by its own parts (the `features` of a ConvNeXt, the encoder and then the layers of a vision transformer).
    A part without weights of two or more dimensions, such as a norm, belongs to the stage before it; a parameter that
    is in no part (a class token), to the first stage.
    """
    parts = _children("", module)
    while len([part for part in parts if _layers(*part, head)]) < MIN_STAGES:
        index = max(range(len(parts)), key=lambda i: _layers(*parts[i], head), default=None)
        if index is None or _layers(*parts[index], head) < 2 or not _children(*parts[index]):
            break
        parts[index : index + 1] = _children(*parts[index])
    stages: list[list[str]] = []
    placed: set[str] = set()
    for prefix, part in parts:
        names = [name for name in _names(prefix, part) if not in_head(name, head) and name not in placed]
        placed.update(names)
        if names and (not stages or _layers(prefix, part, head)):
            stages.append(names)
        elif names:
            stages[-1] += names
    rest = [name for name, _ in module.named_parameters() if name not in placed and not in_head(name, head)]
    if not stages:
        return [rest] if rest else []
    return [[*rest, *stages[0]], *stages[1:]]


def _children(prefix: str, module: nn.Module) -> list[tuple[str, nn.Module]]:
    """The parts of a part that have parameters, by the prefixes of their names."""
    return [(f"{prefix}{name}.", part) for name, part in module.named_children() if list(part.parameters())]


def _names(prefix: str, part: nn.Module) -> list[str]:
    return [prefix + name for name, _ in part.named_parameters()]


def _layers(prefix: str, part: nn.Module, head: Sequence[str]) -> int:
    """How many layers with weights of two or more dimensions a part has outside the head."""
    return sum(p.ndim > 1 and not in_head(prefix + name, head) for name, p in part.named_parameters())
