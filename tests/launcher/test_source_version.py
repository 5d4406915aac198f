"""The git commit of the user's code is recorded with a run, and what differed from it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from workbench.config.experiment import build_experiment
from workbench.io.atomic_files import write_json
from workbench.io.record_codec import write_record
from workbench.launcher.source_version import record_source
from workbench.runs.run_folder import RunFolder, create_run_folder
from workbench.runs.script import Script
from workbench.system import git


def run_git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    command = ["git", *identity, "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    root.mkdir()
    run_git(root, "init", "-q", "-b", "main")
    (root / "train.py").write_text("print('first')\n")
    run_git(root, "add", "train.py")
    run_git(root, "commit", "-q", "-m", "first")
    return root


@pytest.fixture
def script(home: Path, repository: Path) -> RunFolder:
    folder = create_run_folder(home / "runs", "train")
    write_record(folder.experiment, Script(command=("python", "train.py"), working_directory=str(repository)))
    return folder


def test_a_script_of_a_clean_repository(script: RunFolder, repository: Path) -> None:
    source = record_source(script, 1)
    assert source is not None
    assert source.commit == run_git(repository, "rev-parse", "HEAD")
    assert source.text == f"{source.commit[:8]} (main)"
    assert not script.source_diff(1).exists()


def test_changes_are_kept_and_can_be_applied(script: RunFolder, repository: Path, tmp_path: Path) -> None:
    (repository / "train.py").write_text("print('second')\n")
    (repository / "näme new.txt").write_text("not tracked\n")
    source = record_source(script, 2)
    assert source is not None
    assert source.changed == ("train.py", "näme new.txt")
    assert source.text.endswith("2 files changed: train.py, näme new.txt")
    run_git(tmp_path, "clone", "-q", str(repository), "copy")
    run_git(tmp_path / "copy", "apply", str(script.source_diff(2)))
    assert (tmp_path / "copy" / "train.py").read_text() == "print('second')\n"


def test_a_long_difference_is_cut(
    script: RunFolder, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(git, "MAX_DIFF_BYTES", 1000)
    (repository / "train.py").write_text("print('much')\n" * 10_000)
    assert record_source(script, 1) is not None
    assert script.source_diff(1).stat().st_size == 1000


def test_no_program_that_the_repository_configures_is_run(
    script: RunFolder, repository: Path, tmp_path: Path
) -> None:
    trap = tmp_path / "trap"
    trap.write_text(f"#!/bin/sh\ntouch {tmp_path}/sprung\n")
    trap.chmod(0o755)
    for key in ("diff.external", "core.fsmonitor", "diff.trap.textconv", "diff.trap.command"):
        run_git(repository, "config", key, str(trap))
    (repository / ".gitattributes").write_text("*.py diff=trap\n")
    (repository / "train.py").write_text("print('second')\n")
    assert record_source(script, 1) is not None
    assert b"second" in script.source_diff(1).read_bytes()
    assert not (tmp_path / "sprung").exists()


def test_without_a_repository_a_commit_or_git_nothing_is_recorded(
    script: RunFolder, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert git.read_repository(tmp_path) is None
    assert git.read_repository(tmp_path / "missing") is None
    run_git(tmp_path, "init", "-q", "empty")
    assert git.read_repository(tmp_path / "empty") is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert record_source(script, 1) is None
    assert git.read_diff(repository) == b""


def test_a_training_has_the_commit_of_its_own_code_only(home: Path, repository: Path) -> None:
    (repository / "net.py").write_text(
        "from torch import nn\n\n\ndef make(**_):\n    return nn.Linear(1, 1)\n"
    )
    folder = create_run_folder(home / "runs", "own")
    own = build_experiment(dataset="digits", model=f"{repository / 'net.py'}:make")
    write_json(folder.experiment, own.to_dict())
    source = record_source(folder, 1)
    assert source is not None
    assert source.changed == ("net.py",)
    write_json(folder.experiment, build_experiment("digits-mlp").to_dict())
    assert record_source(folder, 2) is None, "nothing of the user's is run"


def test_show_reports_the_commit_of_a_real_script(home: Path, repository: Path) -> None:
    assert home
    workbench = [sys.executable, "-m", "workbench"]
    command = [*workbench, "run", "--json", "--cwd", str(repository), "--", sys.executable, "train.py"]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    assert json.loads(result.stdout)["source"]["commit"] == run_git(repository, "rev-parse", "HEAD")
    shown = subprocess.run([*workbench, "show", "last"], check=True, capture_output=True, text=True).stdout
    assert f"code  {run_git(repository, 'rev-parse', 'HEAD')[:8]} (main)\n" in shown
