"""Pictures that are decoded once: resized to one square, kept in a file that later loads only map."""

from __future__ import annotations

import hashlib
import os
import shutil
import statistics
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from workbench.core import paths
from workbench.core.errors import BadInput
from workbench.core.progress import Cancelled, Interrupted, Progress, Report
from workbench.core.text import size
from workbench.datasets.dataset import Data, Split, map_file
from workbench.datasets.load_request import Request
from workbench.datasets.resumable_file import Partial, hold
from workbench.io import file_cache
from workbench.io.images import convert, fit_square, open_picture, picture_size
from workbench.io.record_codec import Record, read_record, write_record
from workbench.system.cpu import usable_cores

_VERSION = 1
"""Goes into every key: raise it when the same pictures would decode to other bytes."""
_SMALLEST_AUTO, _LARGEST_AUTO = 8, 128
_MEASURED = 64
WAIT = 0.5
"""Seconds between two looks whether another process has decoded the same pictures."""


@dataclass(frozen=True)
class Item:
    """One picture of a listing: its path below the listing's root, its class, and what tells when it changes."""

    path: str
    label: int
    size: int
    changed: int
    """Modification time, in nanoseconds."""


@dataclass(frozen=True)
class Listing:
    """Pictures in files, by split (`train`, `test`, and perhaps `validation`)."""

    root: Path
    classes: tuple[str, ...]
    splits: Mapping[str, Sequence[Item]]
    set_aside: tuple[tuple[str, str], ...] = ()

    def fingerprint(self) -> str:
        """SHA-256 (hex) of class names, and of every picture's split, name, class, size and time of change."""
        digest = hashlib.sha256(repr(self.classes).encode())
        for split in sorted(self.splits):
            digest.update(f"\n{split}\n".encode())
            for item in self.splits[split]:
                digest.update(f"{item!r}\n".encode())
        return digest.hexdigest()


def decode(listing: Listing, request: Request, side: int | None = None) -> Data:
    """The listing as uint8 [N, C, S, S] for each split: mapped from the cache, decoded first where it is not there.

    S is `side`, else the option `size`, else what the model wants, else the median of the pictures' own shorter sides
    (8 to 128). Pictures that can't be read are set aside with their reason. Raises `BadInput` where a split is
    left empty, or the disk is full.
    """
    wanted = getattr(request.options, "size", "auto")
    side = side or (wanted if isinstance(wanted, int) else request.size) or _usual_side(listing)
    mode: Literal["RGB", "L"] = "L" if request.channels == 1 else "RGB"
    fingerprint = listing.fingerprint()
    total = sum(map(len, listing.splits.values()))
    taken = size(total * side**2 * (1 if mode == "L" else 3))
    done = _Counter(f"decoding pictures to {side}×{side} ({taken})", total, request.progress)
    splits: dict[str, Split] = {}
    aside = list(listing.set_aside)
    for name, items in listing.splits.items():
        cache = _Cache(listing.root, items, side, mode)
        pictures, reasons = cache.load(done, request.cancelled)
        good = [i for i in range(len(items)) if i not in reasons]
        aside += [(str(listing.root / items[i].path), reason) for i, reason in sorted(reasons.items())]
        if not good:
            raise BadInput(
                f"none of the {len(items)} {name} pictures in {listing.root} can be read: {aside[-1][1]}"
            )
        targets = torch.tensor([items[i].label for i in good], dtype=torch.int64)
        splits[name] = Split(pictures, targets, tuple(items[i].path for i in good), mapped=True)
    return Data(
        "classification", listing.classes, splits["train"], splits.get("validation"), splits["test"],
        fingerprint=fingerprint, set_aside=tuple(aside), source=str(listing.root),
    )  # fmt: skip


