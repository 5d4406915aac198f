"""`workbench runs --filter` and `workbench compare --groups`, on real trainings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from workbench.cli.main import run

SEEDS = (0, 1)


@pytest.fixture
def seeds(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two groups of repeats: with different learning rates."""
    for lr in ("0.001", "0.01"):
        for seed in SEEDS:
            settings = (f"train.lr={lr}", f"seed={seed}", "train.epochs=1", "train.threads=1")
            sets = [part for setting in settings for part in ("--set", setting)]
            assert run(["train", "digits-mlp", "--json", *sets]) == 0
    capsys.readouterr()


def output(capsys: pytest.CaptureFixture[str], *command: str, code: int = 0) -> str:
    assert run(list(command)) == code
    printed = capsys.readouterr()
    return printed.out if code == 0 else printed.err


@pytest.mark.usefixtures("seeds")
def test_repeats_are_filtered_and_compared(capsys: pytest.CaptureFixture[str]) -> None:
    def filtered(expression: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(output(capsys, "runs", "--json", "--filter", expression))
        return found

    fast, slow = filtered("lr=0.01"), filtered("lr<0.01 has:validation/loss")
    assert [row["settings"]["seed"] for row in fast] == [1, 0]
    assert len(slow) == 2
    assert filtered("test/loss<0") == []
    assert run(["runs", "--filter", "lr>1"]) == 0
    assert "No run matches 'lr>1'." in capsys.readouterr().err
    assert "no run has 'learning'" in output(capsys, "runs", "--filter", "learning=1", code=2)

    columns = ("runs", "--columns", "lr,seed,best:val/loss,host", "--sort", "best:val/loss")
    head, *lines = output(capsys, *columns).splitlines()
    assert head.split() == ["lr", "seed", "best:val/loss", "host"]
    best = {(row["settings"]["train.lr"], row["settings"]["seed"]): row["best"] for row in filtered("")}
    cells = [line.split() for line in lines]
    assert {(float(lr), int(seed)) for lr, seed, *_ in cells} == best.keys() and len(cells) == len(best)
    assert [loss for _, _, loss, _ in cells] == sorted((loss for _, _, loss, _ in cells), key=float)
    assert output(capsys, *columns, "--reverse").splitlines()[1:] == lines[::-1]
    assert "(did you mean 'seed'?)" in output(capsys, "runs", "--columns", "name,sed", code=2)

    document = json.loads(output(capsys, "compare", "--groups", "--json"))
    groups = {group["settings"]["train.lr"]: group for group in document["groups"]}
    accuracies = {
        lr: [row["test"]["accuracy"] for row in reversed(rows)] for lr, rows in ((0.01, fast), (0.001, slow))
    }
    for lr, values in accuracies.items():
        assert groups[lr]["metrics"]["test.accuracy"]["values"] == values
        assert groups[lr]["metrics"]["test.accuracy"]["mean"] == pytest.approx(sum(values) / 2)
    (difference,) = (one for one in document["differences"] if one["metric"] == "test.accuracy")
    assert difference["p"] == pytest.approx(stats.ttest_ind(*accuracies.values(), equal_var=False).pvalue)

    printed = output(capsys, "compare", "--groups", "digits")
    assert "digits-mlp lr=0.01" in printed
    assert " ± " in printed
    assert printed.splitlines()[-1] == "Groups of fewer than 3 runs are too small for a comparison."
    named = output(capsys, "compare", "--groups", "--", fast[0]["id"], fast[1]["id"])
    assert named.splitlines()[1].split()[:3] == ["digits-mlp", "2", f"{_mean(fast):.4f}"]
    assert "no run matches 'lr>1'" in output(capsys, "compare", "--groups", "lr>1", code=2)


def _mean(rows: list[dict[str, Any]]) -> float:
    values: list[float] = [row["test"]["loss"] for row in rows]
    return sum(values) / len(values)
