"""Well-known datasets, in files made here: found on disk, downloaded from a local server, damaged."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import pickle
import struct
import tarfile
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import scipy.io
import torch
from PIL import Image

from tests.file_server import serving
from workbench.core import paths
from workbench.core.errors import UserError
from workbench.core.progress import ignore_progress, never_cancelled
from workbench.core.settings_schema import Choice
from workbench.datasets import catalog, downloads
from workbench.datasets.loader import load
from workbench.io.download import exclusive_lock

RNG = np.random.default_rng(0)


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A folder that is searched, and nothing else but an empty cache."""
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("WORKBENCH_DATA", str(folder))
    monkeypatch.setattr(paths, "DEBIAN_DATASETS", tmp_path / "debian")
    return folder


def idx(values, kind=0x08):
    values = np.asarray(values)
    head = struct.pack(f">BBBB{values.ndim}I", 0, 0, kind, values.ndim, *values.shape)
    return head + values.astype(">u1" if kind == 0x08 else ">i4").tobytes()


def random_images(count, *shape):
    return RNG.integers(0, 256, (count, *shape), np.uint8)


def mnist_files(count=30):
    x, y = random_images(count, 28, 28), np.arange(count) % 10
    return {"train-images-idx3-ubyte": idx(x), "train-labels-idx1-ubyte": idx(y),
            "t10k-images-idx3-ubyte": idx(x[:20]), "t10k-labels-idx1-ubyte": idx(y[:20])}  # fmt: skip


def put(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def jpeg(size=(30, 20), kind="JPEG"):
    file = io.BytesIO()
    Image.new("RGB", size, "green").save(file, kind)
    return file.getvalue()


def mat(**arrays):
    file = io.BytesIO()
    scipy.io.savemat(file, arrays)
    return file.getvalue()


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("name", "folder"), [("mnist", "MNIST"), ("fashion-mnist", "FashionMNIST"), ("kmnist", "KMNIST")]
)
def test_idx_files_are_found_plain_or_packed(data, name, folder, packed):
    files = mnist_files()
    put(data / folder / "raw", {f"{k}.gz": gzip.compress(v) for k, v in files.items()} if packed else files)
    loaded = load(Choice(name), validation=0.1)
    assert loaded.train.inputs.shape == (20, 1, 28, 28) and len(loaded.validation) == 10
    assert loaded.test.inputs.numpy().tobytes() == files["t10k-images-idx3-ubyte"][16:]
    assert loaded.test.targets.tolist() == list(range(10)) * 2
    assert len(loaded.classes) == 10 and loaded.source == str(data / folder / "raw")


def test_debians_files_are_found(data, tmp_path):
    put(
        tmp_path / "debian" / "fashion-mnist", {f"{k}.gz": gzip.compress(v) for k, v in mnist_files().items()}
    )
    assert load(Choice("fashion-mnist")).source == str(tmp_path / "debian" / "fashion-mnist")


def test_emnist_is_turned_upright_and_counted_from_nought(data):
    x = random_images(52, 28, 28)
    y = np.arange(52) % 26 + 1
    put(data / "EMNIST" / "raw", {f"emnist-letters-{s}-{k}-ubyte": v for s in ("train", "test")
                                  for k, v in (("images-idx3", idx(x)), ("labels-idx1", idx(y)))})  # fmt: skip
    loaded = load(Choice("emnist", {"split": "letters"}))
    assert np.array_equal(loaded.test.inputs[5, 0].numpy(), x[5].T)
    assert loaded.test.targets[:3].tolist() == [0, 1, 2] and loaded.classes[0] == "a"


@pytest.mark.parametrize("split", list(catalog.EMNIST_COUNTS))
def test_emnists_classes_are_torchvisions(split):
    from torchvision.datasets import EMNIST

    from workbench.datasets.class_names import emnist_classes

    theirs = [name for name in EMNIST.classes_split_dict[split] if name != "N/A"]
    assert list(emnist_classes(split)) == theirs
    assert len(theirs) == catalog.EMNIST_COUNTS[split][2]


