"""Datasets of images in archives or tables: `tar:PATTERN`, `parquet:PATH`. They are taken out once, into a cache."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from workbench.core.errors import UserError
from workbench.core.text import plural
from workbench.datasets.class_folders import natural_order, same_names
from workbench.datasets.dataset import Dataset
from workbench.datasets.file_sources import PARQUET, TAR, expand_shards, find_parquet
from workbench.datasets.image_cache import load_listing
from workbench.datasets.image_folder_layout import ALL
from workbench.datasets.image_listing import ImageListing
from workbench.datasets.image_scan import ImageScan, ListedImage, check_counts, check_groups, complete_splits
from workbench.datasets.load_request import LoadRequest
from workbench.datasets.tar_images import write_tar_images
from workbench.datasets.unpacked_images import ImageFolderWriter, UnpackedIndex, unpack_images


def load_tar(request: LoadRequest) -> Dataset:
    """The images in the shards of `tar:PATTERN`. Raises `UserError`, `Cancelled`."""
    shards = expand_shards(TAR.path(request.info.name))

    def write(writer: ImageFolderWriter) -> Iterable[str]:
        write_tar_images(shards, request.options, writer, request.progress, request.cancelled)
        return ()

    return _load(request, TAR.path(request.info.name), shards, write)


def load_parquet(request: LoadRequest) -> Dataset:
    """The images in the rows of `parquet:PATH`. Raises `UserError`, also without pyarrow, `Cancelled`."""
    from workbench.datasets.parquet_images import write_parquet_images  # noqa: PLC0415 - of an extra

    files = find_parquet(PARQUET.path(request.info.name))

    def write(writer: ImageFolderWriter) -> Iterable[str]:
        return write_parquet_images(files, request.options, writer, request.progress, request.cancelled)

    return _load(request, PARQUET.path(request.info.name), files, write)


def _load(
    request: LoadRequest,
    place: Path,
    sources: Sequence[Path],
    write: Callable[[ImageFolderWriter], Iterable[str]],
) -> Dataset:
    if not sources:
        raise UserError(f"{request.info.name}: there is no such file")
    options = request.options
    settings = (options.image, options.label, options.group)
    folder, index, modified = unpack_images(sources, settings, write)
    scan = _scan(place, folder, index, modified, request.recorded.classes if request.recorded else ())
    listing = ImageListing.of_scan(scan, options, whole=request.whole)
    data = load_listing(listing, request)
    counts = ", ".join(f"{split} {len(items):,}" for split, items in listing.splits.items() if items)
    contents = (
        f"{plural(len(scan.classes), 'class')} in {plural(len(sources), 'file')}: {counts}",
        *scan.remarks,
    )
    return replace(data, source=str(place), contents=contents)


def _scan(
    place: Path, folder: Path, index: UnpackedIndex, modified: int, recorded: Sequence[str]
) -> ImageScan:
    """The images of the index by split. Raises `UserError` if they can't be trained on."""
    names = {image.label for image in index.images}
    if len(names) < 2:
        first = f" (first: {index.skipped[0][0]}: {index.skipped[0][1]})" if index.skipped else ""
        what = f"has only one class ({names.pop()!r})" if names else "has no image with a class"
        raise UserError(f"{place} {what}{first}: classification needs at least two")
    order = [name for name in index.classes if name in names] if index.classes else []
    classes = tuple(order) if len(order) == len(names) else tuple(natural_order(names))
    classes = tuple(recorded) if same_names(classes, recorded) else classes
    labels = {name: label for label, name in enumerate(classes)}
    scan = ImageScan(folder, classes, skipped_files=list(index.skipped))
    has_splits = any(image.split == "train" for image in index.images)
    groups = {name: n for n, name in enumerate(dict.fromkeys(i.group or i.path for i in index.images), 1)}
    has_groups = any(image.group for image in index.images)
    scan.groups = len(groups) if has_groups else 0
    for image in index.images:
        split = (image.split or "train") if has_splits else ALL
        scan.split_folders.setdefault(split, split)
        number = groups[image.group or image.path] if has_groups else 0
        scan.splits.setdefault(split, []).append(
            ListedImage(image.path, labels[image.label], image.size, modified, number)
        )
    complete_splits(scan)
    check_groups(scan, {image.path: image.group for image in index.images})
    check_counts(scan)
    return scan
