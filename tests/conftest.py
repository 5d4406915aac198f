from __future__ import annotations

import gc
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from workbench.cli.follow import Follower
from workbench.config.experiment import build_experiment
from workbench.launcher import launch
from workbench.launcher.fork_client import start_fork_server, stop_fork_server, wait_for_fork_server
from workbench.runs.run_folder import RunFolder
from workbench.runs.status import Status

# Tests start hundreds of processes: without bytecode each one would compile torch and the package anew.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Threads of a sum that wait for each other sleep: where other tests use the processors too, half of the processor time
# of a training in two threads would else be spent on looking whether the other thread has ended.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# No deadlines: machines that run tests are busy. In CI every run tries the same examples.
hypothesis.settings.register_profile("local", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "local")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--every-model", action="store_true", help="models on a fake GPU: all, not one of each family"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Shuffle the tests, but leave the random generators alone: a test that needs a seed sets it itself."""
    if hasattr(config.option, "randomly_reset_seed"):
        config.option.randomly_reset_seed = False


def pytest_collection_finish() -> None:
    """Leave the modules imported so far out of garbage collections, and collect less often."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def pytest_unconfigure() -> None:
    """Let the interpreter free them as it exits: libraries that count their objects would report leaks."""
    gc.unfreeze()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A separate home for every test, so that no real runs, data or weights are used."""
    place = tmp_path / "home"
    monkeypatch.setenv("WORKBENCH_HOME", str(place))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "user-data"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv("WORKBENCH_DATA", raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    return place


@pytest.fixture(scope="session", autouse=True)
def fork_server() -> Iterator[None]:
    """Processes that the tests start from here are forked, as those of a screen are; commands import PyTorch."""
    start_fork_server()
    yield
    stop_fork_server()


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run of `digits-mlp`, trained once; tests take it through `digits_run`."""
    home = tmp_path_factory.mktemp("trained")
    wait_for_fork_server(lambda: False)  # another process would import PyTorch meanwhile
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_HOME", str(home))
        folder = launch.start_run(
            build_experiment("digits-mlp", sets=["train.epochs=6", "train.threads=1"]), "test"
        )
        assert Follower(folder).follow() is Status.FINISHED, folder.log.read_text()
    return folder.path


@pytest.fixture
def digits_run(trained: Path, home: Path) -> RunFolder:
    """A copy of a finished run of `digits-mlp` in the test's own home."""
    return RunFolder(Path(shutil.copytree(trained, home / "runs" / trained.name)))
