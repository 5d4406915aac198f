"""What a recipe needs from the network, in a folder that can be carried to a machine without one.

The folder has data in torchvision's layout, weights where torch.hub keeps them, and the checksums of all:

    DIR/data/MNIST/raw/…                    WORKBENCH_DATA=DIR/data finds it in place
    DIR/torch/hub/checkpoints/alexnet-….pth TORCH_HOME=DIR/torch too
    DIR/SHA256SUMS                          `cd DIR && sha256sum -c SHA256SUMS` checks it without us
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
from workbench.config.experiment import build
from workbench.config.recipes import load_recipe
from workbench.core import paths
from workbench.core.errors import BadInput
from workbench.core.progress import Cancelled, Interrupted, Progress, Report, never, silent
from workbench.core.settings_schema import Choice, convert
from workbench.datasets import catalog as datasets
from workbench.datasets.downloads import download, vars_of
from workbench.datasets.load_request import Request
from workbench.io import atomic_files
from workbench.io.images import open_regular
from workbench.models import catalog as models
from workbench.models.pretrained_weights import ensure_weights

DATA = "data"
WEIGHTS = "torch/hub/checkpoints"
SUMS = "SHA256SUMS"

_BLOCK = 1 << 20
_MAX_SUMS = 200_000_000
_ROW = re.compile(r"([0-9a-f]{64}) [ *](.+)")


@dataclass(frozen=True)
class Needs:
    """What a recipe takes from the network; `None` where it takes nothing."""

    data: Choice | None
    weights: str | None
    """The model of torchvision whose published weights it starts from."""

    def words(self) -> str:
        """`data of mnist, weights of alexnet`."""
        data = f"data of {self.data.name}" if self.data else ""
        return ", ".join(
            part for part in (data, f"weights of {self.weights}" if self.weights else "") if part
        )


class File(NamedTuple):
    """A file of a bundle: its path in there, with slashes, and its SHA-256."""

    path: str
    sha256: str


class Work(NamedTuple):
    """How a long piece of work says how far it is, and learns that it is not wanted any more."""

    progress: Report = silent
    cancelled: Cancelled = never


def needs_of(recipe: str) -> Needs:
    """What the recipe of this name, or in this TOML file, takes from the network. Raises `BadInput`."""
    if load_recipe(recipe).get("do", "train") == "classify":
        model = recipes.load(recipe).model
        return Needs(None, None if model.weights else model.name)
    experiment = build(recipe)
    data, model_info = datasets.find(experiment.data.name), models.find(experiment.model.name)
    options = experiment.model.options
    pretrained = model_info.kind == "torchvision" and options.get("pretrained") and not options.get("weights")
    return Needs(
        experiment.data if data.kind == "published" else None, model_info.name if pretrained else None
    )


def bring(needs: Needs, work: Work) -> None:
    """Have what a recipe needs on this machine, where it is looked for. Raises `BadInput`, `Interrupted`."""
    if needs.data:
        request = _request(needs.data, work)
        if datasets.found_at(request.info, vars_of(request)) is None:
            download(request)
    if needs.weights:
        ensure_weights(needs.weights, *work)


def bundle(needs: Needs, folder: Path, work: Work) -> list[File]:
    """Put what a recipe needs into `folder`, from this machine where it is here, else from the network.

    What other recipes have put there stays. Returns every file of the folder. Raises `BadInput`, `Interrupted`.
    """
    if needs.data:
        _bundle_data(_request(needs.data, work), folder / DATA, work)
    if needs.weights:
        _bundle_weights(needs.weights, folder / WEIGHTS, work)
    files = [File(path, _sha256(folder / path, work)) for path in _files(folder)]
    rows = "".join(f"{file.sha256}  {file.path}\n" for file in files)
    atomic_files.write_bytes(folder / SUMS, os.fsencode(rows), mode=0o644)
    return files


def unbundle(folder: Path, work: Work) -> list[File]:
    """Put what `bundle` gathered where this machine looks for it: our cache of data, and torch's of weights.

    Every checksum is checked before anything is written; a file that is there already must be the same. Returns
    the bundle's files. Raises `BadInput` with one line that names the file, `Interrupted`.
    """
    files = _listed(folder)
    places = [(file, folder / file.path, _place(file, folder)) for file in files]
    for file, source, _ in places:
        if _sha256(source, work) != file.sha256:
            raise BadInput(
                f"{source} is damaged: its SHA-256 is not the one in {SUMS}; copy the folder again"
            )
    wanted = [row for row in places if not _is_there(*row, work)]
    for _, source, target in wanted:
        _copy(source, target, work)
    return files


def check_here(needs: Needs, folder: Path) -> None:
    """Raise `BadInput` unless what a recipe needs is on this machine, after `folder` was taken in."""
    if needs.data and not datasets.describe(needs.data.name, needs.data.options).here:
        raise BadInput(
            f"{folder} has no data of {needs.data.name}: fetch it there with --to, and carry it here"
        )
    if needs.weights and not models.find(needs.weights).weights_here():
        raise BadInput(f"{folder} has no weights of {needs.weights}: fetch them there with --to")


def _request(choice: Choice, work: Work) -> Request:
    info = datasets.find(choice.name)
    options: Any = convert(info.options, choice.options, "data") if info.options else choice.options
    return Request(info, options, None, None, *work)


def _bundle_data(request: Request, to: Path, work: Work) -> None:
    info, options = request.info, vars_of(request)
    here = datasets.found_at(info, options)
    if here is None:
        if not all(datasets.located(to, info, file, options) for file in info.files):
            download(request, to)
        return
    for source, place in _found(request, here):
        target = to / place
        # One that bears its name is whole, of a bundling that was cut off too.
        if not target.exists() or target.stat().st_size != source.stat().st_size:
            _copy(source, target, work)


def _found(request: Request, root: Path) -> Iterator[tuple[Path, Path]]:
    """Each file of a dataset that lies in `root`, and its place in torchvision's layout."""
    info, options = request.info, vars_of(request)
    located = {file: datasets.located(root, info, file, options) for file in info.files}
    folders = set()
    for file, source in located.items():
        assert source is not None  # `found_at` gave this root
        place = source.relative_to(root)
        if info.debian and place.parts[0] == info.debian:
            yield source, Path(file).with_name(source.name)
        elif len(place.parts) == 1:
            yield source, place
        else:
            folders.add(place.parts[0])  # also what is not in the list of those that must be there
    for folder in sorted(folders):
        for source in _walk(root / folder):
            yield source, source.relative_to(root)


