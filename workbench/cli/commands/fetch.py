"""The command `fetch`: download what a recipe needs, or carry it to a machine without a network."""

from __future__ import annotations

import argparse
from pathlib import Path

from workbench.cli import console
from workbench.core import paths, text
from workbench.core.errors import BadInput
from workbench.core.text import safe
from workbench.offline.bundle import File, Needs, Work, bring, bundle, check_here, needs_of, size_of, unbundle


def command(options: argparse.Namespace) -> int:
    """`workbench fetch RECIPE [--to DIR]`, `workbench fetch [RECIPE] --from DIR`."""
    if options.to and options.source:
        raise BadInput("give --to DIR where there is a network, and --from DIR where there is none; not both")
    if not options.recipe and not options.source:
        raise BadInput("name a recipe: workbench fetch mnist-mlp --to DIR ('workbench recipes' lists them)")
    needs = needs_of(options.recipe) if options.recipe else Needs(None, None)
    work = Work(console.progress_printer())
    folder = paths.given(options.to or options.source) if options.to or options.source else None
    files: list[File] = []
    if options.source and folder:
        files = unbundle(folder, work)
        check_here(needs, folder)
    elif folder and needs.words():
        files = bundle(needs, folder, work)
    else:
        bring(needs, work)
    _tell(options, needs, files, folder)
    return 0


def _tell(options: argparse.Namespace, needs: Needs, files: list[File], folder: Path | None) -> None:
    about = {
        "recipe": options.recipe,
        "data": needs.data.name if needs.data else None,
        "weights": needs.weights,
    }
    size = size_of(files, folder) if folder else 0
    if options.json:
        rows = [{"path": file.path, "sha256": file.sha256} for file in files]
        console.print_json({**about, "folder": str(folder) if folder else None, "bytes": size, "files": rows})
    elif options.recipe and not needs.words():
        console.tell(f"{options.recipe} needs nothing from the network")
    elif folder is None:
        console.tell(f"{needs.words()}: here")
    else:
        console.tell(f"{folder}: {len(files)} files, {text.size(size)}, all as their checksums say")
    if options.to and files:
        console.say(f"carry the folder over, then: workbench fetch --from {safe(folder)}")
        console.say(f"or use it in place: WORKBENCH_DATA={safe(folder)}/data TORCH_HOME={safe(folder)}/torch")
