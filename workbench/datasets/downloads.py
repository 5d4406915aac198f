"""Downloads published datasets into the layout that torchvision expects."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.core import paths
from workbench.core.errors import UserError
from workbench.core.settings_schema import Options
from workbench.core.text import one_line
from workbench.datasets import catalog
from workbench.datasets.load_request import LoadRequest
from workbench.io.archives import unpack
from workbench.io.download import download_file, exclusive_lock

_GTSRB = "https://sid.erda.dk/public/archives/daaeac0d7ce1152aea9b61d9f1e19370/"
_EUROSAT = "https://huggingface.co/datasets/torchgeo/eurosat/resolve/c877bcd43f099cd0196738f714544e355477f3fd/EuroSAT.zip"
_GTSRB_FILES = {
    "GTSRB-Training_fixed.zip": "513f3c79a4c5141765e10e952eaa2478",
    "GTSRB_Final_Test_Images.zip": "c7e4e6327067d32654124b0fe9e82185",
    "GTSRB_Final_Test_GT.zip": "fe31e9c9270bbcd7b84b7f21a9d9d9e5",
}


@dataclass(frozen=True)
class RemoteFile:
    """One file to download.

    `folder`: where it belongs below the cache, or where the members of an archive belong. `archive_folder`: the folder
    within the archive that the members are taken from.
    """

    urls: tuple[str, ...]
    md5: str
    folder: str = "."
    is_archive: bool = False
    archive_folder: str = "."

    @property
    def name(self) -> str:
        """The name of the file, the same in every URL."""
        return self.urls[0].rpartition("/")[2]


def download_dataset(request: LoadRequest, root: Path | None = None) -> Path:
    """Download a dataset into `root`, by default `paths.data_cache()`; returns it. Raises `UserError`, `Cancelled`.

    `WORKBENCH_MIRROR` (the URL of a folder) replaces every host and folder; the same checksums apply to its files.
    """
    root = root or paths.data_cache()
    with exclusive_lock(root / request.info.name, request.progress, request.cancelled) as first:
        if not first and catalog.find_on_disk(request.info, options_dict(request)) == root:
            return root
        for remote in remote_files(request.info.name, options_dict(request)):
            _download_remote(remote, root, request)
    return root


def options_dict(request: LoadRequest) -> Options:
    """The options of a request as a dictionary."""
    return {name: getattr(request.options, name) for name in request.options.__struct_fields__}


def _download_remote(remote: RemoteFile, root: Path, request: LoadRequest) -> None:
    mirror = os.environ.get("WORKBENCH_MIRROR", "")
    urls = (f"{mirror.rstrip('/')}/{remote.name}",) if mirror else remote.urls
    path = root / remote.folder / remote.name
    if not path.exists():
        download_file(urls, path, md5=remote.md5, progress=request.progress, cancelled=request.cancelled)
    elif _md5(path) != remote.md5:
        raise UserError(
            f"{path} is not the published file (its MD5 is not {remote.md5}): delete or replace it"
        )
    if remote.is_archive:
        _unpack(path, remote, root, request)


def _unpack(archive: Path, remote: RemoteFile, root: Path, request: LoadRequest) -> None:
    """Unpack into a staging folder, then move each member to its place and delete the archive."""
    staging = root / f".unpacked-{secrets.token_hex(6)}"
    try:
        unpack(archive, staging, request.progress, request.cancelled)
        members = staging / remote.archive_folder
        if not members.is_dir():
            raise UserError(
                f"{archive} is not the expected archive: it has no {remote.archive_folder}/; replace it"
            )
        _move_into(members, root / remote.folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    archive.unlink(missing_ok=True)


def _move_into(source: Path, target: Path) -> None:
    """Move the content of `source` into `target`; folders that exist in both are merged."""
    target.mkdir(parents=True, exist_ok=True)
    for child in source.iterdir():
        destination = target / child.name
        if child.is_dir() and destination.is_dir():
            _move_into(child, destination)
        else:
            child.replace(destination)


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def remote_files(name: str, options: Options) -> list[RemoteFile]:
    """The files to download for a dataset, with the URLs and checksums of the installed torchvision.

    Raises `UserError` if torchvision can't be imported.
    """
    try:
        import torchvision.datasets as tv  # noqa: PLC0415 - takes five seconds
    except Exception as error:
        raise UserError(
            f"torchvision, which has the URLs of {name}, can't be imported: {one_line(error)}"
        ) from None
    if name not in _REMOTES:
        raise UserError(f"{name} has no files to download")
    return _REMOTES[name](tv, options)


def _plain_files(pairs: Iterable[Any], folder: str) -> list[RemoteFile]:
    return [RemoteFile((url,), md5, folder) for url, md5 in pairs]


def _mirrored_files(known: Any) -> list[RemoteFile]:
    """Files of MNIST and similar datasets, each with several URLs."""
    return [
        RemoteFile(tuple(mirror + file for mirror in known.mirrors), md5, f"{known.__name__}/raw")
        for file, md5 in known.resources
    ]


def _single_archive(known: Any) -> list[RemoteFile]:
    return [RemoteFile((known.url,), known.tgz_md5, is_archive=True)]


def _qmnist(tv: Any) -> list[RemoteFile]:
    resources = tv.QMNIST.resources
    return _plain_files((pair for part in ("train", "test") for pair in resources[part]), "QMNIST/raw")


def _imagenette(tv: Any, edition: str) -> list[RemoteFile]:
    url, md5 = tv.Imagenette._ARCHIVES[edition]
    return [RemoteFile((url,), md5, is_archive=True)]


def _flowers(known: Any) -> list[RemoteFile]:
    return [
        RemoteFile((known._download_url_prefix + file,), md5, "flowers-102", file.endswith(".tgz"))
        for file, md5 in known._file_dict.values()
    ]


_REMOTES: dict[str, Callable[[Any, Options], list[RemoteFile]]] = {
    "mnist": lambda tv, _: _mirrored_files(tv.MNIST),
    "fashion-mnist": lambda tv, _: _mirrored_files(tv.FashionMNIST),
    "kmnist": lambda tv, _: _mirrored_files(tv.KMNIST),
    "emnist": lambda tv, _: [RemoteFile((tv.EMNIST.url,), tv.EMNIST.md5, "EMNIST/raw", True, "gzip")],
    "qmnist": lambda tv, _: _qmnist(tv),
    "cifar10": lambda tv, _: _single_archive(tv.CIFAR10),
    "cifar100": lambda tv, _: _single_archive(tv.CIFAR100),
    "stl10": lambda tv, _: _single_archive(tv.STL10),
    "svhn": lambda tv, _: _plain_files((tv.SVHN.split_list[part][0::2] for part in ("train", "test")), "."),
    "imagenette": lambda tv, options: _imagenette(tv, options["edition"]),
    "oxford-pets": lambda tv, _: [
        RemoteFile((url,), md5, "oxford-iiit-pet", True) for url, md5 in tv.OxfordIIITPet._RESOURCES
    ],
    "flowers102": lambda tv, _: _flowers(tv.Flowers102),
    "food101": lambda tv, _: [RemoteFile((tv.Food101._URL,), tv.Food101._MD5, is_archive=True)],
    # torchvision has the URLs of these two inside its functions only
    "eurosat": lambda *_: [RemoteFile((_EUROSAT,), "c8fa014336c82ac7804f0398fcb19387", "eurosat", True)],
    "gtsrb": lambda *_: [
        RemoteFile((_GTSRB + file,), md5, "gtsrb", True) for file, md5 in _GTSRB_FILES.items()
    ],
}
"""The files of each dataset, given `torchvision.datasets` and the options of the dataset."""