def test_qmnists_labels_are_the_first_of_eight_columns(data):
    labels = np.zeros((30, 8), np.int32)
    labels[:, 0], labels[:, 1] = np.arange(30) % 10, 7
    put(data / "QMNIST" / "raw", {f"qmnist-{s}-{k}": v for s in ("train", "test") for k, v in (
        ("images-idx3-ubyte", idx(random_images(30, 28, 28))), ("labels-idx2-int", idx(labels, 0x0C)))})  # fmt: skip
    assert load(Choice("qmnist")).test.targets.tolist() == list(range(10)) * 3


def cifar_batch(count, key, classes, protocol=2):
    labels = [i % classes for i in range(count)]
    return pickle.dumps({"data": random_images(count, 3072), key: labels, "batch_label": "x"}, protocol)


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_cifar10_of_any_size_is_read(data, protocol):
    batches = {f"data_batch_{i}": cifar_batch(20, "labels", 10, protocol) for i in (1, 2)}
    put(data / "cifar-10-batches-py", {**batches, "test_batch": cifar_batch(10, "labels", 10, protocol)})
    loaded = load(Choice("CIFAR10"))
    assert loaded.train.inputs.shape == (40, 3, 32, 32) and loaded.train.inputs.dtype == torch.uint8
    first = pickle.loads(batches["data_batch_1"])["data"]
    assert np.array_equal(loaded.train.inputs[1].numpy().reshape(-1), first[1])


def test_cifar100_takes_its_names_from_its_files(data):
    names = [f"class {i}" for i in range(100)]
    put(data / "cifar-100-python", {
        "train": cifar_batch(200, "fine_labels", 100), "test": cifar_batch(100, "fine_labels", 100),
        "meta": pickle.dumps({"fine_label_names": names}),
    })  # fmt: skip
    assert load(Choice("cifar100")).classes == tuple(names)


class Evil:
    def __reduce__(self):
        return (print, ("must not be run",))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "damaged or not a valid pickle"),
        (cifar_batch(20, "labels", 10)[:2000], "damaged or not a valid pickle"),
        (pickle.dumps([1, 2]), "wrong file"),
        (pickle.dumps({"data": random_images(3, 3072)}), "'labels'"),
        (pickle.dumps({"data": random_images(3, 3072), "labels": [1]}), "3 images but 1 labels"),
        (pickle.dumps({"data": random_images(3, 100), "labels": [1] * 3}), "damaged or not a valid CIFAR"),
        (pickle.dumps({"data": Evil(), "labels": []}), "not allowed"),
        (b"cbuiltins\neval\n(S'1'\ntR.", "not allowed"),
        (b"\x80\x02}q\x00(U\x04dataq\x01cnumpy.core.multiarray\nscalar\nq\x02u.", "not allowed"),
    ],
)
def test_damaged_or_evil_pickles_are_named(data, content, words):
    put(data / "cifar-10-batches-py", {"data_batch_1": content, "test_batch": cifar_batch(10, "labels", 10)})
    with pytest.raises(UserError, match=words) as error:
        load(Choice("cifar10"))
    assert "data_batch_1" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda b: b[:-5], "truncated"),
        (lambda b: b[:3], "not an idx file"),
        (lambda b: b"text" + b, "not an idx file"),
        (lambda b: idx(np.zeros(30)), "1 dimensions instead of 3"),
        (lambda b: b"\0\0\x08\x03" + b"\xff" * 12, "truncated"),
        (lambda b: gzip.compress(b)[:200], "damaged"),
        (lambda b: idx(np.zeros((7, 28, 28))), "30 labels for 7 images"),
    ],
)
def test_damaged_idx_files_are_named(data, change, words):
    files = mnist_files()
    files["train-images-idx3-ubyte"] = change(files["train-images-idx3-ubyte"])
    put(data / "MNIST" / "raw", files)
    with pytest.raises(UserError, match=words) as error:
        load(Choice("mnist"))
    assert str(data / "MNIST" / "raw" / "train-") in str(error.value) and "\n" not in str(error.value)


