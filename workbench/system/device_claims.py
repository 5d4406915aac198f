"""Which runs hold which devices: claims, which count from the start of a run, before its first kernel.

A claim is a record `claims/DEVICE.SLOT.json` in a folder of the user and a lock on byte SLOT of `claims/DEVICE.lock`,
held by the process that watches over the run. The lock ends with that process, however it ends, and the claim with it.
A device can have several claims, each in a slot of its own; who wants it alone picks one without claims. Processes pick
one after the other, so that no two of them take the same idle device.
"""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from workbench.core import paths
from workbench.io.record_codec import Record, read_record, write_record
from workbench.io.record_locks import RecordLock, holder_pid
from workbench.system.processes import ProcessId, is_alive, this_process

MUTEX_SECONDS, POLL_SECONDS = 2.0, 0.005
"""Picking takes milliseconds: a process that holds the mutex for longer is suspended, and nobody waits for it."""


class DeviceClaim(Record, frozen=True, kw_only=True):
    """One run's claim of a device."""

    device: str
    """The UUID of a GPU."""
    slot: int = 0
    run: str = ""
    """The run's id."""
    process: ProcessId = ProcessId()
    """The process that holds it."""
    time: float = 0.0
    """When it was made, Unix seconds."""


Claims = Mapping[str, Sequence[DeviceClaim]]
"""The live claims of each device that has any."""


def claims_folder() -> Path:
    """The folder of all claims."""
    return paths.claims()


def live_claims(folder: Path | None = None) -> dict[str, list[DeviceClaim]]:
    """The claims whose holders live, by device, oldest slot first."""
    live: dict[str, list[DeviceClaim]] = {}
    for path in sorted((folder or claims_folder()).glob("*.json")):
        claim = read_record(path, DeviceClaim)
        if claim is not None and _is_live(claim, path.parent):
            live.setdefault(claim.device, []).append(claim)
    return live


class ClaimHolder:
    """The claims of this process; they end with `release`, or with the process."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or claims_folder()
        self._locks: dict[Path, RecordLock] = {}
        self._thread_mutex = threading.Lock()
        """Record locks exclude other processes, not other threads."""

    def claim(self, run: str, pick: Callable[[Claims], str | None]) -> DeviceClaim | None:
        """Claim the device that `pick` chooses, given all live claims; `None` where it chooses none.

        No other process claims a device meanwhile. Raises `OSError`.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._thread_mutex, self._mutex():
            _remove_stale_records(self._folder)
            claims = live_claims(self._folder)
            device = pick(claims)
            if device is None:
                return None
            taken = {claim.slot for claim in claims.get(device, ())}
            lock = self._lock(_lock_path(self._folder, device))
            slot = next(n for n in range(len(taken) + 1024) if n not in taken and lock.acquire(n))
            claim = DeviceClaim(
                device=device, slot=slot, run=run, process=this_process(), time=round(time.time(), 3)
            )
            write_record(_record_path(self._folder, claim), claim, durable=False)
            return claim

    def release(self, claim: DeviceClaim) -> None:
        """End a claim of this process."""
        with contextlib.suppress(OSError):
            _record_path(self._folder, claim).unlink(missing_ok=True)
        self._lock(_lock_path(self._folder, claim.device)).release(claim.slot)

    def _lock(self, path: Path) -> RecordLock:
        if path not in self._locks:
            self._locks[path] = RecordLock(path)
        return self._locks[path]

    @contextlib.contextmanager
    def _mutex(self) -> Iterator[None]:
        lock, until = self._lock(self._folder / "mutex.lock"), time.monotonic() + MUTEX_SECONDS
        while not (held := lock.acquire(0)) and time.monotonic() < until:
            time.sleep(POLL_SECONDS)
        try:
            yield
        finally:
            if held:
                lock.release(0)


def _remove_stale_records(folder: Path) -> None:
    """Remove the records of holders that were killed. The caller holds the mutex."""
    for path in folder.glob("*.json"):
        claim = read_record(path, DeviceClaim)
        if claim is None or not _is_live(claim, folder):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


def _is_live(claim: DeviceClaim, folder: Path) -> bool:
    try:
        return holder_pid(_lock_path(folder, claim.device), claim.slot) is not None
    except OSError:  # a file system without locks
        return is_alive(claim.process)


def _lock_path(folder: Path, device: str) -> Path:
    return folder / f"{_file_name(device)}.lock"


def _record_path(folder: Path, claim: DeviceClaim) -> Path:
    return folder / f"{_file_name(claim.device)}.{claim.slot}.json"


def _file_name(device: str) -> str:
    return re.sub(r"[^\w@.-]", "_", device)
