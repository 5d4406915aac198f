"""The catalog of datasets: a constant table that is read without torch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from workbench.core import paths
from workbench.core.errors import UserError, did_you_mean
from workbench.core.paths import expand_user_path
from workbench.core.settings_schema import Options, Section, convert
from workbench.core.user_code import is_user_code, split_user_code_name
from workbench.datasets.file_options import CsvOptions, NpzOptions, PackedOptions
from workbench.datasets.file_sources import FileSource, find_source
from workbench.datasets.found_counts import count_found
from workbench.datasets.image_options import ImageFit, ImageSide, SplitSeed, StoredSide
from workbench.datasets.npz_arrays import npz_facts
from workbench.io.disk_usage import quick_disk_usage

Task = Literal["classification", "regression"]
DatasetKind = Literal["builtin", "published", "folder", "csv", "npz", "tar", "parquet", "custom"]

DrawingSeed = Annotated[
    int,
    Meta(
        ge=0,
        le=2**63 - 1,
        description="seed of the generated data, independent of the seed of the experiment",
    ),
]


class NoOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """For datasets without options."""


class DigitsOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `digits`."""

    test: Annotated[float, Meta(gt=0, lt=1, description="fraction held out for the test")] = 0.2
    seed: SplitSeed = 0


class ShapesOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `shapes`."""

    train: Annotated[int, Meta(ge=10, le=10_000_000, description="training images")] = 5000
    test: Annotated[int, Meta(ge=10, le=10_000_000, description="test images")] = 1000
    size: Annotated[int, Meta(ge=8, le=512, description="height and width in pixels")] = 32
    seed: DrawingSeed = 0


class LineOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `line`."""

    points: Annotated[
        int, Meta(ge=10, le=10_000_000, description="number of points, training and test together")
    ] = 1000
    slope: Annotated[float, Meta(ge=-1000, le=1000, description="slope of the line: y = slope · x")] = 2.0
    noise: Annotated[float, Meta(ge=0, le=1000, description="standard deviation of the noise")] = 0.3
    test: Annotated[float, Meta(gt=0, lt=1, description="fraction held out for the test")] = 0.2
    seed: DrawingSeed = 0


class ClustersOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `clusters`."""

    points: Annotated[
        int, Meta(ge=10, le=10_000_000, description="number of points, training and test together")
    ] = 1000
    deviation: Annotated[float, Meta(ge=0, le=10, description="standard deviation of each cluster")] = 0.1
    test: Annotated[float, Meta(gt=0, lt=1, description="fraction held out for the test")] = 0.2
    seed: DrawingSeed = 0


class EmnistOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `emnist`."""

    split: Annotated[
        Literal["byclass", "bymerge", "balanced", "letters", "digits", "mnist"],
        Meta(description="which of the six splits of EMNIST"),
    ] = "balanced"


class PhotosOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of published datasets whose images differ in size."""

    size: ImageSide = "auto"
    fit: ImageFit = "crop"
    store: StoredSide = "auto"


class ImagenetteOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `imagenette`."""

    size: ImageSide = "auto"
    fit: ImageFit = "crop"
    store: StoredSide = "auto"
    edition: Annotated[
        Literal["160px", "320px", "full"], Meta(description="the shorter side of the published images")
    ] = "320px"


class EurosatOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `eurosat`, which is published without splits."""

    test: Annotated[float, Meta(gt=0, lt=1, description="fraction held out for the test")] = 0.2
    seed: SplitSeed = 0


class FolderOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `folder:PATH`."""

    size: ImageSide = "auto"
    fit: ImageFit = "crop"
    store: StoredSide = "auto"
    test: Annotated[
        float, Meta(gt=0, lt=1, description="fraction held out for the test if there is no test/")
    ] = 0.2
    seed: SplitSeed = 0
    links: Annotated[
        Literal["inside", "all"],
        Meta(description="links to follow: those to places inside the folder, or all"),
    ] = "inside"
    pattern: Annotated[
        str,
        Meta(
            description="the class in the name of a file instead of its folder: {label}_*.jpg, or a regular expression "
            "with a group; {group} or (?P<group>…) is a group (patient, scene) that is in one split only"
        ),
    ] = ""


