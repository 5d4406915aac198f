"""A Slurm of its own, for the tests: munged, slurmctld and slurmd of Debian's packages, without systemd."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.test_control import until
from workbench.runs.slurm_job import forget_answers

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")
# A requeued job starts once its credentials have expired: by default after two minutes, here after five seconds.
CONFIGURATION = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={place}/munge.socket,cred_expire=5
StateSaveLocation={place}/state
SlurmdSpoolDir={place}/spool-%n
SlurmctldPidFile={place}/slurmctld.pid
SlurmdPidFile={place}/slurmd-%n.pid
SlurmctldLogFile={place}/slurmctld.log
SlurmdLogFile={place}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1,max_rpc_cnt=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait=30
OverTimeLimit=0
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 NodeHostname={host} Port={ports[0]} CPUs=2 State=UNKNOWN
NodeName=pair1 NodeAddr=127.0.0.1 NodeHostname={host} Port={ports[1]} CPUs=1 State=UNKNOWN
NodeName=pair2 NodeAddr=127.0.0.1 NodeHostname={host} Port={ports[2]} CPUs=1 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=urgent Nodes={host} MaxTime=INFINITE State=UP PriorityTier=2 PreemptMode=OFF
PartitionName=pair Nodes=pair1,pair2 MaxTime=INFINITE State=UP
"""


class Cluster:
    """A controller, a node with two CPUs, and a pair of nodes with one, all on this host."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.configuration = place / "slurm.conf"
        self.node = socket.gethostname().partition(".")[0]
        self._daemons: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start the daemons and wait until the node is ready."""
        (self.place / "state").mkdir()
        key = self.place / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        self.configuration.write_text(
            CONFIGURATION.format(
                host=self.node, place=self.place, controller_port=free_port(), ports=[free_port() for _ in range(3)],
            )
        )  # fmt: skip
        files = [f"--{name}-file={self.place}/munge.{name}" for name in ("key", "pid", "log", "seed")]
        self._start("munged", "--foreground", "--force", f"--socket={self.place}/munge.socket", *files)
        until((self.place / "munge.socket").exists, "munged")
        self._start("slurmctld", "-D", "-i", "-f", str(self.configuration))
        for node in (self.node, "pair1", "pair2"):
            self._start("slurmd", "-D", "-N", node, "-f", str(self.configuration))
        for partition in ("main", "pair"):
            shown = ("sinfo", "--noheader", f"--partition={partition}", "--format=%T")
            until(lambda shown=shown: self.says(*shown) == "idle", f"idle nodes of {partition}")

    def says(self, *command: str) -> str:
        """What a command of Slurm prints; empty while it fails."""
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env={**os.environ, **self.environment}
        )
        return done.stdout.strip()

    @property
    def environment(self) -> dict[str, str]:
        """What commands need to reach this cluster."""
        return {"SLURM_CONF": str(self.configuration)}

    def stop(self) -> None:
        """End all jobs and daemons."""
        self.says("scancel", "--user=root")
        until(lambda: not self.says("squeue", "--noheader"), "the end of all jobs")
        for daemon in reversed(self._daemons):
            daemon.terminate()
        for daemon in self._daemons:
            daemon.wait(30)

    def _start(self, *command: str) -> None:
        with (self.place / f"{command[0]}.out").open("ab") as output:
            self._daemons.append(
                subprocess.Popen(
                    [shutil.which(command[0], path=f"{os.environ['PATH']}:/usr/sbin") or "", *command[1:]],
                    stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                    env={**os.environ, **self.environment},
                )
            )  # fmt: skip


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The cluster, started once."""
    path = f"{os.environ['PATH']}:/usr/sbin"
    missing = [program for program in PROGRAMS if shutil.which(program, path=path) is None]
    if missing or os.geteuid() != 0:
        assert "CI" not in os.environ, f"CI runs as root and installs slurm-wlm and munge; missing: {missing}"
        pytest.skip(f"needs root, and Debian's slurm-wlm and munge (missing: {', '.join(missing) or 'root'})")
    cluster = Cluster(tmp_path_factory.mktemp("slurm"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def cluster(slurm: Cluster, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """The cluster, for commands of this test; its jobs are cancelled at the end."""
    for name, value in slurm.environment.items():
        monkeypatch.setenv(name, value)
    forget_answers()
    yield slurm
    slurm.says("scancel", "--user=root")
    until(lambda: not slurm.says("squeue", "--noheader"), "the end of all jobs")
