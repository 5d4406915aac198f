"""The GPU itself, and how it is named."""

from __future__ import annotations

import os

import torch

from tests.gpu.checks import Env, Failed
from tests.gpu.support import finish, setup_json, start
from workbench.system.gpu import list_gpus


def machine(env: Env) -> str:
    """What is here; the driver and torch have to know the same GPU."""
    if not env.on_gpu:
        return f"cpu, torch {torch.__version__}"
    properties = torch.cuda.get_device_properties(0)
    driver = {gpu.uuid for gpu in list_gpus()}
    if driver and f"GPU-{properties.uuid}" not in driver:
        raise Failed(f"torch's GPU-{properties.uuid} is none of the driver's {', '.join(sorted(driver))}")
    note = "" if driver else ", NVML lists no GPU"
    size = properties.total_memory / 2**30
    return f"{properties.name}, {size:.0f} GiB, torch {torch.__version__}, CUDA {torch.version.cuda}{note}"


def names(env: Env) -> str:
    """Each name of the same device is accepted, and training runs there."""
    if env.on_gpu:
        asked = ["cuda", "cuda:0", "auto", f"GPU-{torch.cuda.get_device_properties(0).uuid}"]
    else:
        asked = ["cpu", "auto"]
    sets = ("train.epochs=1", "train.threads=1")
    started = {name: start("two-clusters", *sets, device=name) for name in asked}
    wrong = []
    for name, process in started.items():
        try:
            device = setup_json(finish(process)).get("device", "")
            if not device.startswith(env.device):
                wrong.append(f"{name} ran on {device}")
        except Failed as error:
            wrong.append(f"{name}: {error}")
    if wrong:
        raise Failed("; ".join(wrong))
    return ", ".join(asked)


def hidden(env: Env) -> str:
    """Without a visible GPU, `auto` is the CPU and `cuda` is refused in one line."""
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    sets = ("train.epochs=1", "train.threads=1")
    auto, cuda = (start("two-clusters", *sets, device=name) for name in ("auto", "cuda"))
    device = setup_json(finish(auto)).get("device")
    if device != "cpu":
        raise Failed(f"auto ran on {device}")
    _, errors = cuda.communicate(timeout=60)
    if cuda.returncode == 0 or "Traceback" in errors:
        raise Failed(f"--device cuda ended with {cuda.returncode}: {errors.strip().splitlines()[-1:]}")
    return f"auto: cpu; cuda: {errors.strip().splitlines()[-1]}"
