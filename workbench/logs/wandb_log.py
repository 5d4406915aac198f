"""Files that W&B writes when it is offline: history with images, config and summary.

The messages: `wandb_internal.proto` in https://github.com/wandb/wandb/tree/main/wandb/proto
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import PurePath
from typing import NamedTuple

from workbench.logs.columns import Row
from workbench.logs.config_files import ConfigValue, flatten
from workbench.logs.followed_file import FollowedFile
from workbench.logs.json_values import decode_json
from workbench.logs.leveldb import read_records
from workbench.logs.log import Log, NoticeKind
from workbench.logs.protobuf import VARINT, Field, InvalidMessage, double, fields, signed, text, zigzag
from workbench.logs.references import Reference
from workbench.logs.series import as_step
from workbench.logs.source import LogSource

CHUNK_BYTES = 1 << 18
FILE_HEADER = struct.pack("<4sHB", b":W&B", 0xBEE1, 0)
_HISTORY, _SUMMARY, _CONFIG, _RUN = 2, 3, 5, 17
_UPDATE, _REMOVE = 1, 2
_RUN_CONFIG, _RUN_SUMMARY = 4, 5
_AXES = frozenset({"_step", "_timestamp"})
"""What of W&B's own values is used."""
MEDIA_FOLDER = "files"
"""Beside the log: the folder of the files of images and other media."""


Media = dict[tuple[str, ...], dict[str, object]]
"""The parts of histograms, images and tables by the names of these."""


class Item(NamedTuple):
    """A value with its name, one element for each level."""

    name: tuple[str, ...]
    value: object

    @property
    def is_internal(self) -> bool:
        """Whether W&B itself wrote it."""
        return self.name[0].startswith("_")

    @property
    def path(self) -> str:
        """The name as text."""
        return "/".join(self.name)

    def is_part_of(self, media: Media) -> bool:
        """Whether it is one of some media, or inside one."""
        return any(self.name[: length + 1] in media for length in range(len(self.name)))


class WandbLog(Log):
    """The scalars, images, settings and results in a `.wandb` file."""

    def __init__(self, source: LogSource) -> None:
        super().__init__(source)
        self._file = FollowedFile(source.path)

    def _read(self) -> Iterator[None]:
        for data in self._file.chunks(CHUNK_BYTES):
            if self._file.offset == 0 and data.startswith(FILE_HEADER):
                self._file.advance(data, len(FILE_HEADER))
                continue
            records, size, damaged = read_records(data, self._file.offset)
            if damaged:
                self._notice(NoticeKind.DAMAGED_RECORD, damaged)
            for record in records:
                try:
                    self._read_record(record)
                except InvalidMessage:
                    self._notice(NoticeKind.DAMAGED_RECORD)
            self._file.advance(data, size)
            yield

    @property
    def is_garbled(self) -> bool:
        """Whether there is content, but no complete record at its start."""
        return self._file.size > 0 and not self._file.offset

    def _reset(self) -> None:
        super()._reset()
        self._file.rewind()

    def _read_record(self, record: bytes) -> None:
        for part in fields(record):
            if part.number == _HISTORY:
                self._read_history(record, part)
            elif part.number == _CONFIG:
                self._update(self.config, record, part)
            elif part.number == _SUMMARY:
                self._update(self.summary, record, part)
            elif part.number == _RUN:
                for inner in fields(record, part.start, part.end):
                    if inner.number == _RUN_CONFIG:
                        self._update(self.config, record, inner)
                    elif inner.number == _RUN_SUMMARY:
                        self._update(self.summary, record, inner)

    def _read_history(self, record: bytes, message: Field) -> None:
        items, step = [], None
        for part in fields(record, message.start, message.end):
            if part.number == 1:
                items.append(_item(record, part))
            elif part.number == 2:
                step = next((signed(inner.value) for inner in fields(record, part.start, part.end)), 0)
        media = _media(items)
        items = [item for item in items if not item.is_part_of(media)]
        row = Row.of({item.path: item.value for item in items if item.path in _AXES or not item.is_internal})
        if row.step is None:
            row.step = step
        self._add_row(row)
        for name, path in _image_files(media):
            self._add_image(name, path, as_step(row.step) or 0, row.wall_time)

    def _add_image(self, name: str, path: str, step: int, wall_time: float) -> None:
        """Add an image whose file is at `path` below the folder of the run's files, and nowhere else."""
        if ".." in PurePath(path).parts:
            self._notice(NoticeKind.INVALID_VALUE)
            return
        file = self.source.path.parent / MEDIA_FOLDER / path.lstrip("/")
        self._add_reference(self.images, Reference(name, step, wall_time, file, 0, None, bytes))

    def _update(self, target: dict[str, ConfigValue], record: bytes, message: Field) -> None:
        """Apply an update to the config or the summary."""
        for part in fields(record, message.start, message.end):
            if part.number not in {_UPDATE, _REMOVE}:
                continue
            item = _item(record, part)
            if item.is_internal:
                continue
            for name in [name for name in target if name == item.path or name.startswith(f"{item.path}/")]:
                del target[name]
            if part.number == _UPDATE:
                target.update(flatten(item.value, item.path))
            self.version += 1


def _item(record: bytes, message: Field) -> Item:
    """A history, config or summary item. Raises `InvalidMessage`."""
    name: list[str] = []
    value: object = None
    for part in fields(record, message.start, message.end):
        if part.number in {1, 2}:
            name.append(text(record, part))
        else:
            value = _item_value(record, part)
    return Item(tuple(name) or ("",), value)


def _item_value(record: bytes, part: Field) -> object:
    """The value in one of the fields that may hold it."""
    if part.number in {8, 16}:
        try:
            return decode_json(record[part.start : part.end])
        except ValueError:
            raise InvalidMessage from None
    if part.number == 4 and part.wire_type == VARINT:
        return bool(part.value)
    if part.number == 5 and part.wire_type == VARINT:
        return zigzag(part.value)
    if part.number == 6:
        return double(record, part)
    return text(record, part) if part.number == 7 else None


def _media(items: list[Item]) -> Media:
    """The histograms, images and tables among the items of a step: objects with a `_type`."""
    found: Media = {
        item.name: item.value for item in items if isinstance(item.value, dict) and "_type" in item.value
    }
    divided: Media = {item.name[:-1]: {} for item in items if item.name[-1] == "_type"}
    for item in items if divided else ():
        if (parts := divided.get(item.name[:-1])) is not None:
            parts[item.name[-1]] = item.value
    return {**found, **divided}


def _image_files(media: Media) -> Iterator[tuple[str, str]]:
    """The names of images and the paths of their files; those that were logged as a list are numbered."""
    for name, parts in media.items():
        match parts:
            case {"_type": "image-file", "path": str(path)}:
                yield "/".join(name), path
            case {"_type": "images/separated", "filenames": list(paths)}:
                for number, path in enumerate(paths):
                    yield f"{'/'.join(name)}/{number}", str(path)
