"""A node of a training that Slurm runs on several: `python -m workbench.cli.slurm_node RUN_DIR`, as a task of srun.

The first node has the run, and its supervisor is the task. The others join, as hosts do without Slurm. They meet at the
address from which srun has started them: that of the first node, on which the batch script is executed.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from workbench.cli.signals import SignalRecorder
from workbench.cli.waiting import RunWaiter
from workbench.config.experiment import read_experiment
from workbench.launcher import launch, supervisor
from workbench.launcher.placement import DEFAULT_PORT, write_placement
from workbench.runs.nodes import Placement
from workbench.runs.run_folder import RunFolder
from workbench.runs.status import Status
from workbench.system.network import Endpoint

PORTS = 10_000
"""The port follows from the number of the job: jobs on the same node have different ones."""
LAUNCHER = "slurm"


def main() -> None:
    """Supervise the run, or join it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("run_dir", type=Path)
    folder = RunFolder(parser.parse_args().run_dir)
    placement = node_placement(os.environ)
    if placement.joins:
        sys.exit(_join(folder, placement))
    write_placement(folder, placement)
    sys.argv.append("--slurm")
    supervisor.main()


def node_placement(environment: Mapping[str, str]) -> Placement:
    """Where this task of srun is among the nodes."""
    port = DEFAULT_PORT + int(environment["SLURM_JOB_ID"]) % PORTS
    return Placement(
        nodes=int(environment["SLURM_NNODES"]), joins=environment["SLURM_PROCID"] != "0",
        address=str(Endpoint(environment["SLURM_LAUNCH_NODE_IPADDR"], port)),
    )  # fmt: skip


def _join(folder: RunFolder, placement: Placement) -> int:
    """Join the run of the first node until its end; returns the exit code."""
    experiment = read_experiment(folder.experiment)
    if experiment is None:
        sys.exit(f"{folder.experiment} can't be read")
    with SignalRecorder() as signals:
        status = RunWaiter(launch.join_run(experiment, LAUNCHER, placement), signals, owner=True).wait()
    return int(status in {Status.FAILED, Status.CRASHED})


if __name__ == "__main__":
    main()
