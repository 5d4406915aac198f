"""The options of the commands that list runs and draw their metrics."""

from __future__ import annotations

import argparse

MAX_SMOOTHING = 0.999
FILTER_HELP = (
    "only the runs that match, e.g. 'model=resnet lr<0.01 acc>0.9 tag:baseline !status:failed started<2d'"
)
COLUMNS_HELP = (
    "the columns to print: settings (lr), metrics (val/loss; over the whole run best:val/loss, min:, max:, smooth:), "
    "or name, status, result, duration, device, host, group, tags, notes, …"
)


def add_list_options(command: argparse.ArgumentParser) -> None:
    """Add the options of `workbench runs`."""
    command.add_argument("--filter", default="", metavar="EXPR", help=FILTER_HELP)
    command.add_argument("--columns", default="", metavar="A,B,…", help=COLUMNS_HELP)
    command.add_argument(
        "--sort", default="", metavar="COLUMN", help="sort by a column (default: newest first)"
    )
    command.add_argument("--reverse", action="store_true", help="reverse the order")


def add_chart_options(command: argparse.ArgumentParser) -> None:
    """Add the options of `workbench charts`."""
    command.add_argument(
        "--metrics", default="", metavar="FILTER", help="words, globs or regular expressions (default: all)"
    )
    command.add_argument(
        "--format",
        default="txt",
        choices=("txt", "png", "svg", "csv"),
        help="text (default), a picture, or the points",
    )
    command.add_argument("--to", metavar="PATH", help="file to write (default: stdout)")
    command.add_argument(
        "--x", default="step", choices=("step", "epoch", "relative", "wall"), help="what the x axis counts"
    )
    command.add_argument(
        "--smooth", type=_smoothing, default=0.0, metavar="FACTOR", help="smoothing from 0 to 0.999"
    )
    command.add_argument("--log", default="off", choices=("off", "y", "xy"), help="logarithmic axes")
    command.add_argument("--y", metavar="LOW..HIGH", help="a fixed y axis, for example 0..1")
    spans = command.add_mutually_exclusive_group()
    spans.add_argument("--outliers", action="store_true", help="show values that are far above the others")
    spans.add_argument(
        "--no-outliers",
        action="store_true",
        help="cut off what is below the 1st or above the 99th percentile",
    )


def _smoothing(text: str) -> float:
    value = float(text)
    if not 0 <= value <= MAX_SMOOTHING:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and {MAX_SMOOTHING}")
    return value
