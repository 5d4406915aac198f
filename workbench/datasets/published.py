"""Well-known datasets: found on disk first, in torchvision's layout, and downloaded second."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from workbench.core.errors import BadInput
from workbench.datasets import catalog, class_names
from workbench.datasets.dataset import Data, Split, part
from workbench.datasets.downloads import download, vars_of
from workbench.datasets.file_formats import (
    read_cifar,
    read_idx,
    read_mat,
    read_plain_pickle,
    read_stl10,
    read_svhn,
)
from workbench.datasets.image_cache import Item, Listing, decode
from workbench.datasets.image_folder import item_of, scan_folder
from workbench.datasets.load_request import Request
from workbench.io.images import open_regular

Labelled = Iterable[tuple[str, int]]
"""Paths below a dataset's folder, each with its class."""


def load(request: Request) -> Data:
    """A published dataset from the first search folder that holds it, else fetched into our cache.

    What is found is taken with any number of pictures. Raises `BadInput` (one line naming the file).
    """
    root = catalog.found_at(request.info, vars_of(request)) or download(request)
    reader: Callable[[Request, Path], Data] = _READERS[request.info.name]
    return replace(reader(request, root), source=str(_file(request, root, 0).parent))


def _file(request: Request, root: Path, number: int) -> Path:
    """Where the dataset's file of this number (in `info.files`) lies."""
    wanted = request.info.files[number]
    found = catalog.located(root, request.info, wanted, vars_of(request))
    if found is None:
        raise BadInput(
            f"{request.info.name} has no {wanted.format(**vars_of(request))} in {root}: fetch it again"
        )
    return found


def _arrays(classes: tuple[str, ...], train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor]) -> Data:
    return Data("classification", classes, Split(*train), None, Split(*test))


def _mnist(request: Request, root: Path) -> Data:
    """The four idx files that MNIST and its relatives come as."""
    classes = class_names.CLASSES[request.info.name]
    return _arrays(classes, _idx_pair(request, root, 0, 1), _idx_pair(request, root, 2, 3))


def _idx_pair(
    request: Request, root: Path, pictures: int, labels: int, columns: int = 1
) -> tuple[Tensor, Tensor]:
    """uint8 [N, 1, H, W] and int64 [N] from two idx files; labels may be the first of several columns."""
    x = read_idx(_file(request, root, pictures), 3).unsqueeze(1)
    y = read_idx(_file(request, root, labels), columns).long()
    y = y if columns == 1 else y[:, 0].contiguous()
    if len(x) != len(y):
        raise BadInput(
            f"{_file(request, root, labels)} holds {len(y):,} labels for {len(x):,} pictures: fetch both again"
        )
    return x, y


def _qmnist(request: Request, root: Path) -> Data:
    classes = class_names.CLASSES["qmnist"]
    return _arrays(classes, _idx_pair(request, root, 0, 1, 2), _idx_pair(request, root, 2, 3, 2))


def _emnist(request: Request, root: Path) -> Data:
    """EMNIST's pictures lie on their side and mirrored in its files: they are turned upright."""
    split = request.options.split
    pairs = []
    for pictures, labels in ((0, 1), (2, 3)):
        x, y = _idx_pair(request, root, pictures, labels)
        pairs.append((x.transpose(2, 3).contiguous(), y - 1 if split == "letters" else y))
    return _arrays(class_names.emnist_classes(split), pairs[0], pairs[1])


def _cifar10(request: Request, root: Path) -> Data:
    folder = root / "cifar-10-batches-py"
    batches = [path for i in range(1, 6) if (path := folder / f"data_batch_{i}").exists()]
    parts = [read_cifar(path, "labels") for path in batches]
    train = torch.cat([x for x, _ in parts]), torch.cat([y for _, y in parts])
    return _arrays(class_names.CLASSES["cifar10"], train, read_cifar(folder / "test_batch", "labels"))


def _cifar100(request: Request, root: Path) -> Data:
    folder = root / "cifar-100-python"
    meta = read_plain_pickle(folder / "meta").get("fine_label_names", ())
    train, test = (read_cifar(folder / name, "fine_labels") for name in ("train", "test"))
    return _arrays(tuple(str(name) for name in meta), train, test)


def _svhn(request: Request, root: Path) -> Data:
    train, test = (read_svhn(root / f"{name}_32x32.mat") for name in ("train", "test"))
    return _arrays(class_names.CLASSES["svhn"], train, test)


def _stl10(request: Request, root: Path) -> Data:
    folder = root / "stl10_binary"
    train, test = (
        read_stl10(folder / f"{name}_X.bin", folder / f"{name}_y.bin") for name in ("train", "test")
    )
    return _arrays(class_names.CLASSES["stl10"], train, test)


def _imagenette(request: Request, root: Path) -> Data:
    folder = _file(request, root, 0).parent
    scan = scan_folder(folder, request.cancelled)
    classes = tuple(class_names.IMAGENETTE.get(wnid, wnid) for wnid in scan.classes)
    return decode(Listing(folder, classes, scan.splits, tuple(scan.set_aside)), request)


