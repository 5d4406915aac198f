"""The images of a dataset of files, whatever lists them: a folder of classes, or a table. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from workbench.core.progress import CancelCheck, never_cancelled
from workbench.core.settings_schema import Section, convert
from workbench.datasets.catalog import FILE_OPTIONS, FolderOptions
from workbench.datasets.file_options import CsvOptions
from workbench.datasets.file_sources import LISTED_KINDS, find_source
from workbench.datasets.image_folder_scan import scan_folder
from workbench.datasets.image_name_scan import scan_names
from workbench.datasets.image_scan import ImageScan
from workbench.datasets.image_table_scan import scan_table

FileOptions = FolderOptions | CsvOptions
_CACHED_SCANS = 4


def parse_options(name: str, options: Section) -> FileOptions:
    """The validated options of a dataset for which `is_listed` holds."""
    source = find_source(name)
    assert source is not None
    parsed = convert(FILE_OPTIONS[source.kind], options, "data")
    assert isinstance(parsed, FolderOptions | CsvOptions)
    return parsed


def scan_files(
    name: str,
    options: FileOptions,
    cancelled: CancelCheck = never_cancelled,
    recorded_classes: Sequence[str] = (),
) -> ImageScan:
    """The images of a dataset for which `is_listed` holds, see `scan_folder` and `scan_table`."""
    source = find_source(name)
    assert source is not None
    if isinstance(options, CsvOptions):
        return scan_table(source.path(name), options, cancelled, recorded_classes)
    if options.pattern:
        return scan_names(source.path(name), options, cancelled, recorded_classes)
    return scan_folder(source.path(name), cancelled, options.links, recorded_classes)


_scans: dict[str, ImageScan] = {}


def dataset_scan(name: str, options: Section) -> ImageScan | None:
    """The scan of a dataset of listed files, `None` for other datasets. Raises `UserError`.

    The last few scans of this process are kept while no folder in them, and no table, has changed.
    """
    source = find_source(name)
    if source is None or source.kind not in LISTED_KINDS:
        return None
    settings = parse_options(name, options)
    key = repr((name, settings))
    known = _scans.pop(key, None)
    if known is None or not _is_current(known):
        known = scan_files(name, settings)
    _scans[key] = known
    while len(_scans) > _CACHED_SCANS:
        del _scans[next(iter(_scans))]
    return known


def _is_current(scan: ImageScan) -> bool:
    try:
        return all(Path(path).stat().st_mtime_ns == time for path, time in scan.folder_times.items())
    except OSError:
        return False
