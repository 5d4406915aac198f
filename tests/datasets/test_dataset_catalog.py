"""The catalog of datasets: names, what is here, and that it needs no torch."""

from __future__ import annotations

import gzip
import struct
import subprocess
import sys

import pytest

from workbench.core import paths
from workbench.core.errors import UserError
from workbench.datasets import catalog
from workbench.datasets.catalog import CATALOG, describe, find, find_on_disk, published_counts
from workbench.io import disk_usage


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("WORKBENCH_DATA", f"{tmp_path / 'nothing'}:{tmp_path / 'data'}")
    monkeypatch.setattr(paths, "DEBIAN_DATASETS", tmp_path / "debian")


@pytest.mark.parametrize(
    ("spelling", "name"),
    [("MNIST", "mnist"), ("FashionMNIST", "fashion-mnist"), ("CIFAR10", "cifar10"), ("CIFAR-100", "cifar100"),
     ("OxfordIIITPet", "oxford-pets"), ("pets", "oxford-pets"), ("Flowers102", "flowers102"), ("gtsrb", "gtsrb")],
)  # fmt: skip
def test_names_are_found_in_any_spelling(spelling, name):
    assert find(spelling).name == name


def test_a_wrong_name_brings_the_nearest():
    with pytest.raises(UserError, match="did you mean 'cifar10'"):
        find("cifar1O")


def test_paths_are_made_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find("folder:pets").name == f"folder:{tmp_path}/pets"
    assert find("./data.py:make").name == f"{tmp_path}/data.py:make"
    with pytest.raises(UserError, match="needs a path"):
        find("folder:")


def test_names_are_unique():
    every = [name for info in CATALOG for name in (info.name.replace("-", ""), *info.aliases)]
    assert len(every) == len(set(every))


@pytest.mark.parametrize("info", CATALOG, ids=lambda info: info.name)
def test_every_row_is_whole(info):
    assert info.title and info.counts and info.options is not None
    assert info.classes or info.task == "regression"
    assert info.kind == "builtin" or (info.files and info.bytes)
    shown = describe(info.name)
    assert shown.here is (info.kind == "builtin")
    assert shown.train > 0 and shown.test > 0


def test_a_dataset_is_present_when_every_file_is(tmp_path):
    raw = tmp_path / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    info = find("mnist")
    for file in info.files:
        assert find_on_disk(info) is None
        path = tmp_path / "data" / file
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(b"12"))
    assert find_on_disk(info) == tmp_path / "data"
    shown = describe("mnist")
    assert (shown.here, shown.bytes) == (True, 4 * len(gzip.compress(b"12")))


def test_the_samples_that_are_found_are_counted(tmp_path):
    raw = tmp_path / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part, count in (("train", 800), ("t10k", 200)):
        for kind, magic in (("images-idx3", 0x803), ("labels-idx1", 0x801)):
            header = struct.pack(">II", magic, count)
            (raw / f"{part}-{kind}-ubyte.gz").write_bytes(gzip.compress(header + bytes(8)))
    shown = describe("mnist")
    assert (shown.train, shown.test) == (800, 200), "not the 60,000 and 10,000 of the catalog"
    assert published_counts(find("mnist")) == (60000, 10000)
    (raw / "t10k-images-idx3-ubyte.gz").write_bytes(b"damaged")
    assert (describe("mnist").train, describe("mnist").test) == (60000, 10000)


def test_cifar_is_counted_by_the_sizes_of_its_batches(tmp_path):
    folder = tmp_path / "data" / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    for name, size in (("data_batch_1", 31_035_704), ("data_batch_2", 31_035_320), ("test_batch", 3_103_999)):
        with (folder / name).open("wb") as file:
            file.truncate(size)
    assert (describe("cifar10").train, describe("cifar10").test) == (20000, 1000)


def test_a_folders_size_is_that_of_its_files(tmp_path, monkeypatch):
    for name in ("cat/0.png", "dog/deep/1.png"):
        (tmp_path / "pets" / name).parent.mkdir(parents=True)
        (tmp_path / "pets" / name).write_bytes(b"12345")
    shown = describe(f"folder:{tmp_path / 'pets'}", measure=True)
    assert (shown.here, shown.bytes) == (True, 10)
    assert describe(f"folder:{tmp_path / 'pets'}").bytes is None
    missing = describe(f"folder:{tmp_path / 'none'}", measure=True)
    assert (missing.here, missing.bytes) == (False, 0)
    monkeypatch.setattr(disk_usage.quick_disk_usage, "__defaults__", (disk_usage.TIME_LIMIT, 1))
    assert describe(f"folder:{tmp_path / 'pets'}", measure=True).bytes is None


def test_a_published_set_in_folders_has_a_size(tmp_path):
    for number, name in enumerate(("train/a", "val/a")):
        file = tmp_path / "data" / "imagenette2-320" / name / "x.JPEG"
        file.parent.mkdir(parents=True)
        file.write_bytes(b"x" * (number + 1))
    shown = describe("imagenette", measure=True)
    assert (shown.here, shown.bytes) == (True, 3)
    assert describe("imagenette", {"edition": "160px"}, measure=True).bytes == 0


def test_debians_package_is_found(tmp_path):
    folder = tmp_path / "debian" / "fashion-mnist"
    folder.mkdir(parents=True)
    for file in find("fashion-mnist").files:
        (folder / (file.rpartition("/")[2] + ".gz")).touch()
    assert find_on_disk(find("fashion-mnist")) == tmp_path / "debian"
    assert find_on_disk(find("mnist")) is None


def test_options_change_what_is_shown():
    assert describe("emnist", {"split": "letters"}).classes == 26
    assert describe("shapes", {"train": 20, "size": 64}).shape == (3, 64, 64)
    assert describe("clusters", {"points": 100, "test": 0.5}).train == 50


def test_the_catalog_does_not_import_torch():
    code = (
        "import sys, workbench.datasets.catalog as c; [c.describe(i.name) for i in c.CATALOG];"
        "print([m for m in ('torch', 'torchvision', 'numpy', 'PIL', 'textual') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
    assert catalog.__doc__
