"""Published datasets, in torchvision's layout: taken from disk where present, else downloaded."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from workbench.core.errors import UserError
from workbench.core.parsing import parse_json
from workbench.datasets import catalog, class_names
from workbench.datasets.dataset import Dataset, Split
from workbench.datasets.downloads import download_dataset, options_dict
from workbench.datasets.file_formats import (
    read_cifar,
    read_idx,
    read_mat,
    read_plain_pickle,
    read_stl10,
    read_svhn,
)
from workbench.datasets.image_cache import load_listing
from workbench.datasets.image_folder import listed_image
from workbench.datasets.image_folder_scan import scan_folder
from workbench.datasets.image_listing import ImageListing
from workbench.datasets.image_scan import ListedImage
from workbench.datasets.load_request import LoadRequest
from workbench.io.regular_files import open_regular_file

_CLASS_NUMBER = re.compile(r"[1-9][0-9]{0,3}")
LabeledPaths = Iterable[tuple[str, int]]
"""Paths below the folder of a dataset, each with its class index."""


def load(request: LoadRequest) -> Dataset:
    """A published dataset from the first search folder that has it, else downloaded into the cache.

    Files on disk are accepted with any number of images. Raises `UserError` with one line that names the file.
    """
    root = catalog.find_on_disk(request.info, options_dict(request)) or download_dataset(request)
    reader: Callable[[LoadRequest, Path], Dataset] = _READERS[request.info.name]
    return replace(reader(request, root), source=str(_file(request, root, 0).parent))


def _file(request: LoadRequest, root: Path, number: int) -> Path:
    """The path of the dataset's file number `number` in `info.files`. Raises `UserError` if it is missing."""
    name = request.info.files[number]
    path = catalog.locate_file(root, request.info, name, options_dict(request))
    if path is None:
        raise UserError(
            f"{request.info.name} has no {name.format(**options_dict(request))} in {root}: download it again"
        )
    return path


def _arrays(classes: tuple[str, ...], train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor]) -> Dataset:
    return Dataset("classification", classes, Split(*train), None, Split(*test))


def _mnist(request: LoadRequest, root: Path) -> Dataset:
    """The four idx files of MNIST and datasets in the same format."""
    classes = class_names.CLASSES[request.info.name]
    return _arrays(classes, _idx_pair(request, root, 0, 1), _idx_pair(request, root, 2, 3))


def _idx_pair(
    request: LoadRequest, root: Path, images: int, labels: int, columns: int = 1
) -> tuple[Tensor, Tensor]:
    """uint8 [N, 1, H, W] and int64 [N] from two idx files; the labels may be the first of several columns."""
    x = read_idx(_file(request, root, images), 3).unsqueeze(1)
    y = read_idx(_file(request, root, labels), columns).long()
    y = y if columns == 1 else y[:, 0].contiguous()
    if len(x) != len(y):
        raise UserError(
            f"{_file(request, root, labels)} has {len(y):,} labels for {len(x):,} images: download both again"
        )
    return x, y


def _qmnist(request: LoadRequest, root: Path) -> Dataset:
    classes = class_names.CLASSES["qmnist"]
    return _arrays(classes, _idx_pair(request, root, 0, 1, 2), _idx_pair(request, root, 2, 3, 2))


def _emnist(request: LoadRequest, root: Path) -> Dataset:
    """EMNIST stores its images transposed; they are transposed back."""
    split = request.options.split
    pairs = []
    for images, labels in ((0, 1), (2, 3)):
        x, y = _idx_pair(request, root, images, labels)
        pairs.append((x.transpose(2, 3).contiguous(), y - 1 if split == "letters" else y))
    return _arrays(class_names.emnist_classes(split), pairs[0], pairs[1])


def _cifar10(request: LoadRequest, root: Path) -> Dataset:
    folder = root / "cifar-10-batches-py"
    batches = [path for i in range(1, 6) if (path := folder / f"data_batch_{i}").exists()]
    parts = [read_cifar(path, "labels") for path in batches]
    train = torch.cat([x for x, _ in parts]), torch.cat([y for _, y in parts])
    return _arrays(class_names.CLASSES["cifar10"], train, read_cifar(folder / "test_batch", "labels"))


def _cifar100(request: LoadRequest, root: Path) -> Dataset:
    folder = root / "cifar-100-python"
    meta = read_plain_pickle(folder / "meta").get("fine_label_names", ())
    train, test = (read_cifar(folder / name, "fine_labels") for name in ("train", "test"))
    return _arrays(tuple(str(name) for name in meta), train, test)


def _svhn(request: LoadRequest, root: Path) -> Dataset:
    train, test = (read_svhn(root / f"{name}_32x32.mat") for name in ("train", "test"))
    return _arrays(class_names.CLASSES["svhn"], train, test)


def _stl10(request: LoadRequest, root: Path) -> Dataset:
    folder = root / "stl10_binary"
    train, test = (
        read_stl10(folder / f"{name}_X.bin", folder / f"{name}_y.bin") for name in ("train", "test")
    )
    return _arrays(class_names.CLASSES["stl10"], train, test)


def _imagenette(request: LoadRequest, root: Path) -> Dataset:
    folder = _file(request, root, 0).parent
    scan = scan_folder(folder, request.cancelled)
    classes = tuple(class_names.IMAGENETTE.get(wnid, wnid) for wnid in scan.classes)
    return load_listing(ImageListing(folder, classes, scan.splits, tuple(scan.skipped_files)), request)


