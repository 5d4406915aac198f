"""`workbench plan`: estimated time, memory and disk space of a run before it is started."""

from __future__ import annotations

import argparse

import msgspec

from workbench.cli import console
from workbench.cli.process_options import process_sets
from workbench.cli.run_text import print_data
from workbench.cli.tables import print_table
from workbench.config.data_summary import experiment_data
from workbench.config.experiment import Experiment, build_experiment
from workbench.core.exit_codes import DONE
from workbench.core.text import format_bytes, format_count, format_duration, plural, sanitize
from workbench.planning.client import PlanProcess
from workbench.planning.plan import Plan, describe_shares


def plan(options: argparse.Namespace) -> int:
    """Run a few steps of the experiment and print the estimates."""
    experiment = given_experiment(options)
    summary = experiment_data(experiment)
    print_data(summary)
    estimate = make_plan(experiment, "; nothing is saved")
    if options.json:
        console.print_json(
            {
                "experiment": experiment.to_dict(),
                **msgspec.to_builtins(estimate),
                "fits": estimate.fits,
                "data": summary,
            }
        )
        return DONE
    device_name = "" if estimate.device_name == estimate.device else f" ({estimate.device_name})"
    console.print_result(f"{experiment.name} on {estimate.device}{device_name}")
    for label, content in plan_rows(estimate):
        console.print_result(f"  {label:<8}{content}")
    _print_proposals(estimate)
    for notice in estimate.notices:
        console.print_status(f"workbench: {sanitize(notice)}")
    return DONE


def given_experiment(options: argparse.Namespace) -> Experiment:
    """The experiment that a command names. Raises `UserError`."""
    return build_experiment(
        options.recipe,
        dataset=options.dataset,
        model=options.model,
        device=options.device,
        sets=[*options.set, *process_sets(options)],
    )


def make_plan(experiment: Experiment, remark: str) -> Plan:
    """Run a few steps of an experiment, after a line that says so and ends in `remark`.

    Raises `UserError`, or `RunFailed` where it would fail in training too.
    """
    console.print_status(f"running a few steps of {experiment.name}{remark}")
    with PlanProcess(experiment) as planning:
        return planning.wait(console.progress_printer())


def plan_rows(estimate: Plan) -> list[tuple[str, str]]:
    """The estimates as pairs of label and text."""
    seconds, memory, disk = estimate.seconds, estimate.memory, estimate.disk
    step = f"{1000 * estimate.step_seconds:.3g} ms per step of {estimate.batch_size}"
    threads = plural(estimate.threads, "thread")
    device = (
        f"{format_bytes(memory['device'])} of {format_bytes(memory['device_free'])} free on the GPU, "
        if memory["device"]
        else ""
    )
    verdict = "✓" if estimate.fits else "✗ not enough: free some space or set WORKBENCH_HOME to another disk"
    return [
        ("speed", f"{format_count(estimate.samples_per_second)} samples/s, {step} ({estimate.precision}, {threads})"),
        ("time", f"{format_duration(seconds['total'])}: training {format_duration(seconds['train'])}, evaluating "
                 f"{format_duration(seconds['evaluate'])}, loading {format_duration(seconds['load'])}"),
        ("memory", f"{device}{format_bytes(memory['process'])} of {format_bytes(memory['process_free'])} "
                   "free in the host's memory"),
        ("disk", f"{format_bytes(disk['total'])} ({format_bytes(disk['checkpoint'])} per checkpoint), "
                 f"{format_bytes(disk['free'])} free {verdict}"),
        ("data", estimate.execution["data"]),
        ("where", describe_shares(estimate)),
    ]  # fmt: skip


def _print_proposals(estimate: Plan) -> None:
    if not estimate.proposals:
        console.print_result(
            f"No faster settings found (tried: {', '.join(estimate.tried) or 'nothing to try'})."
        )
        return
    print_table(
        ("faster setting", "speedup", "total time", "what it does"),
        [
            (f"--set {row.assignment}", f"{row.factor:.1f}×", format_duration(row.seconds), row.side_effect)
            for row in estimate.proposals
        ],
    )
