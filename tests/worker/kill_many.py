"""Kills a run again and again while it works, and compares its end with that of a run never cut.

`python -m tests.worker.kill_many 100 [SEED]` is what a release has to pass; the tests do the same with fewer kills.
Nothing sleeps until a kill: each waits for something that the run does.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.worker.support import outcome, same
from workbench.config.experiment import Experiment, experiment_from_dict
from workbench.io.record_codec import decode, read_record
from workbench.launcher import launch
from workbench.runs import locks
from workbench.runs.enums import Phase
from workbench.runs.journal import Attempt, PhaseChange, attempts_of, read_journal
from workbench.runs.metrics import MetricLine, StepRow
from workbench.runs.records import Exit
from workbench.runs.run_folder import RunFolder
from workbench.runs.run_report import read_report
from workbench.runs.status import Status, status_of
from workbench.runs.store import Store
from workbench.system.processes import is_alive
from workbench.worker.checkpoints import CheckpointManager

PROBLEM = Path(__file__).with_name("problem.py")
STEPS = 40
"""Of an epoch of the problem."""
MOST = 2 * STEPS * 200
"""Bytes of metrics, of about two epochs: the most between two kills."""
LIMIT = 120.0
LOOKS = 50
"""At what is waited for, between two looks at whether the run still lives (which cost more)."""
VICTIMS = ("worker", "supervisor", "both")
EXPECTED_STATUS = {
    "worker": (Status.FAILED, "SIGKILL"),
    "supervisor": (Status.STOPPED, "supervisor"),
    "both": (Status.CRASHED, ""),
}
"""What the list of runs has to say after each: its status, and a word of the reason."""
MOMENTS = ("training", "checkpointing", "evaluating")


def experiment(**changed: Any) -> Experiment:
    """Everything that has state is on; early stopping ends it. `changed`: settings of its training."""
    train = {
        "threads": 1, "device": "cpu", "epochs": 60, "batch_size": 16, "optimizer": "sgd", "lr": 0.005, "momentum": 0.9,
        "nesterov": True, "weight_decay": 1e-3, "schedule": "cosine", "warmup": 1.0, "patience": 10,
        "max_grad_norm": 5.0, "lookahead": 3, "ema": 0.99,
        "augment": ["crop", "erase"], "log_every": 1, "checkpoint_seconds": 0.05,
    }  # fmt: skip
    data, model = {"name": f"{PROBLEM}:make"}, {"name": f"{PROBLEM}:Net"}
    return experiment_from_dict(
        {"name": "cut", "seed": 5, "data": data, "model": model, "train": train | changed}
    )


@dataclass(frozen=True)
class Kill:
    """Who dies, and when: so many bytes of metrics after this attempt began to train, in the midst of what."""

    victim: str
    moment: str
    grown: int


def drawn(chance: random.Random) -> Kill:
    """A kill like any other."""
    return Kill(chance.choice(VICTIMS), chance.choice(MOMENTS), chance.randint(1, MOST))


def kill_many(kills: int, seed: int, say: Callable[[str], None] = lambda _: None) -> None:
    """Kill runs until `kills` have landed; every run has to end as one never cut, bit for bit."""
    wanted = outcome(finished(launch.start_run(experiment(), "kill_many")))
    chance, landed = random.Random(seed), 0
    while landed < kills:
        folder = launch.start_run(experiment(), "kill_many")
        killed = []
        for kill in hunt(folder, kills - landed, chance):
            killed.append(kill)
            say(f"{landed + len(killed)} of {kills}: {kill}")
        landed += len(killed)
        description = f"seed {seed}, {killed}, in {folder.path}"
        assert read_report(folder).exact, description
        assert same(outcome(folder), wanted), description


def hunt(folder: RunFolder, most: int, chance: random.Random) -> Iterator[Kill]:
    """Kill a run up to `most` times and resume it each time, until it has finished."""
    landed = 0
    while True:
        if landed < most and land(folder, kill := drawn(chance)):
            landed += 1
            yield kill
        if ended(folder) is Status.FINISHED:
            return
        check_loadable(folder)
        launch.resume_run(folder, {}, "kill_many")


def land(folder: RunFolder, kill: Kill) -> bool:
    """Wait for the moment and kill; whether the run was still at work."""
    attempt = attempts_of(read_journal(folder.journal))[-1]
    if not wait_until(lambda: trains(folder, attempt.attempt), folder, pause=0.02):
        return False
    due = size(folder) + kill.grown
    moment = {"training": lambda _: True, "checkpointing": writes, "evaluating": evaluates}[kill.moment]
    if not (wait_until(lambda: size(folder) >= due, folder) and wait_until(lambda: moment(folder), folder)):
        return False
    strike(folder, kill.victim, attempt)
    if ended(folder) is Status.FINISHED:
        return False
    status, word = EXPECTED_STATUS[kill.victim]
    (row,) = (row for row in Store(folder.path.parent).list_runs() if row.id == folder.id)
    assert (row.status, word in row.reason) == (status, True), (kill, row)
    return True


def strike(folder: RunFolder, victim: str, attempt: Attempt) -> None:
    """SIGKILL for whom it is meant."""
    worker = locks.holder_pid(folder.lock, locks.WRITER)
    if victim == "worker":
        if worker is not None:
            os.kill(worker, signal.SIGKILL)
    elif is_alive(attempt.process):
        # The supervisor leads the group that both are in.
        (os.kill if victim == "supervisor" else os.killpg)(attempt.pid, signal.SIGKILL)


def size(folder: RunFolder) -> int:
    """Bytes of metrics."""
    return folder.metrics.stat().st_size


def trains(folder: RunFolder, attempt: int) -> bool:
    """Whether this attempt has come to its first step."""
    lines = [line for line in read_journal(folder.journal) if isinstance(line, PhaseChange)]
    return any(line.phase is Phase.TRAINING and line.attempt == attempt for line in lines)


def writes(folder: RunFolder) -> bool:
    """Whether a checkpoint's temporary file is there."""
    return any(path.name.startswith(".step-") for path in folder.checkpoints.iterdir())


