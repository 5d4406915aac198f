"""Decodes image files once, resized to squares, into a cache file that later loads only memory-map."""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec
import torch
from torch import Tensor

from workbench.core import paths
from workbench.core.errors import UserError
from workbench.core.progress import CancelCheck, Cancelled, Progress, ProgressCallback
from workbench.core.text import format_bytes, format_duration
from workbench.datasets.dataset import Cut, Dataset, Split, map_file
from workbench.datasets.dataset_facts import SkippedFiles
from workbench.datasets.image_fitting import Fitting, Fittings, StoredImage, make_fittings
from workbench.datasets.image_folder_facts import describe_skipped
from workbench.datasets.image_listing import ImageListing
from workbench.datasets.image_scan import ListedImage
from workbench.datasets.image_sizes import ImageSizes, StoredSides, measure_sizes, stored_sides
from workbench.datasets.input_record import InputRecord
from workbench.datasets.load_request import LoadRequest
from workbench.datasets.pixel_notices import pixel_notices
from workbench.datasets.resumable_file import ResumableFile, open_locked
from workbench.io import file_cache
from workbench.io.fit_mode import Fit
from workbench.io.record_codec import Record, read_record, write_record
from workbench.system.cpu import usable_cores

_VERSION = 2
"""Part of every cache key: increase it when the same images would decode to different bytes."""
TIMED_IMAGES = 64
"""The time that decoding takes is said after so many images."""
_MIN_SECONDS = 10.0
POLL_INTERVAL = 0.5
"""Seconds between two checks whether another process has finished decoding the same images."""


def load_listing(listing: ImageListing, request: LoadRequest, side: int | None = None) -> Dataset:
    """The listed images as uint8 [N, C, S, S] for each split, mapped from the cache, after decoding if necessary.

    S is `side`, else the option `size`, else the recorded size of a run, else the model's input size or the median of
    the images' shorter sides, whichever is smaller. Training images may be stored larger (see `Split.cut`). Images
    that can't be read are skipped, with the reason. Raises `UserError` if a split has no readable image, or the disk
    is full.
    """
    sizes = measure_sizes(listing.root, [item.path for item in listing.splits["train"]])
    sides = _sides(request, sizes, side)
    mode: Literal["RGB", "L"] = "L" if request.channels == 1 else "RGB"
    fit: Fit = getattr(request.options, "fit", "crop")
    fittings = make_fittings(sides, mode, fit)
    identity = listing.identify(request.recorded, request.progress, request.cancelled)
    total = sum(map(len, listing.splits.values()))
    store = _ImageStore(listing, _describe_decoding(listing, fittings), total, request)
    splits: dict[str, Split] = {}
    skipped = list(listing.skipped_files)
    for name, items in listing.splits.items():
        if not items:
            continue  # the test split of a cross-validation
        fitting = fittings.training if name == "train" else fittings.evaluation
        splits[name], reasons = store.load(items, fitting)
        skipped += [(str(listing.root / items[i].path), reason) for i, reason in sorted(reasons.items())]
        if not len(splits[name]):
            raise UserError(
                f"none of the {len(items)} {name} images in {listing.root} can be read: {skipped[-1][1]}"
            )
    crop = fittings.evaluation.crop
    training, as_evaluated = splits["train"], None
    if sides.store is not None:
        cut = Cut(sides.side, 1.0 if crop is None else crop.share)
        training = replace(training, cut=cut, aspects=training.aspects if fittings.keeps_shape else None)
        as_evaluated = _evaluated_view(listing, splits["train"], fittings.evaluation, request)
    return Dataset(
        "classification", listing.classes, training, splits.get("validation"),
        splits.get("test", training.take([])),
        fingerprint=identity.fingerprint, file_hashes=identity.hashes, skipped_files=tuple(skipped),
        source=str(listing.root), input=InputRecord(fit=fit, crop=crop, store=sides.store),
        notices=_notices(listing, skipped, fittings), original_sizes=sizes, as_evaluated=as_evaluated,
    )  # fmt: skip


