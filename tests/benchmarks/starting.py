"""From the start of a run to its first step: forked by a screen, and in a fresh interpreter."""

from __future__ import annotations

import time
from pathlib import Path

from tests.benchmarks.measure import Row, Scale, alternate, median, quotient
from tests.benchmarks.screen import environment
from workbench.cli.follow import wait_for_end
from workbench.config.experiment import build_experiment
from workbench.launcher import fork_client, launch
from workbench.launcher.fork_protocol import FORKED
from workbench.runs.enums import Phase
from workbench.runs.journal import PhaseChange, attempts_of, read_journal
from workbench.runs.run_folder import RunFolder
from workbench.runs.run_report import read_report
from workbench.runs.status import Status

SETTINGS = ("train.epochs=2", "train.threads=1")


def rows(place: Path, scale: Scale) -> list[Row]:
    """Runs of `digits-mlp`: how soon their first step begins, and how soon they have ended."""
    forked, fresh = list[float](), list[float]()
    with environment(WORKBENCH_HOME=place / "home", TORCH_HOME=place / "torch"):
        try:
            found = alternate(
                2 * scale.rounds, {"forked": lambda: _run(forked, True), "fresh": lambda: _run(fresh, False)}
            )
        finally:
            fork_client.stop_fork_server()
    return [
        _row(
            "the start of a run to its first step, forked: in a fresh interpreter", forked, fresh, "≤ 0.5 s"
        ),
        _row(
            "a whole run of two epochs, forked: in a fresh interpreter",
            found["forked"],
            found["fresh"],
            "< 1",
        ),
    ]


def _row(what: str, forked: list[float], fresh: list[float], goal: str) -> Row:
    return Row(what, f"{median(forked):.2f} s", f"{median(fresh):.2f} s", str(quotient(forked, fresh)), goal)


def _run(first_steps: list[float], forked: bool) -> float:
    """Train one run; returns the seconds to its end, and adds those to its first step."""
    if forked:
        fork_client.wait_for_fork_server(lambda: False)
    else:
        fork_client.stop_fork_server()
    began, now = time.perf_counter(), time.time()
    run = launch.start_run(build_experiment("digits-mlp", sets=SETTINGS), "benchmark")
    wait_for_end(run)
    seconds = time.perf_counter() - began
    assert read_report(run).status is Status.FINISHED
    assert (FORKED in attempts_of(read_journal(run.journal))[0].command) == forked
    first_steps.append(_first_step(run) - now)
    return seconds


def _first_step(run: RunFolder) -> float:
    return next(
        line.time
        for line in read_journal(run.journal)
        if isinstance(line, PhaseChange) and line.phase is Phase.TRAINING
    )
