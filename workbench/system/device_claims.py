"""Which runs hold which devices: claims, which count from the start of a run, before its first kernel.

A claim is a record `claims/DEVICE.SLOT.json` in a folder of the user and a lock on byte SLOT of `claims/DEVICE.lock`,
held by the process that watches over the run. The lock ends with that process, however it ends, and the claim with it;
where that process was killed and its worker is still ending, the claim lasts until the worker has ended too. A device
can have several claims, each in a slot of its own; who wants it alone picks one without claims. Processes pick one
after the other, so that no two of them take the same idle device.

The CPU of a host is a device too, with as many slots for queued runs as the user says.

The folder may be that of a group of users (`WORKBENCH_SHARED`): then its files are writable for the group, and what is
in them is not trusted: links are not followed, and what a record names is only asked for locks.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from workbench.core import paths
from workbench.core.paths import is_file
from workbench.io.atomic_files import temp_file
from workbench.io.record_codec import Record, encode, read_record
from workbench.io.record_locks import FileMutex, RecordLock, holder_pid
from workbench.system.host import host_name
from workbench.system.processes import ProcessId, is_alive, this_process

CPU_PREFIX = "cpu@"


class DeviceClaim(Record, frozen=True, kw_only=True):
    """One run's claim of a device."""

    device: str
    """The UUID of a GPU, or the name of a host's CPU, see `cpu_device`."""
    slot: int = 0
    run: str = ""
    """The run's id."""
    memory: int = 0
    """The bytes of its memory that the run needs; 0: unknown."""
    shared: bool = False
    """Whether other runs may be given the device too."""
    worker_lock: str = ""
    """The file whose byte `worker_byte` the worker of the run locks: while it does, the claim lasts. May be empty."""
    worker_byte: int = 0
    process: ProcessId = ProcessId()
    """The process that holds it."""
    time: float = 0.0
    """When it was made, Unix seconds."""


Claims = Mapping[str, Sequence[DeviceClaim]]
"""The live claims of each device that has any."""


def cpu_device(home: Path) -> str:
    """The name of this host's CPU as a device, for the runs of one `WORKBENCH_HOME`: each has slots of its own."""
    digest = hashlib.sha256(os.fsencode(home.resolve())).hexdigest()[:8]
    return f"{CPU_PREFIX}{host_name()}@{digest}"


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

    def claim(
        self, run: str, pick: Callable[[Claims], str | None], kept: DeviceClaim | None = None
    ) -> DeviceClaim | None:
        """Claim the device that `pick` chooses, given all live claims; `None`: it chooses none. See `claim_all`."""

        def pick_all(claims: Claims) -> Sequence[str]:
            device = pick(claims)
            return () if device is None else (device,)

        return next(iter(self.claim_all(run, pick_all, kept)), None)

    def claim_all(
        self, run: str, pick: Callable[[Claims], Sequence[str]], kept: DeviceClaim | None = None
    ) -> list[DeviceClaim]:
        """Claim all devices that `pick` chooses, given all live claims.

        No other process claims a device meanwhile. `kept`: a claim with what else is to be recorded. Raises `OSError`.
        """
        _create(self._folder)
        with FileMutex.of(self._folder / "mutex.lock", _mode(self._folder)).hold():
            _remove_stale_records(self._folder)
            claims = live_claims(self._folder)
            return [self._claim(device, run, claims, kept) for device in pick(claims)]

    def _claim(self, device: str, run: str, claims: Claims, kept: DeviceClaim | None) -> DeviceClaim:
        taken = {claim.slot for claim in claims.get(device, ())}
        lock = self._lock(_lock_path(self._folder, device))
        slot = next(n for n in range(len(taken) + 1024) if n not in taken and lock.acquire(n))
        claim = msgspec.structs.replace(
            kept or DeviceClaim(device=device),
            device=device, slot=slot, run=run, process=this_process(), time=round(time.time(), 3),
        )  # fmt: skip
        _write(_record_path(self._folder, claim), claim)
        return claim

    def release(self, claim: DeviceClaim) -> None:
        """End a claim of this process."""
        with contextlib.suppress(OSError):
            _record_path(self._folder, claim).unlink(missing_ok=True)
        self._lock(_lock_path(self._folder, claim.device)).release(claim.slot)

    def _lock(self, path: Path) -> RecordLock:
        if path not in self._locks:
            self._locks[path] = RecordLock(path, _mode(self._folder))
        return self._locks[path]


def _mode(folder: Path) -> int:
    """The mode of the files in a folder of claims: the group may write them where it may write the folder."""
    return 0o660 if folder.stat().st_mode & 0o020 else 0o600


def _create(folder: Path) -> None:
    """Create the folder of claims; in that of a group it is the group's, too."""
    if folder.is_dir():
        return
    folder.mkdir(parents=True, exist_ok=True)
    if paths.shared_folder() == folder.parent:
        folder.chmod(0o2770)


def _write(path: Path, claim: DeviceClaim) -> None:
    with temp_file(path.parent, path.name) as temporary:
        os.fchmod(temporary.file.fileno(), _mode(path.parent))
        temporary.file.write(encode(claim) + b"\n")
        temporary.commit(path, durable=False)


def _remove_stale_records(folder: Path) -> None:
    """Remove the records of holders that were killed. The caller holds the mutex."""
    for path in folder.glob("*.json"):
        claim = read_record(path, DeviceClaim)
        if os.access(path, os.R_OK) and (claim is None or not _is_live(claim, folder)):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


def _is_live(claim: DeviceClaim, folder: Path) -> bool:
    try:
        held = holder_pid(_lock_path(folder, claim.device), claim.slot) is not None
    except OSError:  # a file system without locks
        return is_alive(claim.process)
    return held or _has_worker(claim)


def _has_worker(claim: DeviceClaim) -> bool:
    """Whether the holder of a claim was killed, and the worker of its run has not ended yet."""
    with contextlib.suppress(OSError):  # another user's
        return (
            is_file(Path(claim.worker_lock))
            and holder_pid(Path(claim.worker_lock), claim.worker_byte) is not None
        )
    return False


def _lock_path(folder: Path, device: str) -> Path:
    return folder / f"{_file_name(device)}.lock"


def _record_path(folder: Path, claim: DeviceClaim) -> Path:
    return folder / f"{_file_name(claim.device)}.{claim.slot}.json"


def _file_name(device: str) -> str:
    return re.sub(r"[^\w@.-]", "_", device)
