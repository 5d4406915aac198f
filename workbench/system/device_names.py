"""The names of devices in settings."""

from __future__ import annotations

from collections.abc import Sequence


def device_names(device: str) -> tuple[str, ...]:
    """The devices of `train.device`, of which several have commas between their numbers: `cuda:0,1`."""
    kind, _, numbers = device.partition(":")
    return tuple(f"{kind}:{number}" for number in numbers.split(",")) if "," in numbers else (device,)


def join_names(names: Sequence[str]) -> str:
    """The inverse: `cuda:0,1`; other names have a comma and a space between them."""
    parts = [name.partition(":") for name in names]
    if len({kind for kind, _, _ in parts}) == 1 and all(number for _, _, number in parts):
        return f"{parts[0][0]}:{','.join(number for _, _, number in parts)}"
    return ", ".join(names)
