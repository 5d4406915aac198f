"""Every kind of bad input and fault, the tests that provoke it, and their results: `python -m tests.hostile`.

`--list` prints the table without running anything, `--only N` takes the cases of some numbers. The exit code is 1 if a
test failed or was not found; a case without tests is shown as not covered.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from tests.hostile.cases import CASES, Case

ROOT = Path(__file__).parents[2]
FAILED, PASSED, SKIPPED = "FAILED", "passed", "skipped"


class Result(NamedTuple):
    """The results of all parameters of a test."""

    outcome: str
    seconds: float


def run_tests(tests: Sequence[str]) -> dict[str, Result]:
    """Run tests in one pytest process; the results by node id, without those that were not found."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "-o", "junit_family=xunit1",
                   f"--junitxml={report}", *tests]  # fmt: skip
        subprocess.run(command, cwd=ROOT, stdout=sys.stderr, check=False)
        return read_results(report) if report.exists() else {}


def read_results(report: Path) -> dict[str, Result]:
    """The results in a JUnit file; parameters of a test are summed up."""
    results: dict[str, Result] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        test = f"{case.get('file')}::{(case.get('name') or '').partition('[')[0]}"
        tags = {child.tag for child in case}
        outcome = FAILED if tags & {"failure", "error"} else SKIPPED if "skipped" in tags else PASSED
        before = results.get(test, Result(PASSED, 0.0))
        worst = min(outcome, before.outcome, key=(FAILED, SKIPPED, PASSED).index)
        results[test] = Result(worst, before.seconds + float(case.get("time") or 0))
    return results


def rows(cases: Sequence[Case], results: Mapping[str, Result] | None) -> list[str]:
    """The table; without `results`, nothing has been run."""
    lines = []
    for case in cases:
        lines.append(f"{case.number:3}  {case.what}")
        if not case.tests:
            lines.append("     not covered")
        for test in case.tests:
            result = None if results is None else results.get(test, Result("NOT FOUND", 0.0))
            shown = f"{result.outcome:9} {result.seconds:6.1f} s  " if result else ""
            lines.append(f"     {shown}{test}")
    return lines


def summary(cases: Sequence[Case], results: Mapping[str, Result]) -> str:
    """How many cases passed, were skipped, failed and are not covered."""
    counts = {"passed": 0, "skipped": 0, "failed": 0, "not covered": 0}
    for case in cases:
        outcomes = [results[test].outcome if test in results else FAILED for test in case.tests]
        state = "failed" if FAILED in outcomes else "skipped" if SKIPPED in outcomes else "passed"
        counts[state if outcomes else "not covered"] += 1
    return ", ".join(f"{count} {state}" for state, count in counts.items())


def main() -> int:
    """Print the table; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    parser.add_argument("--list", action="store_true", help="run nothing")
    parser.add_argument("--only", type=int, action="append", metavar="N", help="only this case (repeatable)")
    options = parser.parse_args()
    unknown = sorted(set(options.only or ()) - {case.number for case in CASES})
    if unknown:
        parser.error(f"there is no case {unknown[0]}")
    cases = [case for case in CASES if not options.only or case.number in options.only]
    tests = list(dict.fromkeys(test for case in cases for test in case.tests))
    results = None if options.list else run_tests(tests)
    print("\n".join(rows(cases, results)))
    if results is None:
        return 0
    print(summary(cases, results))
    return int(any(test not in results or results[test].outcome == FAILED for test in tests))


if __name__ == "__main__":
    sys.exit(main())
