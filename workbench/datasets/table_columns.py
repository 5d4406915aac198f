"""Which columns of a table are the path of an image, its class, split, group and fold. Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from workbench.core.errors import UserError
from workbench.datasets.file_options import CsvOptions
from workbench.datasets.table_file import NO_COLUMN, Table
from workbench.io.image_files import IMAGE_EXTENSIONS

_NAMES = {
    "image": (
        "image_path", "img_path", "file_path", "filepath", "path", "image_file", "image_filename", "image_name",
        "img_name", "file_name", "filename", "image", "img", "file", "picture", "photo", "images", "files", "paths",
        "image_id", "img_id", "photo_id", "id", "name",
    ),
    "label": (
        "label", "labels", "class", "class_name", "classname", "category", "category_name", "target", "targets",
        "species", "breed", "diagnosis", "label_name", "y", "class_id", "classid", "label_id", "category_id",
    ),
    "split": ("split", "set", "subset", "partition", "usage", "phase"),
    "group": (
        "group", "group_id", "groups", "patient", "patient_id", "patientid", "subject", "subject_id", "scene",
        "scene_id", "case_id", "lesion_id", "animal_id",
    ),
    "fold": ("fold", "kfold", "folds", "fold_id", "cv_fold"),
}  # fmt: skip
"""The usual names of columns in lower case with `_` between words, the clearest first."""
_SAMPLED = 50


@dataclass(frozen=True)
class TableColumns:
    """The numbers of the columns, from 0 on; `None` where the table has no such column."""

    image: int
    label: int
    split: int | None
    group: int | None
    fold: int | None

    def named(self, table: Table) -> dict[str, str]:
        """The names of the columns by what they are."""
        numbers = {"image": self.image, "label": self.label, "split": self.split, "group": self.group,
                   "fold": self.fold}  # fmt: skip
        return {what: table.column_name(number) for what, number in numbers.items() if number is not None}


def find_columns(table: Table, options: CsvOptions) -> tuple[Table, TableColumns]:
    """The table with its header, if it has one, and its columns. Raises `UserError` with one line."""
    if _has_header(table, options):
        table = table.with_header()
    if not table.rows:
        raise UserError(f"{table.path} has no rows below the names of its columns")
    found = {what: _wanted(table, what, options) for what in ("split", "group", "fold")}
    used = {number for number in found.values() if number is not None}
    wanted_label = table.column(options.label, "data.label") if options.label else None
    image = _image_column(table, options, {*used, wanted_label})
    if wanted_label is None:
        wanted_label = _label_column(table, {*used, image})
    if image == wanted_label:
        raise UserError(f"data.image and data.label are both {table.column_name(image)} of {table.path}")
    return table, TableColumns(image, wanted_label, **found)


def _has_header(table: Table, options: CsvOptions) -> bool:
    if options.header != "auto":
        return options.header == "yes"
    first = [cell.strip() for cell in table.rows[0]]
    if any(map(is_image_name, first)):
        return False
    named = (options.image, options.label, options.split, options.group, options.fold)
    if any(name in first for name in named if name):
        return True
    if {_plain(cell) for cell in first} & {*_NAMES["image"], *_NAMES["label"]}:
        return True
    return not any(re.fullmatch(r"[-+.0-9]+", cell) for cell in first)


def _wanted(table: Table, what: str, options: CsvOptions) -> int | None:
    """The column of splits, groups or folds: the one that is set, else one of the usual names."""
    name: str = getattr(options, what)
    if name.casefold() == NO_COLUMN:
        return None
    return table.column(name, f"data.{what}") if name else _by_name(table, what, ())


def usual_names(what: str) -> tuple[str, ...]:
    """The usual names of a column in lower case, the clearest first; `what`: `image`, `label`, `group`, …."""
    return _NAMES.get(what, ())


def _by_name(table: Table, what: str, used: Iterable[int | None]) -> int | None:
    """The column with the clearest of the usual names."""
    names = {_plain(name): i for i, name in reversed(list(enumerate(table.header))) if i not in set(used)}
    return next((names[name] for name in _NAMES[what] if name in names), None)


def _plain(name: str) -> str:
    """`Image Path` and `imagePath` as `image_path`."""
    return re.sub(r"[\W_]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name.strip())).strip("_").lower()


def _image_column(table: Table, options: CsvOptions, used: set[int | None]) -> int:
    """The column that is set, else the one whose cells have extensions of images, else one of the usual names."""
    if options.image:
        return table.column(options.image, "data.image")
    free = [i for i in range(table.width) if i not in used]
    shares = {i: _image_share(table, i) for i in free}
    best = max(free, key=lambda i: shares[i], default=None)
    if best is not None and shares[best] > 0.5:
        return best
    found = _by_name(table, "image", used)
    if found is None:
        raise UserError(
            f"{table.path}: no column has the paths of images; {table.describe_columns()}: name it with "
            "--set data.image=COLUMN"
        )
    return found


def _image_share(table: Table, column: int) -> float:
    cells = table.sample(column, _SAMPLED)
    return sum(map(is_image_name, cells)) / len(cells) if cells else 0.0


def _label_column(table: Table, used: set[int | None]) -> int:
    """The column with one of the usual names, else the only other one."""
    found = _by_name(table, "label", used)
    if found is not None:
        return found
    others = [i for i in range(table.width) if i not in used]
    if len(others) == 1:
        return others[0]
    if not others:
        raise UserError(
            f"{table.path} has no column of classes beside that of images; {table.describe_columns()}"
        )
    raise UserError(
        f"{table.path}: which column has the classes? {table.describe_columns()}: name it with "
        "--set data.label=COLUMN"
    )


def is_image_name(text: str) -> bool:
    """Whether a path has the extension of an image."""
    return PurePosixPath(text.lower()).suffix in IMAGE_EXTENSIONS
