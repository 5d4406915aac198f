"""Starting several runs as one group, for the command line and the screen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from workbench.config.variants import Variant
from workbench.core.errors import UserError
from workbench.launcher import launch
from workbench.launcher.queue import QueueOptions, check_memory
from workbench.runs.records import Notes
from workbench.runs.run_folder import RunFolder
from workbench.runs.store import RunSummary, Store


def queue_group(
    variants: Sequence[Variant], launcher: str, store: Store, *, notes: Notes, queue: QueueOptions,
    max_hours: float = 0.0,
) -> list[RunFolder]:  # fmt: skip
    """Queue the runs, in their order, with the group and the tags in `notes`; all of them or none. Raises `UserError`.

    Only if one can't be queued after all (a full disk), runs before it may have started already: they continue, and
    the error names them.
    """
    check_memory(queue)
    for variant in variants:
        launch.check_experiment(variant.experiment)
    folders: list[RunFolder] = []
    try:
        for variant in variants:
            folders.append(
                launch.start_run(
                    variant.experiment, launcher, store.root, notes=notes, queue=queue, max_hours=max_hours
                )
            )
    except (UserError, OSError) as error:
        name = variants[len(folders)].experiment.name
        started = [folder.id for folder in reversed(folders) if not launch.discard_queued(folder)]
        kept = f"of its group only {', '.join(reversed(started))} started" if started else "nothing is queued"
        raise UserError(f"{name} can't be queued: {error}; {kept}") from error
    return folders


def free_group(name: str, runs: Iterable[RunSummary]) -> str:
    """`name`, or with a number behind it if some of the runs have that group already."""
    used = {row.group for row in runs}
    numbered = (name if number == 1 else f"{name}-{number}" for number in range(1, len(used) + 2))
    return next(group for group in numbered if group not in used)