def _usual_side(listing: Listing) -> int:
    """The median shorter side of evenly spaced training pictures, for models that take any size."""
    items = listing.splits["train"]
    sides = []
    for item in items[:: max(1, len(items) // _MEASURED)]:
        try:
            sides.append(min(picture_size(listing.root / item.path)))
        except BadInput:
            continue
    return min(max(int(statistics.median(sides or [32])), _SMALLEST_AUTO), _LARGEST_AUTO)


class _Counter:
    """Pictures done, of all splits together; told from many threads. `what` says what is made of them."""

    def __init__(self, what: str, total: int, progress: Report) -> None:
        self._what, self.total, self._progress = what, total, progress
        self._done = 0
        self._lock = threading.Lock()

    def add(self, count: int = 1) -> None:
        """So many more are done."""
        with self._lock:
            self._done += count
            self.say(self._what)

    def say(self, what: str) -> None:
        """Say that it moves, or what it waits for."""
        self._progress(Progress(what, self._done, self.total, "pictures"))


class CacheFacts(Record, frozen=True, kw_only=True):
    """`KEY.json` beside decoded images."""

    root: str = ""
    """The folder that they come from, for people."""
    set_aside: dict[int, str]
    """Images that could not be read, by their place in the listing, and why."""


class _Cache:
    """The decoded pictures of one split: `KEY.u8` (those that could be read, one after the other) and `KEY.json`."""

    def __init__(self, root: Path, items: Sequence[Item], size: int, mode: Literal["RGB", "L"]) -> None:
        self.root = root
        self.items = items
        self.size = size
        self.mode = mode
        self.channels = 3 if mode == "RGB" else 1
        self._each = self.channels * size**2
        key = hashlib.sha256(f"{_VERSION} {os.fsencode(root)!r} {size} {mode}\n".encode())
        for item in items:
            key.update(f"{item.path!r} {item.size} {item.changed}\n".encode())
        self.pixels = paths.decoded_cache() / f"{key.hexdigest()[:40]}.u8"
        self.facts = self.pixels.with_suffix(".json")

    def load(self, done: _Counter, cancelled: Cancelled) -> tuple[Tensor, dict[int, str]]:
        """The pictures, and why some are missing (by their place in `items`)."""
        reasons = self._reasons()
        if reasons is None:
            reasons = self._fill(done, cancelled)
        else:
            file_cache.used(self.pixels)
            done.add(len(self.items))
        count = len(self.items) - len(reasons)
        shape = (count, self.channels, self.size, self.size)
        return map_file(self.pixels, shape), reasons

    def _reasons(self) -> dict[int, str] | None:
        """What the cache says was set aside; `None` where it doesn't hold these pictures whole."""
        facts = read_record(self.facts, CacheFacts)
        if facts is None:
            return None
        reasons = facts.set_aside
        wanted = (len(self.items) - len(reasons)) * self._each
        if any(isinstance(self._decode(self.items[place]), bytes) for place in reasons):
            return None  # they have become readable: permissions are not part of the key
        try:
            return reasons if self.pixels.stat().st_size == wanted else None
        except OSError:
            return None

    def _fill(self, done: _Counter, cancelled: Cancelled) -> dict[int, str]:
        part = self.pixels.with_name(self.pixels.name + ".part")

        def wait() -> None:
            done.say("waiting for another process, which decodes the same pictures")
            if cancelled():
                raise Interrupted
            time.sleep(WAIT)

        try:
            self.pixels.parent.mkdir(parents=True, exist_ok=True)
            self._check_room(part)
            with hold(part, wait) as file:
                partial = Partial(part, file, self._each)
                if (reasons := self._reasons()) is not None:
                    partial.discard()  # whoever had it has made it whole
                    done.add(len(self.items))
                    return reasons
                try:
                    return self._decode_into(partial, done, cancelled)
                except OSError:
                    partial.discard()
                    raise
        except OSError as error:
            raise BadInput(
                f"decoded pictures can't be kept in {self.pixels.parent}: {error.strerror}"
            ) from None

    def _check_room(self, part: Path) -> None:
        """Raise `BadInput` where the disk has no room for what is still to be decoded.

        What was decoded earlier, and not used for the longest time, makes room first.
        """
        have = part.stat().st_size if part.exists() else 0
        wanted, free = len(self.items) * self._each - have, shutil.disk_usage(self.pixels.parent).free
        if wanted > free:
            file_cache.drop_oldest(self.pixels.parent, wanted - free)
            free = shutil.disk_usage(self.pixels.parent).free
        if wanted > free:
            raise BadInput(
                f"decoded pictures can't be kept in {self.pixels.parent}: they take {size(wanted)}, {size(free)} are "
                "free; make room, lower data.size, or set WORKBENCH_HOME to another disk"
            )

    def _decode_into(self, partial: Partial, done: _Counter, cancelled: Cancelled) -> dict[int, str]:
        """Decode with a thread for each core (Pillow lets go of the interpreter), in order, a batch at a time.

        Goes on where an earlier time was cut. The facts are there before the pixels have their name.
        """
        workers = usable_cores()
        batch = workers * 32
        if partial.places:
            done.add(partial.places)

        def one(place: int) -> bytes | str:
            if cancelled():
                return "cancelled"
            decoded = self._decode(self.items[place])
            done.add()
            return decoded

        with ThreadPoolExecutor(workers) as pool:
            for start in range(partial.places, len(self.items), batch):
                decoded = list(pool.map(one, range(start, min(start + batch, len(self.items)))))
                if cancelled():
                    partial.save(now=True)
                    raise Interrupted
                for record in decoded:
                    partial.add(record)
                partial.save()
        write_record(self.facts, CacheFacts(root=str(self.root), set_aside=partial.aside))
        partial.put(self.pixels)
        return partial.aside

    def _decode(self, item: Item) -> bytes | str:
        """The picture's bytes, channels first; or why there are none, without its name."""
        path = self.root / item.path
        try:
            picture = fit_square(convert(open_picture(path), self.mode), self.size)
        except BadInput as error:
            return str(error).removeprefix(f"{path} ")
        pixels = np.asarray(picture).reshape(self.size, self.size, self.channels)
        return pixels.transpose(2, 0, 1).tobytes()
