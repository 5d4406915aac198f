"""Claims of devices: several processes, crashes, and slots."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.run_folders import folder, holding
from workbench.core import paths
from workbench.core.errors import UserError
from workbench.launcher.launch import check_device
from workbench.runs.locks import WRITER
from workbench.runs.run_folder import RunFolder
from workbench.system.device_claims import ClaimHolder, Claims, DeviceClaim, claims_folder, live_claims

__all__ = ["folder"]

HOLD = """
import sys
from workbench.system.device_claims import ClaimHolder
def pick(claims):
    return min(sys.argv[2:], key=lambda name: len(claims.get(name, ())))
claim = ClaimHolder().claim(sys.argv[1], pick)
print(claim.device, claim.slot, flush=True)
input()
"""


def hold(run: str, *devices: str) -> subprocess.Popen[str]:
    """A process that claims the device with the fewest claims, and holds it until it ends."""
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, run, *devices], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def held(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def end(*processes: subprocess.Popen[str]) -> None:
    for process in processes:
        process.kill()
        process.communicate()


def test_processes_that_claim_at_once_spread_over_the_devices(home: Path) -> None:
    devices = ("GPU-a", "GPU-b", "GPU-c", "GPU-d")
    processes = [hold(f"run{number}", *devices) for number in range(8)]
    taken = [held(process) for process in processes]
    try:
        assert Counter(line.split()[0] for line in taken) == dict.fromkeys(devices, 2)
        assert len(set(taken)) == 8
        live = live_claims()
        slots = {name: [claim.slot for claim in claims] for name, claims in live.items()}
        assert slots == {name: [0, 1] for name in devices}
        assert {claim.run for claims in live.values() for claim in claims} == {f"run{n}" for n in range(8)}
        victim = live["GPU-c"][0]
        (killed,) = [process for process in processes if process.pid == victim.process.pid]
        end(killed)
        assert [claim.slot for claim in live_claims()["GPU-c"]] == [1]
        late = hold("late", *devices)
        processes.append(late)
        assert held(late) == "GPU-c 0"
    finally:
        end(*processes)
    assert live_claims() == {}


def test_a_claim_ends_with_its_release_and_leaves_the_others(home: Path) -> None:
    def always(claims: Claims) -> str:
        return "cpu@host/1"

    holder, other = ClaimHolder(), hold("other", "cpu@host/1")
    assert held(other) == "cpu@host/1 0"
    mine = holder.claim("mine", always)
    again = holder.claim("again", always)
    assert mine and again and (mine.slot, again.slot) == (1, 2)
    holder.release(mine)
    assert [claim.run for claim in live_claims()["cpu@host/1"]] == ["other", "again"]
    assert holder.claim("none", lambda claims: None) is None
    end(other)
    holder.release(again)
    assert live_claims() == {}
    assert holder.claim("last", always) is not None
    assert len(list(claims_folder().glob("*.json"))) == 1  # what a crash left behind is removed


def test_claims_are_seen_by_all_homes_of_a_user(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = hold("run", "GPU-a")
    try:
        assert held(process) == "GPU-a 0"
        monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "another"))
        assert [claim.run for claim in live_claims()["GPU-a"]] == ["run"]
        other = hold("other", "GPU-a", "GPU-b")
        try:
            assert held(other) == "GPU-b 0"
        finally:
            end(other)
    finally:
        end(process)


def test_claims_are_in_the_home_where_the_user_has_no_data_folder(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "file"))
    assert claims_folder() == home / "claims"


def test_a_claim_lasts_until_the_worker_of_a_killed_holder_has_ended(folder: RunFolder) -> None:
    kept = DeviceClaim(device="", worker_lock=str(folder.lock), worker_byte=WRITER)
    with holding(folder, WRITER) as worker:
        holder = subprocess.Popen(
            [sys.executable, "-c", HOLD.replace("pick)", f"pick, {kept!r})").replace(
                "ClaimHolder\n", "ClaimHolder, DeviceClaim\nfrom workbench.system.processes import ProcessId\n"
            ), "run", "GPU-a"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert held(holder) == "GPU-a 0"
        end(holder)
        assert [claim.run for claim in live_claims()["GPU-a"]] == ["run"]
        other = ClaimHolder().claim("other", lambda _: "GPU-a")
        assert other is not None and other.slot == 1
        worker.kill()
        worker.wait()
        assert [claim.run for claim in live_claims()["GPU-a"]] == ["other"]


def test_the_claims_of_a_group_are_seen_and_written_by_all_of_it(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared, secret = tmp_path / "shared", tmp_path / "secret"
    monkeypatch.setenv(paths.SHARED_VARIABLE, str(shared))
    assert claims_folder() == tmp_path / "user-data" / "workbench" / "claims"
    with pytest.raises(
        UserError, match=r"WORKBENCH_SHARED=.*shared: it is not a folder, .*install -d -m 2770"
    ):
        check_device("cpu")
    shared.mkdir()
    previous = os.umask(0o077)
    try:
        process = hold("theirs", "GPU-a")
        assert held(process) == "GPU-a 0"
    finally:
        os.umask(previous)
    try:
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "another-user"))
        assert [claim.run for claim in live_claims()["GPU-a"]] == ["theirs"]
        assert stat.S_IMODE(claims_folder().stat().st_mode) == 0o2770
        modes = {path.suffix: stat.S_IMODE(path.stat().st_mode) for path in claims_folder().iterdir()}
        assert modes == {".json": 0o660, ".lock": 0o660}
    finally:
        end(process)
    secret.write_text("secret")
    secret.chmod(0o600)
    (claims_folder() / "GPU-b.lock").symlink_to(secret)
    with pytest.raises(OSError, match="symbolic link"):
        ClaimHolder().claim("mine", lambda _: "GPU-b")
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
