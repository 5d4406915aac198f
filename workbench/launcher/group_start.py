"""Starting several runs as one group, for the command line and the screen."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.config.variants import Variant
from workbench.launcher import launch
from workbench.launcher.queue import QueueOptions
from workbench.runs.records import Notes
from workbench.runs.run_folder import RunFolder
from workbench.runs.store import Store


def queue_group(
    variants: Sequence[Variant], launcher: str, store: Store, *, notes: Notes, queue: QueueOptions,
    max_hours: float = 0.0,
) -> list[RunFolder]:  # fmt: skip
    """Queue the runs, in their order, with the group and the tags in `notes`. Raises `UserError`."""
    return [
        launch.start_run(
            variant.experiment, launcher, store.root, notes=notes, queue=queue, max_hours=max_hours
        )
        for variant in variants
    ]


def free_group(name: str, store: Store) -> str:
    """`name`, or with a number behind it if runs have that group already."""
    used = {row.group for row in store.list_runs()}
    numbered = (name if number == 1 else f"{name}-{number}" for number in range(1, len(used) + 2))
    return next(group for group in numbered if group not in used)
