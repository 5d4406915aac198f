"""The readers that are fuzzed: the real files that are damaged, and how each is read."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import shutil
import tarfile
import zipfile
from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from tests.datasets.test_published import idx, mat, mnist_files, photo_files, put
from workbench.cli.main import parser
from workbench.compute import protocol
from workbench.compute.protocol_records import ExperimentDataset, ImageFacts, ImagePath, PublishedClassifier
from workbench.compute.protocol_responses import OpenedImage, Ready
from workbench.config.classification_recipe import load_classification_recipe
from workbench.config.data_location import FILE_NAME as DATA_FILE
from workbench.config.experiment import build_experiment
from workbench.config.recipes import recipe_files
from workbench.core import paths
from workbench.core.errors import UserError
from workbench.core.progress import Progress, ignore_progress
from workbench.core.settings_schema import Choice
from workbench.datasets.content_hashes import content_hashes
from workbench.datasets.file_formats import read_cifar, read_idx, read_svhn
from workbench.datasets.loader import load
from workbench.datasets.resumable_file import PartialFacts, ResumableFile
from workbench.engine.autotune import MIN_STEPS, autotune
from workbench.engine.batches import Batch
from workbench.engine.task import Classification
from workbench.inference.classifier import Classifier
from workbench.inference.labels import read_labels
from workbench.io.archives import unpack
from workbench.io.atomic_files import write_json
from workbench.io.download import PartFacts
from workbench.io.image_fit import fit_image
from workbench.io.images import FORMATS, convert_mode, describe_conversion, header_changes, open_image
from workbench.io.record_codec import Record, read_record, write_record
from workbench.io.torch_files import load_checkpoint, load_into, load_weight_tables
from workbench.io.weight_shapes import read_weight_shapes
from workbench.launcher.notes import read_notes
from workbench.launcher.resume_settings import ResumedRun
from workbench.offline.bundle import CHECKSUM_FILE, WorkCallbacks, import_bundle
from workbench.planning.plan import PlanResult
from workbench.runs.enums import RequestKind
from workbench.runs.predictions import read_predictions
from workbench.runs.reader import RunReader
from workbench.runs.records import Launch, Notes, RequestFile
from workbench.runs.requests import pending_requests, read_answer
from workbench.runs.restart import missing_checkpoints_error
from workbench.runs.run_folder import RunFolder
from workbench.runs.status import status_of
from workbench.runs.store import INDEX_FILE, Store
from workbench.system.device_claims import DeviceClaim
from workbench.ui.services import last_visit
from workbench.worker.resume import build_settings_history

STORED = Path(__file__).parents[1] / "stored_runs" / "0.1.0"


@dataclass(frozen=True)
class Reader:
    """One reader, ready to read what is written to `path`."""

    path: Path
    seeds: Sequence[bytes]
    """Sound files."""
    read: Callable[[], object]
    """Reads `path`; false where it is refused without an exception."""
    refusals: tuple[type[Exception], ...] = (UserError,)
    """The documented exceptions."""


Prepare = Callable[[Path, Path], Reader]
"""Prepares a reader from the folder of a real run and an empty folder to work in."""
READERS: dict[str, Prepare] = {}


def reader(name: str) -> Callable[[Prepare], Prepare]:
    """Register a reader under a name, which is a part of file names."""

    def register(prepare: Prepare) -> Prepare:
        READERS[name] = prepare
        return prepare

    return register


# Records of a run folder


def copied_run(run: Path, place: Path) -> RunFolder:
    """A copy of the run in a home of its own, with the files that a run has only sometimes."""
    folder = RunFolder(place / "home" / "runs" / run.name)
    shutil.copytree(run, folder.path)
    write_record(folder.notes, Notes(name="a name", tags=("a", "b"), notes="two\nlines"))
    if not folder.launch.exists():
        write_record(folder.launch, Launch(launcher="command"))
    write_json(folder.path / DATA_FILE, {"v": 1, "name": "digits"})
    return folder


def view_run(folder: RunFolder) -> bool:
    """Read a run as every command and the screen do; false where something in it was not readable."""
    store = Store(folder.path.parent)
    before = last_visit.load(store)
    last_visit.summarize(before, store.list_runs(), store, 2e9)
    follower = RunReader(folder)
    view = follower.read_all()
    follower.close()
    run, table = folder.id, folder.path.parent / "out.csv"
    for arguments in ("runs", "runs --json", f"show {run}", f"show {run} --json", f"compare {run} {run}", f"log {run}",
                      f"export {run} --format csv --to {table}"):  # fmt: skip
        print_run(arguments)
    table.unlink(missing_ok=True)
    status_of(folder)
    missing_checkpoints_error(folder)
    with contextlib.suppress(UserError):
        resumed = ResumedRun(folder, {"train.epochs": 90})
        resumed.check_classes()
        resumed.check_epochs(view.status)
        resumed.learning_rate_remark()
        build_settings_history(resumed.after.train, view.journal, 10)
    return not view.unreadable_files and not view.skipped_lines


def print_run(arguments: str) -> None:
    """Run a command that reads a run; it may refuse it. `main.run` would parse the command line each time."""
    out, options = io.StringIO(), parse(arguments)
    module, _, function = options.command.partition(":")
    with contextlib.redirect_stdout(out), contextlib.suppress(UserError):
        getattr(import_module(f"workbench.cli.commands.{module}"), function)(options)
    assert not set(out.getvalue()) & set("\x1b\x07\x9b"), arguments


@cache
def parse(arguments: str) -> Namespace:
    """A parsed command line."""
    return parser().parse_args(arguments.split())


def newest_evaluation(folder: RunFolder) -> Path:
    """The file of the newest evaluation."""
    found = folder.evaluations.glob("step-*-*.json")
    return max(found, key=lambda path: int(path.name.split("-")[1]), default=folder.evaluation(0, "test"))


def evaluations(folder: RunFolder) -> bool:
    """Read the predictions of the newest evaluation, and show the run."""
    path = newest_evaluation(folder)
    try:
        _, step, split = path.stem.split("-")
        rows = read_predictions(folder, int(step), split)
        sorted(rows, key=lambda row: row.error_order)
    finally:
        view_run(folder)
    return True


def load_model(folder: RunFolder) -> bool:
    """Load a run's model, as classify, evaluate and export do."""
    view_run(folder)
    Classifier.from_run(folder.path)
    return True