def _eurosat(request: Request, root: Path) -> Data:
    folder = root / "eurosat" / "2750"
    scan = scan_folder(folder, request.cancelled)
    items = [item for split in scan.splits.values() for item in split]
    options = request.options
    kept, taken = part([item.label for item in items], options.test, options.seed, "eurosat test")
    splits = {"train": [items[i] for i in kept], "test": [items[i] for i in taken]}
    return decode(Listing(folder, scan.classes, splits, tuple(scan.set_aside)), request, side=64)


def _pets(request: Request, root: Path) -> Data:
    folder = root / "oxford-iiit-pet"
    breeds: dict[int, str] = {}

    def listed(split: str) -> Iterator[tuple[str, int]]:
        for number, line in enumerate(_text(folder / "annotations" / f"{split}.txt").splitlines(), 1):
            fields = line.split()
            if len(fields) < 2 or not fields[1].isdigit():
                raise BadInput(
                    f"{folder / 'annotations' / split}.txt, line {number}: no picture and class: replace it"
                )
            label = int(fields[1]) - 1
            breeds.setdefault(label, " ".join(part.title() for part in fields[0].split("_")[:-1]))
            yield f"images/{fields[0]}.jpg", label

    splits = {"train": list(listed("trainval")), "test": list(listed("test"))}
    classes = tuple(breeds.get(label, str(label)) for label in range(max(breeds, default=0) + 1))
    return _photos(request, folder, classes, splits)


def _flowers(request: Request, root: Path) -> Data:
    from torchvision.datasets import Flowers102  # noqa: PLC0415 - it knows the 102 names

    folder = root / "flowers-102"
    labels = read_mat(folder / "imagelabels.mat", "labels")["labels"].reshape(-1).tolist()
    ids = read_mat(folder / "setid.mat", "trnid", "valid", "tstid")
    splits: dict[str, Labelled] = {}
    for split, key in (("train", "trnid"), ("validation", "valid"), ("test", "tstid")):
        numbers = ids[key].reshape(-1).tolist()
        if max(numbers, default=0) > len(labels) or min(numbers, default=1) < 1:
            raise BadInput(
                f"{folder / 'setid.mat'} names pictures that have no label: fetch both files again"
            )
        splits[split] = [(f"jpg/image_{number:05d}.jpg", labels[number - 1] - 1) for number in numbers]
    return _photos(request, folder, tuple(Flowers102.classes), splits)


def _food(request: Request, root: Path) -> Data:
    folder = root / "food-101"
    lists = {split: _json_lists(folder / "meta" / f"{split}.json") for split in ("train", "test")}
    classes = tuple(sorted(lists["train"]))
    splits: dict[str, Labelled] = {
        split: [
            (f"images/{path}.jpg", label)
            for label, name in enumerate(classes)
            for path in found.get(name, ())
        ]
        for split, found in lists.items()
    }
    return _photos(request, folder, tuple(name.replace("_", " ") for name in classes), splits)


def _gtsrb(request: Request, root: Path) -> Data:
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
        raise BadInput(f"{table} is no table of file names and classes ({error}): fetch it again") from None
    return _photos(request, folder, class_names.CLASSES["gtsrb"], {"train": train, "test": test})


def _photos(request: Request, folder: Path, classes: tuple[str, ...], splits: Mapping[str, Labelled]) -> Data:
    """Listed pictures, decoded once; those that are not there are set aside."""
    real, aside = folder.resolve(), []
    items: dict[str, list[Item]] = {}
    for split, listed in splits.items():
        items[split] = []
        for path, label in listed:
            item = "a path that leads out of the folder" if ".." in Path(path).parts else ""
            found = item or item_of(folder / path, label, folder, real)
            if isinstance(found, Item):
                items[split].append(found)
            else:
                aside.append((str(folder / path), found))
        if not items[split]:
            raise BadInput(f"{folder} has none of the {split} pictures that its lists name: fetch it again")
    return decode(Listing(folder, classes, items, tuple(aside)), request)


def _text(path: Path) -> str:
    with open_regular(path) as file:
        return file.read(100_000_000).decode("utf-8", "replace")


def _json_lists(path: Path) -> dict[str, list[str]]:
    try:
        content = json.loads(_text(path))
        return {str(name): [str(item) for item in items] for name, items in content.items()}
    except (ValueError, AttributeError, TypeError, RecursionError):
        raise BadInput(f"{path} is no JSON table of pictures by class: fetch it again") from None


_READERS: dict[str, Callable[[Request, Path], Data]] = {
    "mnist": _mnist, "fashion-mnist": _mnist, "kmnist": _mnist, "emnist": _emnist, "qmnist": _qmnist,
    "cifar10": _cifar10, "cifar100": _cifar100, "svhn": _svhn, "stl10": _stl10, "imagenette": _imagenette,
    "oxford-pets": _pets, "flowers102": _flowers, "food101": _food, "eurosat": _eurosat, "gtsrb": _gtsrb,
}  # fmt: skip
