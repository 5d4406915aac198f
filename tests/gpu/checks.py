"""The list of the checks, and what a check gets and gives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

TRAIN_RECIPES = ("digits-mlp", "line-regression", "two-clusters", "two-clusters-sgd", "mnist-mlp", "mnist-mlp-logits",
                 "cifar10-convnet", "cifar10-fast")  # fmt: skip


@dataclass(frozen=True)
class Env:
    """Where a check works: the device, a folder of its own, and the folder of the shared data."""

    device: str
    folder: Path
    data: Path

    @property
    def on_gpu(self) -> bool:
        """Whether this is the real thing; else only the code of the check itself is tried."""
        return self.device != "cpu"


class Failed(Exception):
    """The product does something wrong; the message says what in one line."""


class NotMeasured(Exception):
    """The check can't be made here; the message says why in one line."""


@dataclass(frozen=True)
class Check:
    """One line of the table. `function` is `module:name` in this package; it takes an `Env` (and `argument`).

    It returns the figure, or raises `Failed`, `NotMeasured` or anything else, which counts as failed.
    """

    name: str
    function: str
    mend: str
    """Where to look if it fails."""
    argument: str = ""
    seconds: float = 90.0
    """Its time limit."""
    alone: bool = False
    """Whether it measures time, and so needs the machine for itself."""
    gpu_only: bool = False
    """Whether it can't even be tried on a CPU."""


CHECKS: tuple[Check, ...] = (
    Check("machine", "devices:machine", "driver and PyTorch: `workbench doctor`", seconds=60),
    Check("device-names", "devices:names", "engine/device.py, launcher/launch.py: how a device is named"),
    Check("hidden-gpu", "devices:hidden", "launcher/supervisor.py: a run without any visible GPU falls back to the CPU",
          gpu_only=True),
    *(
        Check(f"recipe {name}", "recipes:train", f"workbench/recipes/{name}.toml, and the log of its run", name, 120)
        for name in TRAIN_RECIPES
    ),
    Check("precision", "training:precision", "engine/device.py, engine/train_state.py: autocast and GradScaler"),
    Check("no-sync", "training:no_sync", "the operator in the error reads from the device in each step", gpu_only=True),
    Check("graphs", "graphs:equal", "engine/cuda_graphs.py: capture and replay", seconds=120, gpu_only=True),
    Check("graphs-recapture", "graphs:recapture", "GraphedStep.invalidate", gpu_only=True),
    Check("graphs-fallback", "graphs:fallback", "GraphedStep.capture: a step that reads values has to run eagerly",
          gpu_only=True),
    Check("compile", "training:compile_model", "engine/accelerate.py: CompiledModule", seconds=170),
    Check("placement", "training:placement", "engine/prefetch.py: pinned memory, streams and events"),
    Check("exact", "training:exact", "engine/device.py:configure_determinism; which operator the log warns about"),
    Check("kill-and-resume", "processes:kill", "worker/checkpoints.py, engine/host_copy.py, engine/rng_state.py",
          seconds=120),
    Check("out-of-memory", "training:out_of_memory", "worker/recovery.py: parse_out_of_memory, largest_fitting_batch"),
    Check("evaluate", "processes:evaluate", "inference/evaluate_run.py"),
    Check("classify", "processes:classify", "inference/classifier.py: TF32, memory format"),
    Check("plan", "processes:plan", "planning/worker.py: timing by phase, memory of the device"),
    Check("two-runs", "processes:two_runs", "launcher/supervisor.py: the choice of a GPU", seconds=120),
    Check("forked-run", "processes:forked_run", "launcher/fork_server.py: what initializes CUDA before the fork"),
    Check("utilisation", "speed:utilisation", "what keeps the GPU waiting: engine/batches.py, worker/step_callback.py",
          seconds=60, alone=True),
    Check("speed mnist-mlp", "speed:against_eager", "engine/cuda_graphs.py, engine/batches.py", "mnist-mlp", 120, True),
    Check("speed cifar10-convnet", "speed:against_eager", "engine/cuda_graphs.py, engine/batches.py",
          "cifar10-convnet", 120, True),
    Check("speed resnet", "speed:against_eager", "engine/cuda_graphs.py, channels_last, bf16", "resnet", 120, True),
    Check("speed cifar10-fast", "speed:fast", "recipes/cifar10-fast.toml: steps, evaluation, start", seconds=90,
          alone=True),
)  # fmt: skip
