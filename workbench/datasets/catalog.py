"""What datasets can be chosen: a frozen table, read without torch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from workbench.core import paths
from workbench.core.errors import BadInput, nearest
from workbench.core.paths import given
from workbench.core.user_code import is_user_code, split_name
from workbench.io.disk_usage import size_of

Task = Literal["classification", "regression"]
DatasetKind = Literal["builtin", "published", "folder", "own"]

SplitSeed = Annotated[
    int, Meta(ge=0, le=2**63 - 1, description="what the split derives from, whatever the experiment's seed")
]
DrawingSeed = Annotated[
    int, Meta(ge=0, le=2**63 - 1, description="what the drawing derives from, whatever the experiment's seed")
]


class NoOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """For datasets that have nothing to adjust."""


class DigitsOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `digits`."""

    test: Annotated[float, Meta(gt=0, lt=1, description="part kept for the test")] = 0.2
    seed: SplitSeed = 0


class ShapesOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `shapes`."""

    train: Annotated[int, Meta(ge=10, le=10_000_000, description="training pictures")] = 5000
    test: Annotated[int, Meta(ge=10, le=10_000_000, description="test pictures")] = 1000
    size: Annotated[int, Meta(ge=8, le=512, description="height and width in pixels")] = 32
    seed: DrawingSeed = 0


class LineOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `line`."""

    points: Annotated[int, Meta(ge=10, le=10_000_000, description="points, training and test")] = 1000
    slope: Annotated[float, Meta(ge=-1000, le=1000, description="what x is multiplied by")] = 2.0
    noise: Annotated[float, Meta(ge=0, le=1000, description="standard deviation of the noise")] = 0.3
    test: Annotated[float, Meta(gt=0, lt=1, description="part kept for the test")] = 0.2
    seed: DrawingSeed = 0


class ClustersOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `clusters`."""

    points: Annotated[int, Meta(ge=10, le=10_000_000, description="points, training and test")] = 1000
    deviation: Annotated[float, Meta(ge=0, le=10, description="standard deviation of each cluster")] = 0.1
    test: Annotated[float, Meta(gt=0, lt=1, description="part kept for the test")] = 0.2
    seed: DrawingSeed = 0


class EmnistOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `emnist`."""

    split: Annotated[
        Literal["byclass", "bymerge", "balanced", "letters", "digits", "mnist"],
        Meta(description="which of EMNIST's six arrangements"),
    ] = "balanced"


Side = Annotated[
    Literal["auto"] | Annotated[int, Meta(ge=1, le=2048)],
    Meta(description="pictures are resized and cropped to this square; auto is what the model takes"),
]


class PhotosOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of published datasets whose pictures differ in size."""

    size: Side = "auto"


class ImagenetteOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `imagenette`."""

    size: Side = "auto"
    edition: Annotated[
        Literal["160px", "320px", "full"], Meta(description="the shorter side of the published pictures")
    ] = "320px"


class EurosatOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `eurosat`, which is published without splits."""

    test: Annotated[float, Meta(gt=0, lt=1, description="part kept for the test")] = 0.2
    seed: SplitSeed = 0


class FolderOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `folder:PATH`."""

    size: Side = "auto"
    test: Annotated[float, Meta(gt=0, lt=1, description="part kept for the test, without test/")] = 0.2
    seed: SplitSeed = 0


@dataclass(frozen=True)
class DatasetInfo:
    """One row of the catalogue."""

    name: str
    title: str
    task: Task = "classification"
    kind: DatasetKind = "builtin"
    counts: tuple[int, int] | None = None
    """Training and test examples."""
    classes: int | None = None
    shape: tuple[int, ...] | None = None
    """Channels, height, width of a picture (`None` where it varies), or the shape of one example."""
    bytes: int = 0
    """Size of what is downloaded, about: it is shown, not checked."""
    options: type[msgspec.Struct] | None = NoOptions
    """`None`: somebody's own code, options pass through unchecked."""
    train: Mapping[str, Any] = field(default_factory=dict)
    """Train settings that suit it."""
    files: tuple[str, ...] = ()
    """What must be there for it to count as found, in torchvision's layout: paths below a search folder;
    `{option}` stands for the value of an option, a file may also be there with `.gz` added."""
    debian: str = ""
    """The folder of Debian's package, below /usr/share/datasets, that holds the last parts of `files`."""
    aliases: tuple[str, ...] = ()
    """Other names it is known by (lower case, no dashes)."""


