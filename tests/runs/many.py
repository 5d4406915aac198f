"""A store of many runs, and how long it takes to list: `python -m tests.runs.many 10000`."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from tests.benchmarks.material import many_runs
from tests.run_folders import DEAD_PID
from workbench.config.experiment import build_experiment
from workbench.io.atomic_files import write_json
from workbench.io.record_codec import write_record
from workbench.runs.enums import Cause, Ending, Phase
from workbench.runs.journal import Attempt, Journal
from workbench.runs.jsonl import LineWriter
from workbench.runs.metrics import StepRow
from workbench.runs.records import Best, Exit, Heartbeat, Setup
from workbench.runs.run_folder import RunFolder, create_run_folder, write_exit, write_heartbeat
from workbench.runs.store import INDEX_FILE, Store
from workbench.system.processes import this_process


class Seconds(NamedTuple):
    """How long listing took."""

    cold: float
    """Without an index."""
    warm: float
    command: float
    """`workbench runs --json`, from its start to its end, with an index."""


def ended_run(home: Path) -> RunFolder:
    """A run's folder as a worker leaves it."""
    folder = create_run_folder(home / "runs", "digits-mlp")
    write_json(folder.experiment, build_experiment("digits-mlp").to_dict(), durable=False)
    write_record(folder.setup, Setup(), durable=False)
    journal = Journal(folder.journal)
    journal.append(Attempt(attempt=1, from_step=0, host=this_process().host, pid=DEAD_PID))
    journal.close()
    metrics = LineWriter(folder.metrics)
    for step in range(50):
        metrics.write(StepRow(step=step, epoch=step / 5, loss=1 / (step + 1)))
    metrics.close()
    best = Best(value=0.9, epoch=7, metric="accuracy")
    write_heartbeat(
        folder,
        Heartbeat(
            attempt=1, counter=9, phase=Phase.FINISHED, epoch=10, epochs_total=10, step=50, steps_total=50,
            best=best, device="cpu",
        ),
    )  # fmt: skip
    write_exit(folder, Exit(status=Ending.FINISHED, cause=Cause.COMPLETED, attempt=1))
    return folder


def measure(runs: Path) -> Seconds:
    """List the runs of a home without an index, with one, and by the command."""
    (runs / INDEX_FILE).unlink(missing_ok=True)
    cold, warm = _timed(runs), min(_timed(runs) for _ in range(3))
    began = time.perf_counter()
    environment = {**os.environ, "WORKBENCH_HOME": str(runs.parent)}
    command = [sys.executable, "-m", "workbench", "runs", "--json"]
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
    return Seconds(cold, warm, time.perf_counter() - began)


def _timed(runs: Path) -> float:
    began = time.perf_counter()
    Store(runs).list_runs()
    return time.perf_counter() - began


def main() -> None:
    """Make them, measure, print."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as folder:
        model = ended_run(Path(folder))
        many_runs(model.path, model.path.parent, count - 1)
        found = measure(model.path.parent)
    print(f"{count:,} runs: listed without an index in {found.cold:.2f} s, "
          f"with one in {found.warm:.3f} s; workbench runs --json {found.command:.2f} s")  # fmt: skip


if __name__ == "__main__":
    main()