def _eurosat(request: LoadRequest, root: Path) -> Dataset:
    folder = root / "eurosat" / "2750"
    scan = scan_folder(folder, request.cancelled)
    items = [item for split in scan.splits.values() for item in split]
    train, test = request.draw_test([item.label for item in items], "eurosat test")
    splits = {"train": [items[i] for i in train], "test": [items[i] for i in test]}
    return load_listing(
        ImageListing(folder, scan.classes, splits, tuple(scan.skipped_files)), request, side=64
    )


def _pets(request: LoadRequest, root: Path) -> Dataset:
    folder = root / "oxford-iiit-pet"
    breeds: dict[int, str] = {}

    def listed(split: str) -> Iterator[tuple[str, int]]:
        for number, line in enumerate(_text(folder / "annotations" / f"{split}.txt").splitlines(), 1):
            fields = line.split()
            if len(fields) < 2 or not _CLASS_NUMBER.fullmatch(fields[1]):
                raise UserError(
                    f"{folder / 'annotations' / split}.txt, line {number}: expected an image and its class; "
                    "replace the file"
                )
            label = int(fields[1]) - 1
            breeds.setdefault(label, " ".join(part.title() for part in fields[0].split("_")[:-1]))
            yield f"images/{fields[0]}.jpg", label

    splits = {"train": list(listed("trainval")), "test": list(listed("test"))}
    classes = tuple(breeds.get(label, str(label)) for label in range(max(breeds, default=0) + 1))
    return _photos(request, folder, classes, splits)


def _flowers(request: LoadRequest, root: Path) -> Dataset:
    from torchvision.datasets import Flowers102  # noqa: PLC0415 - it has the 102 class names

    folder = root / "flowers-102"
    labels = read_mat(folder / "imagelabels.mat", "labels")["labels"].reshape(-1).tolist()
    ids = read_mat(folder / "setid.mat", "trnid", "valid", "tstid")
    splits: dict[str, LabeledPaths] = {}
    for split, key in (("train", "trnid"), ("validation", "valid"), ("test", "tstid")):
        numbers = ids[key].reshape(-1).tolist()
        if max(numbers, default=0) > len(labels) or min(numbers, default=1) < 1:
            raise UserError(f"{folder / 'setid.mat'} names images without a label: download both files again")
        splits[split] = [(f"jpg/image_{number:05d}.jpg", labels[number - 1] - 1) for number in numbers]
    return _photos(request, folder, tuple(Flowers102.classes), splits)


def _food(request: LoadRequest, root: Path) -> Dataset:
    folder = root / "food-101"
    lists = {split: _json_lists(folder / "meta" / f"{split}.json") for split in ("train", "test")}
    classes = tuple(sorted(lists["train"]))
    splits: dict[str, LabeledPaths] = {
        split: [
            (f"images/{path}.jpg", label)
            for label, name in enumerate(classes)
            for path in found.get(name, ())
        ]
        for split, found in lists.items()
    }
    return _photos(request, folder, tuple(name.replace("_", " ") for name in classes), splits)


def _gtsrb(request: LoadRequest, root: Path) -> Dataset:
    folder = root / "gtsrb"
    training = folder / "GTSRB" / "Training"
    train = [
        (str(path.relative_to(folder)), int(path.parent.name))
        for path in sorted(training.glob("*/*.ppm"))
        if path.parent.name.isdigit()
    ]
    table = folder / "GT-final_test.csv"
    try:
        rows = csv.DictReader(_text(table).splitlines(), delimiter=";", skipinitialspace=True)
        test = [(f"GTSRB/Final_Test/Images/{row['Filename']}", int(row["ClassId"])) for row in rows]
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise UserError(
            f"{table} is not a valid table of file names and classes ({error}): download it again"
        ) from None
    return _photos(request, folder, class_names.CLASSES["gtsrb"], {"train": train, "test": test})


def _photos(
    request: LoadRequest, folder: Path, classes: tuple[str, ...], splits: Mapping[str, LabeledPaths]
) -> Dataset:
    """The listed images, decoded once; missing files are skipped. Raises `UserError` if a split has none."""
    real, skipped = folder.resolve(), []
    items: dict[str, list[ListedImage]] = {}
    for split, listed in splits.items():
        items[split] = []
        for path, label in listed:
            if not 0 <= label < len(classes):
                raise UserError(
                    f"{folder} lists {path!r} in class {label} of {len(classes)}: download it again"
                )
            if ".." in Path(path).parts:
                skipped.append((str(folder / path), "a path outside the folder"))
                continue
            item = listed_image(folder / path, label, folder, real)
            if isinstance(item, ListedImage):
                items[split].append(item)
            else:
                skipped.append((str(folder / path), item))
        if not items[split]:
            raise UserError(f"{folder} has none of the listed {split} images: download the dataset again")
    return load_listing(ImageListing(folder, classes, items, tuple(skipped)), request)


def _text(path: Path) -> str:
    with open_regular_file(path) as file:
        return file.read(100_000_000).decode("utf-8", "replace")


def _json_lists(path: Path) -> dict[str, list[str]]:
    try:
        content = parse_json(_text(path))
        return {str(name): [str(item) for item in items] for name, items in content.items()}
    except (ValueError, AttributeError, TypeError):
        raise UserError(f"{path} is not a valid JSON table of images by class: download it again") from None


_READERS: dict[str, Callable[[LoadRequest, Path], Dataset]] = {
    "mnist": _mnist, "fashion-mnist": _mnist, "kmnist": _mnist, "emnist": _emnist, "qmnist": _qmnist,
    "cifar10": _cifar10, "cifar100": _cifar100, "svhn": _svhn, "stl10": _stl10, "imagenette": _imagenette,
    "oxford-pets": _pets, "flowers102": _flowers, "food101": _food, "eurosat": _eurosat, "gtsrb": _gtsrb,
}  # fmt: skip
