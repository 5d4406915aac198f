"""Datasets of the user's own images: one folder per class, or a table, listed without opening any image."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import msgspec

from workbench.datasets.dataset import Dataset
from workbench.datasets.dataset_facts import SkippedFiles
from workbench.datasets.dataset_scan import scan_files
from workbench.datasets.image_cache import load_listing
from workbench.datasets.image_folder_facts import facts_of_scan, folder_contents, folder_warnings
from workbench.datasets.image_listing import ImageListing
from workbench.datasets.image_scan import ListedImage
from workbench.datasets.load_request import LoadRequest
from workbench.io.image_files import OUTSIDE_REASON, examine_file


def load(request: LoadRequest) -> Dataset:
    """The images of `folder:PATH` or `csv:FILE`, decoded once. Raises `UserError` if there are too few to train on."""
    options, recorded = request.options, request.recorded
    scan = scan_files(request.info.name, options, request.cancelled, recorded.classes if recorded else ())
    facts = facts_of_scan(scan, options.test, options.seed, fold=request.fold)
    data = load_listing(ImageListing.of_scan(scan, options, whole=request.whole), request)
    facts = msgspec.structs.replace(facts, skipped=SkippedFiles())  # the listing has a notice on all of them
    return replace(
        data, contents=tuple(folder_contents(facts)), notices=(*folder_warnings(facts), *data.notices)
    )


def listed_image(path: Path, label: int, root: Path, real_root: Path) -> ListedImage | str:
    """A file as part of a listing of `root` (`real_root`: with its links resolved), or why it is skipped."""
    if path.is_symlink() and path.exists() and not Path(os.path.realpath(path)).is_relative_to(real_root):
        return OUTSIDE_REASON
    found = examine_file(str(path))
    if isinstance(found, str):
        return found
    return ListedImage(str(path.relative_to(root)), label, found.size, found.modified_ns)
