"""Runs of event frames that differ only in numbers, read by columns instead of one by one.

A training logs the same metrics in the same order at every step. Then the same cycle of frames is repeated, each as
long as in the cycle before, with other bytes in the same places: wall time, step, values and checksums. Those places
are columns, which slices with a stride extract at once.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, chain
from typing import NamedTuple

from workbench.logs import tfrecord
from workbench.logs.event import Event, Number
from workbench.logs.protobuf import InvalidMessage

MAX_FRAMES = 4096
MIN_REPEATS = 4
MAX_FAILURES = 8

_64_BITS = 0xFFFFFFFFFFFFFFFF


class Column(NamedTuple):
    """Numbers at the same offset of every cycle, or frame."""

    offset: int
    size: int


class ScalarColumn(NamedTuple):
    """Where the value of a metric is; `code` is its type code of `array`."""

    tag: str
    offset: int
    code: str


class FrameLayout(NamedTuple):
    """Where the numbers of a frame of scalars are."""

    size: int
    wall_time: Column
    step: Column
    scalars: tuple[ScalarColumn, ...]

    def columns(self, start: int) -> Iterator[Column]:
        """All places that vary, in a frame at `start`."""
        sizes = [Column(scalar.offset, array(scalar.code).itemsize) for scalar in self.scalars]
        checksum = Column(self.size - tfrecord.CHECKSUM.size, tfrecord.CHECKSUM.size)
        return (
            Column(start + column.offset, column.size)
            for column in (self.wall_time, self.step, checksum, *sizes)
        )


def frame_layout(frame: bytes, event: Event, scalars: Iterable[tuple[str, Number]]) -> FrameLayout | None:
    """The layout of a frame with these scalars.

    `None` if it holds anything else, or has no wall time or no step (0 is not written).
    """
    start = tfrecord.HEADER.size
    columns = tuple(
        ScalarColumn(tag, start + number.offset, number.code) for tag, number in scalars if number.code
    )
    if len(columns) != len(event.values) or event.wall_time_offset < 0 or event.step_span is None:
        return None
    step = Column(start + event.step_span.start, event.step_span.end - event.step_span.start)
    return FrameLayout(len(frame), Column(start + event.wall_time_offset, 8), step, columns)


class Points(NamedTuple):
    """Points of one metric."""

    tag: str
    steps: array[int]
    values: array[float]
    wall_times: array[float]


class FrameCycle:
    """Frames that follow each other again and again."""

    def __init__(self, frames: bytes, layouts: Sequence[FrameLayout]) -> None:
        self.size = len(frames)
        self._layouts = layouts
        self._starts = [0, *accumulate(layout.size for layout in layouts)][:-1]
        starts_and_layouts = zip(self._starts, layouts, strict=True)
        self._columns = [column for start, layout in starts_and_layouts for column in layout.columns(start)]
        self._constant = _without_columns(frames, self._columns, self.size)
        header, checksum = tfrecord.HEADER.size, tfrecord.CHECKSUM.size
        payloads = [layout.size - tfrecord.OVERHEAD for layout in layouts]
        self._payloads = struct.Struct("".join(f"{header}x{size}s{checksum}x" for size in payloads))
        self._checksums = struct.Struct("<" + "".join(f"{header + size}xI" for size in payloads))

    def count(self, data: bytes, position: int) -> int:
        """How often the cycle is repeated at `position`, with correct checksums; tries a few cycles before many."""
        available = (len(data) - position) // self.size
        tried = count = 0
        while count == tried < available:
            tried = min(available, max(MIN_REPEATS, tried * 8))
            count = self._matching(data, position, count, tried)
        return count

    def _matching(self, data: bytes, position: int, known: int, count: int) -> int:
        """The number of matching cycles up to `count`, where the first `known` match."""
        start, end = position + known * self.size, position + count * self.size
        region = _without_columns(data[start:end], self._columns, self.size)
        if region != self._constant * (count - known):
            cycles = range(count - known)
            count = known + next(i for i in cycles if not region.startswith(self._constant, i * self.size))
            end = position + count * self.size
        return known + self._with_valid_checksums(data[start:end])

    def _with_valid_checksums(self, region: bytes) -> int:
        """The number of cycles before the first wrong checksum."""
        stored = array("Q", chain.from_iterable(self._checksums.iter_unpack(region)))
        computed = tfrecord.masked_crcs(chain.from_iterable(self._payloads.iter_unpack(region)))
        if stored == computed:
            return len(region) // self.size
        first = next(i for i, pair in enumerate(zip(stored, computed, strict=True)) if pair[0] != pair[1])
        return first // len(self._layouts)

    def points(self, data: bytes, position: int, count: int) -> Iterator[Points]:
        """The points in `count` cycles at `position`. Raises `InvalidMessage`."""
        region = data[position : position + count * self.size]
        encoded, steps = b"", array("q")
        for start, layout in zip(self._starts, self._layouts, strict=True):
            wall_times = array("d", self._extract(region, start, layout.wall_time))
            varints = self._extract(region, start, layout.step)
            if varints != encoded:
                encoded, steps = varints, _decode_steps(varints, layout.step.size)
            for scalar in layout.scalars:
                column = Column(scalar.offset, array(scalar.code).itemsize)
                values = array("d", array(scalar.code, self._extract(region, start, column)))
                yield Points(scalar.tag, steps, values, wall_times)

    def _extract(self, region: bytes, start: int, column: Column) -> bytes:
        """The bytes of a column."""
        extracted = bytearray(len(region) // self.size * column.size)
        for i in range(column.size):
            extracted[i :: column.size] = region[start + column.offset + i :: self.size]
        return bytes(extracted)


class RecentFrames:
    """The last frames, among which a cycle begins where one of them is seen again."""

    def __init__(self) -> None:
        self._frames: list[bytes] = []
        self._layouts: list[FrameLayout] = []
        self._positions: dict[FrameLayout, int] = {}
        self._failures = 0
        self._pause = 0

    def cycle_before(self, layout: FrameLayout) -> FrameCycle | None:
        """The frames since the last one with this layout. Asks are answered seldom after failed ones."""
        first = self._positions.get(layout)
        if first is None:
            return None
        if self._pause:
            self._pause -= 1
            return None
        return FrameCycle(b"".join(self._frames[first:]), self._layouts[first:])

    def note_repeats(self, count: int) -> None:
        """Record how often the last cycle found was repeated."""
        self._failures = 0 if count >= MIN_REPEATS else min(self._failures + 1, MAX_FAILURES)
        self._pause = (1 << self._failures) - 1
        if count:
            self.forget()

    def remember(self, frame: bytes, layout: FrameLayout) -> None:
        """Add the frame that follows."""
        if len(self._frames) >= MAX_FRAMES:
            self.forget()
        self._positions[layout] = len(self._frames)
        self._frames.append(frame)
        self._layouts.append(layout)

    def forget(self) -> None:
        """Start again, as the frames that follow do not follow those before."""
        self._frames.clear()
        self._layouts.clear()
        self._positions.clear()


def _without_columns(region: bytes, columns: Sequence[Column], stride: int) -> bytes:
    """`region` with zeros in the columns."""
    constant = bytearray(region)
    zeros = bytes(len(region) // stride)
    for offset, size in columns:
        for i in range(offset, offset + size):
            constant[i::stride] = zeros
    return bytes(constant)


def _decode_steps(varints: bytes, size: int) -> array[int]:
    """Varints of `size` bytes each. Raises `InvalidMessage`."""
    if any(
        max(varints[i::size]) >= 0x80 if i == size - 1 else min(varints[i::size]) < 0x80 for i in range(size)
    ):
        raise InvalidMessage
    steps = [0] * (len(varints) // size)
    for i in range(size):
        steps = [step | (byte & 0x7F) << 7 * i for step, byte in zip(steps, varints[i::size], strict=True)]
    return array("q", array("Q", [step & _64_BITS for step in steps]).tobytes())
