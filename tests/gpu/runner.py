"""Runs the checks: each in its own process, with a time limit, several at a time unless they measure time."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.gpu.checks import Check

AT_ONCE = 4
LEAST_SECONDS = 15.0
"""A check is not started with less time left than this."""
OK, FAILED, NOT_MEASURED = "ok", "failed", "not measured"
LOG_LINES = 40


@dataclass(frozen=True)
class Result:
    """One line of the table."""

    name: str
    result: str
    figure: str
    mend: str = ""
    """Where to look; only for a failed check."""
    seconds: float = 0.0
    log: str = ""
    """The end of the output of a failed check."""


class Runner:
    """Runs checks below `folder`, all of them within `budget` seconds."""

    def __init__(self, device: str, folder: Path, budget: float, report: Callable[[Result], None]) -> None:
        self._device, self._folder, self._report = device, folder, report
        self._end = time.monotonic() + budget
        self._printing = threading.Lock()
        self.data = folder / "data"

    def run(self, checks: Sequence[Check]) -> list[Result]:
        """The results, in the order of `checks`; those that measure time run last, one by one."""
        found: dict[str, Result] = {}

        def run_one(check: Check) -> None:
            found[check.name] = result = self._run(check)
            with self._printing:
                self._report(result)

        with ThreadPoolExecutor(AT_ONCE if self._device != "cpu" else 1) as pool:
            list(pool.map(run_one, [check for check in checks if not check.alone]))
        for check in checks:
            if check.alone:
                run_one(check)
        return [found[check.name] for check in checks]

    def _run(self, check: Check) -> Result:
        left = self._end - time.monotonic()
        if check.gpu_only and self._device == "cpu":
            return Result(check.name, NOT_MEASURED, "needs a GPU")
        if left < LEAST_SECONDS:
            return Result(check.name, NOT_MEASURED, "no time left (--budget)")
        folder = self._folder / check.name.replace(" ", "-")
        folder.mkdir(parents=True)
        start, limit = time.monotonic(), min(check.seconds, left)
        with (folder / "log").open("wb") as log:
            command = [sys.executable, "-m", "tests.gpu.one", check.function, check.argument, self._device]
            command += [str(folder), str(self.data)]
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env=_environment(folder, self.data),
            )  # fmt: skip
            try:
                process.wait(limit)
                ended = None if process.returncode == 0 else f"its process ended with {process.returncode}"
            except subprocess.TimeoutExpired:
                ended = f"still running after {limit:.0f} s"
            finally:
                end_processes(process, folder)
        return _result(check, folder, ended, time.monotonic() - start)


def _environment(folder: Path, data: Path) -> dict[str, str]:
    home = {"WORKBENCH_HOME": folder / "home", "TORCH_HOME": folder / "torch", "WORKBENCH_DATA": data}
    # Compiled kernels are of this check only: those of another one would hide what is broken.
    home["TORCHINDUCTOR_CACHE_DIR"] = folder / "inductor"
    return {**os.environ, **{name: str(path) for name, path in home.items()}, "PYTHONPATH": str(Path.cwd())}


def _result(check: Check, folder: Path, ended: str | None, seconds: float) -> Result:
    try:
        written = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        written = {"result": FAILED, "figure": ended or "wrote no result"}
    if written["result"] != FAILED:
        return Result(check.name, written["result"], written["figure"], seconds=round(seconds, 1))
    log = (folder / "log").read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:]
    return Result(check.name, FAILED, written["figure"], check.mend, round(seconds, 1), "\n".join(log))


def end_processes(process: subprocess.Popen[bytes], folder: Path) -> None:
    """Kill the check's own process group, and the runs that it started: they name its folder, and outlive it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for _ in range(3):  # a supervisor may start a worker meanwhile
        found = [pid for pid in _processes() if str(folder) in _command_line(pid)]
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if not found:
            return
        time.sleep(0.1)


def _processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").glob("[0-9]*") if int(path.name) != os.getpid()]


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    except OSError:
        return ""


def write_json(path: Path, device: str, results: Sequence[Result]) -> None:
    """All results, with the logs of the failed ones."""
    document = {
        "v": 1,
        "device": device,
        "time": time.time(),
        "checks": [asdict(result) for result in results],
    }
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
