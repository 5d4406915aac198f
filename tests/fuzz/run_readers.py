"""Readers of the records of runs, of the home folder and of caches."""

from __future__ import annotations

import contextlib
import io
import shutil
from argparse import Namespace
from collections.abc import Callable
from functools import cache, partial
from importlib import import_module
from pathlib import Path

import torch
from PIL import Image

from tests.fuzz.registry import READERS, Reader, reader
from workbench.cli.main import parser
from workbench.config.data_location import FILE_NAME as DATA_FILE
from workbench.config.experiment import build_experiment
from workbench.core import paths
from workbench.core.errors import UserError
from workbench.core.settings_schema import Choice
from workbench.datasets.content_hashes import content_hashes
from workbench.datasets.loader import load
from workbench.datasets.resumable_file import PartialFacts, ResumableFile
from workbench.engine.autotune import MIN_STEPS, autotune
from workbench.engine.batches import Batch
from workbench.engine.task import Classification
from workbench.inference.classifier import Classifier
from workbench.io.atomic_files import write_json
from workbench.io.download import PartFacts
from workbench.io.record_codec import Record, read_record, write_record
from workbench.launcher.notes import read_notes
from workbench.launcher.resume_settings import ResumedRun
from workbench.planning.plan import PlanResult
from workbench.runs.enums import RequestKind
from workbench.runs.nodes import Node, NodeGpu, Nodes, NodeUsage, Placement
from workbench.runs.predictions import read_predictions
from workbench.runs.queue_state import read_queue
from workbench.runs.reader import RunReader
from workbench.runs.records import Launch, Notes, RequestFile
from workbench.runs.requests import pending_requests, read_answer
from workbench.runs.restart import missing_checkpoints_error
from workbench.runs.run_folder import RunFolder
from workbench.runs.status import status_of
from workbench.runs.store import INDEX_FILE, Store
from workbench.runs.tickets import Origin, QueueMove, ResumeOptions, Ticket, TicketQueue
from workbench.system.device_claims import DeviceClaim
from workbench.ui.services import last_visit
from workbench.worker.resume import build_settings_history

STORED = Path(__file__).parents[1] / "stored_runs" / "0.1.0"


# Records of a run folder


def copied_run(run: Path, place: Path) -> RunFolder:
    """A copy of the run in a home of its own, with the files that a run has only sometimes."""
    folder = RunFolder(place / "home" / "runs" / run.name)
    shutil.copytree(run, folder.path)
    write_record(folder.notes, Notes(name="a name", tags=("a", "b"), notes="two\nlines"))
    if not folder.launch.exists():
        write_record(folder.launch, Launch(launcher="command"))
    write_json(folder.path / DATA_FILE, {"v": 1, "name": "digits"})
    write_record(folder.placement, Placement(nodes=2, address="gpu01:29400", command="workbench train"))
    usage = NodeUsage(cores=8, busy=0.5, memory_used=1, memory_total=2, gpus=(NodeGpu(name="GPU"),))
    nodes = (Node(host="gpu01", usage=usage), Node(host="gpu02", lost_since=2e9))
    write_record(folder.nodes, Nodes(attempt=1, count=2, nodes=nodes))
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
    "placement.json": view_run, "nodes.json": view_run,
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


@reader("ticket.json")
def _ticket(run: Path, place: Path) -> Reader:
    folder = copied_run(run, place)
    queue, options = TicketQueue.of(folder), ResumeOptions(overrides={"train.epochs": 9}, max_hours=2.0)
    origin = Origin(launcher="command", directory="/", python="/usr/bin/python3", environment={"A": "b"})
    queue.add(
        Ticket(run=folder.id, attempt=9, held=True, after=("other",), not_before=1e9, memory=10**9, share=True,
               resume=options, origin=origin)
    )  # fmt: skip

    def read() -> bool:
        texts = [one.waiting.text for one in read_queue(queue)]
        status_of(folder)
        RunReader(folder).read_all()
        queue.move(folder.id, QueueMove.FIRST.target)
        return bool(texts)

    return Reader(folder.ticket, [folder.ticket.read_bytes()], read)


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