def test_svhns_tens_are_noughts(data):
    x, y = random_images(32, 32, 3, 20), np.arange(20).reshape(-1, 1) % 10 + 1
    put(data, {"train_32x32.mat": mat(X=x, y=y), "test_32x32.mat": mat(X=x, y=y)})
    loaded = load(Choice("svhn"))
    assert loaded.train.targets[:10].tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0]
    assert np.array_equal(loaded.train.inputs[4].permute(1, 2, 0).numpy(), x[..., 4])
    put(data, {"train_32x32.mat": mat(X=x, y=y)[:900]})
    with pytest.raises(UserError, match=r"train_32x32\.mat"):
        load(Choice("svhn"))


def test_stl10_is_stored_by_columns(data):
    x, y = random_images(20, 3, 96, 96), (np.arange(20) % 10 + 1).astype(np.uint8)
    raw = {f"{s}_{k}.bin": v.tobytes() for s in ("train", "test") for k, v in (("X", x), ("y", y))}
    put(data / "stl10_binary", raw)
    loaded = load(Choice("stl10"))
    assert np.array_equal(loaded.train.inputs[3].numpy(), x[3].transpose(0, 2, 1))
    put(data / "stl10_binary", {"test_X.bin": x.tobytes()[:-1]})
    with pytest.raises(UserError, match=r"test_X\.bin is truncated"):
        load(Choice("stl10"))


def photo_files(name):
    """A few images in the layout of a published dataset of photos."""
    if name == "imagenette":
        return {f"imagenette2-320/{s}/{c}/{i}.JPEG": jpeg()
                for s in ("train", "val") for c in ("n01440764", "n02102040") for i in range(3)}  # fmt: skip
    if name == "oxford-pets":
        ids = [f"{breed}_{i}" for i in range(3) for breed in ("Abyssinian", "great_pyrenees")]
        lists = "".join(f"{p} {1 if p[0] == 'A' else 2} 1 1\n" for p in ids).encode()
        return {**{f"oxford-iiit-pet/images/{p}.jpg": jpeg() for p in ids},
                **{f"oxford-iiit-pet/annotations/{s}.txt": lists for s in ("trainval", "test")}}  # fmt: skip
    if name == "flowers102":
        return {**{f"flowers-102/jpg/image_{i:05d}.jpg": jpeg() for i in range(1, 7)},
                "flowers-102/imagelabels.mat": mat(labels=np.array([1, 1, 2, 2, 102, 102], np.uint8)),
                "flowers-102/setid.mat": mat(trnid=np.array([1, 3]), valid=np.array([2, 5]), tstid=np.array([4, 6])),
                }  # fmt: skip
    if name == "food101":
        lists = json.dumps({c: [f"{c}/{i}" for i in range(3)] for c in ("apple_pie", "sushi")}).encode()
        return {**{f"food-101/images/{c}/{i}.jpg": jpeg() for c in ("apple_pie", "sushi") for i in range(3)},
                "food-101/meta/train.json": lists, "food-101/meta/test.json": lists}  # fmt: skip
    if name == "eurosat":
        return {
            f"eurosat/2750/{c}/{c}_{i}.jpg": jpeg((64, 64)) for c in ("Forest", "River") for i in range(5)
        }
    table = b"Filename;Width;ClassId\n" + b"".join(b"%05d.ppm;30;%d\n" % (i, i % 2) for i in range(4))
    return {**{f"gtsrb/GTSRB/Training/{c:05d}/{i}.ppm": jpeg(kind="PPM") for c in (0, 1) for i in range(3)},
            **{f"gtsrb/GTSRB/Final_Test/Images/{i:05d}.ppm": jpeg(kind="PPM") for i in range(4)},
            "gtsrb/GT-final_test.csv": table}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "counts", "first"),
    [("imagenette", (6, 6), "tench"), ("oxford-pets", (6, 6), "Abyssinian"), ("flowers102", (2, 2), "pink primrose"),
     ("food101", (6, 6), "apple pie"), ("eurosat", (8, 2), "Forest"), ("gtsrb", (6, 4), "limit 20")],
)  # fmt: skip
def test_photos_are_found_and_decoded(data, name, counts, first):
    put(data, photo_files(name))
    loaded = load(Choice(name), size=16)
    side = 64 if name == "eurosat" else 16
    assert loaded.train.inputs.shape == (counts[0], 3, side, side)
    assert (len(loaded.train), len(loaded.test)) == counts
    assert loaded.classes[0] == first and not loaded.skipped_files
    assert (loaded.validation is not None) == (name == "flowers102")


