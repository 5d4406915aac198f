"""The images of a dataset by split, and what identifies their content. Does not import torch."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from workbench.core.progress import CancelCheck, ProgressCallback, ignore_progress, never_cancelled
from workbench.core.settings_schema import Choice
from workbench.datasets.content_hashes import content_hashes
from workbench.datasets.dataset_scan import FileOptions, parse_options, scan_files
from workbench.datasets.image_scan import ImageScan, ListedImage
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
    has_groups: bool = False
    """Whether images of one group have to stay together."""

    @classmethod
    def of_scan(cls, scan: ImageScan, options: FileOptions, *, whole: bool = False) -> ImageListing:
        """The images of a scan; its test split is drawn from all of them if it has none of its own.

        `whole`: it stays empty, for a cross-validation.
        """
        splits = scan.divided(options.test, options.seed, whole=whole)
        return cls(scan.root, scan.classes, splits, tuple(scan.skipped_files), has_groups=scan.groups > 0)

    def fingerprint(self, hashes: Mapping[str, str]) -> str:
        """SHA-256 (hex) of the class names, and of every image's split, path, class, size, content, and its group
        and its fold if it has them.

        `hashes`: of the contents, by path. Names in another Unicode form give the same fingerprint.
        """
        names = [_nfc(name) for name in self.classes]
        digest = hashlib.sha256(repr(names).encode())
        for split in sorted(self.splits):
            digest.update(f"\n{split}\n".encode())
            for image in self.splits[split]:
                place = f" {image.group}" if self.has_groups else ""
                place += f" fold {image.fold}" if image.fold else ""
                line = f"{_nfc(image.path)!r} {image.label} {image.size} {hashes[image.path]}{place}\n"
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


def identify_files(
    choice: Choice,
    recorded: RecordedData,
    progress: ProgressCallback = ignore_progress,
    *,
    whole: bool = False,
) -> ImageIdentity:
    """What identifies a dataset for which `is_listed` holds now, for a run; `whole` as `ImageListing.of_scan`.

    Raises `UserError` if it can't be trained on.
    """
    options = parse_options(choice.name, choice.options)
    scan = scan_files(choice.name, options, recorded_classes=recorded.classes)
    return ImageListing.of_scan(scan, options, whole=whole).identify(recorded, progress)


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)