FILE_OPTIONS: Mapping[str, type[msgspec.Struct]] = {
    "folder": FolderOptions,
    "csv": CsvOptions,
    "npz": NpzOptions,
    "tar": PackedOptions,
    "parquet": PackedOptions,
}
"""Options of the datasets of the user's files, by kind."""


@dataclass(frozen=True)
class DatasetInfo:
    """One row of the catalog."""

    name: str
    title: str
    task: Task = "classification"
    kind: DatasetKind = "builtin"
    counts: tuple[int, int] | None = None
    """Training and test samples."""
    classes: int | None = None
    shape: tuple[int, ...] | None = None
    """Channels, height, width of an image (`None` if it varies), or the shape of one sample."""
    bytes: int = 0
    """Approximate size of the download, for display only."""
    options: type[msgspec.Struct] | None = NoOptions
    """`None`: a custom dataset, whose options are not validated."""
    train: Section = field(default_factory=dict)
    """Default training settings for this dataset."""
    files: tuple[str, ...] = ()
    """The files that must exist, in torchvision's layout: paths below a search folder, with or without `.gz`;
    `{option}` is replaced by the value of an option."""
    debian: str = ""
    """The folder of Debian's package, below /usr/share/datasets, that has the last components of `files`."""
    aliases: tuple[str, ...] = ()
    """Other names of the dataset (lower case, no dashes)."""
    loader: str = ""
    """`module:function` in `workbench.datasets`, imported when it loads; empty: the one of its kind."""


_IDX = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
_GRAYSCALE = {"epochs": 10, "batch_size": 64}
_SMALL = {"epochs": 20, "batch_size": 128, "augment": ("crop", "flip")}
_PHOTOS = {"epochs": 10, "batch_size": 32, "augment": ("crop", "flip")}