_IDX = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
_GREY = {"epochs": 10, "batch_size": 64}
_SMALL = {"epochs": 20, "batch_size": 128, "augment": ("crop", "flip")}
_PHOTOS = {"epochs": 10, "batch_size": 32, "augment": ("crop", "flip")}

CATALOGUE: tuple[DatasetInfo, ...] = (
    DatasetInfo("digits", "handwritten digits 8×8, in scikit-learn", counts=(1438, 359), classes=10,
                shape=(1, 8, 8), options=DigitsOptions, train={"epochs": 30, "batch_size": 32}),
    DatasetInfo("shapes", "coloured shapes, drawn on the spot", counts=(5000, 1000), classes=10,
                shape=(3, 32, 32), options=ShapesOptions, train={"epochs": 10}),
    DatasetInfo("line", "points on a line, with noise", task="regression", counts=(800, 200), shape=(1,),
                options=LineOptions, train={"epochs": 50, "batch_size": 32}),
    DatasetInfo("clusters", "two clusters of points in the plane", counts=(800, 200), classes=2, shape=(2,),
                options=ClustersOptions, train={"epochs": 30, "batch_size": 32}),
    DatasetInfo("mnist", "handwritten digits 28×28", kind="published", counts=(60000, 10000), classes=10,
                shape=(1, 28, 28), bytes=11_594_722, train=_GREY, files=tuple(f"MNIST/raw/{f}" for f in _IDX),
                debian="mnist"),
    DatasetInfo("fashion-mnist", "Zalando's clothes in grey", kind="published", counts=(60000, 10000), classes=10,
                shape=(1, 28, 28), bytes=30_878_645, train=_GREY, debian="fashion-mnist",
                files=tuple(f"FashionMNIST/raw/{f}" for f in _IDX)),
    DatasetInfo("kmnist", "Japanese characters, cursive", kind="published", counts=(60000, 10000), classes=10,
                shape=(1, 28, 28), bytes=21_240_888, train=_GREY, files=tuple(f"KMNIST/raw/{f}" for f in _IDX),
                aliases=("kuzushijimnist",)),
    DatasetInfo("emnist", "handwritten letters and digits", kind="published", counts=(112800, 18800), classes=47,
                shape=(1, 28, 28), bytes=561_753_746, options=EmnistOptions, train={"epochs": 10, "batch_size": 128},
                files=tuple(f"EMNIST/raw/emnist-{{split}}-{part}-{kind}-ubyte"
                            for part in ("train", "test") for kind in ("images-idx3", "labels-idx1"))),
    DatasetInfo("qmnist", "MNIST, with all 60,000 test digits", kind="published", counts=(60000, 60000), classes=10,
                shape=(1, 28, 28), bytes=20_454_208, train=_GREY,
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
"""Training and test pictures and classes of EMNIST's arrangements."""


def find(name: str) -> DatasetInfo:
    """The row of a dataset by name, `folder:PATH` or `./file.py:function`. Raises `BadInput`.

    Names are found in any case and with or without dashes ("MNIST", "CIFAR-10", "FashionMNIST").
    """
    if name.startswith("folder:"):
        if not name[7:]:
            raise BadInput("folder: needs a path, as in folder:./pets")
        path = given(name[7:]).absolute()
        return DatasetInfo(f"folder:{path}", f"pictures in {path}", kind="folder", options=FolderOptions,
                           train=_PHOTOS)  # fmt: skip
    if is_user_code(name):
        file, function = split_name(name)
        absolute = f"{given(file).absolute()}:{function}"  # a worker may start elsewhere
        return DatasetInfo(absolute, f"your own {name}", kind="own", options=None)
    for info in CATALOGUE:
        if _plain(name) in {_plain(info.name), *info.aliases}:
            return info
    raise BadInput(
        f"there is no dataset '{name}'{nearest(name.lower(), [i.name for i in CATALOGUE])}; 'workbench datasets' "
        "lists them, pictures of your own are given as folder:PATH"
    )


def _plain(name: str) -> str:
    return "".join(c for c in name.lower() if c not in "-_ ")


def found_at(info: DatasetInfo, options: Mapping[str, Any] | None = None) -> Path | None:
    """The folder of `paths.data_search()` that holds this dataset in torchvision's layout; `None`: not here.

    What needs no files gives `None` too. In Debian's packages the files lie in a folder of their own.
    """
    if not info.files:
        return None
    for folder in paths.data_search():
        if all(located(folder, info, file, options) for file in info.files):
            return folder
    return None


def located(
    folder: Path, info: DatasetInfo, file: str, options: Mapping[str, Any] | None = None
) -> Path | None:
    """Where one of `info.files` lies below `folder`, plain or with `.gz`; `None` where it is missing.

    A search folder may also hold the dataset's files directly, as Debian's does.
    """
    values = {**_default_options(info), **(options or {})}
    if "edition" in values:
        values["edition"] = "" if values["edition"] == "full" else f"-{values['edition'].removesuffix('px')}"
    path = folder / file.format(**values)
    places = [path]
    if info.debian:
        places.append(folder / info.debian / path.name)
    for place in places:
        for candidate in (place, place.with_name(place.name + ".gz")):
            if os.access(candidate, os.R_OK):
                return candidate
    return None


def _default_options(info: DatasetInfo) -> dict[str, Any]:
    return msgspec.to_builtins(info.options()) if info.options else {}


class DatasetDescription(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset before it is loaded, as `workbench datasets --json` lists it."""

    name: str
    title: str
    task: Task
    kind: DatasetKind
    train: int | None
    """Training examples; `None` where they are not known before loading, as in the next three."""
    test: int | None
    classes: int | None
    shape: tuple[int, ...] | None
    """Of one raw example: [C, H, W] of an image."""
    download: int
    """Bytes, about."""
    here: bool
    """Whether it can be loaded without a download."""
    path: str | None
    """The folder or file that holds it; `None` where there is none."""
    bytes: int | None
    """Size on disk; 0 where there is nothing on disk, `None` where it is not known."""


def describe(
    name: str, options: Mapping[str, Any] | None = None, *, measure: bool = False
) -> DatasetDescription:
    """What is known of a dataset without torch. Raises `BadInput`.

    `measure` adds up the sizes of files in folders of images, which takes up to 0.2 s; `bytes` stays `None` where
    that is not enough.
    """
    info = find(name)
    values = {**_default_options(info), **(options or {})}
    counts, classes, shape = _counts(info, values)
    path = Path(info.name[7:]) if info.kind == "folder" else found_at(info, values)
    if info.kind == "own":
        path = given(info.name.rpartition(":")[0])
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
        here=info.kind == "builtin" or (path is not None and path.exists()),
        path=str(path) if path else None,
        bytes=_size(info, path, values, measure),
    )


def _counts(
    info: DatasetInfo, values: Mapping[str, Any]
) -> tuple[tuple[int, int] | None, int | None, tuple[int, ...] | None]:
    """Examples, classes and shape with these options."""
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


def _size(info: DatasetInfo, path: Path | None, values: Mapping[str, Any], measure: bool) -> int | None:
    """Bytes of what is here (0: nothing on disk), `None` where they are not known."""
    if path is None or info.kind not in {"published", "folder"} or not path.exists():
        return 0
    files = [path]
    if info.kind == "published":
        files = [found for file in info.files if (found := located(path, info, file, values))]
    return size_of(files) if measure or not any(file.is_dir() for file in files) else None
