"""TensorBoard event files: all files of a folder, in the order of their names, are one log."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from workbench.logs import tfrecord
from workbench.logs.event import Event, Number, Span, SummaryValue, decode_event, decode_tensor
from workbench.logs.event_values import (
    decode_histogram,
    decode_histogram_tensor,
    decode_hparams,
    decode_text,
    image_spans,
)
from workbench.logs.followed_file import FollowedFile
from workbench.logs.log import Log, NoticeKind
from workbench.logs.protobuf import InvalidMessage
from workbench.logs.references import Reference
from workbench.logs.repeated_frames import FrameCycle, FrameLayout, RecentFrames, frame_layout
from workbench.logs.source import LogSource

CHUNK_BYTES = 1 << 20
MAX_SCAN_BYTES = 4 << 20
EVENT_FILE_MARK = "tfevents"
TEXT_SUFFIX = "/text_summary"

T = TypeVar("T")


def event_files(path: Path) -> list[Path]:
    """The event files of a log, by name."""
    if not path.is_dir():
        return [path]
    return sorted(file for file in path.iterdir() if EVENT_FILE_MARK in file.name)


class EventLog(Log):
    """Scalars, images, histograms, texts and hyperparameters of event files."""

    def __init__(self, source: LogSource) -> None:
        super().__init__(source)
        self._files: dict[Path, FollowedFile] = {}
        self._plugins: dict[str, str] = {}
        """The plugin of each tag: only the first value of a tag has to name it."""
        self._recent = RecentFrames()
        self._cycle: FrameCycle | None = None

    def _read(self) -> Iterator[None]:
        folder = self.source.path if self.source.path.is_dir() else self.source.path.parent
        self._read_settings(folder / "hparams.yaml")  # which Lightning's TensorBoardLogger writes
        for path in event_files(self.source.path):
            file = self._files.setdefault(path, FollowedFile(path))
            self._end_cycle()
            try:
                for data in file.chunks(CHUNK_BYTES):
                    file.advance(data, self._read_frames(file, data))
                    yield
            except OSError:  # the other files can still be read
                self._notice_unreadable_file()

    @property
    def is_garbled(self) -> bool:
        """Whether there are files with content, but no complete record at the start of any."""
        return any(file.size for file in self._files.values()) and not any(
            file.offset for file in self._files.values()
        )

    def _reset(self) -> None:
        super()._reset()
        self._files.clear()
        self._plugins.clear()

    def _read_frames(self, file: FollowedFile, data: bytes) -> int:
        """Read the complete frames at the start of `data`; their size."""
        at_end = file.offset + len(data) >= file.size
        position = 0
        while position + tfrecord.HEADER.size <= len(data):
            if self._cycle is not None:
                if len(data) - position < self._cycle.size and not at_end:
                    break  # the next chunk starts with a whole cycle
                count = self._cycle.count(data, position)
                position += self._add_cycles(self._cycle, data, position, count)
                if count:
                    continue
                self._end_cycle()
            length = tfrecord.payload_length(data, position)
            if length is None:
                following = tfrecord.next_header(data, position)
                if following is None:
                    return self._skip_damage(data, position, at_end)
                self._notice(NoticeKind.DAMAGED_RECORD)
                position = following
                continue
            end = position + length + tfrecord.OVERHEAD
            if end > len(data):
                break
            position += self._read_frame(file, data, position, end)
        return position

    def _skip_damage(self, data: bytes, position: int, at_end: bool) -> int:
        """Where to look for the next frame after a damaged header that no valid one follows in `data`."""
        if at_end or len(data) - position < MAX_SCAN_BYTES:
            return position
        self._notice(NoticeKind.DAMAGED_RECORD)
        return len(data) - tfrecord.HEADER.size + 1

    def _add_cycles(self, cycle: FrameCycle, data: bytes, position: int, count: int) -> int:
        """Add the points in repetitions of a cycle; their size."""
        if count:
            for tag, steps, values, wall_times in cycle.points(data, position, count):
                self._add_points(tag, steps, values, wall_times)
        return count * cycle.size

    def _end_cycle(self) -> None:
        self._cycle = None
        self._recent.forget()

    def _read_frame(self, file: FollowedFile, data: bytes, position: int, end: int) -> int:
        """Read a frame, or as many as follow in a cycle that it begins; their size."""
        frame = data[position:end]
        payload = frame[tfrecord.HEADER.size : -tfrecord.CHECKSUM.size]
        try:
            if tfrecord.stored_checksum(frame) != tfrecord.masked_crc(payload):
                raise InvalidMessage
            event = decode_event(payload)
            scalars = [scalar for value in event.values if (scalar := self._scalar(payload, value))]
            if layout := frame_layout(frame, event, scalars):
                size = self._begin_cycle(layout, data, position)
                if size:
                    return size
                self._recent.remember(frame, layout)
            else:
                self._recent.forget()
            for tag, number in scalars:
                self._add_point(tag, event.step, number.value, event.wall_time)
            start = file.offset + position + tfrecord.HEADER.size
            for value in event.values:
                if value.number is None:
                    self._add_large_values(payload, event, value, file.path, start)
        except InvalidMessage:
            self._notice(NoticeKind.DAMAGED_RECORD)
        return len(frame)

    def _begin_cycle(self, layout: FrameLayout, data: bytes, position: int) -> int:
        """Read the repetitions of the frames since the last one with this layout; their size, 0 if there are none."""
        cycle = self._recent.cycle_before(layout)
        if cycle is None or len(data) - position < cycle.size:
            return 0
        count = cycle.count(data, position)
        self._recent.note_repeats(count)
        self._cycle = cycle if count else None
        return self._add_cycles(cycle, data, position, count)

    def _scalar(self, payload: bytes, value: SummaryValue) -> tuple[str, Number] | None:
        """The name and number of a scalar in either encoding."""
        number = value.number
        if value.tensor is not None and self._plugin(value) == "scalars":
            number = decode_tensor(payload, value.tensor).number
        return None if number is None else (value.tag, number)

    def _plugin(self, value: SummaryValue) -> str:
        if value.plugin is not None:
            self._plugins[value.tag] = value.plugin
        return self._plugins.get(value.tag, "")

    def _add_large_values(
        self, payload: bytes, event: Event, value: SummaryValue, path: Path, offset: int
    ) -> None:
        """Add what is not a scalar; `offset` is where the payload is in the file."""

        def reference(span: Span, decode: Callable[[bytes], T | None]) -> Reference[T]:
            name = value.tag.removesuffix(TEXT_SUFFIX)
            size = span.end - span.start
            return Reference(name, event.step, event.wall_time, path, offset + span.start, size, decode)

        plugin = self._plugin(value)
        for span in image_spans(payload, value, plugin):
            self._add_reference(self.images, reference(span, bytes))
        if value.histogram is not None:
            self._add_reference(self.histograms, reference(value.histogram, decode_histogram))
        elif value.tensor is not None and plugin == "histograms":
            self._add_reference(self.histograms, reference(value.tensor, decode_histogram_tensor))
        elif value.tensor is not None and plugin == "text":
            self._add_reference(self.texts, reference(value.tensor, decode_text))
        elif value.plugin_content is not None and plugin == "hparams":
            self._add_config(decode_hparams(payload[slice(*value.plugin_content)]))
