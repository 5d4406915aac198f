"""The published weights of torchvision's architectures: found on disk first, downloaded second."""

from __future__ import annotations

import re
from pathlib import Path

from workbench.core import paths
from workbench.core.errors import BadInput
from workbench.core.progress import Cancelled, Report, never, silent
from workbench.io import download
from workbench.io.torch_files import sha256_of
from workbench.models import catalog


def ensure_weights(
    name: str, progress: Report = silent, cancelled: Cancelled = never, folder: Path | None = None
) -> Path:
    """The file of `name`'s published weights: found where torch keeps it (or in `folder`), else downloaded; checked.

    `name` is one of torchvision's architectures. The file's name ends in the first digits of its SHA-256.
    Raises `BadInput` that names the URL and the folder when it can't be had, or is another file.
    """
    info = catalog.find(name)
    if not info.weights_file:
        raise BadInput(
            f"there are no published weights for {name}; models that have some: resnet18, alexnet …"
        )
    path = (folder or paths.weights()) / info.weights_file
    start = _named_hash(path)
    if path.exists():
        _check_start(path, start)
        return path
    try:
        return download.fetch(info.weights_url, path, sha256=start, progress=progress, cancelled=cancelled)
    except (BadInput, OSError) as error:
        reason = (
            str(error).partition(";")[0].removeprefix(f"{info.weights_url} can't be fetched ").strip("()")
        )
        raise BadInput(_by_hand(info, path.parent, reason)) from None


def _by_hand(info: catalog.ModelInfo, folder: Path, reason: str) -> str:
    return (
        f"the weights of {info.name} are not here and can't be downloaded ({reason}): "
        f"put {info.weights_url} into {folder}, or name a file (--weights FILE, model.weights=FILE)"
    )


def _named_hash(path: Path) -> str | None:
    """The start of the SHA-256 that a file's name says it has (`resnet18-f37072fd.pth`)."""
    found = re.search(r"-([0-9a-f]{8,})\.pth$", path.name)
    return found[1] if found else None


def _check_start(path: Path, start: str | None) -> None:
    digest = sha256_of(path)
    if start and not digest.startswith(start):
        raise BadInput(
            f"{path} is not the published file: its SHA-256 begins with {digest[:8]}, not {start}; "
            "remove it, and it is downloaded anew"
        )