CATALOG: tuple[DatasetInfo, ...] = (
    DatasetInfo("digits", "handwritten digits 8×8, in scikit-learn",
                loader="builtin:digits", counts=(1438, 359), classes=10,
                shape=(1, 8, 8), options=DigitsOptions, train={"epochs": 30, "batch_size": 32}),
    DatasetInfo("shapes", "colored shapes, generated locally",
                loader="builtin:shapes", counts=(5000, 1000), classes=10,
                shape=(3, 32, 32), options=ShapesOptions, train={"epochs": 10}),
    DatasetInfo("line", "points on a line, with noise",
                loader="builtin:line", task="regression", counts=(800, 200), shape=(1,),
                options=LineOptions, train={"epochs": 50, "batch_size": 32}),
    DatasetInfo("clusters", "two clusters of points in the plane",
                loader="builtin:clusters", counts=(800, 200), classes=2, shape=(2,),
                options=ClustersOptions, train={"epochs": 30, "batch_size": 32}),
    DatasetInfo("mnist", "handwritten digits 28×28", kind="published", counts=(60000, 10000), classes=10,
                shape=(1, 28, 28), bytes=11_594_722, train=_GRAYSCALE, files=tuple(f"MNIST/raw/{f}" for f in _IDX),
                debian="mnist"),
    DatasetInfo("fashion-mnist", "Zalando's clothes in grayscale", kind="published", counts=(60000, 10000), classes=10,
                shape=(1, 28, 28), bytes=30_878_645, train=_GRAYSCALE, debian="fashion-mnist",
                files=tuple(f"FashionMNIST/raw/{f}" for f in _IDX)),
    DatasetInfo("kmnist", "Japanese characters, cursive", kind="published", counts=(60000, 10000), classes=10,
                shape=(1, 28, 28), bytes=21_240_888, train=_GRAYSCALE, files=tuple(f"KMNIST/raw/{f}" for f in _IDX),
                aliases=("kuzushijimnist",)),
    DatasetInfo("emnist", "handwritten letters and digits", kind="published", counts=(112800, 18800), classes=47,
                shape=(1, 28, 28), bytes=561_753_746, options=EmnistOptions, train={"epochs": 10, "batch_size": 128},
                files=tuple(f"EMNIST/raw/emnist-{{split}}-{part}-{kind}-ubyte"
                            for part in ("train", "test") for kind in ("images-idx3", "labels-idx1"))),
    DatasetInfo("qmnist", "MNIST with all 60,000 test digits", kind="published", counts=(60000, 60000), classes=10,
                shape=(1, 28, 28), bytes=20_454_208, train=_GRAYSCALE,
                files=tuple(f"QMNIST/raw/qmnist-{part}-{kind}" for part in ("train", "test")
                            for kind in ("images-idx3-ubyte", "labels-idx2-int"))),
    DatasetInfo("cifar10", "small photos of 10 things", kind="published", counts=(50000, 10000), classes=10,
                shape=(3, 32, 32), bytes=170_498_071, train=_SMALL,
                files=("cifar-10-batches-py/data_batch_1", "cifar-10-batches-py/test_batch")),
    DatasetInfo("cifar100", "small photos of 100 things", kind="published", counts=(50000, 10000), classes=100,
                shape=(3, 32, 32), bytes=169_001_437, train={**_SMALL, "epochs": 30},
                files=("cifar-100-python/train", "cifar-100-python/test", "cifar-100-python/meta")),
    DatasetInfo("svhn", "house numbers, digit by digit", kind="published", counts=(73257, 26032), classes=10,
                shape=(3, 32, 32), bytes=246_316_178, train={"epochs": 15, "batch_size": 128, "augment": ("crop",)},
                files=("train_32x32.mat", "test_32x32.mat")),
    DatasetInfo("stl10", "photos of 10 things, 96×96", kind="published", counts=(5000, 8000), classes=10,
                shape=(3, 96, 96), bytes=2_640_397_119, train={**_SMALL, "epochs": 30, "batch_size": 64},
                files=tuple(f"stl10_binary/{f}" for f in ("train_X.bin", "train_y.bin", "test_X.bin", "test_y.bin"))),
    DatasetInfo("imagenette", "ten easy classes of ImageNet", kind="published", counts=(9469, 3925), classes=10,
                bytes=341_663_724, options=ImagenetteOptions, train=_PHOTOS,
                files=("imagenette2{edition}/train", "imagenette2{edition}/val")),
    DatasetInfo("oxford-pets", "37 breeds of cats and dogs", kind="published", counts=(3680, 3669), classes=37,
                bytes=811_092_049, options=PhotosOptions, train=_PHOTOS, aliases=("oxfordiiitpet", "pets"),
                files=tuple(f"oxford-iiit-pet/{f}" for f in ("images", "annotations/trainval.txt",
                                                             "annotations/test.txt"))),
    DatasetInfo("flowers102", "102 kinds of flowers", kind="published", counts=(1020, 6149), classes=102,
                bytes=344_878_000, options=PhotosOptions, train={**_PHOTOS, "epochs": 20},
                aliases=("oxfordflowers102", "flowers"),
                files=tuple(f"flowers-102/{f}" for f in ("jpg", "imagelabels.mat", "setid.mat"))),
    DatasetInfo("food101", "101 dishes", kind="published", counts=(75750, 25250), classes=101,
                bytes=4_996_278_331, options=PhotosOptions, train={**_PHOTOS, "epochs": 5},
                files=("food-101/images", "food-101/meta/train.json", "food-101/meta/test.json")),
    DatasetInfo("eurosat", "land use seen by a satellite, 64×64", kind="published", counts=(21600, 5400), classes=10,
                shape=(3, 64, 64), bytes=94_280_567, options=EurosatOptions, files=("eurosat/2750",),
                train={**_SMALL, "augment": ("flip", "vflip")}),
    DatasetInfo("gtsrb", "German traffic signs", kind="published", counts=(26640, 12630), classes=43,
                bytes=276_568_468, options=PhotosOptions,
                train={**_PHOTOS, "batch_size": 64, "augment": ("crop",)},
                files=("gtsrb/GTSRB/Training", "gtsrb/GTSRB/Final_Test/Images", "gtsrb/GT-final_test.csv")),
)  # fmt: skip

