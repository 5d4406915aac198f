"""Training runs for the checks: in the process of the check, or through the command line."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.gpu.checks import Env, Failed
from tests.worker.support import epoch_rows, notices, run_until, setup_of, step_rows
from workbench.config.experiment import experiment_from_dict
from workbench.io.atomic_files import read_json, write_json
from workbench.runs.run_folder import RunFolder, create_run_folder

RESNET: dict[str, Any] = {"name": "resnet", "depth": 8, "width": 8}
COMMAND_SECONDS = 100.0


def make_run(
    env: Env,
    settings: dict[str, Any],
    model: dict[str, Any] | None = None,
    data: str = "digits",
    seed: int = 7,
) -> RunFolder:
    """A run folder on the device of `env`: digits (8×8, gray), or the color images of `cifar10`."""
    content = {
        "name": "check",
        "seed": seed,
        "data": {"name": data},
        "model": model or {"name": "mlp", "widths": [64], "dropout": 0.0},
        "train": {"threads": 1, "device": env.device, "log_every": 1, "epochs": 3, **settings},
    }
    folder = create_run_folder(env.folder / "home" / "runs", "check")
    write_json(folder.experiment, experiment_from_dict(content).to_dict())
    return folder


def train(env: Env, settings: dict[str, Any], *model_and_data: Any) -> RunFolder:
    """A run that was trained in this process, to its end and on the device that was asked for."""
    folder = make_run(env, settings, *model_and_data)
    run_until(folder, None)
    check_device(env, setup_of(folder).device)
    check_learned(folder)
    return folder


def check_device(env: Env, device: str) -> None:
    """Raise `Failed` unless the run computed on the device that was asked for."""
    if not device.startswith(env.device):
        raise Failed(f"ran on {device} instead of {env.device}")


def check_learned(folder: RunFolder) -> None:
    """Raise `Failed` unless all losses are finite and the last epoch's is lower than the first one's."""
    losses = epoch_losses(folder)
    if not all(map(math.isfinite, losses)) or (len(losses) > 1 and losses[-1] >= losses[0]):
        raise Failed(f"the training loss went {losses[0]:.4g} → {losses[-1]:.4g}")


def epoch_losses(folder: RunFolder) -> list[float]:
    """The mean training loss of each epoch."""
    return [row.loss if row.loss is not None else math.nan for row in epoch_rows(folder)]


def step_losses(folder: RunFolder) -> list[float]:
    """The loss of each row of steps."""
    return [row.loss if row.loss is not None else math.nan for row in step_rows(folder)]


def difference(a: Sequence[float], b: Sequence[float]) -> float:
    """The largest relative difference of two sequences of losses. Raises `Failed` for different lengths."""
    if len(a) != len(b) or not a:
        raise Failed(f"{len(a)} rows instead of {len(b)}")
    return max(abs(x - y) / max(abs(y), 1e-3) for x, y in zip(a, b, strict=True))


def notice_texts(folder: RunFolder) -> list[str]:
    """What the run noticed."""
    return [notice.text for notice in notices(folder)]


def workbench(*arguments: str, timeout: float = COMMAND_SECONDS) -> Any:
    """The JSON that `workbench …` prints. Raises `Failed` with its last line if it fails."""
    command = [sys.executable, "-m", "workbench", *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    if done.returncode:
        print(done.stderr, file=sys.stderr)
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise Failed(f"workbench {' '.join(arguments)}: exit code {done.returncode}: {last}")
    return json.loads(done.stdout)


def start(recipe: str, *sets: str, device: str = "") -> subprocess.Popen[str]:
    """`workbench train` in the background of this check, following its run."""
    command = [sys.executable, "-m", "workbench", "train", recipe, "--json", *_assignments(sets)]
    command += ["--device", device] if device else []
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str], timeout: float = COMMAND_SECONDS) -> dict[str, Any]:
    """The report of a run that was started. Raises `Failed` if it did not finish."""
    out, errors = process.communicate(timeout=timeout)
    if process.returncode:
        raise Failed(f"exit code {process.returncode}: {(errors.strip().splitlines() or ['no message'])[-1]}")
    document: dict[str, Any] = json.loads(out)
    return document


def train_recipe(recipe: str, *sets: str, device: str = "") -> dict[str, Any]:
    """The report of a finished run of `workbench train`."""
    return finish(start(recipe, *sets, device=device))


def setup_json(report: dict[str, Any]) -> dict[str, Any]:
    """What a run of the command line recorded of its execution."""
    return read_json(Path(report["directory"]) / "setup.json") or {}


def _assignments(sets: Sequence[str]) -> Iterator[str]:
    for assignment in sets:
        yield from ("--set", assignment)
