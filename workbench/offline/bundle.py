"""Bundles the dataset and weights of a recipe in a folder, for machines without network access.

The folder has datasets in torchvision's layout, weights in torch.hub's layout, and the checksums of all files:

    DIR/data/MNIST/raw/…                    also usable in place with WORKBENCH_DATA=DIR/data
    DIR/torch/hub/checkpoints/alexnet-….pth also usable in place with TORCH_HOME=DIR/torch
    DIR/SHA256SUMS                          `cd DIR && sha256sum -c SHA256SUMS` verifies the files
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from workbench.config import classification_recipe as recipes
from workbench.config.experiment import Experiment, build_experiment
from workbench.config.recipes import load_recipe
from workbench.core import paths
from workbench.core.errors import UserError
from workbench.core.progress import (
    CancelCheck,
    Cancelled,
    Progress,
    ProgressCallback,
    ignore_progress,
    never_cancelled,
)
from workbench.core.settings_schema import Choice, convert
from workbench.datasets import catalog as datasets
from workbench.datasets.downloads import download_dataset, options_dict
from workbench.datasets.load_request import LoadRequest
from workbench.io import atomic_files
from workbench.io.regular_files import open_regular_file
from workbench.models import catalog as models
from workbench.models.pretrained_weights import ensure_weights

DATA = "data"
WEIGHTS = "torch/hub/checkpoints"
CHECKSUM_FILE = "SHA256SUMS"

_BLOCK = 1 << 20
_MAX_SUMS = 200_000_000
_ROW = re.compile(r"([0-9a-f]{64}) [ *]([^\0]+)")


@dataclass(frozen=True)
class NetworkRequirements:
    """What a recipe needs from the network; `None` for what it does not need."""

    data: Choice | None
    weights: str | None
    """The model of torchvision or timm whose published weights it starts from."""

    def describe(self) -> str:
        """`data of mnist, weights of alexnet`."""
        data = f"data of {self.data.name}" if self.data else ""
        return ", ".join(
            part for part in (data, f"weights of {self.weights}" if self.weights else "") if part
        )


class BundleFile(NamedTuple):
    """A file of a bundle: its relative path, with slashes, and its SHA-256."""

    path: str
    sha256: str


class WorkCallbacks(NamedTuple):
    """The progress callback and the cancellation check of a long operation."""

    progress: ProgressCallback = ignore_progress
    cancelled: CancelCheck = never_cancelled


def network_requirements(recipe: str) -> NetworkRequirements:
    """What a recipe, given by its name or a TOML file, needs from the network. Raises `UserError`."""
    if load_recipe(recipe).get("do", "train") == "classify":
        model = recipes.load_classification_recipe(recipe).model
        return NetworkRequirements(None, None if model.weights else model.name)
    return experiment_requirements(build_experiment(recipe))


def experiment_requirements(experiment: Experiment) -> NetworkRequirements:
    """What an experiment needs from the network."""
    data, model_info = datasets.find(experiment.data.name), models.find(experiment.model.name)
    options = experiment.model.options
    pretrained = model_info.published and options.get("pretrained") and not options.get("weights")
    return NetworkRequirements(
        experiment.data if data.kind == "published" else None, model_info.name if pretrained else None
    )


def download_requirements(needs: NetworkRequirements, work: WorkCallbacks) -> None:
    """Download what a recipe needs, unless it is on this machine. Raises `UserError`, `Cancelled`."""
    if needs.data:
        request = _request(needs.data, work)
        if datasets.find_on_disk(request.info, options_dict(request)) is None:
            download_dataset(request)
    if needs.weights:
        ensure_weights(needs.weights, *work)


def create_bundle(needs: NetworkRequirements, folder: Path, work: WorkCallbacks) -> list[BundleFile]:
    """Add what a recipe needs to the bundle in `folder`: copied from this machine if possible, else downloaded.

    Files of other recipes in the bundle are kept. Returns all files of the bundle. Raises `UserError`, `Cancelled`.
    """
    if needs.data:
        _bundle_data(_request(needs.data, work), folder / DATA, work)
    if needs.weights:
        _bundle_weights(needs.weights, folder / WEIGHTS, work)
    files = [BundleFile(path, _sha256(folder / path, work)) for path in _files(folder)]
    rows = "".join(f"{file.sha256}  {file.path}\n" for file in files)
    atomic_files.write_bytes(folder / CHECKSUM_FILE, os.fsencode(rows), mode=0o644)
    return files


def import_bundle(folder: Path, work: WorkCallbacks) -> list[BundleFile]:
    """Copy the files of a bundle to the dataset cache and torch's weights folder of this machine.

    All checksums are verified before anything is written; existing files must be identical. Returns the files of the
    bundle. Raises `UserError` with one line that names the file, `Cancelled`.
    """
    files = _read_checksums(folder)
    copies = [(file, folder / file.path, _target_path(file, folder)) for file in files]
    for file, source, _ in copies:
        if _sha256(source, work) != file.sha256:
            raise UserError(
                f"{source} is corrupt: its SHA-256 differs from {CHECKSUM_FILE}; copy the folder again"
            )
    missing = [copy for copy in copies if not _already_imported(*copy, work)]
    for _, source, target in missing:
        _copy(source, target, work)
    return files


def validate_imported(needs: NetworkRequirements, folder: Path) -> None:
    """Raise `UserError` unless everything a recipe needs is on this machine, after `folder` was imported."""
    if needs.data and not datasets.describe(needs.data.name, needs.data.options).here:
        raise UserError(
            f"{folder} does not contain the data of {needs.data.name}: "
            "create it with 'workbench fetch RECIPE --to DIR'"
        )
    if needs.weights and not models.find(needs.weights).local_weights():
        raise UserError(
            f"{folder} does not contain the weights of {needs.weights}: "
            "create it with 'workbench fetch RECIPE --to DIR'"
        )


def _request(choice: Choice, work: WorkCallbacks) -> LoadRequest:
    info = datasets.find(choice.name)
    options: Any = convert(info.options, choice.options, "data") if info.options else choice.options
    return LoadRequest(info, options, None, None, *work)


def _bundle_data(request: LoadRequest, folder: Path, work: WorkCallbacks) -> None:
    info, options = request.info, options_dict(request)
    root = datasets.find_on_disk(info, options)
    if root is None:
        if not all(datasets.locate_file(folder, info, file, options) for file in info.files):
            download_dataset(request, folder)
        return
    for source, relative in _dataset_files(request, root):
        target = folder / relative
        # Files are renamed when they are complete, so one from an interrupted bundling can be kept.
        if not target.exists() or target.stat().st_size != source.stat().st_size:
            _copy(source, target, work)


def _dataset_files(request: LoadRequest, root: Path) -> Iterator[tuple[Path, Path]]:
    """Each file of a dataset below `root`, and its relative path in torchvision's layout."""
    info, options = request.info, options_dict(request)
    located = {file: datasets.locate_file(root, info, file, options) for file in info.files}
    folders = set()
    for file, source in located.items():
        assert source is not None  # `find_on_disk` returned this root
        relative = source.relative_to(root)
        if info.debian and relative.parts[0] == info.debian:
            yield source, Path(file).with_name(source.name)
        elif len(relative.parts) == 1:
            yield source, relative
        else:
            folders.add(relative.parts[0])  # the whole folder, including files that are not in `info.files`
    for folder in sorted(folders):
        for source in _walk(root / folder):
            yield source, source.relative_to(root)


