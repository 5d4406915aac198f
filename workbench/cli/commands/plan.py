"""`workbench plan`: what a run will take, before it is started."""

from __future__ import annotations

import argparse

import msgspec

from workbench.cli import console
from workbench.config.experiment import build
from workbench.core.exit_codes import DONE
from workbench.core.text import count, duration, safe, size
from workbench.planning.client import Planning
from workbench.planning.plan import Plan, where_it_goes


def plan(options: argparse.Namespace) -> int:
    """Try the experiment for a few steps and say what was found."""
    experiment = build(
        options.recipe, dataset=options.dataset, model=options.model, sets=options.set, device=options.device
    )
    console.say(f"trying some steps of {experiment.name}; nothing of it is kept")
    with Planning(experiment) as planning:
        found = planning.wait(console.progress_printer())
    if options.json:
        console.print_json(
            {"experiment": experiment.to_dict(), **msgspec.to_builtins(found), "fits": found.fits}
        )
        return DONE
    named = "" if found.device_name == found.device else f" ({found.device_name})"
    console.tell(f"{experiment.name} on {found.device}{named}")
    for label, words in rows(found):
        console.tell(f"  {label:<8}{words}")
    _tell_proposals(found)
    for notice in found.notices:
        console.say(f"workbench: {safe(notice)}")
    return DONE


def rows(found: Plan) -> list[tuple[str, str]]:
    """The plan in words, a line each."""
    spent, memory, disk = found.seconds, found.memory, found.disk
    step = f"{1000 * found.step_seconds:.3g} ms a step of {found.batch_size}"
    threads = f"{found.threads} thread{'s' if found.threads > 1 else ''}"
    device = (
        f"{size(memory['device'])} of {size(memory['device_free'])} free on the GPU, "
        if memory["device"]
        else ""
    )
    room = "✓" if found.fits else "✗ not enough: free some, or set WORKBENCH_HOME"
    return [
        ("speed", f"{count(found.samples_per_second)} samples/s, {step} ({found.precision}, {threads})"),
        ("time", f"{duration(spent['total'])}: training {duration(spent['train'])}, evaluating "
                 f"{duration(spent['evaluate'])}, loading {duration(spent['load'])}"),
        ("memory", f"{device}{size(memory['process'])} of {size(memory['process_free'])} free in the host's memory"),
        ("disk", f"{size(disk['total'])} ({size(disk['checkpoint'])} a checkpoint), {size(disk['free'])} free {room}"),
        ("data", found.execution["data"]),
        ("where", where_it_goes(found)),
    ]  # fmt: skip


def _tell_proposals(found: Plan) -> None:
    if not found.proposals:
        console.tell(
            f"nothing that was tried is faster: {', '.join(found.tried) or 'there was nothing to try'}"
        )
        return
    console.print_table(
        ("faster", "an epoch", "in all", "which"),
        [
            (f"--set {row.assignment}", f"{row.factor:.1f}×", duration(row.seconds), row.says)
            for row in found.proposals
        ],
    )
