"""`python -m tests.benchmarks`: how fast it is, as ratios, each of two things measured side by side in this run."""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks import (
    charts,
    classifying,
    event_files,
    gpu,
    photographs,
    recipes,
    record,
    screen,
    slow_line,
    starting,
    tracking,
)  # fmt: skip
from tests.benchmarks.measure import FULL, QUICK, Row, Scale, say
from workbench.cli.tables import print_table

GROUPS: dict[str, Callable[[Path, Scale], list[Row]]] = {
    "recipe-1": recipes.recipe_1,
    "recipe-2": recipes.recipe_2,
    "photographs": photographs.rows,
    "record": record.rows,
    "screen": screen.rows,
    "charts": charts.rows,
    "slow-line": slow_line.rows,
    "event-files": event_files.rows,
    "start": starting.rows,
    "classify": classifying.rows,
    "tracking": tracking.rows,
    "gpu": gpu.rows,
}


def main() -> None:
    """Run the groups that are asked for and print one table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument(
        "--only", action="append", choices=list(GROUPS), help="only this group (may be repeated)"
    )
    parser.add_argument(
        "--quick", action="store_true", help="less of everything: minutes instead of half an hour"
    )
    parser.add_argument(
        "--in", dest="place", metavar="DIR", help="where to keep what is made (default: removed)"
    )
    options = parser.parse_args()
    scale = QUICK if options.quick else FULL
    found: list[Row] = []
    with tempfile.TemporaryDirectory(dir=options.place, prefix="benchmarks-") as place:
        for name in options.only or GROUPS:
            say(name)
            folder = Path(place) / name
            folder.mkdir()
            found += GROUPS[name](folder, scale)
    print_table(
        ("ratio", "goal", "ours", "theirs", "what"),
        [(row.ratio, row.goal, row.ours, row.theirs, row.what) for row in found],
    )
    say(f"load at the end: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
