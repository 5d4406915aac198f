"""Finding logs in folders."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.logs.writers import SAMPLES
from workbench.logs import discovery
from workbench.logs.discovery import find_logs
from workbench.logs.source import LogFormat, LogSource


def put(path: Path, content: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


@pytest.mark.parametrize(
    ("name", "content", "format"),
    [
        ("a.csv", "step,loss\n", LogFormat.CSV),
        ("a.tsv", "Epoch\tloss\n", LogFormat.CSV),
        ("a.log", "epoch,accuracy,loss,val_loss\n", LogFormat.KERAS),
        ("metrics.csv", "acc,epoch,loss,step\n", LogFormat.LIGHTNING),
        ("results.csv", "   epoch,   train/box_loss\n", LogFormat.ULTRALYTICS),
        ("summary.csv", "epoch,train_loss,eval_top1\n", LogFormat.TIMM),
        ("a.jsonl", '{"step": 1, "loss": 2}\n', LogFormat.JSONL),
        ("trainer_state.json", "{}", LogFormat.HUGGING_FACE),
        ("events.out.tfevents.1.host", "", LogFormat.TENSORBOARD),
        ("run-1.wandb", "", LogFormat.WANDB),
        ("a.csv", "name,step,loss\n", None),
        ("a.csv", "step\n", None),
        ("a.csv", "", None),
        ("a.jsonl", '{"text": "a", "step": 1}\n', None),
        ("a.jsonl", '{"step": 1, ', None),
        ("config.json", '{\n "step": 1}', None),
        ("a.py", "step,loss\n", None),
    ],
)
def test_the_format_of_a_file(tmp_path: Path, name: str, content: str, format: LogFormat | None) -> None:
    path = put(tmp_path / name, content)
    assert [source.format for source in find_logs(path)] == ([format] if format else [])
    folder = tmp_path if format in {LogFormat.TENSORBOARD, LogFormat.HUGGING_FACE} else path
    assert find_logs(tmp_path) == ([LogSource(folder, format)] if format else [])


def test_all_logs_below_a_folder_are_found_once() -> None:
    assert [source.format for source in find_logs(SAMPLES)] == sorted(
        (LogFormat.HUGGING_FACE, LogFormat.KERAS, LogFormat.LIGHTNING, LogFormat.TIMM, LogFormat.ULTRALYTICS,
         LogFormat.WANDB),
        key=str,
    )  # fmt: skip


def test_hidden_and_linked_folders_and_what_can_not_be_opened_are_left_out(tmp_path: Path) -> None:
    put(tmp_path / ".git/a.csv", "step,loss\n")
    put(tmp_path / "runs/a.csv", "step,loss\n")
    (tmp_path / "runs/link").symlink_to(tmp_path)
    (tmp_path / "broken.csv").symlink_to("missing")
    os.mkfifo(tmp_path / "pipe.csv")
    assert find_logs(tmp_path) == [LogSource(tmp_path / "runs/a.csv", LogFormat.CSV)]
    assert find_logs(tmp_path / "missing") == []
    assert find_logs(tmp_path / "pipe.csv") == []


def test_the_search_ends_in_a_large_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "MAX_ENTRIES", 20)
    monkeypatch.setattr(discovery, "MAX_OPENED_FILES", 3)
    for number in range(10):
        put(tmp_path / f"a/{number}.csv", "step,loss\n")
        put(tmp_path / f"b/{number}.txt", "text\n")
    put(tmp_path / "z.csv", "step,loss\n")
    found = find_logs(tmp_path)
    assert [str(source.path.relative_to(tmp_path)) for source in found] == ["a/0.csv", "a/1.csv", "z.csv"]
