"""Where published datasets are fetched from, and how they are put where torchvision looks for them."""

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
from workbench.core.errors import BadInput
from workbench.core.settings_schema import Options
from workbench.core.text import one_line
from workbench.datasets import catalog
from workbench.datasets.load_request import Request
from workbench.io.archives import unpack
from workbench.io.download import alone, fetch

_GTSRB = "https://sid.erda.dk/public/archives/daaeac0d7ce1152aea9b61d9f1e19370/"
_EUROSAT = "https://huggingface.co/datasets/torchgeo/eurosat/resolve/c877bcd43f099cd0196738f714544e355477f3fd/EuroSAT.zip"
_GTSRB_FILES = {
    "GTSRB-Training_fixed.zip": "513f3c79a4c5141765e10e952eaa2478",
    "GTSRB_Final_Test_Images.zip": "c7e4e6327067d32654124b0fe9e82185",
    "GTSRB_Final_Test_GT.zip": "fe31e9c9270bbcd7b84b7f21a9d9d9e5",
}


@dataclass(frozen=True)
class Remote:
    """One file to fetch. `folder` is where it goes below the cache, or its members when it is an archive;
    `inside` is the folder within the archive that they are taken from."""

    urls: tuple[str, ...]
    md5: str
    folder: str = "."
    archive: bool = False
    inside: str = "."

    @property
    def name(self) -> str:
        """The file's name, the same at every address."""
        return self.urls[0].rpartition("/")[2]


def download(request: Request, to: Path | None = None) -> Path:
    """Fetch a dataset into `to`, else `paths.data_cache()`, which is returned. Raises `BadInput`, `Interrupted`.

    `WORKBENCH_MIRROR` (the URL of a folder) stands for every host and folder. What a mirror sends is checked by
    the same checksums: who serves a file does not change what it must be.
    """
    root = to or paths.data_cache()
    with alone(root / request.info.name, request.progress, request.cancelled) as first:
        if not first and catalog.found_at(request.info, vars_of(request)) == root:
            return root
        for remote in remotes(request.info.name, vars_of(request)):
            _bring(remote, root, request)
    return root


def vars_of(request: Request) -> Options:
    """The options of a request by name."""
    return {name: getattr(request.options, name) for name in request.options.__struct_fields__}


def _bring(remote: Remote, root: Path, request: Request) -> None:
    mirror = os.environ.get("WORKBENCH_MIRROR", "")
    urls = (f"{mirror.rstrip('/')}/{remote.name}",) if mirror else remote.urls
    to = root / remote.folder / remote.name
    if not to.exists():
        fetch(urls, to, md5=remote.md5, progress=request.progress, cancelled=request.cancelled)
    elif _md5(to) != remote.md5:
        raise BadInput(
            f"{to} is not the file that is published (its md5 is not {remote.md5}): remove or replace it"
        )
    if remote.archive:
        _unpack(to, remote, root, request)


def _unpack(archive: Path, remote: Remote, root: Path, request: Request) -> None:
    """Unpack beside everything else, then move each member to its place in one step; the archive goes."""
    staging = root / f".unpacked-{secrets.token_hex(6)}"
    try:
        unpack(archive, staging, request.progress, request.cancelled)
        inside = staging / remote.inside
        if not inside.is_dir():
            raise BadInput(
                f"{archive} is another archive than it should be: it has no {remote.inside}/; replace it"
            )
        _move_into(inside, root / remote.folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    archive.unlink(missing_ok=True)


def _move_into(source: Path, target: Path) -> None:
    """Move what is in `source` into `target`; folders that both have are merged."""
    target.mkdir(parents=True, exist_ok=True)
    for child in source.iterdir():
        place = target / child.name
        if child.is_dir() and place.is_dir():
            _move_into(child, place)
        else:
            child.replace(place)


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def remotes(name: str, options: Options) -> list[Remote]:
    """What is fetched for a dataset. Addresses and checksums are those of the installed torchvision.

    Raises `BadInput` when torchvision can't be imported.
    """
    try:
        import torchvision.datasets as tv  # noqa: PLC0415 - takes five seconds
    except Exception as error:
        raise BadInput(
            f"torchvision, which knows where {name} is published, can't be imported: {one_line(error)}"
        ) from None
    if name not in _REMOTES:
        raise BadInput(f"nothing is fetched for {name}")
    return _REMOTES[name](tv, options)


def _plain(pairs: Iterable[Any], folder: str) -> list[Remote]:
    return [Remote((url,), md5, folder) for url, md5 in pairs]


def _mirrored(known: Any) -> list[Remote]:
    """Those of MNIST and its like, each at several addresses."""
    return [
        Remote(tuple(mirror + file for mirror in known.mirrors), md5, f"{known.__name__}/raw")
        for file, md5 in known.resources
    ]


def _tar(known: Any) -> list[Remote]:
    return [Remote((known.url,), known.tgz_md5, archive=True)]


def _qmnist(tv: Any) -> list[Remote]:
    resources = tv.QMNIST.resources
    return _plain((pair for part in ("train", "test") for pair in resources[part]), "QMNIST/raw")


def _imagenette(tv: Any, edition: str) -> list[Remote]:
    url, md5 = tv.Imagenette._ARCHIVES[edition]
    return [Remote((url,), md5, archive=True)]


def _flowers(known: Any) -> list[Remote]:
    return [
        Remote((known._download_url_prefix + file,), md5, "flowers-102", file.endswith(".tgz"))
        for file, md5 in known._file_dict.values()
    ]


_REMOTES: dict[str, Callable[[Any, Options], list[Remote]]] = {
    "mnist": lambda tv, _: _mirrored(tv.MNIST),
    "fashion-mnist": lambda tv, _: _mirrored(tv.FashionMNIST),
    "kmnist": lambda tv, _: _mirrored(tv.KMNIST),
    "emnist": lambda tv, _: [Remote((tv.EMNIST.url,), tv.EMNIST.md5, "EMNIST/raw", True, "gzip")],
    "qmnist": lambda tv, _: _qmnist(tv),
    "cifar10": lambda tv, _: _tar(tv.CIFAR10),
    "cifar100": lambda tv, _: _tar(tv.CIFAR100),
    "stl10": lambda tv, _: _tar(tv.STL10),
    "svhn": lambda tv, _: _plain((tv.SVHN.split_list[part][0::2] for part in ("train", "test")), "."),
    "imagenette": lambda tv, options: _imagenette(tv, options["edition"]),
    "oxford-pets": lambda tv, _: [
        Remote((url,), md5, "oxford-iiit-pet", True) for url, md5 in tv.OxfordIIITPet._RESOURCES
    ],
    "flowers102": lambda tv, _: _flowers(tv.Flowers102),
    "food101": lambda tv, _: [Remote((tv.Food101._URL,), tv.Food101._MD5, archive=True)],
    # torchvision has the addresses of these two within its functions only
    "eurosat": lambda *_: [Remote((_EUROSAT,), "c8fa014336c82ac7804f0398fcb19387", "eurosat", True)],
    "gtsrb": lambda *_: [Remote((_GTSRB + file,), md5, "gtsrb", True) for file, md5 in _GTSRB_FILES.items()],
}
"""What is fetched for each dataset, of `torchvision.datasets` and the dataset's options."""
