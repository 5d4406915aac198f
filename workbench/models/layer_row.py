"""The layers of a model, as plain records. Does not import torch, so that the UI can read them."""

from __future__ import annotations

import msgspec


class LayerRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One layer, in the order of the forward pass."""

    name: str
    """Its path in the module: `body.0`."""
    kind: str
    """Its class: `Conv2d`."""
    output_shape: tuple[int, ...]
    """Without the batch dimension; () if the output is not a tensor, or the layer was not called."""
    parameters: int
    """The number of its own parameters; 0 if they were counted with an earlier layer."""
    trainable: int
    """The number of those that are trainable."""
