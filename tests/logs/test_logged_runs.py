"""Which runs a folder of logs holds, what they are called, and what is said of a path without a log."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from torch.utils.tensorboard import SummaryWriter

from tests.logs.writers import SAMPLES
from workbench.core.errors import UserError
from workbench.logs.logged_runs import LoggedRun, find_logged_runs
from workbench.logs.source import LogFormat, LogSource


def put(path: Path, content: str = "step,loss\n1,2\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def write_events(folder: Path) -> None:
    with SummaryWriter(str(folder)) as writer:
        writer.add_scalar("loss", 1.0, 1)


def names(path: Path) -> list[str]:
    return [run.name for run in find_logged_runs(path)]


def test_each_folder_with_event_files_is_a_run(tmp_path: Path) -> None:
    for name in ("run1", "run2", "sweep/lr1"):
        write_events(tmp_path / name)
    write_events(tmp_path / "run2")  # a second event file of the same run
    assert names(tmp_path) == ["run1", "run2", "sweep/lr1"]
    assert names(tmp_path / "run1") == ["run1"]
    (event_file,) = (tmp_path / "run1").iterdir()
    assert names(event_file) == ["run1"]


def test_names_leave_out_the_folders_that_loggers_create(tmp_path: Path) -> None:
    header = "epoch,step,train_loss\n0,1,2\n"
    for version in (0, 1):
        put(tmp_path / f"big/lightning_logs/version_{version}/metrics.csv", header)
    assert names(tmp_path) == ["big/version_0", "big/version_1"]
    assert names(tmp_path / "big") == ["version_0", "version_1"]
    assert names(tmp_path / "big/lightning_logs/version_1") == ["version_1"]


def test_the_logs_of_one_folder_are_one_run_if_its_program_gives_each_run_a_folder(tmp_path: Path) -> None:
    write_events(tmp_path / "a")
    table = put(tmp_path / "a/results.csv", "epoch,train/box_loss\n1,2\n")
    (run,) = find_logged_runs(tmp_path)
    assert set(run.sources) == {
        LogSource(tmp_path / "a", LogFormat.TENSORBOARD),
        LogSource(table, LogFormat.ULTRALYTICS),
    }


def test_tables_side_by_side_are_runs_of_their_own(tmp_path: Path) -> None:
    for name in ("lr1.csv", "lr2.csv", "deep/training.log", "more/x.csv", "more/y.jsonl"):
        put(tmp_path / name, '{"step": 1, "loss": 2}\n' if name.endswith("jsonl") else "step,loss\n1,2\n")
    assert names(tmp_path) == ["deep", "lr1", "lr2", "more/x", "more/y"]
    assert names(tmp_path / "lr1.csv") == ["lr1"]
    assert names(tmp_path / "deep/training.log") == ["deep"], "'training' says nothing"


def test_the_stored_logs_of_real_packages_are_found() -> None:
    assert {run.sources[0].format for run in find_logged_runs(SAMPLES)} == {
        LogFormat.HUGGING_FACE, LogFormat.KERAS, LogFormat.LIGHTNING, LogFormat.TIMM, LogFormat.ULTRALYTICS,
        LogFormat.WANDB,
    }  # fmt: skip


def unreadable(folder: Path) -> Path:
    path = put(folder / "secret.csv")
    path.chmod(0)
    return path


def garbled(name: str) -> object:
    def write(folder: Path) -> Path:
        path = folder / name
        path.write_bytes(bytes(range(1, 256)) * 4)
        return path

    return write


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: folder / "nowhere", "no such file or folder"),
        (lambda folder: put(folder / "a.csv", ""), "is empty"),
        (lambda folder: folder, "is empty"),
        (lambda folder: put(folder / "a.csv", "name,loss\n"), "no log found"),
        (lambda folder: put(folder / "a.txt", "hello\n").parent, "no log found"),
        (lambda folder: put(folder / "a.csv", "step,loss\nx,y,z\n"), r"nothing in it can be read \(1 invalid line\)"),
        (garbled("a.tfevents"), "nothing in it can be read"),
        (garbled("a.wandb"), "nothing in it can be read"),
        pytest.param(
            unreadable, "can't be read: Permission denied",
            marks=pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything"),
        ),
        (lambda folder: Path(os.devnull), "is neither a file nor a folder"),
    ],
)  # fmt: skip
def test_a_path_without_a_log_says_why(tmp_path: Path, make: object, message: str) -> None:
    path = make(tmp_path)  # type: ignore[operator]
    with pytest.raises(UserError, match=message) as raised:
        find_logged_runs(path)
    assert str(path) in str(raised.value) and "\n" not in str(raised.value)


def test_a_log_that_has_only_begun_is_a_run(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", "step,loss\n")
    assert find_logged_runs(path) == [LoggedRun("a", (LogSource(path, LogFormat.CSV),))]
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "events.out.tfevents.1.host").touch()
    assert names(tmp_path) == ["a", "b"]
