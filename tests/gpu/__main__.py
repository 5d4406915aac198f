"""Checks on a real GPU what a machine without one can't: `python -m tests.gpu`, in less than 8 minutes.

Prints a line for each check, and what to mend. Exit code 1 if a check failed; without a GPU nothing is measured, and
the exit code is 0.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.gpu.checks import CHECKS, Check
from tests.gpu.runner import FAILED, NOT_MEASURED, OK, Result, Runner, write_json

NO_GPU = "no GPU"
PROBE = "import torch; assert torch.cuda.is_available(); torch.ones(1, device='cuda').add_(1).item()"


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.gpu", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="CHECK", help="checks to run (default: all)")
    parser.add_argument("--list", action="store_true", help="list the checks and exit")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the results to this file too")
    parser.add_argument("--budget", type=float, default=480.0, metavar="SECONDS", help="time for all of it")
    # Tries the code of the checks themselves.
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    known = [check.name for check in CHECKS]
    if unknown := [name for name in options.names if name not in known]:
        parser.error(f"unknown check '{unknown[0]}'; known: {', '.join(known)}")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the checks; returns the exit code."""
    options = parse(arguments)
    checks = [check for check in CHECKS if not options.names or check.name in options.names]
    if options.list:
        for check in checks:
            print(f"{check.name:24} {check.function:24} at most {check.seconds:.0f} s")
        return 0
    start = time.monotonic()
    results = _not_measured(checks) if options.device == "cuda" and not has_gpu() else run(options, checks)
    if options.json:
        write_json(options.json, options.device, results)
    summarize(results, time.monotonic() - start)
    return 1 if any(result.result == FAILED for result in results) else 0


def has_gpu() -> bool:
    """Whether torch computes on a CUDA device; asked in another process, which may hang or crash."""
    try:
        done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, timeout=120, check=False)
    except subprocess.TimeoutExpired:
        print("the GPU did not answer for 2 minutes", file=sys.stderr)
        return False
    return done.returncode == 0


def _not_measured(checks: Sequence[Check]) -> list[Result]:
    results = [Result(check.name, NOT_MEASURED, NO_GPU) for check in checks]
    for result in results:
        print_result(result)
    return results


def run(options: argparse.Namespace, checks: Sequence[Check]) -> list[Result]:
    """Run the checks in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="workbench-gpu-", ignore_cleanup_errors=True) as folder:
        start = time.monotonic()
        runner = Runner(options.device, Path(folder), options.budget, print_result)
        make = [sys.executable, "-m", "tests.gpu.material", runner.data, options.device]
        subprocess.run(make, timeout=120, check=True)
        print(f"data made in {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
        return runner.run(checks)


def print_result(result: Result) -> None:
    """One line of the table."""
    note = f": {result.figure}" if result.result == NOT_MEASURED else ""
    shown = result.figure if result.result != NOT_MEASURED else ""
    print(f"{result.name:24} {result.result + note:14} {shown}".rstrip(), flush=True)


def summarize(results: Sequence[Result], seconds: float) -> None:
    """Counts, and what to mend."""
    failed = [result for result in results if result.result == FAILED]
    counts = [f"{sum(r.result == kind for r in results)} {kind}" for kind in (OK, FAILED, NOT_MEASURED)]
    print(f"\n{', '.join(counts)}, in {seconds:.0f} s")
    if failed:
        print("\nTo mend:")
    for result in failed:
        print(f"  {result.name}: {result.figure}\n    look at {result.mend}")


if __name__ == "__main__":
    sys.exit(main())
