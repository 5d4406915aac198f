"""What a table of images contains: classes, splits, groups, and what is not used. Imports no torch."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from workbench.core.errors import UserError
from workbench.core.progress import CancelCheck, Cancelled, never_cancelled
from workbench.core.text import plural, sanitize
from workbench.datasets.class_folders import natural_order, parse_number, same_names
from workbench.datasets.file_options import CsvOptions
from workbench.datasets.image_folder_layout import ALL
from workbench.datasets.image_scan import ImageScan, ListedImage, check_counts, check_groups, complete_splits
from workbench.datasets.split_names import UNLABELED, parse_split_name
from workbench.datasets.table_columns import TableColumns, find_columns
from workbench.datasets.table_file import NO_COLUMN, Table, read_table
from workbench.datasets.table_paths import TablePaths
from workbench.io.image_files import ImageFile, examine_file

_MANY_CLASSES = 100
_SHOWN = 4
_CANCEL_EVERY = 1000


@dataclass(frozen=True, slots=True)
class TableRow:
    """A row as it is read: the path of an image below the root, or absolute, and its cells."""

    path: str
    label: str
    split: str
    group: str
    fold: str
    line: int


@dataclass
class _Reading:
    """The rows of a table that may be used, and those that may not."""

    table: Table
    columns: TableColumns
    rows: list[TableRow] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    """Path, or line, and reason."""
    remarks: list[str] = field(default_factory=list)

    def skip(self, path: str, reason: str) -> None:
        """Note that the image at `path` is not used."""
        self.skipped.append((str(self.table.path.parent / path), reason))


def scan_table(
    path: Path,
    options: CsvOptions,
    cancelled: CancelCheck = never_cancelled,
    recorded_classes: Sequence[str] = (),
) -> ImageScan:
    """The images that a table lists, by their classes and splits.

    Rows without a class, of files that are missing or no images, and those that contradict each other are skipped, with
    the reason. `recorded_classes`: the order of classes in a run, which is kept if the table has the same. Raises
    `UserError` with one line for a table that can't be trained on, `Cancelled`.
    """
    reading = _read_rows(*find_columns(read_table(path), options))
    splits = _split_values(reading, options)
    _skip_contradictions(reading)
    files = _existing_files(reading, cancelled)
    if not files:
        raise UserError(_no_images_message(reading))
    spellings = _class_spellings(reading)
    classes = _class_order(reading, set(spellings.values()), recorded_classes)
    scan = ImageScan(
        path.parent,
        classes,
        skipped_files=reading.skipped,
        remarks=reading.remarks,
        folder_times={str(path): reading.table.modified_ns},
        table=path.name,
        columns=reading.columns.named(reading.table),
    )
    _add_images(scan, reading, files, spellings, splits)
    complete_splits(scan)
    check_groups(scan, {row.path: row.group for row in reading.rows})
    check_counts(scan)
    return scan


# Rows


def _read_rows(table: Table, columns: TableColumns) -> _Reading:
    reading = _Reading(table, columns)
    cells = [table.cell(row, columns.image) or "" for row in range(len(table.rows))]
    paths = TablePaths(table.path, cells)
    if paths.folder:
        reading.remarks.append(f"images are in {paths.folder}/ beside {table.name}")
    for row, cell in enumerate(cells):
        line = table.lines[row]
        label = table.cell(row, columns.label)
        if not cell or not label:
            what = "no path" if not cell else "fewer cells than other rows" if label is None else "no class"
            reading.skipped.append((f"{table.path}, line {line}", what))
            continue
        split, group, fold = (
            "" if number is None else table.cell(row, number) or ""
            for number in (columns.split, columns.group, columns.fold)
        )
        name = unicodedata.normalize("NFC", label)
        reading.rows.append(TableRow(paths.resolve(cell), name, split, group, fold, line))
    return reading


def _split_values(reading: _Reading, options: CsvOptions) -> dict[str, str]:
    """The split of each value in the column of splits; without such a column, and if it has others, it is not used."""
    values = dict.fromkeys(row.split for row in reading.rows)
    if reading.columns.split is None:
        return {"": ALL}
    column = reading.table.column_name(reading.columns.split)
    parsed = {value: parse_split_name(value) for value in values if value}
    unknown = [value for value, name in parsed.items() if name is None]
    splits = {value: name.split for value, name in parsed.items() if name is not None}
    if unknown and not options.split:
        reading.columns = replace(reading.columns, split=None)
        reading.rows = [replace(row, split="") for row in reading.rows]
        reading.remarks.append(f"column {sanitize(column)} is not of splits: it has {_listed(unknown)}")
        return {"": ALL}
    if unknown:
        raise UserError(
            f"data.split: column {sanitize(column)!r} of {reading.table.path} has {_listed(unknown)}; the splits are "
            "called train, val and test"
        )
    if "train" not in splits.values():
        raise UserError(
            f"column {sanitize(column)!r} of {reading.table.path} has no row of train; data.split={NO_COLUMN} divides "
            "all rows"
        )
    used = []
    for row in reading.rows:
        kind = splits.get(row.split)
        if kind is None or kind == UNLABELED:
            reading.skip(row.path, "no split" if kind is None else "images to predict")
        else:
            used.append(row)
    reading.rows = used
    return splits


def _skip_contradictions(reading: _Reading) -> None:
    """Use a path once; not at all if its rows differ in class, split, group or fold."""
    by_path: dict[str, list[TableRow]] = {}
    for row in reading.rows:
        by_path.setdefault(row.path, []).append(row)
    reading.rows = []
    for path, rows in by_path.items():
        labels = list(dict.fromkeys(row.label for row in rows))
        if len(labels) > 1:
            reading.skip(path, f"in {len(labels)} classes: {_listed(labels)}")
        elif len({replace(row, line=0) for row in rows}) > 1:
            reading.skip(path, "listed with several splits, groups or folds")
        else:
            reading.rows.append(rows[0])
            if len(rows) > 1:
                lines = ", ".join(str(row.line) for row in rows[1 : _SHOWN + 1])
                reading.skip(f"{path} (again in line {lines})", "listed more than once, used once")


def _existing_files(reading: _Reading, cancelled: CancelCheck) -> list[ImageFile]:
    """The files of the rows; rows of others are skipped, with the reason."""
    files, rows = [], []
    for number, row in enumerate(reading.rows):
        if number % _CANCEL_EVERY == 0 and cancelled():
            raise Cancelled
        found = examine_file(str(reading.table.path.parent / row.path))
        if isinstance(found, str):
            reading.skip(row.path, found)
        else:
            files.append(found)
            rows.append(row)
    reading.rows = rows
    return files


def _no_images_message(reading: _Reading) -> str:
    table = reading.table
    column = sanitize(table.column_name(reading.columns.image))
    first, reason = reading.skipped[0] if reading.skipped else (str(table.path), "no rows")
    rows = plural(len(table.rows), "row")
    return (
        f"none of the {rows} of {table.path} has an image (first: {sanitize(first)}: {reason}); "
        f"the paths in column {column!r} are absolute, or below the folder of the table; data.image=COLUMN names "
        "another column"
    )


# Classes


def _class_spellings(reading: _Reading) -> dict[str, str]:
    """The class of each label: of numbers, all spellings of one are the first (`1.0` and `01` are one class)."""
    labels = list(dict.fromkeys(row.label for row in reading.rows))
    numbers = [parse_number(label) for label in labels]
    if None in numbers:
        similar = [names for names in _by_case(labels).values() if len(names) > 1]
        reading.remarks += [
            f"{_listed(names)} differ only in case and are separate classes" for names in similar
        ]
        return {label: label for label in labels}
    first: dict[float | None, str] = {}
    for label, number in zip(labels, numbers, strict=True):
        whole, _, fraction = label.partition(".")
        first.setdefault(number, label if fraction.strip("0") else whole)
    return {label: first[number] for label, number in zip(labels, numbers, strict=True)}


def _by_case(labels: Iterable[str]) -> Mapping[str, list[str]]:
    groups = defaultdict(list)
    for label in labels:
        groups[label.casefold()].append(label)
    return groups


def _class_order(reading: _Reading, classes: set[str], recorded: Sequence[str]) -> tuple[str, ...]:
    table, count = reading.table, len(reading.rows)
    column = sanitize(table.column_name(reading.columns.label))
    if len(classes) < 2:
        raise UserError(
            f"{table.path} has only one class ({_listed(classes)}) in column {column!r}: classification needs at least "
            "two; data.label=COLUMN names another column"
        )
    if len(classes) > max(_MANY_CLASSES, count // 2):
        raise UserError(
            f"column {column!r} of {table.path} has {len(classes):,} different values in {plural(count, 'row')}, which "
            "are no classes; data.label=COLUMN names another column"
        )
    if same_names(classes, recorded):
        return tuple(unicodedata.normalize("NFC", name) for name in recorded)
    return tuple(natural_order(classes))


# Images


def _add_images(
    scan: ImageScan,
    reading: _Reading,
    files: Sequence[ImageFile],
    spellings: Mapping[str, str],
    splits: Mapping[str, str],
) -> None:
    """Put the images into their splits, in the order of the rows; groups and folds are numbered from 1 on."""
    labels = {name: label for label, name in enumerate(scan.classes)}
    # An image without a group is one of its own.
    groups = {key: number for number, key in enumerate(dict.fromkeys(map(_group, reading.rows)), 1)}
    divided = {"train", ALL}  # a test split of its own is not one of the folds
    folds = natural_order({row.fold for row in reading.rows if splits[row.split] in divided} - {""})
    fold_numbers = {name: number for number, name in enumerate(folds, 1)}
    scan.groups = len(groups) if reading.columns.group is not None else 0
    scan.folds = len(folds)
    for row, file in zip(reading.rows, files, strict=True):
        split = splits[row.split]
        scan.split_folders.setdefault(split, row.split)
        scan.splits.setdefault(split, []).append(
            ListedImage(
                row.path, labels[spellings[row.label]], file.size, file.modified_ns,
                groups[_group(row)] if scan.groups else 0, fold_numbers.get(row.fold, 0),
            )
        )  # fmt: skip


def _group(row: TableRow) -> tuple[str, str]:
    return (row.group, "") if row.group else ("", row.path)


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(repr(sanitize(name, 24)) for name in names[:_SHOWN]) + more
