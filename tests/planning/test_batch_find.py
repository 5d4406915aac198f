"""`workbench batch-find`: the largest batch size that fits, by powers of two and bisection."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from workbench.cli.main import run
from workbench.planning.batch_search import search_largest


@pytest.mark.parametrize("limit", [1, 2, 7, 64, 100, 777, 1000])
def test_the_search_ends_near_the_limit(limit: int) -> None:
    tried: list[int] = []

    def fits(size: int) -> bool:
        tried.append(size)
        return size <= limit

    fitting, failing = search_largest(fits, 1, 1000)
    assert fitting <= limit and fitting >= limit - max(1, limit // 8)
    assert (failing > limit) if limit < 1000 else (failing, fitting) == (0, 1000)
    assert len(tried) == len(set(tried)) and 1 in tried
    powers = [size for size in tried if size & (size - 1) == 0]
    assert powers[: len(tried) // 2] == [1 << k for k in range(len(tried) // 2)]


def test_nothing_fits() -> None:
    assert search_largest(lambda size: False, 2, 100) == (0, 2)


def test_the_command_prints_all_sizes_that_were_tried(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["batch-find", "digits-mlp", "--set", "train.threads=1", "--set", "train.validation=0.8"]
    assert run([*arguments, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    tried = document["tried"]
    assert [row["batch_size"] for row in tried[:4]] == [1, 2, 4, 8]
    assert all(row["fits"] and row["samples_per_second"] > 0 for row in tried)
    assert (
        document["largest"] == tried[-1]["batch_size"]
        and document["limit"] == "all training data is one batch"
    )
    assert document["fastest"] > 1
    assert not (home / "runs").exists()


def test_a_batch_that_does_not_fit_ends_the_search(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A model that runs out of memory with more than 20 samples."""
    file = tmp_path / "greedy.py"
    file.write_text(
        "import torch\n"
        "class Net(torch.nn.Module):\n"
        "    def __init__(self, shape, outputs):\n"
        "        super().__init__()\n"
        "        self.head = torch.nn.Linear(64, outputs)\n"
        "    def forward(self, x):\n"
        "        if self.training and len(x) > 20:\n"
        "            raise MemoryError('not enough memory')\n"
        "        return self.head(x.flatten(1))\n"
    )
    command = ["batch-find", "--dataset", "digits", "--model", f"{file}:Net", "--set", "train.batch_size=8"]
    assert run([*command, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert 18 <= document["largest"] <= 20
    assert [row["batch_size"] for row in document["tried"] if not row["fits"]][-1] == 32
    assert all("out of memory" in row["reason"] for row in document["tried"] if not row["fits"])
