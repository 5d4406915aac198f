"""Starting several runs as one group, for the command line and the screen."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence

from msgspec.structs import replace

from workbench.config.process_count import process_count
from workbench.config.variants import Variant
from workbench.core.errors import UserError
from workbench.launcher import launch
from workbench.launcher.queue import QueueOptions, check_memory
from workbench.launcher.slurm import submit_array
from workbench.launcher.slurm_script import SlurmOptions
from workbench.runs.records import Notes
from workbench.runs.run_folder import RunFolder
from workbench.runs.store import RunSummary, Store


def queue_group(
    variants: Sequence[Variant], launcher: str, store: Store, *, notes: Notes,
    queue: QueueOptions | SlurmOptions, max_hours: float = 0.0,
) -> list[RunFolder]:  # fmt: skip
    """Queue the runs, in their order, or submit them to Slurm as an array; all of them or none. Raises `UserError`.

    They get the group and the tags in `notes`. Only if one can't be queued after all (a full disk), runs before it may
    have started already: they continue, and the error names them.
    """

    def start(variant: Variant, queue: QueueOptions | SlurmOptions) -> RunFolder:
        return launch.start_run(
            variant.experiment, launcher, store.root, notes=notes, queue=queue, max_hours=max_hours
        )

    if isinstance(queue, SlurmOptions):
        return _submit_group(variants, start, queue)
    check_memory(queue)
    for variant in variants:
        launch.check_experiment(variant.experiment)
    folders: list[RunFolder] = []
    try:
        for variant in variants:
            folders.append(start(variant, queue))
    except (UserError, OSError) as error:
        name = variants[len(folders)].experiment.name
        started = [folder.id for folder in reversed(folders) if not launch.discard_queued(folder)]
        kept = f"of its group only {', '.join(reversed(started))} started" if started else "nothing is queued"
        raise UserError(f"{name} can't be queued: {error}; {kept}") from error
    return folders


def _submit_group(
    variants: Sequence[Variant],
    start: Callable[[Variant, QueueOptions | SlurmOptions], RunFolder],
    options: SlurmOptions,
) -> list[RunFolder]:
    folders: list[RunFolder] = []
    try:
        for variant in variants:
            folders.append(start(variant, replace(options, in_array=True)))
        submit_array(folders, options, max(process_count(one.experiment.train) for one in variants))
    except (UserError, OSError, KeyboardInterrupt):
        for folder in folders:
            shutil.rmtree(folder.path, ignore_errors=True)
        raise
    return folders


def free_group(name: str, runs: Iterable[RunSummary]) -> str:
    """`name`, or with a number behind it if some of the runs have that group already."""
    used = {row.group for row in runs}
    numbered = (name if number == 1 else f"{name}-{number}" for number in range(1, len(used) + 2))
    return next(group for group in numbered if group not in used)