def _sides(request: LoadRequest, sizes: ImageSizes | None, side: int | None) -> StoredSides:
    """The sides of stored images: `side`, those of a recorded run, or those that follow from options and model."""
    options, recorded = request.options, request.recorded
    size, store = getattr(options, "size", "auto"), getattr(options, "store", "auto")
    if side is not None:
        return StoredSides(side, None, None)
    if recorded is not None and recorded.side is not None:
        record = recorded.input or InputRecord()
        return StoredSides(size if isinstance(size, int) else recorded.side, record.store, record.crop)
    return stored_sides(sizes, request.size, request.crop, size=size, store=store)


def _describe_decoding(listing: ImageListing, fittings: Fittings) -> str:
    """`decoding images to 258×258 (JPEG by DCT scaling), to evaluate 224×224 (1.2 GB)`."""
    training, evaluation = fittings
    counts = {name: len(items) for name, items in listing.splits.items()}
    train = counts.pop("train")
    space = format_bytes(train * training.image_bytes + sum(counts.values()) * evaluation.image_bytes)
    text = f"decoding images to {training.side}×{training.side}"
    if training.is_whole:
        text += f" (JPEG by DCT scaling), to evaluate {evaluation.side}×{evaluation.side}"
    return f"{text} ({space})"


def _evaluated_view(
    listing: ImageListing, training: Split, fitting: Fitting, request: LoadRequest
) -> Callable[[Sequence[int]], Split]:
    """Makes the split of some training images as they are evaluated, for a validation split that is drawn of them."""
    items = {item.path: item for item in listing.splits["train"]}

    def as_evaluated(indices: Sequence[int]) -> Split:
        chosen = [items[training.names[i]] for i in indices]
        space = format_bytes(len(chosen) * fitting.image_bytes)
        what = f"decoding validation images to {fitting.side}×{fitting.side} ({space})"
        split, skipped = _ImageStore(listing, what, len(chosen), request).load(chosen, fitting)
        for index, reason in skipped.items():
            raise UserError(f"{listing.root / chosen[index].path} can't be read any more: {reason}")
        return split

    return as_evaluated


class _ImageStore:
    """Loads lists of image files of one listing, with one count of what is decoded."""

    def __init__(self, listing: ImageListing, what: str, total: int, request: LoadRequest) -> None:
        self._listing, self._cancelled = listing, request.cancelled
        self._progress = _DecodingProgress(what, total, request.progress)

    def load(self, items: Sequence[ListedImage], fitting: Fitting) -> tuple[Split, dict[int, str]]:
        """The readable images, and why others are skipped, by index. All of them have their `aspects`."""
        decoded = _DecodedSplit(self._listing.root, items, fitting).load(self._progress, self._cancelled)
        readable = [i for i in range(len(items)) if i not in decoded.skipped]
        return _split(decoded, [items[i] for i in readable], self._listing), decoded.skipped


def _split(decoded: _DecodedImages, items: Sequence[ListedImage], listing: ImageListing) -> Split:
    """The split of decoded images, which `items` list."""
    groups = torch.tensor([item.group for item in items], dtype=torch.int64)
    folds = torch.tensor([item.fold for item in items], dtype=torch.int64)
    return Split(
        decoded.images,
        torch.tensor([item.label for item in items], dtype=torch.int64),
        tuple(item.path for item in items),
        mapped=True,
        groups=groups if listing.has_groups else None,
        folds=folds if folds.any() else None,
        aspects=torch.tensor(decoded.aspects) if decoded.aspects else None,
    )


def _notices(
    listing: ImageListing, skipped: Sequence[tuple[str, str]], fittings: Fittings
) -> tuple[str, ...]:
    """Lines on skipped files, and on what a model does not see of the others."""
    lines = [f"skipped: {describe_skipped(SkippedFiles.of(skipped))}"] if skipped else []
    paths = [listing.root / item.path for item in listing.splits["train"]]
    return (*lines, *pixel_notices(paths, fittings))