def test_eurosats_test_images_are_the_same_for_every_seed(data):
    put(data, photo_files("eurosat"))
    first, second = (load(Choice("eurosat"), validation=0.25, seed=seed) for seed in (1, 2))
    assert first.test.names == second.test.names
    assert first.validation.names != second.validation.names
    others = [load(Choice("eurosat", {"seed": seed})).test.names for seed in (1, 2, 3)]
    assert any(names != first.test.names for names in others)


def test_missing_listed_images_are_skipped(data):
    files = photo_files("food101")
    del files["food-101/images/sushi/1.jpg"]
    files["food-101/meta/test.json"] = json.dumps(
        {"apple_pie": ["apple_pie/0", "../../../x"], "sushi": ["sushi/0"]}
    ).encode()
    put(data, files)
    loaded = load(Choice("food101"), size=8)
    assert len(loaded.train) == 5 and len(loaded.test) == 2
    assert [reason for _, reason in loaded.skipped_files] == [
        "missing",
        "a path outside the folder",
    ]


@pytest.mark.parametrize(
    ("name", "file", "content"),
    [("food101", "food-101/meta/train.json", b"[1]"), ("oxford-pets", "oxford-iiit-pet/annotations/trainval.txt", b"x"),
     ("gtsrb", "gtsrb/GT-final_test.csv", b"Filename;X\na;b\n"), ("flowers102", "flowers-102/setid.mat", b"no mat")],
)  # fmt: skip
def test_damaged_lists_are_named(data, name, file, content):
    put(data, {**photo_files(name), file: content})
    with pytest.raises(UserError, match=file.rpartition("/")[2].partition(".")[0]) as error:
        load(Choice(name), size=8)
    assert "\n" not in str(error.value)


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A server of the files in a folder, in place of every host. Nothing it sends equals the published files."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    monkeypatch.setenv("no_proxy", "*")
    with serving(folder) as address:
        monkeypatch.setenv("WORKBENCH_MIRROR", f"{address}/")
        yield folder


@pytest.fixture
def publish(mirror, monkeypatch):
    """Puts files on the mirror as if they were the published ones: their checksums are those that are wanted."""
    known, real = {}, downloads.remote_files

    def remotes(name, options):
        return [replace(remote, md5=known.get(remote.name, remote.md5)) for remote in real(name, options)]

    def published(files):
        put(mirror, files)
        known.update({name: hashlib.md5(content).hexdigest() for name, content in files.items()})

    monkeypatch.setattr(downloads, "remote_files", remotes)
    return published


def tar(files):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as file:
        for name, inside in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(inside)
            file.addfile(entry, io.BytesIO(inside))
    return content.getvalue()


def zipped(files):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for name, inside in files.items():
            file.writestr(name, inside)
    return content.getvalue()


def test_mnist_is_fetched_once(data, mirror, publish, tmp_path):
    publish({f"{k}.gz": gzip.compress(v) for k, v in mnist_files().items()})
    updates = []
    first = load(Choice("mnist"), progress=updates.append)
    assert {p.unit for p in updates} == {"bytes"}
    assert first.source == str(tmp_path / "home" / "data" / "MNIST" / "raw")
    for file in mirror.iterdir():
        file.unlink()
    assert load(Choice("mnist")).fingerprint == first.fingerprint


