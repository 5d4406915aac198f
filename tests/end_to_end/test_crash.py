"""A worker that crashes: the run fails with one line that names the signal and the place."""

from __future__ import annotations

import re
from pathlib import Path

from workbench.cli.follow import Follower
from workbench.config.experiment import build_experiment
from workbench.launcher import launch
from workbench.runs.enums import Cause
from workbench.runs.run_report import read_report
from workbench.runs.status import Status

NET = """
import ctypes
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, classes, shape):
        super().__init__()
        self.layer, self.steps = nn.Linear(torch.Size(shape).numel(), classes), 0

    def forward(self, x):
        self.steps += 1
        if self.steps > 20:
            ctypes.string_at(0)
        return self.layer(x.flatten(1))
"""


def test_a_segfault_is_reported_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(NET)
    model = f"{tmp_path / 'net.py'}:Net"
    folder = launch.start_run(
        build_experiment(dataset="digits", model=model, sets=["train.threads=1"]), "test"
    )
    assert Follower(folder).follow() is Status.FAILED
    report = read_report(folder)
    assert report.cause is Cause.CRASH
    assert re.fullmatch(
        r"the worker was killed by SIGSEGV in string_at \(__init__.py line \d+\), called by forward "
        r"\(net.py line 14\); the log has the full stack",
        report.reason or "",
    )
    assert "in train_epoch" in folder.log.read_text()
