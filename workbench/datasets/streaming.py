"""Pictures that are decoded once: resized to one square, kept in a file that later loads only map."""

from __future__ import annotations

import hashlib
import os
import secrets
import statistics
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from workbench import paths
from workbench.cores import usable_cores
from workbench.datasets.data import Data, Split, map_file
from workbench.datasets.request import Request
from workbench.errors import BadInput
from workbench.io import atomic
from workbench.io.pictures import convert, fit_square, open_picture, picture_size
from workbench.io.progress import Cancelled, Interrupted, Progress, Report

_VERSION = 1
"""Goes into every key: raise it when the same pictures would decode to other bytes."""
_SMALLEST_AUTO, _LARGEST_AUTO = 8, 128
_MEASURED = 64


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


def decode(listing: Listing, request: Request, size: int | None = None) -> Data:
    """The listing as uint8 [N, C, S, S] for each split: mapped from the cache, decoded first where it is not there.

    S is `size`, else the option `size`, else what the model wants, else the median of the pictures' own shorter sides
    (8 to 128). Pictures that can't be read are set aside with their reason. Raises `BadInput` where a split is
    left empty, or the disk is full.
    """
    wanted = getattr(request.options, "size", "auto")
    size = size or (wanted if isinstance(wanted, int) else request.size) or _usual_side(listing)
    mode: Literal["RGB", "L"] = "L" if request.channels == 1 else "RGB"
    fingerprint = listing.fingerprint()
    done = _Counter(sum(map(len, listing.splits.values())), request.progress)
    splits: dict[str, Split] = {}
    aside = list(listing.set_aside)
    for name, items in listing.splits.items():
        cache = _Cache(listing.root, items, size, mode)
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
    """Pictures done, of all splits together; told from many threads."""

    def __init__(self, total: int, progress: Report) -> None:
        self.total = total
        self.progress = progress
        self.done = 0
        self.lock = threading.Lock()

    def add(self, count: int = 1) -> None:
        """So many more are done."""
        with self.lock:
            self.done += count
            self.progress(Progress("decoding pictures", self.done, self.total, "pictures"))


class _Cache:
    """The decoded pictures of one split: `KEY.u8` (those that could be read, one after the other) and `KEY.json`."""

    def __init__(self, root: Path, items: Sequence[Item], size: int, mode: Literal["RGB", "L"]) -> None:
        self.root = root
        self.items = items
        self.size = size
        self.mode = mode
        self.channels = 3 if mode == "RGB" else 1
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
            done.add(len(self.items))
        count = len(self.items) - len(reasons)
        shape = (count, self.channels, self.size, self.size)
        return map_file(self.pixels, shape), reasons

    def _reasons(self) -> dict[int, str] | None:
        """What the cache says was set aside; `None` where it doesn't hold these pictures whole."""
        facts = atomic.read_json(self.facts)
        if facts is None or not isinstance(facts.get("set_aside"), dict):
            return None
        reasons = {int(place): str(reason) for place, reason in facts["set_aside"].items()}
        wanted = (len(self.items) - len(reasons)) * self.channels * self.size**2
        if any(isinstance(self._decode(self.items[place]), bytes) for place in reasons):
            return (
                None  # what could not be read then can be now: rights are not among what the key is made of
            )
        try:
            return reasons if self.pixels.stat().st_size == wanted else None
        except OSError:
            return None

    def _fill(self, done: _Counter, cancelled: Cancelled) -> dict[int, str]:
        self.pixels.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.pixels.with_name(f".{self.pixels.name}.{secrets.token_hex(6)}.part")
        try:
            reasons = self._decode_into(temporary, done, cancelled)
            temporary.replace(self.pixels)
        except OSError as error:
            raise BadInput(
                f"decoded pictures can't be kept in {self.pixels.parent}: {error.strerror}"
            ) from None
        finally:
            temporary.unlink(missing_ok=True)
        atomic.write_json(self.facts, {"v": 1, "root": str(self.root), "set_aside": reasons})
        return reasons

    def _decode_into(self, temporary: Path, done: _Counter, cancelled: Cancelled) -> dict[int, str]:
        """Decode with a thread for each core (Pillow lets go of the interpreter), in order, a batch at a time."""
        reasons: dict[int, str] = {}
        workers = usable_cores()
        batch = workers * 32

        def one(place: int) -> bytes | str:
            if cancelled():
                return "cancelled"
            decoded = self._decode(self.items[place])
            done.add()
            return decoded

        with temporary.open("xb") as file, ThreadPoolExecutor(workers) as pool:
            for start in range(0, len(self.items), batch):
                places = range(start, min(start + batch, len(self.items)))
                for place, decoded in zip(places, pool.map(one, places), strict=True):
                    if isinstance(decoded, bytes):
                        file.write(decoded)
                    else:
                        reasons[place] = decoded
                if cancelled():
                    raise Interrupted
        return reasons

    def _decode(self, item: Item) -> bytes | str:
        """The picture's bytes, channels first; or why there are none, without its name."""
        path = self.root / item.path
        try:
            picture = fit_square(convert(open_picture(path), self.mode), self.size)
        except BadInput as error:
            return str(error).removeprefix(f"{path} ")
        pixels = np.asarray(picture).reshape(self.size, self.size, self.channels)
        return pixels.transpose(2, 0, 1).tobytes()
