"""The layers of a model, as plain records. Imports no torch, so that the screen can read them."""

from __future__ import annotations

import msgspec


class LayerRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One layer, in the order of the forward pass."""

    name: str
    """Its path in the module: `body.0`."""
    kind: str
    """Its class: `Conv2d`."""
    output_shape: tuple[int, ...]
    """Without the batch dimension; () where the output is not a tensor, or the layer was not called."""
    parameters: int
    """Its own; 0 where they were counted with an earlier layer."""
    trainable: int
    """Parameters of these that training changes."""
