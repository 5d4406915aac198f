"""The logout policy, read from configuration files of systemd's logind."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from workbench.config.experiment import build_experiment
from workbench.launcher import launch
from workbench.system import logout
from workbench.system.logout import LogoutPolicy, logout_policy, scope_command


def write(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def test_a_host_without_systemd_kills_nothing(tmp_path: Path) -> None:
    assert logout_policy("ann", tmp_path) == LogoutPolicy(kills=False, lingers=False)


@pytest.mark.parametrize(
    ("main", "drop", "kills"),
    [
        ("[Login]\n#KillUserProcesses=yes\n", "", False),
        ("[Login]\nKillUserProcesses=yes\n", "", True),
        ("[Login]\nKillUserProcesses=yes\n", "[Login]\nKillUserProcesses=no\n", False),
        ("[Login]\n", "[Login]\nKillUserProcesses = true \n", True),
        ("[Login]\nKillUserProcesses=yes\nKillExcludeUsers=root ann\n", "", False),
        ("[Login]\nKillUserProcesses=yes\nKillOnlyUsers=bob\n", "", False),
        ("[Login]\nKillUserProcesses=yes\nKillOnlyUsers=bob ann\n", "", True),
    ],
)
def test_whose_processes_are_killed(tmp_path: Path, main: str, drop: str, kills: bool) -> None:
    write(tmp_path, "etc/systemd/logind.conf", main)
    if drop:
        write(tmp_path, "usr/lib/systemd/logind.conf.d/50-kill.conf", drop)
    assert logout_policy("ann", tmp_path).kills == kills
    assert not logout_policy("root", tmp_path).kills or "KillExclude" in main


def test_a_drop_in_in_etc_overrides_that_in_usr_lib(tmp_path: Path) -> None:
    write(tmp_path, "usr/lib/systemd/logind.conf.d/50-kill.conf", "[Login]\nKillUserProcesses=yes\n")
    assert logout_policy("ann", tmp_path).kills
    write(tmp_path, "etc/systemd/logind.conf.d/50-kill.conf", "[Login]\n")
    assert not logout_policy("ann", tmp_path).kills


def test_a_scope_is_used_only_where_the_users_manager_lingers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "etc/systemd/logind.conf", "[Login]\nKillUserProcesses=yes\n")
    write(tmp_path, "bin/systemd-run", "#!/bin/sh\n")
    (tmp_path / "bin/systemd-run").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    policy = logout_policy("ann", tmp_path)
    assert policy.problem and "loginctl enable-linger" in policy.problem
    assert scope_command(policy) == []
    write(tmp_path, "var/lib/systemd/linger/ann", "")
    policy = logout_policy("ann", tmp_path)
    assert policy.problem is None
    assert scope_command(policy)[:3] == ["systemd-run", "--user", "--scope"]
    monkeypatch.setenv("PATH", str(tmp_path))
    assert scope_command(policy) == []


@pytest.mark.parametrize("ends", ['while [ "$1" != -- ]; do shift; done; shift; exec "$@"', "exit 1"])
def test_a_run_starts_in_a_scope_and_without_one_where_that_fails(
    ends: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in for `systemd-run` that runs the command in its own process, as scopes do, or can't."""
    write(tmp_path, "bin/systemd-run", f"#!/bin/sh\necho called >> {tmp_path}/called\n{ends}\n")
    (tmp_path / "bin/systemd-run").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    monkeypatch.setattr(logout, "logout_policy", lambda: LogoutPolicy(kills=True, lingers=True))
    folder = launch.start_run(build_experiment("digits-mlp"), "test")
    started = [p for p in psutil.process_iter(["cmdline"]) if str(folder.path) in (p.info["cmdline"] or ())]
    assert started
    for process in started:
        process.kill()
    assert (tmp_path / "called").read_text() == "called\n"
