"""Whether this host ends a user's processes at logout, and how a run gets around it.

systemd's logind does where `KillUserProcesses` is on. Then a run goes into a scope of the user's own manager, if that
outlives the last logout (lingering); without lingering the manager ends too, which is worse than a session of
the run's own.
"""

from __future__ import annotations

import getpass
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

PLACES = ("usr/lib/systemd", "usr/local/lib/systemd", "run/systemd", "etc/systemd")
"""Where logind is configured, the last one wins."""
YES = {"1", "yes", "y", "true", "t", "on"}


@dataclass(frozen=True)
class Logout:
    """What this host does with a user's processes at logout."""

    kills: bool
    lingers: bool
    """Whether the user's own manager goes on after the last logout."""

    @property
    def problem(self) -> str | None:
        """What to say to the user, and what to do about it; `None`: nothing."""
        if not self.kills or self.lingers:
            return None
        return "this host ends your processes when you log out, runs too: loginctl enable-linger (once) keeps them"


def at_logout(user: str | None = None, root: Path = Path("/")) -> Logout:
    """What happens to the processes of `user` (default: ours) on the host whose files are below `root`."""
    name = _user() if user is None else user
    settings = _logind_settings(root)
    only, never = settings.get("killonlyusers", "").split(), settings.get("killexcludeusers", "root").split()
    spared = name in never or (bool(only) and name not in only)
    kills = settings.get("killuserprocesses", "no").lower() in YES and not spared
    return Logout(kills, bool(name) and (root / "var/lib/systemd/linger" / name).exists())


def scope(found: Logout) -> list[str]:
    """What to put before a command so that it outlives a logout; empty where it does anyway, or can't."""
    if not (found.kills and found.lingers and shutil.which("systemd-run")):
        return []
    return ["systemd-run", "--user", "--scope", "--quiet", "--collect", "--"]


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.geteuid())


def _logind_settings(root: Path) -> dict[str, str]:
    """The settings of logind, names in lower case: its file, then its drop-ins by name."""
    files = [root / place / "logind.conf" for place in PLACES]
    main = [path for path in files if path.is_file()][-1:]
    drops = {path.name: path for place in PLACES for path in (root / place / "logind.conf.d").glob("*.conf")}
    settings: dict[str, str] = {}
    for path in [*main, *(drops[name] for name in sorted(drops))]:
        try:
            content = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        found = re.findall(r"^[ \t]*(\w+)[ \t]*=[ \t]*(.*?)[ \t]*$", content, re.MULTILINE)
        settings |= {key.lower(): value for key, value in found}
    return settings
