"""`workbench doctor`: this machine, this terminal, and what stands in the way of training."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from workbench import paths, text
from workbench.commands import DONE, FAILED
from workbench.console import print_devices, print_json
from workbench.io.caches import size_of
from workbench.runs import machine
from workbench.runs.logout import Logout, at_logout
from workbench.tables import print_table
from workbench.text import safe


def doctor(options: argparse.Namespace) -> int:
    """`workbench doctor`: exits with 1 where something would keep training from working."""
    found = at_logout()
    document = {
        **machine.describe(),
        "driver_cuda": machine.driver_cuda(),
        "torch_cuda": machine.cuda_of_torch(),
        "terminal": terminal([sys.stdout, sys.stderr, sys.stdin], os.environ),
        "taken": {"trash": size_of(paths.trash()), "caches": size_of(paths.caches())},
        "logout": {"kills": found.kills, "lingers": found.lingers},
    }
    problems = machine.problems()
    if options.json:
        print_json({**document, "problems": problems})
    else:
        _tell(document, found, problems)
    return FAILED if problems else DONE


def terminal(streams: Sequence[TextIO], environment: Mapping[str, str]) -> dict[str, Any] | None:
    """`columns`, `rows`, `type` and `colours` of the terminal; `None` where there is none.

    What the screen draws with: 16 million colours where `COLORTERM` says so, 256 or 16 by the name of the
    terminal, none with `NO_COLOR`.
    """
    for stream in streams:
        try:
            size = os.get_terminal_size(stream.fileno())
        except (OSError, ValueError):
            continue
        kind = environment.get("TERM", "")
        return {
            "columns": size.columns,
            "rows": size.lines,
            "type": kind,
            "colours": _colours(kind, environment),
        }
    return None


def _colours(kind: str, environment: Mapping[str, str]) -> int:
    if environment.get("NO_COLOR") or kind in {"", "dumb", "unknown"}:
        return 0
    if environment.get("COLORTERM", "").lower() in {"truecolor", "24bit"} or kind.endswith(
        ("-direct", "kitty")
    ):
        return 1 << 24
    return 256 if "256" in kind else 16


def _tell(document: dict[str, Any], logout: Logout, problems: Sequence[str]) -> None:
    """What was found, and then every problem with its mend."""
    host, training = document["host"], document["training"]
    print(
        f"{safe(host['name'])}: {safe(host['system'])}, {host['cores']} cores, {text.size(host['memory_total'])}"
    )
    print(_terminal_line(document["terminal"]))
    rows = [(name, version or "missing") for name, version in document["versions"].items()]
    print_table(("package", "version"), rows)
    print()
    print_devices(document["devices"])
    print(f"training takes {safe(training['device'])}: {safe(training['why'])}; TPUs are not supported")
    print(_cuda_line(document["driver_cuda"], document["torch_cuda"]))
    print()
    print_table(
        ("kept", "free", "where"), [(r["kept"], text.size(r["free"]), r["path"]) for r in document["disk"]]
    )
    taken = document["taken"]
    print(
        f"trash {text.size(taken['trash'])}, caches {text.size(taken['caches'])} (workbench trash --empty --caches)"
    )
    if logout.kills and logout.lingers:
        print("runs outlive a logout here: they go into a scope of your own systemd, which lingers")
    print()
    for problem in problems:
        print(f"✗ {safe(problem)}")
    if not problems:
        print("✓ nothing stands in the way of training")


def _terminal_line(found: dict[str, Any] | None) -> str:
    if found is None:
        return "terminal: this is not a terminal; the screen needs one"
    colours = {0: "no colours", 1 << 24: "16 million colours"}.get(
        found["colours"], f"{found['colours']} colours"
    )
    little = "" if found["columns"] >= 80 and found["rows"] >= 24 else "; the screen wants 80×24"
    return (
        f"terminal: {found['columns']}×{found['rows']}, {colours}, {safe(found['type']) or 'no TERM'}{little}"
    )


def _cuda_line(driver: str | None, torch: str | None) -> str:
    """What this driver can run, and what torch was built with."""
    built = f"torch is built for CUDA {torch}" if torch else "torch has no CUDA"
    if driver is None:
        return f"no NVIDIA driver; {built}"
    newest = f"cu{driver.replace('.', '')}"
    return f"NVIDIA's driver knows CUDA {driver}: {newest} or the one before it is the newest build it runs; {built}"
