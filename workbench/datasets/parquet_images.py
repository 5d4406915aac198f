"""Images in Parquet files, as Hugging Face has them: a struct of bytes and path, and a class label."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from workbench.core.distribution import install_hint
from workbench.core.errors import UserError, did_you_mean
from workbench.core.parsing import parse_json
from workbench.core.progress import CancelCheck, Cancelled, Progress, ProgressCallback
from workbench.core.text import one_line, sanitize
from workbench.datasets.file_options import PackedOptions
from workbench.datasets.split_names import parse_split_name
from workbench.datasets.table_columns import usual_names
from workbench.datasets.unpacked_images import ImageFolderWriter, UnpackedImage
from workbench.io.image_files import IMAGE_EXTENSIONS

try:
    import pyarrow
    import pyarrow.parquet as pq
except ImportError as error:
    raise UserError(f"parquet:PATH needs pyarrow ({one_line(error)}): {install_hint('parquet')}") from None

_ROWS = 64
"""Rows that are read at once."""
_METADATA = b"huggingface"
_MAX_LISTED = 12


def write_parquet_images(
    files: Sequence[Path],
    options: PackedOptions,
    writer: ImageFolderWriter,
    progress: ProgressCallback,
    cancelled: CancelCheck,
) -> tuple[str, ...]:
    """Write the images of some files, and return the names of the classes in their order, where the files have them.

    Rows without an image or a class are skipped. Raises `UserError`, `Cancelled`.
    """
    classes: tuple[str, ...] = ()
    for number, file in enumerate(files):
        try:
            with pq.ParquetFile(file) as table:
                columns = _columns(file, table.schema_arrow, options)
                classes = _class_names(table.schema_arrow, columns["label"]) or classes
                total = table.metadata.num_rows
                for done, row in enumerate(_rows(table, columns), 1):
                    if cancelled():
                        raise Cancelled
                    _write_row(writer, file, f"{number:05}-{file.stem}/{done:07}", row, classes)
                    if done % _ROWS == 0 or done == total:
                        progress(Progress(f"reading images of {file.name}", done, total, "images"))
        except (pyarrow.ArrowException, OSError) as error:
            raise UserError(f"{file} can't be read: {one_line(error, 120)}") from None
    return classes


def _columns(file: Path, schema: Any, options: PackedOptions) -> dict[str, str]:
    """The names of the columns by what they are. Raises `UserError`."""
    names = list(schema.names)
    listed = ", ".join(sanitize(name, 24) for name in names[:_MAX_LISTED])
    found = {}
    for what in ("image", "label", "group"):
        wanted = getattr(options, what)
        if wanted and wanted not in names:
            raise UserError(
                f"data.{what}: {file} has no column {sanitize(wanted)!r}{did_you_mean(wanted, names)}; its columns are "
                f"{listed}"
            )
        if wanted:
            found[what] = wanted
    images = [name for name in names if _holds_images(schema.field(name).type)]
    found.setdefault("image", next((name for name in ("image", "img", *images) if name in images), ""))
    by_lower = {name.lower(): name for name in reversed(names) if name != found["image"]}
    labels = (by_lower[name] for name in (*usual_names("label"), "fine_label") if name in by_lower)
    found.setdefault("label", next(labels, ""))
    for what in ("image", "label"):
        if not found[what]:
            raise UserError(
                f"{file}: which column has the {'images' if what == 'image' else 'classes'}? Its columns are {listed}: "
                f"name it with --set data.{what}=COLUMN"
            )
    return found


def _holds_images(kind: Any) -> bool:
    """Whether a column is of bytes, or of structs that have them."""
    types = pyarrow.types
    if types.is_struct(kind):
        return any(field.name == "bytes" for field in kind)
    return bool(types.is_binary(kind) or types.is_large_binary(kind))


def _class_names(schema: Any, label: str) -> tuple[str, ...]:
    """The names of a `ClassLabel` in the metadata that Hugging Face writes; empty without them."""
    content = (schema.metadata or {}).get(_METADATA, b"{}")
    try:
        features = parse_json(content.decode("utf-8", "replace"))["info"]["features"]
        return tuple(str(name) for name in features[label]["names"])
    except (ValueError, KeyError, TypeError):
        return ()


class _Row(NamedTuple):
    image: object
    label: object
    group: object


def _rows(table: Any, columns: Mapping[str, str]) -> Iterator[_Row]:
    names = list(dict.fromkeys(columns.values()))
    for batch in table.iter_batches(batch_size=_ROWS, columns=names):
        for values in batch.to_pylist():
            yield _Row(
                values[columns["image"]], values[columns["label"]], values.get(columns.get("group", ""))
            )


def _write_row(writer: ImageFolderWriter, file: Path, name: str, row: _Row, classes: Sequence[str]) -> None:
    image, label = row.image, row.label
    content, path = (image.get("bytes"), image.get("path")) if isinstance(image, dict) else (image, None)
    text = _label_text(label, classes)
    if not isinstance(content, bytes) or not content or not text:
        writer.skipped.append(
            (f"{file}: row {int(name.rpartition('/')[2])}", "no class" if content else "no image")
        )
        return
    suffix = PurePosixPath(str(path or "")).suffix.lower()
    split = parse_split_name(file.stem.partition("-")[0]) or parse_split_name(file.parent.name)
    writer.add(
        UnpackedImage(
            path=name + (suffix if suffix in IMAGE_EXTENSIONS else ""), label=text, size=len(content),
            split=split.split if split else "", group="" if row.group is None else str(row.group),
        ),
        content,
    )  # fmt: skip


def _label_text(label: Any, classes: Sequence[str]) -> str:
    """The name of a class, by its index where there are names; empty for none (Hugging Face has -1)."""
    if isinstance(label, bool) or not isinstance(label, int) or not classes:
        return "" if label is None or label == -1 or isinstance(label, dict | list) else str(label).strip()
    return classes[label] if 0 <= label < len(classes) else ""
