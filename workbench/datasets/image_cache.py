"""Decodes image files once, resized to one square, into a cache file that later loads only memory-map."""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import torch
from torch import Tensor

from workbench.core import paths
from workbench.core.errors import UserError
from workbench.core.progress import CancelCheck, Cancelled, Progress, ProgressCallback
from workbench.core.text import format_bytes
from workbench.datasets.dataset import Dataset, Split, map_file
from workbench.datasets.dataset_facts import SkippedFiles
from workbench.datasets.image_folder_facts import describe_skipped
from workbench.datasets.image_listing import ImageListing
from workbench.datasets.image_scan import ListedImage
from workbench.datasets.image_sizes import automatic_side, measure_sizes
from workbench.datasets.input_record import InputRecord
from workbench.datasets.load_request import LoadRequest
from workbench.datasets.pixel_notices import pixel_notices
from workbench.datasets.resumable_file import ResumableFile, open_locked
from workbench.io import file_cache
from workbench.io.fit_mode import Fit
from workbench.io.image_fit import fit_image
from workbench.io.images import convert_mode, open_image
from workbench.io.record_codec import Record, read_record, write_record
from workbench.system.cpu import usable_cores

_VERSION = 2
"""Part of every cache key: increase it when the same images would decode to different bytes."""
POLL_INTERVAL = 0.5
"""Seconds between two checks whether another process has finished decoding the same images."""


def load_listing(listing: ImageListing, request: LoadRequest, side: int | None = None) -> Dataset:
    """The listed images as uint8 [N, C, S, S] for each split, mapped from the cache, after decoding if necessary.

    S is `side`, else the option `size`, else the recorded size of a run, else the model's input size or the median of
    the images' shorter sides, whichever is smaller. Images that can't be read are skipped, with the reason. Raises
    `UserError` if a split has no readable image, or the disk is full.
    """
    size_option = getattr(request.options, "size", "auto")
    recorded_side = request.recorded.side if request.recorded else None
    side = side or (size_option if isinstance(size_option, int) else recorded_side)
    sizes = measure_sizes(listing.root, [item.path for item in listing.splits["train"]])
    side = side or automatic_side(sizes, request.size)
    mode: Literal["RGB", "L"] = "L" if request.channels == 1 else "RGB"
    fit: Fit = getattr(request.options, "fit", "crop")
    identity = listing.identify(request.recorded, request.progress, request.cancelled)
    total = sum(map(len, listing.splits.values()))
    space = format_bytes(total * side**2 * (1 if mode == "L" else 3))
    progress = _DecodingProgress(f"decoding images to {side}×{side} ({space})", total, request.progress)
    splits: dict[str, Split] = {}
    skipped = list(listing.skipped_files)
    for name, items in listing.splits.items():
        if not items:
            continue  # the test split of a cross-validation
        images, reasons = _DecodedSplit(listing.root, items, side, mode, fit).load(
            progress, request.cancelled
        )
        readable = [i for i in range(len(items)) if i not in reasons]
        skipped += [(str(listing.root / items[i].path), reason) for i, reason in sorted(reasons.items())]
        if not readable:
            raise UserError(
                f"none of the {len(items)} {name} images in {listing.root} can be read: {skipped[-1][1]}"
            )
        splits[name] = _split(images, [items[i] for i in readable], listing)
    return Dataset(
        "classification", listing.classes, splits["train"], splits.get("validation"),
        splits.get("test", splits["train"].take([])),
        fingerprint=identity.fingerprint, file_hashes=identity.hashes, skipped_files=tuple(skipped),
        source=str(listing.root), input=InputRecord(fit=fit),
        notices=_notices(listing, skipped, mode, side, fit), original_sizes=sizes,
    )  # fmt: skip


def _split(images: Tensor, items: Sequence[ListedImage], listing: ImageListing) -> Split:
    """The split of decoded `images`, which `items` list."""

    groups = torch.tensor([item.group for item in items], dtype=torch.int64)
    folds = torch.tensor([item.fold for item in items], dtype=torch.int64)
    return Split(
        images,
        torch.tensor([item.label for item in items], dtype=torch.int64),
        tuple(item.path for item in items),
        mapped=True,
        groups=groups if listing.has_groups else None,
        folds=folds if folds.any() else None,
    )


def _notices(
    listing: ImageListing,
    skipped: Sequence[tuple[str, str]],
    mode: Literal["RGB", "L"],
    side: int,
    fit: Fit,
) -> tuple[str, ...]:
    """Lines on skipped files, and on what a model does not see of the others."""
    lines = [f"skipped: {describe_skipped(SkippedFiles.of(skipped))}"] if skipped else []
    paths = [listing.root / item.path for item in listing.splits["train"]]
    return (*lines, *pixel_notices(paths, mode, side, fit))


class _DecodingProgress:
    """The number of images decoded, of all splits together; updated from many threads."""

    def __init__(self, what: str, total: int, progress: ProgressCallback) -> None:
        self._what, self.total, self._progress = what, total, progress
        self._done = 0
        self._lock = threading.Lock()

    def add(self, count: int = 1) -> None:
        """Count `count` more images and report the progress."""
        with self._lock:
            self._done += count
            self.report(self._what)

    def report(self, what: str) -> None:
        """Report the current count with the description `what`."""
        self._progress(Progress(what, self._done, self.total, "images"))


class CacheFacts(Record, frozen=True, kw_only=True):
    """`KEY.json` beside decoded images."""

    root: str = ""
    """The folder of the image files, for humans who look into the cache."""
    skipped: dict[int, str] = msgspec.field(name="set_aside")
    """Reasons why images could not be read, by index in the listing. Its key is that of 0.1.0, which may share
    the cache.
    """


