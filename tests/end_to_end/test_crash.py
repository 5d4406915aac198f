"""A worker that dies by itself: the run has failed, in one line that says by which signal and where."""

from __future__ import annotations

import re
from pathlib import Path

from workbench.cli.follow import Follower
from workbench.config.experiment import build
from workbench.launcher import launch
from workbench.runs.enums import Cause
from workbench.runs.run_report import report_of
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


def test_a_segfault_is_said_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(NET)
    model = f"{tmp_path / 'net.py'}:Net"
    folder = launch.start(build(dataset="digits", model=model, sets=["train.threads=1"]), "test")
    assert Follower(folder).follow() is Status.FAILED
    report = report_of(folder)
    assert report.cause is Cause.CRASH
    assert re.fullmatch(
        r"the worker was ended by SIGSEGV in string_at \(__init__.py line \d+\), called by forward "
        r"\(net.py line 14\); the log has the whole stack",
        report.reason or "",
    )
    assert "in train_epoch" in folder.log.read_text()
