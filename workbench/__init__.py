"""workbench: a keyboard-driven terminal workbench for training image classifiers with PyTorch over SSH.

A script of one's own logs to a run with the functions of this module; importing it costs next to nothing:

    import workbench

    run = workbench.init(name="baseline", config={"lr": 0.1})
    for step in range(1000):
        run.log({"loss": loss, "val/accuracy": accuracy})
    run.finish()
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.tracking.api import finish, init, log

__all__ = ["finish", "init", "log"]


def __getattr__(name: str) -> Any:
    """The functions above, which are imported with their first use."""
    if name in __all__:
        return getattr(import_module("workbench.tracking.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