def evaluates(folder: RunFolder) -> bool:
    """Whether the last row is of an epoch's last step, so that its evaluation is what comes next."""
    with folder.metrics.open("rb") as file:
        file.seek(max(0, size(folder) - 1000))
        row: MetricLine | None = decode(file.read().rstrip(b"\n").rpartition(b"\n")[2], MetricLine)  # type: ignore[arg-type]
    return isinstance(row, StepRow) and row.step % STEPS == 0


def wait_until(seen: Callable[[], bool], folder: RunFolder, pause: float = 0.0005) -> bool:
    """Wait for a condition, looking at it every `pause` seconds; `False` where the run ended before."""
    limit = time.monotonic() + LIMIT
    while status_of(folder).live:
        for _ in range(LOOKS):
            if seen():
                return True
            time.sleep(pause)
        assert time.monotonic() < limit, f"nothing came: {folder.log.read_text()}"
    return False


def ended(folder: RunFolder) -> Status:
    """Wait for the end of all its processes; how it ended."""
    limit = time.monotonic() + LIMIT
    while (status := status_of(folder)).live:
        assert time.monotonic() < limit, f"it does not end: {folder.log.read_text()}"
        time.sleep(0.01)
    return status


def finished(folder: RunFolder) -> RunFolder:
    """The run, once it has finished."""
    assert ended(folder) is Status.FINISHED, (read_record(folder.exit, Exit), folder.log.read_text())
    return folder


def check_loadable(folder: RunFolder) -> None:
    """From the first checkpoint on there is always a loadable one, and none has to be skipped."""
    if folder.manifest.exists():
        found = CheckpointManager(folder).newest()
        assert found is not None
        assert found.notices == ()


def main() -> None:
    """The number of kills and perhaps the seed from the command line."""
    kills, seed = int(sys.argv[1]), int((sys.argv[2:] or [random.randrange(10**6)])[0])
    with tempfile.TemporaryDirectory() as home:
        os.environ["WORKBENCH_HOME"] = home
        print(f"{kills} kills, seed {seed}", flush=True)
        kill_many(kills, seed, lambda line: print(line, flush=True))
    print("every run ended as one never cut: weights, metrics and all else, bit for bit")


if __name__ == "__main__":
    main()