def _bundle_weights(model: str, folder: Path, work: Work) -> None:
    here = models.find(model).weights_here()
    to = folder / models.find(model).weights_file
    if here is None or to.exists():
        ensure_weights(model, *work, folder=folder)
    else:
        _copy(ensure_weights(model, *work), to, work)


def _files(folder: Path) -> list[str]:
    """The files of a bundle, as paths in it with slashes; none that are half there."""
    found = [path for part in (DATA, WEIGHTS) for path in _walk(folder / part)]
    whole = [path for path in found if not path.name.endswith((".part", ".part.json"))]
    return sorted(path.relative_to(folder).as_posix() for path in whole)


def _walk(folder: Path) -> Iterator[Path]:
    for where, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(where, name) for name in names if not name.startswith(".") and "\n" not in name)


def _listed(folder: Path) -> list[File]:
    """What a bundle's list of checksums names."""
    path = folder / SUMS
    if not paths.is_file(path):
        raise BadInput(f"there is no {path}: workbench fetch RECIPE --to DIR makes such a folder")
    with open_regular(path) as file:
        rows = os.fsdecode(file.read(_MAX_SUMS)).split("\n")
    matched = [(number, _ROW.fullmatch(row)) for number, row in enumerate(rows, 1) if row]
    for number, found in matched:
        if found is None:
            raise BadInput(f"{path}, line {number}: expected a SHA-256 and a path; copy the folder again")
    if not matched:
        raise BadInput(f"{path} names no files: fetch a recipe that needs some")
    return [File(found[2], found[1]) for _, found in matched if found]


def _place(file: File, folder: Path) -> Path:
    """Where a file of a bundle belongs on this machine. Raises `BadInput` for one that leads anywhere else."""
    inside = PurePosixPath(file.path)
    data, weights = PurePosixPath(DATA), PurePosixPath(WEIGHTS)
    source = folder / file.path
    known = inside.is_relative_to(data) or inside.parent == weights
    if not known or ".." in inside.parts or not source.resolve().is_relative_to(folder.resolve()):
        raise BadInput(f"{folder / SUMS} names {file.path}, which is no place for data or weights: not taken")
    if inside.parent == weights:
        return paths.weights() / inside.name
    return paths.data_cache() / inside.relative_to(data)


def _is_there(file: File, source: Path, target: Path, work: Work) -> bool:
    if not target.exists():
        return False
    if target.stat().st_size == source.stat().st_size and _sha256(target, work) == file.sha256:
        return True
    raise BadInput(f"{target} is there already and is another file than {source}: move it away first")


def _copy(source: Path, target: Path, work: Work) -> None:
    """Copy a file so that it is whole as soon as it bears its name."""
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


def _sha256(path: Path, work: Work) -> str:
    digest = hashlib.sha256()
    for block in _blocks(path, "checking", work):
        digest.update(block)
    return digest.hexdigest()


def _blocks(path: Path, what: str, work: Work) -> Iterator[bytes]:
    done = 0
    with open_regular(path) as file:
        total = os.fstat(file.fileno()).st_size
        while block := file.read(_BLOCK):
            if work.cancelled():
                raise Interrupted
            done += len(block)
            work.progress(Progress(f"{what} {path.name}", done, total, "bytes"))
            yield block


def size_of(files: Iterable[File], folder: Path) -> int:
    """Bytes of a bundle's files."""
    return sum((folder / file.path).stat().st_size for file in files)
