"""`workbench doctor`: this machine, this terminal, and problems that affect training."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TextIO

import msgspec

from workbench.cli.console import print_devices, print_json
from workbench.cli.tables import print_table
from workbench.core import paths, text
from workbench.core.exit_codes import DONE, FAILED
from workbench.core.text import safe
from workbench.io.file_cache import size_of
from workbench.system import machine_info
from workbench.system.logout import at_logout
from workbench.system.machine_info import MachineInfo


class Terminal(msgspec.Struct, frozen=True):
    """The terminal of a process."""

    columns: int
    rows: int
    type: str
    """`TERM`."""
    colours: int


class ClearableBytes(msgspec.Struct, frozen=True):
    """Bytes that `workbench trash --empty --caches` would free."""

    trash: int
    caches: int


class LogoutBehavior(msgspec.Struct, frozen=True):
    """What happens to a user's processes at logout."""

    kills: bool
    lingers: bool
    """Whether the user's own systemd manager keeps running."""


class DoctorReport(MachineInfo, frozen=True, kw_only=True):
    """The document that `workbench doctor --json` prints."""

    driver_cuda: str | None
    """The newest CUDA version of the NVIDIA driver."""
    torch_cuda: str | None
    """The CUDA version that torch is built for."""
    terminal: Terminal | None
    taken: ClearableBytes
    logout: LogoutBehavior
    problems: tuple[str, ...]
    """Each with its fix."""


def doctor(options: argparse.Namespace) -> int:
    """`workbench doctor`: exits with 1 where something would keep training from working."""
    report = _examine()
    if options.json:
        print_json(report)
    else:
        _tell(report)
    return FAILED if report.problems else DONE


def _examine() -> DoctorReport:
    logout = at_logout()
    return DoctorReport(
        **msgspec.structs.asdict(machine_info.describe()),
        driver_cuda=machine_info.driver_cuda(),
        torch_cuda=machine_info.cuda_of_torch(),
        terminal=terminal([sys.stdout, sys.stderr, sys.stdin], os.environ),
        taken=ClearableBytes(size_of(paths.trash()), size_of(paths.caches())),
        logout=LogoutBehavior(logout.kills, logout.lingers),
        problems=tuple(machine_info.problems()),
    )


def terminal(streams: Sequence[TextIO], environment: Mapping[str, str]) -> Terminal | None:
    """The terminal that the first of `streams` is connected to; `None` where there is none.

    Colours as the screen uses them: 16 million where `COLORTERM` says so, 256 or 16 by the name of the terminal,
    none with `NO_COLOR`.
    """
    for stream in streams:
        try:
            size = os.get_terminal_size(stream.fileno())
        except (OSError, ValueError):
            continue
        kind = environment.get("TERM", "")
        return Terminal(size.columns, size.lines, kind, _colours(kind, environment))
    return None


def _colours(kind: str, environment: Mapping[str, str]) -> int:
    if environment.get("NO_COLOR") or kind in {"", "dumb", "unknown"}:
        return 0
    if environment.get("COLORTERM", "").lower() in {"truecolor", "24bit"} or kind.endswith(
        ("-direct", "kitty")
    ):
        return 1 << 24
    return 256 if "256" in kind else 16


def _tell(report: DoctorReport) -> None:
    """The machine, and then every problem with its fix."""
    host, training = report.host, report.training
    print(f"{safe(host.name)}: {safe(host.system)}, {host.cores} cores, {text.size(host.memory_total)}")
    print(_terminal_line(report.terminal))
    print_table(
        ("package", "version"), [(name, version or "missing") for name, version in report.versions.items()]
    )
    print()
    print_devices(report.devices)
    print(f"training takes {safe(training.device)}: {safe(training.why)}; TPUs are not supported")
    print(_cuda_line(report.driver_cuda, report.torch_cuda))
    print()
    print_table(
        ("kept", "free", "where"), [(place.kept, text.size(place.free), place.path) for place in report.disk]
    )
    trash, caches = text.size(report.taken.trash), text.size(report.taken.caches)
    print(f"trash {trash}, caches {caches} (workbench trash --empty --caches)")
    if report.logout.kills and report.logout.lingers:
        print("runs outlive a logout here: they go into a scope of your own systemd, which lingers")
    print()
    for problem in report.problems:
        print(f"✗ {safe(problem)}")
    if not report.problems:
        print("✓ no problems found")


def _terminal_line(found: Terminal | None) -> str:
    if found is None:
        return "terminal: this is not a terminal; the screen needs one"
    colours = {0: "no colours", 1 << 24: "16 million colours"}.get(found.colours, f"{found.colours} colours")
    small = "" if found.columns >= 80 and found.rows >= 24 else "; the screen needs 80×24"
    return f"terminal: {found.columns}×{found.rows}, {colours}, {safe(found.type) or 'no TERM'}{small}"


def _cuda_line(driver: str | None, torch: str | None) -> str:
    """The CUDA versions of the driver and of torch."""
    built = f"torch is built for CUDA {torch}" if torch else "torch has no CUDA"
    if driver is None:
        return f"no NVIDIA driver; {built}"
    newest = f"cu{driver.replace('.', '')}"
    return f"NVIDIA's driver knows CUDA {driver}: {newest} or the one before it is the newest build it runs; {built}"
