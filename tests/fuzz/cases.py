"""Reads damaged files within limits of time and memory, and makes those that cause a fault smaller."""

from __future__ import annotations

import random
import re
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.fuzz.mutations import mutate

if TYPE_CHECKING:
    from tests.fuzz.readers import Reader

CPU_SECONDS, BLOCKED_SECONDS = 5, 60
"""A reader is too slow after 5 seconds of work, or a minute of waiting on a busy machine."""
MEMORY_BYTES = 2 << 30
"""An image of 100 megapixels with 16 bits each, the largest that is accepted, takes 1.6 GB while it is converted."""
SHRINK_SECONDS = 20


class TooSlow(BaseException):
    """The time is over. No reader may catch it."""


@dataclass
class Tally:
    """The results of one reader."""

    cases: int = 0
    accepted: int = 0
    refused: int = 0
    faults: dict[str, str] = field(default_factory=dict)
    """Errors by the saved files; one file for each place in the code."""


def outcome(reader: Reader, data: bytes) -> bool | str:
    """Whether the damaged file was accepted; or the fault, with its place in the code."""
    reader.path.write_bytes(data)
    Path("/proc/self/clear_refs").write_text("5")  # the peak is what is in use now
    before = _peak_memory()
    try:
        with _limited_time():
            accepted = bool(reader.read())
    except reader.refusals as error:
        accepted = False
        if "\n" in str(error):
            return f"{type(error).__name__} of several lines: {str(error)[:200]!r}"
    except (Exception, TooSlow) as error:
        return _describe(error)
    used = _peak_memory() - before
    return f"{used:,} bytes of memory" if used > MEMORY_BYTES else accepted


@contextmanager
def _limited_time() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TooSlow

    timers = (
        (signal.ITIMER_PROF, signal.SIGPROF, CPU_SECONDS),
        (signal.ITIMER_REAL, signal.SIGALRM, BLOCKED_SECONDS),
    )
    for timer, number, seconds in timers:
        signal.signal(number, stop)
        signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        for timer, _, _ in timers:
            signal.setitimer(timer, 0)


def _peak_memory() -> int:
    match = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(match[1]) * 1024 if match else 0


def _describe(error: BaseException) -> str:
    """The error in one line, with the innermost line of the product that it passed."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__)
              if "/workbench/" in frame.filename or frame.filename.endswith("readers.py")]  # fmt: skip
    place = f" in {Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place}: {' '.join(str(error).split())[:200]}"


def fuzz(reader: Reader, seed: int, until: Callable[[int], bool], save: Callable[[bytes], Path]) -> Tally:
    """Read damaged files until `until(cases)`; the first file of each fault is made smaller and saved."""
    dice, tally, known = random.Random(seed), Tally(), set[str]()
    assert outcome(reader, reader.seeds[0]) is True, f"{reader.path.name} is refused undamaged"
    while not until(tally.cases):
        data = mutate(dice, reader.seeds)
        tally.cases += 1
        match outcome(reader, data):
            case True:
                tally.accepted += 1
            case False:
                tally.refused += 1
            case str(fault) if fault.partition(":")[0] not in known:
                known.add(fault.partition(":")[0])
                tally.faults[str(save(shrink(reader, data, fault)))] = fault
    reader.path.write_bytes(reader.seeds[0])
    return tally


def shrink(reader: Reader, data: bytes, fault: str) -> bytes:
    """A part of `data` that causes the same fault."""
    end, size = time.monotonic() + SHRINK_SECONDS, max(1, len(data) // 2)
    while size and time.monotonic() < end:
        at = 0
        while at < len(data) and time.monotonic() < end:
            smaller = data[:at] + data[at + size :]
            found = outcome(reader, smaller)
            if isinstance(found, str) and found.partition(":")[0] == fault.partition(":")[0]:
                data = smaller
            else:
                at += size
        size //= 2
    return data
