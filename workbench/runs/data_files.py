"""The image files that a run was trained on, and how those of now differ from them: `data-files.json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from workbench.config.data_location import changed_data_error
from workbench.core.errors import UserError
from workbench.core.progress import ProgressCallback, ignore_progress
from workbench.core.settings_schema import Choice
from workbench.core.text import plural, sanitize
from workbench.datasets.file_sources import is_listed
from workbench.datasets.image_listing import identify_files
from workbench.datasets.load_request import RecordedData
from workbench.io.record_codec import Record, read_record, write_record
from workbench.runs.run_folder import RunFolder

MAX_FILES = 100_000
"""The files of larger datasets are not recorded: their fingerprint still shows whether they have changed."""
_DIGITS = 16
_SHOWN = 3


class DataFiles(Record, frozen=True, kw_only=True):
    """`data-files.json`."""

    files: dict[str, str] = {}
    """The first digits of the hash of each file, by path."""


def record_data_files(folder: RunFolder, hashes: Mapping[str, str]) -> None:
    """Record the files that a run is trained on. Raises `OSError`."""
    if 0 < len(hashes) <= MAX_FILES:
        write_record(
            folder.data_files, DataFiles(files={p: digest[:_DIGITS] for p, digest in hashes.items()})
        )


def check_image_files(
    folder: RunFolder,
    data: Choice,
    recorded: RecordedData,
    command: str,
    progress: ProgressCallback = ignore_progress,
    *,
    whole: bool = False,
) -> None:
    """Raise `UserError` where its image files are not what a run was trained on, with what has changed.

    `whole` as `identify_files`. Other data has to be loaded for that.
    """
    if not is_listed(data.name) or not recorded.fingerprint:
        return
    identity = identify_files(data, recorded, progress, whole=whole)
    if identity.fingerprint == recorded.fingerprint:
        return
    before = (read_record(folder.data_files, DataFiles) or DataFiles()).files
    changes = describe_changes(before, {p: digest[:_DIGITS] for p, digest in identity.hashes.items()})
    raise UserError(changed_data_error(folder.id, data.name, command, changes))


def describe_changes(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """`1 of 180 files is missing: red/i0000.png; 2 files are new: …`; empty where this is unknown."""
    if not before:
        return ""
    missing = sorted(before.keys() - now.keys())
    new = sorted(now.keys() - before.keys())
    changed = sorted(path for path in before.keys() & now.keys() if before[path] != now[path])
    parts = [
        _listed(missing, f" of {len(before):,}", "missing"),
        _listed(new, "", "new"),
        _listed(changed, f" of {len(before):,}", "changed"),
    ]
    return "; ".join(part for part in parts if part)


def _listed(names: Sequence[str], of: str, what: str) -> str:
    if not names:
        return ""
    count = f"{len(names):,}{of} files" if of else plural(len(names), "file")
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    shown = ", ".join(sanitize(name) for name in names[:_SHOWN])
    return f"{count} {'is' if len(names) == 1 else 'are'} {what}: {shown}{more}"
