"""workbench: a keyboard-driven terminal workbench for training image classifiers with PyTorch over SSH.

A script of one's own logs to a run with the functions of this module; importing it costs next to nothing:

    import workbench

    run = workbench.init(name="baseline", config={"lr": 0.1})
    for step in range(1000):
        run.log({"loss": loss, "val/accuracy": accuracy})
    run.finish()
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.tracking.run import Run

TRACKER = "workbench.tracking.api"
"""Imported by the first call, not with this package."""

__all__ = ["finish", "init", "log"]


def init(
    project: str = "",
    *,
    name: str = "",
    group: str = "",
    tags: Sequence[str] = (),
    config: object = None,
    notes: str = "",
    mode: str = "",
    all_ranks: bool = False,
    **_: Any,
) -> Run:
    """Start to log, and return the run.

    Under `workbench run` it is that run, else a new one, which ends with the script. `config`: settings as a mapping,
    a namespace or a dataclass. `mode`: `disabled` records nothing. Of several processes that train together (RANK,
    SLURM_PROCID) only the first one records, unless `all_ranks`. `project`, and other arguments of other trackers, are
    accepted and ignored. It does not raise: where nothing can be recorded, it says so once.
    """
    api = import_module(TRACKER)
    run: Run = api.init(
        name, group=group or "", tags=tags or (), config=config, notes=notes or "", mode=mode or "",
        all_ranks=all_ranks,
    )  # fmt: skip
    return run


def log(values: Mapping[str, object], step: int | None = None, **more: Any) -> None:
    """Log numbers by name to the current run, or to a new one, see `Run.log`."""
    api = import_module(TRACKER)
    api.active_run().log(values, step, **more)


def finish(exit_code: int = 0, **_: Any) -> None:
    """End the current run, if there is one."""
    api = import_module(TRACKER)
    if (run := api.current_run()) is not None:
        run.finish(exit_code or 0)