def test_archives_are_fetched_unpacked_and_removed(data, publish, tmp_path):
    batches = {
        f"cifar-10-batches-py/{n}": cifar_batch(20, "labels", 10) for n in ("data_batch_1", "test_batch")
    }
    publish({"cifar-10-python.tar.gz": tar(batches)})
    assert len(load(Choice("cifar10")).train) == 20
    assert [p.name for p in (tmp_path / "home" / "data").iterdir()] == ["cifar-10-batches-py"]


def test_a_file_downloaded_by_another_process_meanwhile_is_used(data, mirror, tmp_path):
    batches = {n: cifar_batch(20, "labels", 10) for n in ("data_batch_1", "test_batch")}
    waiting, root = threading.Event(), tmp_path / "home" / "data"
    with ThreadPoolExecutor(1) as pool:
        with exclusive_lock(root / "cifar10", ignore_progress, never_cancelled):
            loaded = pool.submit(load, Choice("cifar10"), progress=lambda _: waiting.set())
            assert waiting.wait(30)
            put(root / "cifar-10-batches-py", batches)
        assert len(loaded.result().train) == 20  # the mirror is empty: it would have been refused


def test_emnist_comes_out_of_its_zip(data, publish):
    labels = gzip.compress(idx(np.arange(20) % 10))
    images = gzip.compress(idx(random_images(20, 28, 28)))
    publish({"gzip.zip": zipped({f"gzip/emnist-digits-{s}-{k}-ubyte.gz": v for s in ("train", "test")
                                     for k, v in (("images-idx3", images), ("labels-idx1", labels))})})  # fmt: skip
    assert len(load(Choice("emnist", {"split": "digits"})).train) == 20


def test_gtsrbs_three_archives_share_a_folder(data, publish):
    files = {name.removeprefix("gtsrb/"): content for name, content in photo_files("gtsrb").items()}
    publish({
        "GTSRB-Training_fixed.zip": zipped({n: c for n, c in files.items() if "Training" in n}),
        "GTSRB_Final_Test_Images.zip": zipped({n: c for n, c in files.items() if "Final" in n}),
        "GTSRB_Final_Test_GT.zip": zipped({n: c for n, c in files.items() if n.endswith("csv")}),
    })  # fmt: skip
    assert len(load(Choice("gtsrb"), size=8).test) == 4


def test_a_missing_file_is_named_with_its_folder(data, mirror, tmp_path):
    with pytest.raises(UserError) as error:
        load(Choice("cifar10"))
    assert "cifar-10-python.tar.gz" in str(error.value) and "404" in str(error.value)
    assert str(tmp_path / "home" / "data" / "cifar-10-python.tar.gz") in str(error.value)
    assert "\n" not in str(error.value)


def test_a_wrong_archive_from_a_mirror_is_refused(data, mirror, tmp_path):
    batches = {
        f"cifar-10-batches-py/{n}": cifar_batch(20, "labels", 10) for n in ("data_batch_1", "test_batch")
    }
    put(mirror, {"cifar-10-python.tar.gz": tar(batches)})
    with pytest.raises(UserError, match="not the expected file") as error:
        load(Choice("cifar10"))
    assert "cifar-10-python.tar.gz" in str(error.value) and "\n" not in str(error.value)
    assert list((tmp_path / "home" / "data").iterdir()) == []


def test_a_wrong_file_of_the_user_is_an_error(data, mirror, tmp_path):
    put(tmp_path / "home" / "data", {"cifar-10-python.tar.gz": b"something else"})
    with pytest.raises(UserError, match="not the published file"):
        load(Choice("cifar10"))


@pytest.mark.parametrize("info", [i for i in catalog.CATALOG if i.kind == "published"], ids=lambda i: i.name)
def test_every_address_and_checksum_is_known(info):
    options = info.options()
    found = downloads.remote_files(
        info.name, {name: getattr(options, name) for name in options.__struct_fields__}
    )
    assert found
    for remote in found:
        assert all(url.startswith("http") for url in remote.urls)
        assert len(remote.md5) == 32 and "." in remote.name
