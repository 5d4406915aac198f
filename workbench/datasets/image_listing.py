"""The images of a dataset by split, and what identifies their content. Does not import torch."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from workbench.core.progress import CancelCheck, ProgressCallback, ignore_progress, never_cancelled
from workbench.core.settings_schema import Choice, convert
from workbench.datasets.catalog import FolderOptions
from workbench.datasets.content_hashes import content_hashes
from workbench.datasets.drawing import stratified_split
from workbench.datasets.image_folder_layout import ALL
from workbench.datasets.image_folder_scan import PREFIX, FolderScan, ListedImage, scan_folder
from workbench.datasets.load_request import RecordedData


@dataclass(frozen=True)
class ImageIdentity:
    """What identifies the content of listed images."""

    fingerprint: str
    hashes: Mapping[str, str] = field(default_factory=dict)
    """The hash of each file by its path; empty for data that a run of an earlier version recorded."""


@dataclass(frozen=True)
class ImageListing:
    """Image files by split (`train`, `test`, and optionally `validation`)."""

    root: Path
    classes: tuple[str, ...]
    splits: Mapping[str, Sequence[ListedImage]]
    skipped_files: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of_folder(cls, scan: FolderScan, options: FolderOptions) -> ImageListing:
        """The images of a folder; its test split is drawn from all of them if it has none of its own."""
        splits = dict(scan.splits)
        if ALL in splits:
            items = splits.pop(ALL)
            labels = [item.label for item in items]
            train, test = stratified_split(labels, options.test, options.seed, "folder test")
            splits |= {"train": [items[i] for i in train], "test": [items[i] for i in test]}
        return cls(scan.root, scan.classes, splits, tuple(scan.skipped_files))

    def fingerprint(self, hashes: Mapping[str, str]) -> str:
        """SHA-256 (hex) of the class names, and of every image's split, path, class, size and content.

        `hashes`: of the contents, by path. Names in another Unicode form give the same fingerprint.
        """
        names = [_nfc(name) for name in self.classes]
        digest = hashlib.sha256(repr(names).encode())
        for split in sorted(self.splits):
            digest.update(f"\n{split}\n".encode())
            for image in self.splits[split]:
                line = f"{_nfc(image.path)!r} {image.label} {image.size} {hashes[image.path]}\n"
                digest.update(line.encode())
        return digest.hexdigest()

    def fingerprint_0_1(self) -> str:
        """The fingerprint as version 0.1.0 recorded it, which contains modification times instead of contents."""
        digest = hashlib.sha256(repr(self.classes).encode())
        for split in sorted(self.splits):
            digest.update(f"\n{split}\n".encode())
            for image in self.splits[split]:
                # Recorded with every run: this text must never change, whatever the fields are called.
                digest.update(
                    f"Item(path={image.path!r}, label={image.label!r}, size={image.size!r}, "
                    f"changed={image.modified_ns!r})\n".encode()
                )
        return digest.hexdigest()

    def identify(
        self,
        recorded: RecordedData | None = None,
        progress: ProgressCallback = ignore_progress,
        cancelled: CancelCheck = never_cancelled,
    ) -> ImageIdentity:
        """What identifies the images; the fingerprint that a run recorded if that is of the same data by an earlier
        version. `Cancelled`.
        """
        if recorded and recorded.fingerprint == self.fingerprint_0_1():
            return ImageIdentity(recorded.fingerprint)
        items = [item for split in sorted(self.splits) for item in self.splits[split]]
        files = [(item.path, item.size, item.modified_ns) for item in items]
        hashes = content_hashes(self.root, files, progress, cancelled)
        by_path = {item.path: digest for item, digest in zip(items, hashes, strict=True)}
        return ImageIdentity(self.fingerprint(by_path), {_nfc(path): by_path[path] for path in by_path})


def identify_folder(
    choice: Choice, recorded: RecordedData, progress: ProgressCallback = ignore_progress
) -> ImageIdentity:
    """What identifies the dataset `folder:PATH` now, for a run. Raises `UserError` if it can't be trained on."""
    options = convert(FolderOptions, choice.options, "data")
    scan = scan_folder(
        Path(choice.name.removeprefix(PREFIX)), links=options.links, recorded_classes=recorded.classes
    )
    return ImageListing.of_folder(scan, options).identify(recorded, progress)


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)