class _DecodedSplit:
    """The decoded images of one split: `KEY.u8` (the readable ones, one after the other) and `KEY.json`."""

    def __init__(
        self,
        root: Path,
        items: Sequence[ListedImage],
        size: int,
        mode: Literal["RGB", "L"],
        fit: Fit = "crop",
    ) -> None:
        self.root = root
        self.items = items
        self.size = size
        self.mode = mode
        self.fit = fit
        self.channels = 3 if mode == "RGB" else 1
        self._image_bytes = self.channels * size**2
        key = hashlib.sha256(f"{_VERSION} {os.fsencode(root)!r} {size} {mode} {fit}\n".encode())
        for item in items:
            key.update(f"{item.path!r} {item.size} {item.modified_ns}\n".encode())
        self.pixels = paths.decoded_cache() / f"{key.hexdigest()[:40]}.u8"
        self.facts = self.pixels.with_suffix(".json")

    def load(self, progress: _DecodingProgress, cancelled: CancelCheck) -> tuple[Tensor, dict[int, str]]:
        """uint8 [N, C, S, S] of the readable images, and why the others are missing (by index in `items`)."""
        reasons = self._cached_reasons()
        if reasons is None:
            reasons = self._decode_all(progress, cancelled)
        else:
            file_cache.touch(self.pixels)
            progress.add(len(self.items))
        count = len(self.items) - len(reasons)
        shape = (count, self.channels, self.size, self.size)
        return map_file(self.pixels, shape), reasons

    def _cached_reasons(self) -> dict[int, str] | None:
        """The skipped images according to the cache; `None` if it does not hold all images of this split."""
        facts = read_record(self.facts, CacheFacts)
        if facts is None:
            return None
        reasons = facts.skipped
        if not all(0 <= index < len(self.items) for index in reasons):
            return None
        expected_size = (len(self.items) - len(reasons)) * self._image_bytes
        if any(isinstance(self._decode(self.items[index]), bytes) for index in reasons):
            return None  # an image has become readable: permissions are not part of the key
        try:
            return reasons if self.pixels.stat().st_size == expected_size else None
        except OSError:
            return None

    def _decode_all(self, progress: _DecodingProgress, cancelled: CancelCheck) -> dict[int, str]:
        part = self.pixels.with_name(self.pixels.name + ".part")

        def wait() -> None:
            progress.report("waiting for another process that decodes the same images")
            if cancelled():
                raise Cancelled
            time.sleep(POLL_INTERVAL)

        try:
            self.pixels.parent.mkdir(parents=True, exist_ok=True)
            self._ensure_disk_space(part)
            with open_locked(part, wait) as file:
                partial = ResumableFile(part, file, self._image_bytes)
                if (reasons := self._cached_reasons()) is not None:
                    partial.discard()  # another process has completed the cache meanwhile
                    progress.add(len(self.items))
                    return reasons
                try:
                    return self._decode_into(partial, progress, cancelled)
                except OSError:
                    partial.discard()
                    raise
        except OSError as error:
            raise UserError(f"can't cache decoded images in {self.pixels.parent}: {error.strerror}") from None

    def _ensure_disk_space(self, part: Path) -> None:
        """Evict the least recently used cache files if needed; raise `UserError` if that is not enough."""
        folder = self.pixels.parent
        existing = part.stat().st_size if part.exists() else 0
        needed, free = len(self.items) * self._image_bytes - existing, shutil.disk_usage(folder).free
        if needed > free:
            file_cache.evict_least_recent(folder, needed - free)
            free = shutil.disk_usage(folder).free
        if needed > free:
            raise UserError(
                f"can't cache decoded images in {folder}: they need {format_bytes(needed)}, {format_bytes(free)} are "
                "free; make room, lower data.size, or set WORKBENCH_HOME to another disk"
            )

    def _decode_into(
        self, partial: ResumableFile, progress: _DecodingProgress, cancelled: CancelCheck
    ) -> dict[int, str]:
        """Decode with one thread per core (Pillow releases the GIL), in order, in batches.

        Continues after an interruption. The facts are written before the pixel file gets its final name.
        """
        workers = usable_cores()
        batch = workers * 32
        if partial.count:
            progress.add(partial.count)

        def decode(index: int) -> bytes | str:
            if cancelled():
                return "cancelled"
            pixels = self._decode(self.items[index])
            progress.add()
            return pixels

        with ThreadPoolExecutor(workers) as pool:
            for start in range(partial.count, len(self.items), batch):
                records = list(pool.map(decode, range(start, min(start + batch, len(self.items)))))
                if cancelled():
                    partial.save(now=True)
                    raise Cancelled
                for record in records:
                    partial.append(record)
                partial.save()
        write_record(self.facts, CacheFacts(root=str(self.root), skipped=partial.skipped))
        partial.commit(self.pixels)
        return partial.skipped

    def _decode(self, item: ListedImage) -> bytes | str:
        """The bytes of the image, channels first; or the reason why it can't be read, without its path."""
        path = self.root / item.path
        try:
            image = fit_image(convert_mode(open_image(path), self.mode), self.size, self.size, self.fit)
        except UserError as error:
            return str(error).removeprefix(f"{path} ").removeprefix("is ")
        pixels = np.asarray(image).reshape(self.size, self.size, self.channels)
        return pixels.transpose(2, 0, 1).tobytes()
