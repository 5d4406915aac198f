"""Readers of data, images, archives, weights, recipes, labels and messages."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import shutil
import tarfile
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from tests.datasets.test_published import idx, mat, mnist_files, photo_files, put
from tests.fuzz.registry import READERS, Reader, reader
from tests.fuzz.run_readers import copied_run
from workbench.compute import protocol
from workbench.compute.protocol_records import ExperimentDataset, ImageFacts, ImagePath, PublishedClassifier
from workbench.compute.protocol_responses import OpenedImage, Ready
from workbench.config.classification_recipe import load_classification_recipe
from workbench.config.experiment import build_experiment
from workbench.config.recipes import recipe_files
from workbench.core.errors import UserError
from workbench.core.progress import Progress, ignore_progress
from workbench.core.settings_schema import Choice
from workbench.datasets.file_formats import read_cifar, read_idx, read_svhn
from workbench.datasets.loader import load
from workbench.inference.classifier import Classifier
from workbench.inference.labels import read_labels
from workbench.io.archives import unpack
from workbench.io.image_fit import fit_image
from workbench.io.images import FORMATS, convert_mode, describe_conversion, header_changes, open_image
from workbench.io.torch_files import load_checkpoint, load_into, load_weight_tables
from workbench.io.weight_shapes import read_weight_shapes
from workbench.offline.bundle import CHECKSUM_FILE, WorkCallbacks, import_bundle
from workbench.runs.run_folder import RunFolder

# Data, images, archives, weights


@reader("idx")
def _idx(run: Path, place: Path) -> Reader:
    seeds = [idx(np.zeros((3, 5, 5))), idx(np.ones((2, 3, 4)), 0x0C), *list(mnist_files(4).values())[:1]]
    seeds += [gzip.compress(seed) for seed in seeds] + [lzma.compress(seeds[0]), bz2.compress(seeds[1])]
    path = place / "images-idx3-ubyte"
    return Reader(path, seeds, lambda: len(read_idx(path, 3)) >= 0)


@reader("cifar")
def _cifar(run: Path, place: Path) -> Reader:
    import pickle

    content = {"data": np.zeros((3, 3072), np.uint8), "labels": [1, 2, 3], "batch_label": "x"}
    path = place / "data_batch_1"
    seeds = [pickle.dumps(content, protocol) for protocol in range(6)]
    return Reader(path, seeds, lambda: read_cifar(path, "labels"))


@reader("svhn")
def _svhn(run: Path, place: Path) -> Reader:
    path = place / "train_32x32.mat"
    seeds = [mat(X=np.zeros((32, 32, 3, 4), np.uint8), y=np.array([[1], [2], [3], [10]], np.uint8))]
    return Reader(path, seeds, lambda: read_svhn(path))


def prepare_published(name: str, file: str, run: Path, place: Path) -> Reader:
    """A reader of a table or list of a published dataset."""
    files = photo_files(name)
    put(place / "data", files)
    return Reader(place / "data" / file, [files[file]], lambda: load(Choice(name), size=8))


for _name, _dataset, _file in (
    ("gtsrb.csv", "gtsrb", "gtsrb/GT-final_test.csv"),
    ("food101.json", "food101", "food-101/meta/train.json"),
    ("pets.txt", "oxford-pets", "oxford-iiit-pet/annotations/trainval.txt"),
):
    READERS[_name] = partial(prepare_published, _dataset, _file)


ANIMATED: dict[str, Any] = {"save_all": True, "append_images": [Image.new("RGB", (9, 7), "red")]}


def encoded_images() -> list[bytes]:
    """Small images of every format, in several modes."""
    noise = Image.frombytes("RGB", (9, 7), bytes(range(189)))
    exif = Image.Exif()
    exif[0x0112] = 6
    images = [noise.convert(mode) for mode in ("RGB", "L", "RGBA", "P", "CMYK", "F", "1", "LA")]
    images.append(noise.convert("L").convert("I").convert("I;16"))
    written = []
    for format in FORMATS:
        for image in images:
            out = io.BytesIO()
            with contextlib.suppress(OSError, ValueError, KeyError):  # the format does not have the mode
                image.save(out, format)
                written.append(out.getvalue())
    for format, options in (("PNG", {"exif": exif}), ("JPEG", {"exif": exif}), ("WEBP", {"exif": exif}),
                            ("GIF", ANIMATED), ("PNG", ANIMATED), ("TIFF", ANIMATED), ("WEBP", ANIMATED)):  # fmt: skip
        out = io.BytesIO()
        images[0].save(out, format, **options)
        written.append(out.getvalue())
    return written


@reader("image")
def _image(run: Path, place: Path) -> Reader:
    path = place / "x.png"

    def read() -> bool:
        opened = True
        for mode in ("RGB", "L"):
            try:
                header_changes(path, mode)
                image = open_image(path)
                describe_conversion(image, mode)
                fitted = fit_image(convert_mode(image, mode), 8, 8)
                assert (fitted.mode, fitted.size) == (mode, (8, 8))
                opened = opened and open_image(path.read_bytes()).size == image.size
            except UserError:
                opened = False
                with contextlib.suppress(UserError):
                    open_image(path)
        return opened

    return Reader(path, encoded_images(), read)


@reader("archive")
def _archive(run: Path, place: Path) -> Reader:
    files = {"a/b.txt": b"text" * 20, "c.bin": bytes(600), "a/d/e": b""}
    seeds = []
    for mode, form in (("", tarfile.GNU_FORMAT), ("", tarfile.PAX_FORMAT), ("gz", tarfile.GNU_FORMAT),
                       ("bz2", tarfile.USTAR_FORMAT), ("xz", tarfile.PAX_FORMAT)):  # fmt: skip
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode=f"w:{mode}", format=form) as tar:  # type: ignore[call-overload]
            for name, content in files.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
        seeds.append(out.getvalue())
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", method) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        seeds.append(out.getvalue())
    seeds.append(gzip.compress(b"one file" * 50))
    inner = place / "in"
    inner.mkdir()
    path = inner / "archive.gz"

    def read() -> bool:
        before = {each.name for each in place.iterdir()}
        try:
            unpack(path, inner / "out")
            return True
        finally:
            shutil.rmtree(inner / "out", ignore_errors=True)
            assert [each.name for each in inner.iterdir()] == [path.name], "something is left"
            assert {each.name for each in place.iterdir()} == before, "something is outside"

    return Reader(path, seeds, read)


@reader("weights.pt")
def _weights(run: Path, place: Path) -> Reader:
    path = place / "weights.pt"
    folder = RunFolder(run)
    seeds = [next(iter(folder.checkpoint_files())).read_bytes()]
    tensors = {"a": torch.arange(4.0), "b": torch.ones(2, 3, dtype=torch.bfloat16)}
    for zipped in (True, False):
        out = io.BytesIO()
        torch.save({"model": tensors, "step": 1}, out, _use_new_zipfile_serialization=zipped)
        seeds.append(out.getvalue())
    module = torch.nn.Linear(4, 2)

    def read() -> bool:
        with contextlib.suppress(UserError):
            read_weight_shapes(path)
        for table in load_weight_tables(path).values():
            with contextlib.suppress(UserError):
                load_into(module, table, "x")
        return bool(load_checkpoint(path))

    return Reader(path, seeds, read)


@reader("weights.safetensors")
def _safetensors(run: Path, place: Path) -> Reader:
    path = place / "weights.safetensors"
    save_file({"a": torch.arange(4.0), "b": torch.ones(2, 3, dtype=torch.bfloat16)}, path, {"format": "pt"})

    def read() -> bool:
        with contextlib.suppress(UserError):
            read_weight_shapes(path)
        return bool(load_weight_tables(path))

    return Reader(path, [path.read_bytes()], read)


@reader("checkpoint.pt")
def _checkpoint(run: Path, place: Path) -> Reader:
    """A checkpoint of a run whose manifest, with the hash of the sound one, is lost."""
    folder = copied_run(run, place)
    folder.manifest.unlink()
    path, *others = sorted(folder.checkpoint_files())
    seeds = [path.read_bytes() for path in (path, *others)]
    for other in others:
        other.unlink()
    return Reader(path, seeds, lambda: bool(Classifier.from_run(folder.path)))


@reader("checksums")
def _checksums(run: Path, place: Path) -> Reader:
    path = place / "bundle" / CHECKSUM_FILE
    (path.parent / "data").mkdir(parents=True)
    (path.parent / "data" / "x").write_bytes(b"x")
    row = b"2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881  data/x\n"
    work = WorkCallbacks(ignore_progress, lambda: False)
    return Reader(path, [row, row * 2], lambda: bool(import_bundle(path.parent, work)))


# Text: recipes, labels, messages


@reader("recipe.toml")
def _recipe(run: Path, place: Path) -> Reader:
    path = place / "recipe.toml"

    def read() -> bool:
        if b"classify" in path.read_bytes():
            return bool(load_classification_recipe(str(path)))
        return bool(build_experiment(str(path)))

    return Reader(path, [file.read_bytes() for file in recipe_files()], read)


@reader("labels")
def _labels(run: Path, place: Path) -> Reader:
    path = place / "labels.txt"
    seeds = [b"cat\ndog\nbird\n", b"0 cat\n1 dog\n2 bird\n", b"{0: 'cat',\n 1: \"dog\",\n 2: 'it\\'s'}\n",
             b'["cat", "dog", "bird"]', b'{"0": "cat", "1": "dog"}', b'{"0": ["n01", "cat"], "1": ["n02", "dog"]}',
             b'{"cat": 0, "dog": 1}', b"n02111889 Samoyed, Samoyede\nn02111890 cat\n", b'{"labels": [{"name": "cat"}]}',
             "1: größe\r\n2: 模型\r\n".encode()]  # fmt: skip

    def read() -> bool:
        labels = read_labels(str(path))
        assert all(isinstance(label, str) for label in labels)
        return True

    return Reader(path, seeds, read)


@reader("message")
def _message(run: Path, place: Path) -> Reader:
    path = place / "message"
    data = ExperimentDataset(data=Choice("digits"))
    requests = [
        protocol.OpenImage(path="x.png"),
        protocol.Classify(image=ImagePath("x"), classifier=PublishedClassifier("alexnet")),
        protocol.BrowseImages(dataset=data),
        protocol.TransformImage(dataset=data, chain=(("blur", 0.5), ("flip", None)), augment=("crop",)),
    ]
    messages: list[Any] = [protocol.Call(number, request) for number, request in enumerate(requests)]
    messages += [protocol.Cancel(1), protocol.ProgressUpdate(1, Progress("loading", 1, 2, "images"))]
    messages += [protocol.Failure(None, "an error"), protocol.Result(1, Ready(torch="2"))]
    image = ImageFacts(8, 8, "RGB")
    messages.append(protocol.Result(2, OpenedImage(path="x", png=b"x", source=image)))

    def read() -> bool:
        line, refused = path.read_bytes().decode("utf-8", "surrogateescape"), 0
        for decoder in (protocol.decode_client_message, protocol.decode_server_message):
            try:
                decoder(line)
            except ValueError as error:
                assert "\n" not in str(error)
                refused += 1
        return refused < 2

    return Reader(path, [protocol.encode(message).encode() for message in messages], read)
