"""The recipe for 94 % in a few seconds, on synthetic images like CIFAR's: it learns and resumes exactly."""

from __future__ import annotations

from pathlib import Path

from tests.worker.support import last_checkpoint, metrics, run_until, same
from workbench.config.experiment import build_experiment
from workbench.io.atomic_files import write_json
from workbench.runs.run_folder import RunFolder, create_run_folder
from workbench.runs.run_report import read_report


def small(home: Path) -> RunFolder:
    """The recipe with narrower stages, on 640 shapes of 16×16."""
    sets = ["data.train=640", "data.test=200", "data.size=16", "model.widths=16,32,32", "train.batch_size=64",
            "train.epochs=5", "train.threads=1", "train.device=cpu"]  # fmt: skip
    folder = create_run_folder(home / "runs", "fast")
    write_json(folder.experiment, build_experiment("cifar10-fast", dataset="shapes", sets=sets).to_dict())
    return folder


def test_the_recipe_learns_and_resumes_exactly(home: Path) -> None:
    uncut, cut = small(home), small(home)
    run_until(uncut, None)
    run_until(cut, 23)
    run_until(cut, None)
    assert metrics(cut) == metrics(uncut)
    assert same(last_checkpoint(cut)["model"], last_checkpoint(uncut)["model"])
    report = read_report(cut)
    assert report.exact
    test = report.test
    assert test is not None
    assert (test["accuracy"] or 0) > 0.4  # chance is 0.1
    assert (test["tta_accuracy"] or 0) > 0.4
    reference = report.reference
    assert reference is not None
    assert reference.published == 0.9401
    assert reference.ours == test["tta_accuracy"]
