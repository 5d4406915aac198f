"""Every part of a checkpoint is needed: without one, a run ends differently, or reports that it is not exact."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch

from tests.worker.kill_many import experiment
from tests.worker.support import evaluation_rows, last_checkpoint, outcome, prepared, run_until, same
from workbench.core.errors import UserError
from workbench.engine.device import Precision
from workbench.io.atomic_files import write_json
from workbench.runs.checkpoint_index import read_entries, write_entries
from workbench.runs.run_folder import RunFolder, create_run_folder
from workbench.runs.run_report import read_report
from workbench.worker import components as building

EARLY, LATE = "after an epoch's first step", "before its last"
EVERY, STEPS = 7, 160
"""Steps of a row, and of an epoch: at a border a row is under way."""
POSITIONS = {EARLY: 1, LATE: STEPS - 1}
CASES: dict[str, tuple[str, Any]] = {
    "model.body.0.weight": (LATE, None),
    "model.body.0.bias": (LATE, None),
    "model.body.1.weight": (LATE, None),
    "model.body.1.bias": (LATE, None),
    "model.body.1.running_mean": (LATE, None),
    "model.body.1.running_var": (LATE, None),
    "model.head.weight": (LATE, None),
    "model.head.bias": (LATE, None),
    "optimizer.state": (LATE, None),
    "optimizer.name": (LATE, "adam"),
    "lookahead": (LATE, None),
    "average.kind": (LATE, "swa"),
    "average.updates": (EARLY, None),
    "average.weights": (LATE, None),
    "scaler": (LATE, None),
    "step": (LATE, None),
    "epoch": (LATE, None),
    "position": (LATE, None),
    "best": (LATE, None),
    "stale": (LATE, None),
    "sums.device": (LATE, None),
    "sums.window": (EARLY, None),
    "sums.epoch": (LATE, None),
    "log_every": (LATE, 4),
    "random.cpu": (LATE, None),
    "threads": (LATE, 2),
    "processes": (LATE, 2),
    "fsdp": (LATE, True),
    "batch_size": (LATE, 5),
    "device": (LATE, "cuda"),
    "channels_last": (LATE, True),
    "processor": (LATE, "another"),
    "torch": (LATE, "2.0"),
    "fingerprint": (LATE, "another"),
}
"""Part, where the run was interrupted, and the replacement value (`None`: the value of a fresh run)."""
NOT_STATE = {
    "v": "the version of the form",
    "spec": "needed for inference and export only",
    "wall": "when it was made, and where the metrics ended: for a manifest that is lost",
    "model.body.1.num_batches_tracked": "counted by torch, used by no batch norm with a fixed momentum",
    "optimizer.param_groups": "its hyperparameters come from the settings",
}


@dataclass(frozen=True)
class Cuts:
    """A run never cut, the same cut in two places, and what a checkpoint of it holds before the first step."""

    uncut: Any
    fresh: dict[str, Any]
    folders: dict[str, RunFolder]


def made(home: Path) -> RunFolder:
    folder = create_run_folder(home, "cut")
    content = experiment().to_dict()
    content["train"] |= {"log_every": "auto", "batch_size": 4, "epochs": 400, "patience": 4}
    write_json(folder.experiment, content)
    return folder


@pytest.fixture(scope="module")
def half_precision() -> Iterator[None]:
    """What only a GPU offers otherwise: a scaler, here one that grows and gives way every few steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Precision, "scaler", lambda self: torch.amp.GradScaler("cpu", growth_interval=3))
        patch.setattr(building, "pick_precision", lambda name, device: Precision("fp16", device))
        yield


@pytest.fixture(scope="module")
def cuts(tmp_path_factory: pytest.TempPathFactory, half_precision: None) -> Cuts:
    home = tmp_path_factory.mktemp("cuts")
    first = made(home)
    trainer = prepared(first)
    trainer.step_callback.save_checkpoint()
    trainer.metrics.lines.close()
    fresh = dict(last_checkpoint(first))
    uncut = made(home)
    run_until(uncut, None)
    assert (trainer.components.epochs.steps, trainer.metrics.log_every) == (STEPS, EVERY)
    # Cut where the best epoch is past and patience runs out, and where neither position is at the end of a row.
    best = max(int(row.epoch) for row in evaluation_rows(uncut) if row.best)
    epoch = next(e for e in range(best + 1, best + 4) if e * STEPS % EVERY in {1, 3, 4, 5})
    folders = {}
    for where, position in POSITIONS.items():
        folders[where] = made(home)
        run_until(folders[where], epoch * STEPS + position)
    return Cuts(outcome(uncut), fresh, folders)


def parts(
    content: dict[str, Any], nested: tuple[str, ...] = ("model", "optimizer", "average", "sums", "random")
) -> set[str]:
    """The names of all parts."""
    inner = {f"{key}.{name}" for key in nested for name in content[key]}
    return inner | (content.keys() - set(nested))


def copy_of(folder: RunFolder, home: Path) -> RunFolder:
    return RunFolder(Path(shutil.copytree(folder.path, home / "runs" / folder.id)))


def rewrite(folder: RunFolder, content: dict[str, Any]) -> None:
    """Put `content` in the place of the newest checkpoint."""
    *others, entry = read_entries(folder)
    path = folder.checkpoints / entry.file
    torch.save(content, path)
    digest = sha256(path.read_bytes()).hexdigest()
    write_entries(folder, [*others, msgspec.structs.replace(entry, sha256=digest)])


def test_every_part_of_a_checkpoint_has_a_case(cuts: Cuts) -> None:
    assert parts(cuts.fresh) == CASES.keys() | NOT_STATE.keys()


@pytest.mark.parametrize("where", POSITIONS)
def test_a_complete_checkpoint_resumes_exactly(cuts: Cuts, home: Path, where: str) -> None:
    folder = copy_of(cuts.folders[where], home)
    rewrite(folder, dict(last_checkpoint(folder)))
    run_until(folder, None)
    assert same(outcome(folder), cuts.uncut)
    assert read_report(folder).exact


@pytest.mark.parametrize("part", CASES)
def test_a_missing_part_is_noticed(cuts: Cuts, home: Path, part: str) -> None:
    where, instead = CASES[part]
    folder = copy_of(cuts.folders[where], home)
    content, fresh = dict(last_checkpoint(folder)), cuts.fresh
    holder, name = content, part
    if part not in content:
        outer, name = part.split(".", 1)
        holder, fresh = content[outer], fresh[outer]
    holder[name] = fresh[name] if instead is None else instead
    assert not same(last_checkpoint(folder), content)
    rewrite(folder, content)
    try:
        run_until(folder, None)
    except UserError:
        return
    assert not (same(outcome(folder), cuts.uncut) and read_report(folder).exact)
