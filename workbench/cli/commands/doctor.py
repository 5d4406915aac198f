"""`workbench doctor`: the machine, the terminal, and problems that affect training."""

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
from workbench.core.text import sanitize
from workbench.io.disk_usage import disk_usage
from workbench.system import machine_info, terminal_info
from workbench.system.cpu import describe_cores
from workbench.system.logout import logout_policy
from workbench.system.machine_info import MachineInfo
from workbench.system.packages import cuda_of_torch
from workbench.system.slurm import SlurmInfo, describe_slurm


class Terminal(msgspec.Struct, frozen=True):
    """The terminal of a process."""

    columns: int
    rows: int
    type: str
    """`TERM`."""
    colors: int = msgspec.field(name="colours")
    """Under the key that scripts know from `doctor --json`."""
    limitations: tuple[str, ...] = ()
    """What the screen lacks in it, each with its remedy."""


class ClearableBytes(msgspec.Struct, frozen=True):
    """Bytes that `workbench trash --empty --caches` would free."""

    trash: int
    caches: int


class LogoutBehavior(msgspec.Struct, frozen=True):
    """What happens to a user's processes at logout."""

    kills: bool
    lingers: bool
    """Whether the user's systemd manager keeps running after logout."""


class DoctorReport(MachineInfo, frozen=True, kw_only=True):
    """The document that `workbench doctor --json` prints."""

    torch_cuda: str | None
    """The CUDA version that torch was built for."""
    terminal: Terminal | None
    clearable: ClearableBytes = msgspec.field(name="taken")
    """Under the key that scripts know from `doctor --json`."""
    logout: LogoutBehavior
    slurm: SlurmInfo | None
    """`None` where Slurm is not installed."""
    problems: tuple[str, ...]
    """Each includes its fix."""


def doctor(options: argparse.Namespace) -> int:
    """`workbench doctor`: the exit code is 1 if there are problems."""
    report = _build_report()
    if options.json:
        print_json(report)
    else:
        _print_report(report)
    return FAILED if report.problems else DONE


def _build_report() -> DoctorReport:
    logout = logout_policy()
    return DoctorReport(
        **msgspec.structs.asdict(machine_info.describe_machine()),
        torch_cuda=cuda_of_torch(),
        terminal=detect_terminal([sys.stdout, sys.stderr, sys.stdin], os.environ),
        clearable=ClearableBytes(disk_usage(paths.trash()), disk_usage(paths.caches())),
        logout=LogoutBehavior(logout.kills, logout.lingers),
        slurm=describe_slurm(),
        problems=tuple(machine_info.find_problems()),
    )


def detect_terminal(streams: Sequence[TextIO], environment: Mapping[str, str]) -> Terminal | None:
    """The terminal that the first possible one of `streams` is connected to; `None` if none is.

    The number of colors is the one that the screen uses.
    """
    for stream in streams:
        try:
            size = os.get_terminal_size(stream.fileno())
        except (OSError, ValueError):
            continue
        kind = environment.get("TERM", "")
        lacking = tuple(terminal_info.limitations(environment))
        return Terminal(size.columns, size.lines, kind, terminal_info.color_count(environment), lacking)
    return None


def _print_report(report: DoctorReport) -> None:
    host, training = report.host, report.training
    print(
        f"{sanitize(host.name)}: {sanitize(host.system)}, {describe_cores()}, {text.format_bytes(host.memory_total)}"
    )
    print(_terminal_line(report.terminal))
    for limitation in report.terminal.limitations if report.terminal else ():
        print(f"  {sanitize(limitation)}")
    print_table(
        ("package", "version"), [(name, version or "missing") for name, version in report.versions.items()]
    )
    print()
    print_devices(report.devices)
    print(f"training device: {sanitize(training.device)} ({sanitize(training.reason)})")
    if report.visibility:
        print(sanitize(report.visibility))
    print(_cuda_line(report.driver_cuda, report.torch_cuda))
    print()
    print_table(
        ("content", "free", "path"),
        [(place.content, text.format_bytes(place.free), place.path) for place in report.disk],
    )
    trash, caches = text.format_bytes(report.clearable.trash), text.format_bytes(report.clearable.caches)
    print(f"trash {trash}, caches {caches} (to delete them: workbench trash --empty --caches)")
    if report.logout.kills and report.logout.lingers:
        print(
            "runs survive a logout: they are started in a scope of the user's systemd manager, which lingers"
        )
    if report.slurm is not None:
        _print_slurm(report.slurm)
    print()
    for problem in report.problems:
        print(f"✗ {sanitize(problem)}")
    if not report.problems:
        print("✓ No problems found.")


def _print_slurm(info: SlurmInfo) -> None:
    print()
    inside = f"; this is inside its job {sanitize(info.job)}" if info.job else ""
    answer = "answers" if info.answers else f"does not answer: {sanitize(info.problem)}"
    print(f"Slurm {sanitize(info.version)}: its controller {answer}{inside}")
    if info.partitions:
        rows = [msgspec.structs.astuple(partition) for partition in info.partitions]
        print_table(("partition", "state", "time limit", "nodes", "CPUs each", "GPUs and more"), rows)


def _terminal_line(terminal: Terminal | None) -> str:
    if terminal is None:
        return "terminal: none (the screen needs one)"
    colors = {0: "no colors", 1 << 24: "16 million colors"}.get(terminal.colors, f"{terminal.colors} colors")
    too_small = "" if terminal.columns >= 80 and terminal.rows >= 24 else "; the screen needs 80×24"
    return f"terminal: {terminal.columns}×{terminal.rows}, {colors}, {sanitize(terminal.type) or 'no TERM'}{too_small}"


def _cuda_line(driver: str | None, torch: str | None) -> str:
    """The CUDA versions that the driver supports and that torch was built for."""
    build = f"torch was built for CUDA {torch}" if torch else "torch was built without CUDA"
    if driver is None:
        return f"no NVIDIA driver; {build}"
    newest = f"cu{driver.replace('.', '')}"
    return f"NVIDIA driver: CUDA {driver}, runs torch builds up to {newest}; {build}"
