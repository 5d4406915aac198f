"""Fuzzes everything that reads a file: `python -m tests.fuzz --minutes 10 --seed 1`.

Real files are damaged and read again. Each must end in a value or in the documented error of its reader, within 5
seconds of processor time and 2 GB of memory. A file that does not is saved; `--replay FILE` reads it again.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from tests.fuzz.cases import Tally, fuzz, outcome
from tests.fuzz.readers import READERS

ADDRESS_SPACE = 8 << 30
"""What a process may map, so that a fault does not take the machine's memory."""
KILL_AFTER = 120
"""Seconds after the end of its time in which a reader's process has to end by itself."""


def train_run(home: Path) -> Path:
    """The folder of a finished run."""
    command = [sys.executable, "-m", "workbench", "train", "digits-mlp", "--set", "train.epochs=3"]
    environment = {**os.environ, "WORKBENCH_HOME": str(home)}
    subprocess.run(command, env=environment, check=True, capture_output=True)
    (run,) = [path for path in (home / "runs").iterdir() if path.is_dir()]
    return run


def use_place(place: Path) -> None:
    """Make a folder the home of this process, and its data."""
    os.environ["WORKBENCH_HOME"], os.environ["WORKBENCH_DATA"] = str(place / "home"), str(place / "data")
    place.mkdir()


@dataclass(frozen=True)
class Job:
    """Where and how to fuzz a reader."""

    name: str
    run: Path
    place: Path
    faults: Path
    """The folder where files are saved that cause faults."""
    seed: int
    seconds: float

    def save(self, data: bytes) -> Path:
        """Save a file for `--replay`."""
        self.faults.mkdir(exist_ok=True)
        path = self.faults / f"{self.name}@{hashlib.sha256(data).hexdigest()[:10]}"
        path.write_bytes(data)
        return path


def fuzz_here(job: Job, result: Connection) -> None:
    """Fuzz a reader, in a process of its own."""
    end = time.monotonic() + job.seconds
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    use_place(job.place)
    reader = READERS[job.name](job.run, job.place)
    (job.place / "case").symlink_to(reader.path)
    result.send(fuzz(reader, job.seed, lambda _: time.monotonic() > end, job.save))


def fuzz_reader(job: Job) -> Tally:
    """Fuzz a reader, which may crash or hang its process."""
    reading, writing = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=fuzz_here, args=(job, writing))
    process.start()
    writing.close()
    try:
        if reading.poll(job.seconds + KILL_AFTER):
            tally: Tally = reading.recv()
            return tally
        how = "it hangs"
    except EOFError:
        process.join()
        how = f"the process ended with exit code {process.exitcode}"
    finally:
        process.kill()
        process.join()
    return Tally(faults={str(job.save((job.place / "case").read_bytes())): how})


def main() -> int:
    """Print one line for each reader; the exit code is 1 if there is a fault."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="for all readers together (10)")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**6)
    parser.add_argument(
        "--only", action="append", choices=READERS, metavar="READER", help="only this one (repeatable)"
    )
    parser.add_argument("--replay", type=Path, metavar="FILE", help="read a saved file, and show its result")
    options = parser.parse_args()
    names, faults, found = options.only or list(READERS), Path("fuzz-faults").absolute(), 0
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        run = train_run(place / "trained")
        if options.replay:
            use_place(place / "replay")
            reader = READERS[options.replay.name.partition("@")[0]](run, place / "replay")
            result = outcome(reader, options.replay.read_bytes())
            print({True: "accepted", False: "refused"}.get(result, result))
            return int(isinstance(result, str))
        print(
            f"seed {options.seed:<20} {'cases':>9} {'accepted':>9} {'refused':>9} {'faults':>7}", flush=True
        )
        for name in names:
            job = Job(name, run, place / name, faults, options.seed, 60 * options.minutes / len(names))
            tally = fuzz_reader(job)
            counts = f"{tally.cases:9,} {tally.accepted:9,} {tally.refused:9,} {len(tally.faults):7}"
            print(f"{name:25} {counts}", flush=True)
            for file, error in tally.faults.items():
                print(f"    {file}: {error}", flush=True)
            found += len(tally.faults)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