EMNIST_COUNTS = {
    "byclass": (697932, 116323, 62), "bymerge": (697932, 116323, 47), "balanced": (112800, 18800, 47),
    "letters": (124800, 20800, 26), "digits": (240000, 40000, 10), "mnist": (60000, 10000, 10),
}  # fmt: skip
"""Training images, test images and classes of EMNIST's splits."""


def find(name: str) -> DatasetInfo:
    """The row of a dataset by name, `folder:PATH`, `csv:FILE` or `./file.py:function`. Raises `UserError`.

    A path that ends in `.csv`, `.npz`, … needs no prefix. Names match in any case, with or without dashes ("MNIST",
    "CIFAR-10", "FashionMNIST").
    """
    source = find_source(name)
    if source is not None:
        return _file_dataset(source, name)
    if is_user_code(name):
        file, function = split_user_code_name(name)
        absolute = f"{expand_user_path(file).absolute()}:{function}"  # a worker may start elsewhere
        return DatasetInfo(absolute, f"custom dataset {name}", kind="custom", options=None)
    for info in CATALOG:
        if _plain(name) in {_plain(info.name), *info.aliases}:
            return info
    raise UserError(
        f"unknown dataset '{name}'{did_you_mean(name.lower(), [i.name for i in CATALOG])}; 'workbench datasets' "
        "lists them, folder:PATH is a folder of your own images, csv:FILE a table of them (also npz:, tar:, parquet:)"
    )


def _file_dataset(source: FileSource, name: str) -> DatasetInfo:
    absolute = source.absolute_name(name)
    kind = msgspec.convert(source.kind, DatasetKind)
    return DatasetInfo(
        absolute,
        f"{source.title} {source.path(absolute)}",
        kind=kind,
        options=FILE_OPTIONS[kind],
        train={"epochs": 10, "batch_size": 32} if kind == "npz" else _PHOTOS,
    )


def _plain(name: str) -> str:
    return "".join(c for c in name.lower() if c not in "-_ ")


def find_on_disk(info: DatasetInfo, options: Section | None = None) -> Path | None:
    """The first search folder that has this dataset in torchvision's layout; `None` if there is none.

    Also `None` for datasets without files. In Debian's packages the files are in a folder of their own.
    """
    if not info.files:
        return None
    for folder in paths.dataset_search_path():
        if all(locate_file(folder, info, file, options) for file in info.files):
            return folder
    return None


def locate_file(folder: Path, info: DatasetInfo, file: str, options: Section | None = None) -> Path | None:
    """The path of one of `info.files` below `folder`, plain or with `.gz`; `None` if it is missing.

    A search folder may also have the files of the dataset directly, as Debian's does.
    """
    values = {**_default_options(info), **(options or {})}
    if "edition" in values:
        values["edition"] = "" if values["edition"] == "full" else f"-{values['edition'].removesuffix('px')}"
    path = folder / file.format(**values)
    candidates = [path]
    if info.debian:
        candidates.append(folder / info.debian / path.name)
    for candidate in candidates:
        for variant in (candidate, candidate.with_name(candidate.name + ".gz")):
            if os.access(variant, os.R_OK):
                return variant
    return None


def _default_options(info: DatasetInfo) -> Options:
    return msgspec.to_builtins(info.options()) if info.options else {}


