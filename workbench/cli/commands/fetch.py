"""`workbench fetch`: download what a recipe needs, or bundle it for a machine without a network."""

from __future__ import annotations

import argparse
from pathlib import Path

from workbench.cli import console
from workbench.config.experiment import Experiment
from workbench.core import paths, text
from workbench.core.errors import UserError
from workbench.core.exit_codes import DONE
from workbench.core.text import sanitize
from workbench.offline.bundle import (
    BundleFile,
    NetworkRequirements,
    WorkCallbacks,
    bundle_size,
    create_bundle,
    download_requirements,
    experiment_requirements,
    import_bundle,
    network_requirements,
    validate_imported,
)


def fetch(options: argparse.Namespace) -> int:
    """`workbench fetch RECIPE [--to DIR]`, `workbench fetch [RECIPE] --from DIR`."""
    if options.to and options.source:
        raise UserError("--to DIR (with a network) and --from DIR (without one) can't be combined")
    if not options.recipe and not options.source:
        raise UserError(
            "no recipe given: workbench fetch mnist-mlp --to DIR ('workbench recipes' lists the recipes)"
        )
    needed = network_requirements(options.recipe) if options.recipe else NetworkRequirements(None, None)
    work = WorkCallbacks(console.progress_printer())
    folder = paths.expand_user_path(options.to or options.source) if options.to or options.source else None
    files: list[BundleFile] = []
    if options.source and folder:
        files = import_bundle(folder, work)
        validate_imported(needed, folder)
    elif folder and needed.describe():
        files = create_bundle(needed, folder, work)
    else:
        download_requirements(needed, work)
    _print_summary(options, needed, files, folder)
    return DONE


def fetch_for_nodes(experiment: Experiment) -> None:
    """Download the data and the weights that are not here yet: a compute node may have no network.

    Raises `UserError`, `Cancelled`.
    """
    download_requirements(experiment_requirements(experiment), WorkCallbacks(console.progress_printer()))


def _print_summary(
    options: argparse.Namespace, needed: NetworkRequirements, files: list[BundleFile], folder: Path | None
) -> None:
    content = {
        "recipe": options.recipe,
        "data": needed.data.name if needed.data else None,
        "weights": needed.weights,
    }
    size = bundle_size(files, folder) if folder else 0
    if options.json:
        rows = [{"path": file.path, "sha256": file.sha256} for file in files]
        console.print_json(
            {**content, "folder": str(folder) if folder else None, "bytes": size, "files": rows}
        )
    elif options.recipe and not needed.describe():
        console.print_result(f"{options.recipe} needs no downloads.")
    elif folder is None:
        console.print_result(f"{needed.describe()}: downloaded")
    else:
        console.print_result(f"{folder}: {len(files)} files, {text.format_bytes(size)}, all checksums match")
    if options.to and files:
        console.print_status(
            f"Copy the folder to the other machine, then run: workbench fetch --from {sanitize(folder)}"
        )
        console.print_status(
            f"Or use it in place: WORKBENCH_DATA={sanitize(folder)}/data TORCH_HOME={sanitize(folder)}/torch"
        )