def requests(folder: RunFolder) -> bool:
    """Read the pending and the answered requests."""
    view_run(folder)
    return bool(pending_requests(folder)) and read_answer(folder, "answered") is not None


RUN_FILES: dict[str, Callable[[RunFolder], bool]] = {
    "experiment.json": load_model, "setup.json": load_model, "heartbeat.json": view_run, "exit.json": view_run,
    "launch.json": view_run, "notes.json": lambda folder: view_run(folder) and bool(read_notes(folder)),
    DATA_FILE: view_run, "metrics.jsonl": view_run, "journal.jsonl": view_run, "worker.log": view_run,
    "manifest.json": load_model, "evaluation.json": evaluations, "evaluation.bin": evaluations,
    "request.json": requests, "answer.json": requests,
}  # fmt: skip


def prepare_run_file(name: str, run: Path, place: Path) -> Reader:
    """A reader of one file of a run folder; the same files of runs of older versions are sound, too."""
    folder = copied_run(run, place)
    request = RequestFile(request=RequestKind.LR, attempt=1, answer="done")
    write_record(folder.control / "pending.json", request)
    write_record(folder.answered_requests / "answered.json", request)
    others = [RunFolder(path) for path in (STORED / "home" / "runs").iterdir() if path.is_dir()]
    find: Callable[[RunFolder], Path] = {
        "manifest.json": lambda each: each.manifest,
        "evaluation.json": newest_evaluation,
        "evaluation.bin": lambda each: newest_evaluation(each).with_suffix(".bin"),
        "request.json": lambda each: each.control / "pending.json",
        "answer.json": lambda each: each.answered_requests / "answered.json",
    }.get(name, lambda each: each.path / name)
    found = [find(each) for each in (folder, *(() if name == "manifest.json" else others))]
    seeds = [path.read_bytes() for path in found if path.exists()]
    return Reader(find(folder), seeds, partial(RUN_FILES[name], folder))


