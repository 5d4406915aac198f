from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from workbench.errors import BadInput
from workbench.experiment import Train
from workbench.io.atomic import read_json
from workbench.training.batches import Batch
from workbench.training.device import pick_device, pick_precision
from workbench.training.task import Classification
from workbench.training.threads import candidates, pick_threads, usable_cores

CPU = torch.device("cpu")


def test_the_cpu_is_always_there() -> None:
    assert pick_device("cpu") == CPU


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "cuda:x", ""])
def test_what_is_not_there_is_met_with_what_is(name: str) -> None:
    with pytest.raises(BadInput, match="here there is cpu"):
        pick_device(name)


def test_precision_by_device() -> None:
    assert pick_precision("auto", CPU).name == "fp32"
    with pytest.raises(BadInput, match="fp16 needs a GPU"):
        pick_precision("fp16", CPU)
    with pick_precision("bf16", CPU).autocast():
        assert nn.Linear(2, 2)(torch.ones(1, 2)).dtype == torch.bfloat16


def test_threads_are_timed_once_and_remembered(home: Path) -> None:
    module, batch = nn.Linear(8, 3), Batch(torch.randn(16, 8), torch.zeros(16, dtype=torch.int64))
    before = {k: v.clone() for k, v in module.state_dict().items()}
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    chosen = pick_threads(module, Classification(3), Train(), batch, "mine")
    assert chosen in candidates(usable_cores())
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())
    known = read_json(home / "threads.json")
    assert known is not None
    assert list(known["threads"].values()) == [chosen]
    key = next(iter(known["threads"]))
    (home / "threads.json").write_text(f'{{"v": 1, "threads": {{"{key}": {usable_cores()}}}}}')
    assert pick_threads(module, Classification(3), Train(), batch, "mine") == usable_cores()


def test_candidates() -> None:
    assert [candidates(n) for n in (1, 2, 3, 6, 16)] == [
        [1],
        [1, 2],
        [1, 2, 3],
        [1, 2, 4, 6],
        [1, 2, 4, 8, 16],
    ]
