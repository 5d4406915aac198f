"""How a model is divided into units, and what each process holds of it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import nn
from torchvision import models

from workbench.core.errors import UserError
from workbench.engine import sharding
from workbench.engine.device import Precision
from workbench.engine.sharding import shard_module, units_of

LOOPBACK = "lo" if sys.platform == "linux" else "lo0"


def names(module: nn.Module) -> list[str]:
    found = {id(part): name for name, part in module.named_modules()}
    return [found[id(unit)] for unit in units_of(module)]


def on_meta(build: Any) -> nn.Module:
    with torch.device("meta"):
        module: nn.Module = build()
    return module


def test_large_blocks_and_layers_of_sequences_are_units() -> None:
    resnet = names(on_meta(lambda: models.resnet18(num_classes=10)))
    assert resnet == ["layer3.1", "layer4.0", "layer4.1"], "the blocks with a million parameters"
    assert names(on_meta(models.vit_b_16)) == [f"encoder.layers.encoder_layer_{i}" for i in range(12)]
    vgg = names(on_meta(models.vgg11))
    assert vgg == ["features.11", "features.13", "features.16", "features.18"] + [
        f"classifier.{i}" for i in (0, 3, 6)
    ]


class Attending(nn.Module):
    """Attention uses the weights of its layer `out_proj`, which is never called."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(1024, 8)


def test_layers_that_may_not_be_called_are_no_units() -> None:
    assert names(on_meta(Attending)) == []
    assert names(on_meta(lambda: nn.ModuleList([nn.Linear(1024, 1024)]))) == []


def test_parts_that_share_parameters_are_gathered_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharding, "MIN_PARAMETERS", 1)
    first, second, third = (nn.Linear(2, 2) for _ in range(3))
    second.weight = first.weight
    assert names(nn.Sequential(first, second, third)) == ["2"]
    assert names(nn.Sequential(first, first, third)) == ["2"]


def test_a_parameter_without_dimensions_is_refused() -> None:
    module = nn.Linear(2, 2)
    module.scale = nn.Parameter(torch.ones(()))
    with pytest.raises(UserError, match="parameter scale is a single number"):
        shard_module(module, Precision("fp32", torch.device("cpu")))


def run_two(program: str) -> list[Any]:
    """What two processes print that run a program of `sharded_steps`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.engine.sharded_steps", program],
            stdout=subprocess.PIPE,
            text=True,
            env={
                **os.environ, "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2",
                "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "GLOO_SOCKET_IFNAME": LOOPBACK,
            },
        )
        for rank in range(2)
    ]  # fmt: skip
    try:
        return [json.loads(process.communicate(timeout=300)[0].splitlines()[-1]) for process in processes]
    finally:
        for process in processes:
            process.kill()


def test_each_process_holds_its_shards_and_one_unit() -> None:
    """Elements, not bytes or times: of weights, gradients, optimizer state, and of what is gathered at a time."""
    first, second = run_two("held")
    total = first["total"]
    assert first["units"] == 5, "four layers, and the rest"
    for key, copies in (("weights", 1), ("gradients", 1), ("moments", 2)):
        assert first[key] + second[key] == copies * total
        assert max(first[key], second[key]) <= copies * (total // 2 + 1024), "half of it, and a row"
    assert first["gathered"] == second["gathered"] < total // 3, "a layer at a time"
    assert first["dtypes"] == second["dtypes"] == ["torch.bfloat16"]
    assert (first["checkpoint"], second["checkpoint"]) == (total, 0)


def test_every_optimizer_resumes_exactly_and_skips_bad_steps() -> None:
    first, second = run_two("resumed")
    assert len(first) == 8
    for optimizer, found in first.items():
        assert found == [True, True], optimizer
        assert second[optimizer][1], optimizer