for _name in RUN_FILES:
    READERS[_name] = partial(prepare_run_file, _name)


# Records of the home folder and of caches


@reader("index.json")
def _index(run: Path, place: Path) -> Reader:
    folder = copied_run(run, place)
    store = Store(folder.path.parent)
    store.list_runs()
    path = store.root / INDEX_FILE
    return Reader(path, [path.read_bytes()], lambda: view_run(folder))


@reader("screen.json")
def _screen(run: Path, place: Path) -> Reader:
    folder = copied_run(run, place)
    store = Store(folder.path.parent)
    last_visit.save(store.list_runs(), store, 1e9)
    path = store.home / last_visit.FILE_NAME
    return Reader(path, [path.read_bytes()], lambda: view_run(folder) and last_visit.load(store) is not None)


@reader("threads.json")
def _threads(run: Path, place: Path) -> Reader:
    path = paths.home() / "threads.json"
    module, batch = torch.nn.Linear(4, 2), Batch(torch.zeros(2, 4), torch.zeros(2, dtype=torch.int64))
    train = build_experiment("digits-mlp").train

    def tune(steps: int) -> bool:
        return autotune(module, Classification(2), train, batch, "linear", steps=steps).threads >= 1

    tune(MIN_STEPS)
    return Reader(path, [path.read_bytes()], lambda: tune(MIN_STEPS))


@reader("hashes.json")
def _hashes(run: Path, place: Path) -> Reader:
    image = place / "data" / "x.png"
    image.parent.mkdir()
    Image.new("L", (8, 8)).save(image)
    files = [("x.png", image.stat().st_size, 1)]
    content_hashes(image.parent, files)
    (path,) = paths.caches().glob("hashes/*.json")
    return Reader(path, [path.read_bytes()], lambda: content_hashes(image.parent, files))


def image_folder(place: Path) -> Path:
    """Two classes of nine images, and two files that are no images."""
    for name in ("cat", "dog"):
        (place / "data" / name).mkdir(parents=True)
        for shade in range(9):
            Image.new("L", (8, 8), shade * 9).save(place / "data" / name / f"{shade}.png")
        (place / "data" / name / "99.png").write_bytes(b"no image")
    return place / "data"


@reader("decoded.json")
def _decoded(run: Path, place: Path) -> Reader:
    choice = Choice(f"folder:{image_folder(place)}")
    load(choice, size=8)
    path = min(paths.decoded_cache().glob("*.json"))
    pixels, others = path.with_suffix(".u8").read_bytes(), {each.name for each in path.parent.iterdir()}

    def read() -> bool:
        path.with_suffix(".u8").write_bytes(pixels)
        data = load(choice, size=8)
        assert len(data.train) + len(data.test) == 18
        for each in path.parent.iterdir():
            if each.name not in others:
                each.unlink()
        return True

    return Reader(path, [path.read_bytes()], read)


@reader("partial.json")
def _partial(run: Path, place: Path) -> Reader:
    """The progress of a file that is continued."""
    path = place / "pixels.part.json"
    write_record(path, PartialFacts(count=3, skipped={1: "no image"}))
    part = path.with_suffix("")

    def read() -> bool:
        part.write_bytes(bytes(20))
        with part.open("r+b") as file:
            partial = ResumableFile(part, file, 10)
        assert part.stat().st_size == 10 * (partial.count - len(partial.skipped))
        assert all(0 <= index < partial.count for index in partial.skipped)
        return partial.count > 0

    return Reader(path, [path.read_bytes()], read)


def prepare_record(record: Record, run: Path, place: Path) -> Reader:
    """A reader of a file with one record."""
    path = place / "record.json"
    write_record(path, record)
    return Reader(path, [path.read_bytes()], lambda: read_record(path, type(record)) is not None)


for _name, _record in {
    "plan.json": PlanResult(error="x"),
    "claim.json": DeviceClaim(device="cuda:0", slot=1, run="x"),
    "download.json": PartFacts(url="http://x", validator='"1"'),
}.items():
    READERS[_name] = partial(prepare_record, _record)


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
