"""Whether this host kills a user's processes at logout, and how a run avoids that.

systemd's logind kills them if `KillUserProcesses` is on. A run is then started in a scope of the user's service
manager, if that outlives the last logout (lingering). Without lingering the manager ends too, and a scope does not
help.
"""

from __future__ import annotations

import getpass
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

CONFIG_FOLDERS = ("usr/lib/systemd", "usr/local/lib/systemd", "run/systemd", "etc/systemd")
"""Folders with logind's configuration; later ones take precedence."""
TRUE_VALUES = {"1", "yes", "y", "true", "t", "on"}


@dataclass(frozen=True)
class LogoutPolicy:
    """What happens to a user's processes at logout."""

    kills: bool
    lingers: bool
    """Whether the user's service manager outlives the last logout."""

    @property
    def problem(self) -> str | None:
        """The problem for runs and its fix, in one line; `None` without one."""
        if not self.kills or self.lingers:
            return None
        return "this host kills your processes, including runs, when you log out; prevent it: loginctl enable-linger"


def logout_policy(user: str | None = None, root: Path = Path("/")) -> LogoutPolicy:
    """The policy for the processes of `user` (default: the current user), from configuration files below `root`."""
    name = _user() if user is None else user
    settings = _logind_settings(root)
    only, excluded = (
        settings.get("killonlyusers", "").split(),
        settings.get("killexcludeusers", "root").split(),
    )
    exempt = name in excluded or (bool(only) and name not in only)
    kills = settings.get("killuserprocesses", "no").lower() in TRUE_VALUES and not exempt
    return LogoutPolicy(kills, bool(name) and (root / "var/lib/systemd/linger" / name).exists())


def scope_command(policy: LogoutPolicy) -> list[str]:
    """The prefix of a command that lets it outlive a logout; empty where none is needed or none helps."""
    if not (policy.kills and policy.lingers and shutil.which("systemd-run")):
        return []
    return ["systemd-run", "--user", "--scope", "--quiet", "--collect", "--"]


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.geteuid())


def _logind_settings(root: Path) -> dict[str, str]:
    """The settings of logind by lower-case name: those of its main file, overridden by drop-ins in order of name."""
    files = [root / place / "logind.conf" for place in CONFIG_FOLDERS]
    main = [path for path in files if path.is_file()][-1:]
    drops = {
        path.name: path
        for place in CONFIG_FOLDERS
        for path in (root / place / "logind.conf.d").glob("*.conf")
    }
    settings: dict[str, str] = {}
    for path in [*main, *(drops[name] for name in sorted(drops))]:
        try:
            content = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        assignments = re.findall(r"^[ \t]*(\w+)[ \t]*=[ \t]*(.*?)[ \t]*$", content, re.MULTILINE)
        settings |= {key.lower(): value for key, value in assignments}
    return settings