def _bundle_weights(model: str, folder: Path, work: WorkCallbacks) -> None:
    local = models.find(model).local_weights()
    target = folder / models.find(model).weights_file
    if local is None or target.exists():
        ensure_weights(model, *work, folder=folder)
    else:
        _copy(ensure_weights(model, *work), target, work)


def _files(folder: Path) -> list[str]:
    """The complete files of a bundle, as relative paths with slashes."""
    paths_below = [path for part in (DATA, WEIGHTS) for path in _walk(folder / part)]
    complete = [path for path in paths_below if not path.name.endswith((".part", ".part.json"))]
    return sorted(path.relative_to(folder).as_posix() for path in complete)


def _walk(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(parent, name) for name in names if not name.startswith(".") and "\n" not in name)


def _read_checksums(folder: Path) -> list[BundleFile]:
    """The files in the checksum file of a bundle. Raises `UserError`."""
    path = folder / CHECKSUM_FILE
    if not paths.is_file(path):
        raise UserError(f"{path} does not exist: create a bundle with 'workbench fetch RECIPE --to DIR'")
    with open_regular_file(path) as file:
        rows = os.fsdecode(file.read(_MAX_SUMS)).split("\n")
    matched = [(number, _ROW.fullmatch(row)) for number, row in enumerate(rows, 1) if row]
    for number, match in matched:
        if match is None:
            raise UserError(f"{path}, line {number}: expected a SHA-256 and a path; copy the folder again")
    if not matched:
        raise UserError(f"{path} lists no files: bundle a recipe that needs some")
    return [BundleFile(match[2], match[1]) for _, match in matched if match]


def _target_path(file: BundleFile, folder: Path) -> Path:
    """The path of a bundled file on this machine. Raises `UserError` for paths outside data and weights."""
    inside = PurePosixPath(file.path)
    data, weights = PurePosixPath(DATA), PurePosixPath(WEIGHTS)
    source = folder / file.path
    known = inside.is_relative_to(data) or inside.parent == weights
    if not known or ".." in inside.parts or not source.resolve().is_relative_to(folder.resolve()):
        raise UserError(
            f"{folder / CHECKSUM_FILE} lists {file.path}, which is not a path of data or weights: nothing was imported"
        )
    if inside.parent == weights:
        return paths.weights() / inside.name
    return paths.data_cache() / inside.relative_to(data)


def _already_imported(file: BundleFile, source: Path, target: Path, work: WorkCallbacks) -> bool:
    if not target.exists():
        return False
    if target.stat().st_size == source.stat().st_size and _sha256(target, work) == file.sha256:
        return True
    raise UserError(f"{target} already exists and differs from {source}: move it away first")


def _copy(source: Path, target: Path, work: WorkCallbacks) -> None:
    """Copy a file under a temporary name and rename it when it is complete."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(6)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.writelines(_blocks(source, "copying", work))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _sha256(path: Path, work: WorkCallbacks) -> str:
    digest = hashlib.sha256()
    for block in _blocks(path, "checking", work):
        digest.update(block)
    return digest.hexdigest()


def _blocks(path: Path, what: str, work: WorkCallbacks) -> Iterator[bytes]:
    done = 0
    with open_regular_file(path) as file:
        total = os.fstat(file.fileno()).st_size
        while block := file.read(_BLOCK):
            if work.cancelled():
                raise Cancelled
            done += len(block)
            work.progress(Progress(f"{what} {path.name}", done, total, "bytes"))
            yield block


def bundle_size(files: Iterable[BundleFile], folder: Path) -> int:
    """The total size of the files of a bundle in bytes."""
    return sum((folder / file.path).stat().st_size for file in files)
