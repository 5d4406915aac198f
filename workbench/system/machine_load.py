"""How busy the machine is: its processors, disks and network, from the counters in /proc."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

_SECTOR_BYTES = 512
"""The unit of /proc/diskstats, whatever the sectors of the disk are."""
_VIRTUAL_DISKS = ("loop", "ram", "zram", "dm-", "md", "sr")
"""Devices on top of others, whose bytes would count twice, and those without a disk."""


@dataclass(frozen=True)
class LoadCounters:
    """What has happened since the machine was started; `None` where it is unknown."""

    time: float
    """Seconds, monotonic."""
    busy: float | None
    idle: float | None
    """Processor time in ticks, of all cores together."""
    disk_read: float | None
    disk_written: float | None
    received: float | None
    sent: float | None
    """Bytes."""


def read_load(proc: Path = Path("/proc"), block_devices: Path = Path("/sys/block")) -> LoadCounters:
    """The counters now."""
    busy, idle = _processor_ticks(proc)
    disk_read, disk_written = _disk_bytes(proc, block_devices)
    received, sent = _network_bytes(proc)
    return LoadCounters(time.monotonic(), busy, idle, disk_read, disk_written, received, sent)


def rate(before: float | None, now: float | None, seconds: float) -> float | None:
    """The increase of a counter per second; `None` where it is unknown, or was reset."""
    if before is None or now is None or now < before or seconds <= 0:
        return None
    return (now - before) / seconds


def busy_share(before: LoadCounters, now: LoadCounters) -> float | None:
    """The busy share of all cores between two readings, from 0 to 1."""
    busy, idle = rate(before.busy, now.busy, 1.0), rate(before.idle, now.idle, 1.0)
    return busy / (busy + idle) if busy is not None and idle is not None and busy + idle > 0 else None


def _processor_ticks(proc: Path) -> tuple[float | None, float | None]:
    """Busy and idle ticks; waiting for a disk is idle."""
    fields = next((line.split()[1:] for line in _lines(proc / "stat") if line.startswith("cpu ")), [])
    if len(fields) < 8:
        return None, None
    user, nice, system, idle, waiting, irq, soft_irq, stolen = map(float, fields[:8])
    return user + nice + system + irq + soft_irq + stolen, idle + waiting


def _disk_bytes(proc: Path, block_devices: Path) -> tuple[float | None, float | None]:
    """Bytes read and written of whole disks: partitions are part of them."""
    read = written = None
    for fields in map(str.split, _lines(proc / "diskstats")):
        whole = len(fields) > 9 and (block_devices / fields[2]).exists()
        if whole and not fields[2].startswith(_VIRTUAL_DISKS):
            read = (read or 0.0) + _SECTOR_BYTES * float(fields[5])
            written = (written or 0.0) + _SECTOR_BYTES * float(fields[9])
    return read, written


def _network_bytes(proc: Path) -> tuple[float | None, float | None]:
    """Bytes received and sent, without those that the machine sends to itself."""
    received = sent = None
    for line in _lines(proc / "net" / "dev"):
        name, colon, counts = line.partition(":")
        fields = counts.split()
        if colon and name.strip() != "lo" and len(fields) > 8:
            received = (received or 0.0) + float(fields[0])
            sent = (sent or 0.0) + float(fields[8])
    return received, sent


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
