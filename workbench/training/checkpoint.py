"""Checkpoints: a moment of a run in one file, never half written, hashed, and listed in a manifest.

A checkpoint is copied from the model in the training thread (one moment); all else is done by a thread of its own:
it looks whether the weights are numbers, hashes and writes. A checkpoint counts only once it and the metrics before
it are on the disk and the manifest names it.
"""

from __future__ import annotations

import hashlib
import time
import zipfile
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO, cast

import torch
from torch import nn

from workbench.errors import BadInput
from workbench.io.atomic import draft, read_json, write_json
from workbench.io.weights import load_checkpoint, save
from workbench.runs.anew import how_to
from workbench.runs.layout import RunFolder
from workbench.training.copies import Copies
from workbench.training.guard import Diverged
from workbench.trainsettings import Train

KEPT = 2
"""The newest ones that are kept whatever else is."""

Entry = dict[str, Any]


class Checkpoints:
    """The checkpoints of one run, for the one process that writes them."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self.keep_every = 0
        """Epochs of which one is kept for good, as `train.keep_every`: it is read before the settings are known."""
        folder.checkpoints.mkdir(mode=0o700, exist_ok=True)
        self.entries: list[Entry] = read_entries(folder)
        self._copies = Copies()
        self._thread = ThreadPoolExecutor(1, "checkpoint")
        self._pending: Future[None] | None = None
        self._unwritten: tuple[dict[str, Any], bool, Callable[[], None]] | None = None
        self.time = time.monotonic()
        """When the newest one was begun (monotonic)."""

    @property
    def busy(self) -> bool:
        """Whether one is being written."""
        return self._pending is not None and not self._pending.done()

    def save(self, content: Mapping[str, Any], *, offset: int, best: bool, sync: Callable[[], None]) -> None:
        """Copy `content` as it is now and begin to write it; waits for the one before, and raises its error.

        `offset`: the length of the metrics at its moment; `sync` makes them durable before it is published.
        """
        self.settle()
        self.time = time.monotonic()
        wall = {"time": round(time.time(), 3), "metrics_offset": offset}
        copy = self._copies.take({**content, "wall": wall})
        self._pending = self._thread.submit(self._work, copy, best, sync)

    def settle(self) -> None:
        """Return when all that was begun is written; what failed before is tried again. Raises as `wait` does."""
        if self._pending is None and self._unwritten is not None:
            work, self._unwritten = self._unwritten, None
            self._pending = self._thread.submit(self._work, *work)
        self.wait()

    def wait(self) -> None:
        """Return when nothing is being written any more.

        Raises `OSError` where that failed, `Diverged` where a weight is no number: such a moment is not kept.
        """
        if self._pending is not None:
            pending, self._pending = self._pending, None
            pending.result()

    def close(self) -> None:
        """Finish what is being written and end the thread."""
        try:
            self.wait()
        finally:
            self._thread.shutdown()

    def _work(self, content: dict[str, Any], best: bool, sync: Callable[[], None]) -> None:
        try:
            self._write(content, best, sync)
        except OSError:
            self._unwritten = (content, best, sync)
            raise

    def _write(self, content: dict[str, Any], best: bool, sync: Callable[[], None]) -> None:
        self._copies.wait()
        _check_numbers(content)
        with draft(self._folder.checkpoints, f"step-{content['step']}.pt") as new:
            hashed = Hashed(new.file)
            save(content, cast(BinaryIO, hashed))
            digest = hashed.digest.hexdigest()
            sync()
            file = self._free_name(content["step"], digest)
            new.put(self._folder.checkpoints / file)
        self._publish(entry_of(file, digest, content, best))

    def _free_name(self, step: int, digest: str) -> str:
        """The usual name, or one of its own where another moment of the same step has that (the end of an epoch)."""
        usual = f"step-{step}.pt"
        return f"step-{step}-{digest[:8]}.pt" if any(e["file"] == usual for e in self.entries) else usual

    def _publish(self, entry: Entry) -> None:
        """Name the new one in the manifest and remove what is no longer kept."""
        others = [e for e in self.entries if e["file"] != entry["file"]]
        if entry["best"]:
            others = [{**e, "best": False} for e in others]
        listed = sorted([*others, entry], key=lambda e: e["step"])
        kept = self._kept(listed)
        write_json(self._folder.manifest, {"v": 1, "checkpoints": kept})
        self.entries = kept
        names = {e["file"] for e in kept}
        for path in self._folder.checkpoints.glob("*step-*.pt*"):
            if path.name not in names:
                path.unlink(missing_ok=True)

    def _kept(self, listed: list[Entry]) -> list[Entry]:
        every = self.keep_every
        ends: dict[int, Entry] = {}
        if every:
            ends = {e["epoch"]: e for e in listed if e["position"] == 0 and e["epoch"] % every == 0}
        return [e for e in listed if e["best"] or e in listed[-KEPT:] or ends.get(e["epoch"]) is e]

    def newest(self) -> tuple[dict[str, Any] | None, Entry | None, list[str]]:
        """The newest checkpoint that can be read, its entry, and a line for each that was passed over.

        `(None, None, [])` where none was ever written. What was passed over is taken off the list. Raises `BadInput`
        where there are some and none can be read: work that is lost is not begun again without a word.
        """
        self.entries, notes = known_entries(self._folder)
        damaged: list[str] = []
        while self.entries:
            entry = self.entries[-1]
            try:
                return self.load(entry), entry, notes + [f"checkpoint passed over: {d}" for d in damaged]
            except BadInput as error:
                damaged.append(str(error).replace(f"{self._folder.checkpoints}/", ""))
                self.entries = self.entries[:-1]
        if damaged or any(self._folder.checkpoints.glob("step-*.pt")):
            raise BadInput(
                f"none of the run's checkpoints can be read ({(damaged or ['all are damaged'])[0]}); "
                f"{how_to(self._folder)}"
            )
        return None, None, []

    def best(self) -> Entry | None:
        """The entry of the best epoch, where one is known."""
        return next((e for e in self.entries if e["best"]), None)

    def load(self, entry: Entry) -> dict[str, Any]:
        """The content of one. Raises `BadInput` where it is not what was written."""
        return load_checkpoint(self._folder.checkpoints / entry["file"], sha256=entry["sha256"])


def checkpoint_bytes(module: nn.Module, train: Train) -> int:
    """How large a checkpoint will be: weights, their slow ones, and what the optimizer remembers of each."""
    moments = {"sgd": bool(train.momentum), "rmsprop": 1 + bool(train.momentum)}.get(train.optimizer, 2)
    learned = sum(p.nbytes for p in module.parameters() if p.requires_grad)
    weights = sum(value.nbytes for value in module.state_dict().values())
    return weights * (2 if train.lookahead else 1) + moments * learned


def known_entries(folder: RunFolder) -> tuple[list[Entry], list[str]]:
    """The entries of a run's checkpoints, oldest first, and a line where they had to be found without the manifest."""
    if listed := read_entries(folder):
        return listed, []
    found = found_again(folder)
    return found, [
        f"the list of checkpoints was lost; {len(found)} were found again without it"
    ] if found else []


