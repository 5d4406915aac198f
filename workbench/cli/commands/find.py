"""`workbench lr-find` and `workbench batch-find`: a learning rate and a batch size, found by real steps."""

from __future__ import annotations

import argparse

import msgspec

from workbench.cli import console
from workbench.cli.commands.plan import given_experiment
from workbench.cli.tables import print_table
from workbench.core.exit_codes import DONE
from workbench.core.text import format_bytes, format_count, sanitize
from workbench.planning.batch_sizes import BatchSizes, TriedBatch
from workbench.planning.client import PlanProcess
from workbench.planning.lr_curve import LrCurve
from workbench.planning.plan import Measurement

SHOWN_RATES = 8
"""Rows of the table of losses: one for so many equal parts of the curve."""


def lr_find(options: argparse.Namespace) -> int:
    """Print the learning rates that a range test suggests."""
    experiment = given_experiment(options)
    console.print_status(f"trying learning rates with {experiment.name}; nothing is saved")
    with PlanProcess(experiment, Measurement.LEARNING_RATES) as process:
        curve = process.wait_for_lr_curve(console.progress_printer())
    if options.json:
        content = {"experiment": experiment.to_dict(), **msgspec.to_builtins(curve)}
        console.print_json({**content, "suggestion": curve.suggestion})
    else:
        _print_curve(curve, experiment.train.lr)
        _print_notices(curve.notices)
    return DONE


def _print_curve(curve: LrCurve, lr: float) -> None:
    last = len(curve.rates) - 1
    indices = sorted({round(last * i / (SHOWN_RATES - 1)) for i in range(SHOWN_RATES)})
    print_table(
        ("learning rate", "loss"), [(f"{curve.rates[i]:.2g}", f"{curve.smoothed[i]:.4g}") for i in indices]
    )
    if curve.steepest is None or curve.valley is None:
        console.print_result(f"The loss falls at no rate; train.lr stays {lr:g}.")
        return
    console.print_result(f"steepest descent  {curve.steepest:g}   --set train.lr={curve.steepest:g}")
    console.print_result(f"valley            {curve.valley:g}   --set train.lr={curve.valley:g}")


def batch_find(options: argparse.Namespace) -> int:
    """Print the batch sizes that fit."""
    experiment = given_experiment(options)
    console.print_status(f"trying batch sizes with {experiment.name}; nothing is saved")
    with PlanProcess(experiment, Measurement.BATCH_SIZES) as process:
        sizes = process.wait_for_batch_sizes(console.progress_printer())
    if options.json:
        content = {"experiment": experiment.to_dict(), **msgspec.to_builtins(sizes)}
        largest, fastest = sizes.largest, sizes.fastest
        console.print_json(
            {
                **content,
                "largest": largest.batch_size if largest else None,
                "fastest": fastest.batch_size if fastest else None,
            }
        )
    else:
        _print_sizes(sizes)
        _print_notices(sizes.notices)
    return DONE


def _print_sizes(sizes: BatchSizes) -> None:
    print_table(("batch size", "samples/s", "memory", ""), [_size_row(row) for row in sizes.tried])
    largest, fastest = sizes.largest, sizes.fastest
    if largest is None or fastest is None:
        console.print_result(f"Not even the smallest batch fits on {sizes.device}.")
        return
    why = f" ({sizes.limit})" if sizes.limit else ""
    console.print_result(f"largest  --set train.batch_size={largest.batch_size}{why}")
    console.print_result(f"fastest  --set train.batch_size={fastest.batch_size}")


def _size_row(row: TriedBatch) -> tuple[str, str, str, str]:
    speed = "" if row.samples_per_second is None else format_count(row.samples_per_second)
    memory = "" if row.memory is None else format_bytes(row.memory)
    return str(row.batch_size), speed, memory, "" if row.fits else f"does not fit: {row.reason}"


def _print_notices(notices: tuple[str, ...]) -> None:
    for notice in notices:
        console.print_status(f"workbench: {sanitize(notice)}")
