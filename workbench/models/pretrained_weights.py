"""The published weights of torchvision's and timm's architectures: taken from disk where present, else downloaded."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from workbench.core import paths
from workbench.core.errors import UserError
from workbench.core.paths import expand_user_path
from workbench.core.progress import CancelCheck, ProgressCallback, ignore_progress, never_cancelled
from workbench.io import download
from workbench.io.torch_files import sha256_of
from workbench.models import catalog


@dataclass(frozen=True)
class WeightsLoading:
    """Whether and how pretrained weights are loaded: with which progress callback and cancellation."""

    enabled: bool = True
    """False for a model whose weights come from a checkpoint."""
    progress: ProgressCallback = ignore_progress
    cancelled: CancelCheck = never_cancelled


@dataclass(frozen=True)
class WeightsRequest:
    """Which weights a published architecture is loaded with."""

    file: str = ""
    """A local file; empty for the published weights."""
    with_head: bool = False
    """Whether its head is loaded too; otherwise it is newly initialized, for other classes."""
    loading: WeightsLoading = WeightsLoading()

    def path_for(self, info: catalog.ModelInfo) -> Path:
        """The file, downloaded if it is the published one and not here. Raises `UserError`."""
        if self.file:
            return expand_user_path(self.file)
        return ensure_weights(info.name, self.loading.progress, self.loading.cancelled)


def ensure_weights(
    name: str,
    progress: ProgressCallback = ignore_progress,
    cancelled: CancelCheck = never_cancelled,
    folder: Path | None = None,
) -> Path:
    """The file of the published weights of an architecture, downloaded if necessary and verified.

    It is stored where torch looks for it, or in `folder`; files that tools of Hugging Face have downloaded are used
    where they are. The name of a file of torchvision ends in the first digits of its SHA-256. Raises `UserError` that
    names the URL and the folder if it is not available or is a different file.
    """
    info = catalog.find(name)
    if not info.weights_file:
        raise UserError(f"{name} has no published weights; models that have some: resnet18, alexnet …")
    if folder is None and info.hub and (local := info.local_weights()) is not None:
        return local
    path = (folder or paths.weights()) / info.weights_file
    hash_prefix = _hash_prefix(path)
    if path.exists():
        _verify_hash(path, hash_prefix)
        return path
    try:
        return download.download_file(
            info.weights_url, path, sha256=hash_prefix, progress=progress, cancelled=cancelled
        )
    except (UserError, OSError) as error:
        reason = error.reason if isinstance(error, download.DownloadError) else str(error).partition(";")[0]
        raise UserError(_manual_download_hint(info, path.parent, reason)) from None


def _manual_download_hint(info: catalog.ModelInfo, folder: Path, reason: str) -> str:
    return (
        f"the weights of {info.name} are not on this machine and can't be downloaded ({reason}): put "
        f"{info.weights_url} into {folder}{f' as {info.weights_file}' if info.hub else ''}, or pass a file "
        "(--weights FILE, model.weights=FILE)"
    )


def _hash_prefix(path: Path) -> str | None:
    """The first digits of the SHA-256 in the name of a weights file (`resnet18-f37072fd.pth`)."""
    match = re.search(r"-([0-9a-f]{8,})\.pth$", path.name)
    return match[1] if match else None


def _verify_hash(path: Path, hash_prefix: str | None) -> None:
    if hash_prefix is None:
        return
    digest = sha256_of(path)
    if not digest.startswith(hash_prefix):
        raise UserError(
            f"{path} is not the published file: its SHA-256 begins with {digest[:8]}, not {hash_prefix}; "
            "delete it to download it again"
        )