def read_entries(folder: RunFolder) -> list[Entry]:
    """The manifest's entries, oldest first; those that are not whole are left out."""
    manifest = read_json(folder.manifest) or {}
    wanted = {"file": str, "sha256": str, "step": int, "epoch": int, "position": int, "metrics_offset": int}
    return [
        {"best": False, **entry}
        for entry in manifest.get("checkpoints") or []
        if isinstance(entry, dict)
        and all(isinstance(entry.get(name), kind) for name, kind in wanted.items())
        and Path(entry["file"]).name == entry["file"]
    ]


def found_again(folder: RunFolder) -> list[Entry]:
    """Entries of the checkpoints that lie in the folder, oldest first: for a manifest that is lost or damaged."""
    found = []
    for path in folder.checkpoints.glob("step-*.pt"):
        try:
            with zipfile.ZipFile(path) as archive:
                if archive.testzip():  # nobody knows its hash any more; torch looks at no checksum
                    continue
            content = load_checkpoint(path)
            best = content["best"] is not None and content["best"]["step"] == content["step"]
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            found.append(entry_of(path.name, digest, content, best and content["position"] == 0))
        except (BadInput, KeyError, OSError, zipfile.BadZipFile):
            continue
    return sorted(found, key=lambda entry: (entry["step"], entry["epoch"], entry["position"]))


def entry_of(file: str, sha256: str, content: Mapping[str, Any], best: bool) -> Entry:
    """What the manifest says of a checkpoint."""
    return {
        "file": file,
        "sha256": sha256,
        "step": content["step"],
        "epoch": content["epoch"],
        "position": content["position"],
        "best": best,
        **content["wall"],
    }


class Hashed:
    """A file that is written from its beginning to its end, with the SHA-256 of what went into it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self.digest = file, hashlib.sha256()

    def write(self, data: bytes) -> int:
        """Write `data`, all of it."""
        self.digest.update(data)
        return self._file.write(data)

    def flush(self) -> None:
        """Hand everything to the system."""
        self._file.flush()


def _check_numbers(content: Mapping[str, Any]) -> None:
    """Raise `Diverged` for weights that are NaN or infinite."""
    for value in content["model"].values():
        # A sum is one pass and shows both; only one that overflows needs a closer look.
        if value.is_floating_point() and not value.sum().isfinite() and not value.isfinite().all():
            raise Diverged("a weight became NaN or infinite", content["step"])


def random_states() -> dict[str, Any]:
    """The state of every random generator that training draws from."""
    states: dict[str, Any] = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        states["cuda"] = torch.cuda.get_rng_state_all()
    if torch.backends.mps.is_available():
        states["mps"] = torch.mps.get_rng_state()
    return states


def restore_random_states(states: Mapping[str, Any]) -> None:
    """Put the generators back to `random_states()` of another time, as far as the same devices are here."""
    torch.set_rng_state(states["cpu"])
    cuda = states.get("cuda") or []
    if cuda and torch.cuda.is_available() and torch.cuda.device_count() == len(cuda):
        torch.cuda.set_rng_state_all(cuda)
    if "mps" in states and torch.backends.mps.is_available():
        torch.mps.set_rng_state(states["mps"])