class _DecodingProgress:
    """The number of images decoded, of all splits together; updated from many threads."""

    def __init__(self, what: str, total: int, progress: ProgressCallback) -> None:
        self._what, self.total, self._progress = what, total, progress
        self._done, self._decoded, self._began = 0, 0, time.monotonic()
        self._lock = threading.Lock()

    def add(self, count: int = 1, *, is_decoded: bool = False) -> None:
        """Count `count` more images and report the progress; once some are decoded, with the time that all take."""
        with self._lock:
            self._done += count
            self._decoded += count * is_decoded
            if is_decoded and self._decoded == TIMED_IMAGES:
                seconds = (time.monotonic() - self._began) / TIMED_IMAGES * self.total
                if seconds >= _MIN_SECONDS:
                    self._what += f", about {format_duration(seconds)} once"
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
    aspects: tuple[float, ...] = ()
    """The original width / height of the readable images, where they are stored whole."""


class _DecodedImages(NamedTuple):
    """The decoded images of a list: uint8 [N, C, S, S] of the readable ones, and why others are skipped, by index."""

    images: Tensor
    skipped: dict[int, str]
    aspects: tuple[float, ...]


class _DecodedSplit:
    """The decoded images of one split: `KEY.u8` (the readable ones, one after the other) and `KEY.json`."""

    def __init__(self, root: Path, items: Sequence[ListedImage], fitting: Fitting) -> None:
        self.root = root
        self.items = items
        self.fitting = fitting
        self._image_bytes = fitting.image_bytes
        key = hashlib.sha256(f"{_VERSION} {os.fsencode(root)!r} {fitting.key}\n".encode())
        for item in items:
            key.update(f"{item.path!r} {item.size} {item.modified_ns}\n".encode())
        self.pixels = paths.decoded_cache() / f"{key.hexdigest()[:40]}.u8"
        self.facts = self.pixels.with_suffix(".json")

    def load(self, progress: _DecodingProgress, cancelled: CancelCheck) -> _DecodedImages:
        """The images from the cache, after decoding if necessary."""
        facts = self._cached_facts()
        if facts is None:
            facts = self._decode_all(progress, cancelled)
        else:
            file_cache.touch(self.pixels)
            progress.add(len(self.items))
        side, count = self.fitting.side, len(self.items) - len(facts.skipped)
        images = map_file(self.pixels, (count, self.fitting.channels, side, side))
        return _DecodedImages(images, facts.skipped, facts.aspects)

    def _cached_facts(self) -> CacheFacts | None:
        """The facts of the cache; `None` if it does not hold all images of this split."""
        facts = read_record(self.facts, CacheFacts)
        if facts is None:
            return None
        count = len(self.items) - len(facts.skipped)
        if not all(0 <= index < len(self.items) for index in facts.skipped):
            return None
        if self.fitting.is_whole and len(facts.aspects) != count:
            return None
        if any(isinstance(self._decode(self.items[index]), StoredImage) for index in facts.skipped):
            return None  # an image has become readable: permissions are not part of the key
        try:
            return facts if self.pixels.stat().st_size == count * self._image_bytes else None
        except OSError:
            return None

    def _decode_all(self, progress: _DecodingProgress, cancelled: CancelCheck) -> CacheFacts:
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
                if (facts := self._cached_facts()) is not None:
                    partial.discard()  # another process has completed the cache meanwhile
                    progress.add(len(self.items))
                    return facts
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
    ) -> CacheFacts:
        """Decode with one thread per core (Pillow releases the GIL), in order, in batches.

        Continues after an interruption. The facts are written before the pixel file gets its final name.
        """
        workers = usable_cores()
        batch = workers * 32
        if partial.count:
            progress.add(partial.count)

        def decode(index: int) -> StoredImage | str:
            if cancelled():
                return "cancelled"
            image = self._decode(self.items[index])
            progress.add(is_decoded=True)
            return image

        with ThreadPoolExecutor(workers) as pool:
            for start in range(partial.count, len(self.items), batch):
                records = list(pool.map(decode, range(start, min(start + batch, len(self.items)))))
                if cancelled():
                    partial.save(now=True)
                    raise Cancelled
                for image in records:
                    if isinstance(image, str):
                        partial.skip(image)
                    else:
                        partial.append(image.pixels, image.aspect if self.fitting.is_whole else None)
                partial.save()
        facts = CacheFacts(root=str(self.root), skipped=partial.skipped, aspects=tuple(partial.values))
        write_record(self.facts, facts)
        partial.commit(self.pixels)
        return facts

    def _decode(self, item: ListedImage) -> StoredImage | str:
        return self.fitting.read(self.root / item.path)
