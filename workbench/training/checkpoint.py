"""Checkpoints: a moment of a run in one file, never half written, hashed, and listed in a manifest.

A checkpoint is copied from the model in the training thread (one moment) and written by a thread of its own; it
counts only once it and the metrics before it are on the disk and the manifest names it.
"""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from workbench.errors import BadInput
from workbench.io.atomic import read_json, write_bytes, write_json
from workbench.io.weights import load_checkpoint
from workbench.runs.layout import RunFolder

KEPT = 2
"""The newest ones that are kept whatever else is."""

Entry = dict[str, Any]


class Checkpoints:
    """The checkpoints of one run, for the one process that writes them."""

    def __init__(self, folder: RunFolder, keep_every: int = 0) -> None:
        self._folder, self.keep_every = folder, keep_every
        folder.checkpoints.mkdir(mode=0o700, exist_ok=True)
        self.entries: list[Entry] = read_entries(folder)
        self._thread = ThreadPoolExecutor(1, "checkpoint")
        self._pending: Future[None] | None = None
        self.time = time.monotonic()
        """When the newest one was begun (monotonic)."""

    @property
    def busy(self) -> bool:
        """Whether one is being written."""
        return self._pending is not None and not self._pending.done()

    def save(self, content: Mapping[str, Any], *, offset: int, best: bool, sync: Callable[[], None]) -> None:
        """Begin writing `content`, a copy nobody else changes; waits for the one before, and raises its error.

        `offset`: the length of the metrics at its moment; `sync` makes them durable before it is published.
        """
        self.wait()
        self.time = time.monotonic()
        self._pending = self._thread.submit(self._write, content, offset, best, sync)

    def wait(self) -> None:
        """Return when nothing is being written any more. Raises `OSError` where that failed."""
        if self._pending is not None:
            pending, self._pending = self._pending, None
            pending.result()

    def close(self) -> None:
        """Finish what is being written and end the thread."""
        try:
            self.wait()
        finally:
            self._thread.shutdown()

    def _write(self, content: Mapping[str, Any], offset: int, best: bool, sync: Callable[[], None]) -> None:
        buffer = io.BytesIO()
        torch.save(content, buffer)
        data = buffer.getvalue()
        step = content["step"]
        entry: Entry = {
            "file": f"step-{step}.pt",
            "sha256": hashlib.sha256(data).hexdigest(),
            "step": step,
            "epoch": content["epoch"],
            "position": content["position"],
            "metrics_offset": offset,
            "best": best,
            "time": round(time.time(), 3),
        }
        sync()
        entry = self._settle(entry)
        if entry["file"] not in {e["file"] for e in self.entries}:
            write_bytes(self._folder.checkpoints / entry["file"], data)
        self._publish(entry)

    def _settle(self, entry: Entry) -> Entry:
        """A name of its own where another moment of the same step has the usual one (before and after an epoch)."""
        taken = {e["file"]: e for e in self.entries}
        known = taken.get(entry["file"])
        if known is None or known["sha256"] == entry["sha256"]:
            return entry
        return {**entry, "file": f"step-{entry['step']}-{entry['sha256'][:8]}.pt"}

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

        `(None, None, …)` where there is none. What was passed over is taken off the list.
        """
        notes: list[str] = []
        while self.entries:
            entry = self.entries[-1]
            try:
                return self.load(entry), entry, notes
            except BadInput as error:
                notes.append(f"checkpoint passed over: {error}")
                self.entries = self.entries[:-1]
        return None, None, notes

    def best(self) -> Entry | None:
        """The entry of the best epoch, where one is known."""
        return next((e for e in self.entries if e["best"]), None)

    def load(self, entry: Entry) -> dict[str, Any]:
        """The content of one. Raises `BadInput` where it is not what was written."""
        return load_checkpoint(self._folder.checkpoints / entry["file"], sha256=entry["sha256"])


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


def copied(value: Any) -> Any:
    """A deep copy on the CPU of nested dicts, lists and tensors: what a checkpoint is made of."""
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, Mapping):
        return {key: copied(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [copied(inner) for inner in value]
    return value


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