class DatasetDescription(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset before it is loaded, as `workbench datasets --json` lists it."""

    name: str
    title: str
    task: Task
    kind: DatasetKind
    train: int | None
    """Training samples, in the files that were found if there are any; `None` if unknown before loading, as are
    the next three."""
    test: int | None
    classes: int | None
    shape: tuple[int, ...] | None
    """Of one raw sample: [C, H, W] of an image."""
    download: int
    """Approximate size of the download, in bytes."""
    here: bool
    """Whether it can be loaded without a download."""
    path: str | None
    """Its folder or file; `None` if there is none."""
    draws_test: bool
    """Whether its test split is drawn from all samples, and not its own."""
    bytes: int | None
    """Size on disk; 0 if there is nothing on disk, `None` if unknown."""


def describe(name: str, options: Section | None = None, *, measure: bool = False) -> DatasetDescription:
    """What is known about a dataset without torch. Raises `UserError`.

    `measure` adds up the file sizes in image folders, for at most 0.2 s; `bytes` is `None` if that is not enough.
    """
    info = find(name)
    values = {**_default_options(info), **(options or {})}
    counts, classes, shape = _counts(info, values)
    facts = None
    source = find_source(info.name)
    path = source.path(info.name) if source else find_on_disk(info, values)
    if info.kind == "custom":
        path = expand_user_path(info.name.rpartition(":")[0])
    if info.kind == "npz" and path is not None:
        facts = npz_facts(path, convert(NpzOptions, options or {}, "data"))
        counts, shape = (facts.split_counts(values["test"]), facts.shape) if facts else (None, None)
    if info.kind == "published" and path is not None:
        counts = count_found(_located_files(info, path, values)) or counts
    return DatasetDescription(
        name=info.name,
        title=info.title,
        task=info.task,
        kind=info.kind,
        train=counts[0] if counts else None,
        test=counts[1] if counts else None,
        classes=classes,
        shape=shape or None,
        download=info.bytes,
        here=info.kind == "builtin" or _is_there(info, path),
        path=str(path) if path else None,
        draws_test=isinstance(values.get("test"), float) and (facts is None or "test" not in facts.counts),
        bytes=_size(info, path, values, measure),
    )


def _is_there(info: DatasetInfo, path: Path | None) -> bool:
    source = find_source(info.name)
    return source.is_there(info.name) if source else path is not None and path.exists()


def published_counts(info: DatasetInfo, options: Section | None = None) -> tuple[int, int] | None:
    """Training and test samples of a dataset as published, with these options; `None` if unknown."""
    return _counts(info, {**_default_options(info), **(options or {})})[0]


def _located_files(info: DatasetInfo, folder: Path, values: Section) -> list[Path]:
    return [path for file in info.files if (path := locate_file(folder, info, file, values))]


def _counts(
    info: DatasetInfo, values: Section
) -> tuple[tuple[int, int] | None, int | None, tuple[int, ...] | None]:
    """Training and test samples, classes and shape with these options."""
    if info.name == "emnist":
        train, test, classes = EMNIST_COUNTS[values["split"]]
        return (train, test), classes, info.shape
    if info.name == "shapes":
        return (values["train"], values["test"]), info.classes, (3, values["size"], values["size"])
    if info.counts and "test" in values:
        total = values.get("points", sum(info.counts))
        test = round(total * values["test"])
        return (total - test, test), info.classes, info.shape
    shape = info.shape
    if isinstance(values.get("size"), int):
        shape = (3, values["size"], values["size"])
    return info.counts, info.classes, shape


def _size(info: DatasetInfo, path: Path | None, values: Section, measure: bool) -> int | None:
    """Bytes on disk (0: nothing on disk), `None` if unknown."""
    if info.kind in {"csv", "tar"}:
        return None  # the images may be anywhere; a pattern is no path
    if path is None or info.kind not in {"published", *FILE_OPTIONS} or not path.exists():
        return 0
    files = [path]
    if info.kind == "published":
        files = _located_files(info, path, values)
    return quick_disk_usage(files) if measure or not any(file.is_dir() for file in files) else None
