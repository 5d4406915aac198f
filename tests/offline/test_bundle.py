"""Data and weights carried in a folder from a machine with a network to one without."""

from __future__ import annotations

import gzip
import hashlib
import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.file_server import serving
from workbench.cli.main import run
from workbench.core import paths
from workbench.core.errors import UserError
from workbench.core.progress import Cancelled
from workbench.core.settings_schema import Choice
from workbench.datasets import downloads
from workbench.datasets.loader import load
from workbench.models import catalog
from workbench.offline import bundle

WORK = bundle.WorkCallbacks()
Publish = Callable[[], Path]


def idx(values: np.ndarray[Any, Any]) -> bytes:
    shape = b"".join(size.to_bytes(4, "big") for size in values.shape)
    return gzip.compress(b"\0\0\x08" + bytes([values.ndim]) + shape + values.astype(np.uint8).tobytes())


def mnist_files() -> dict[str, bytes]:
    draw = np.random.default_rng(0)
    files = {}
    for name, count in (("train", 30), ("t10k", 20)):
        files[f"{name}-images-idx3-ubyte.gz"] = idx(draw.integers(0, 256, (count, 28, 28)))
        files[f"{name}-labels-idx1-ubyte.gz"] = idx(np.arange(count) % 10)
    return files


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A server in place of all others; its files are the published ones."""
    folder = tmp_path / "served"
    folder.mkdir()
    files = mnist_files()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    torch.save({"a": torch.ones(2)}, folder / "w")
    weights = folder / f"tiny-{hashlib.sha256((folder / 'w').read_bytes()).hexdigest()[:8]}.pth"
    (folder / "w").rename(weights)
    real = downloads.remote_files

    def remotes(name: str, options: Any) -> list[downloads.RemoteFile]:
        sums = {name: hashlib.md5(content).hexdigest() for name, content in files.items()}
        return [replace(remote, md5=sums[remote.name]) for remote in real(name, options)]

    with serving(folder) as url:
        address = f"{url}/"
        info = replace(catalog.find("resnet18"), name="tiny", weights_file=weights.name)
        monkeypatch.setattr(downloads, "remote_files", remotes)
        monkeypatch.setattr(catalog, "CATALOG", (*catalog.CATALOG, info))
        monkeypatch.setattr(catalog, "WEIGHTS_URL", address)
        monkeypatch.setenv("WORKBENCH_MIRROR", address)
        monkeypatch.setenv("no_proxy", "*")
        yield folder


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A recipe that wants both data and weights."""
    path = tmp_path / "both.toml"
    path.write_text('[data]\nname = "mnist"\n[model]\nname = "tiny"\n')
    return path


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Moves to a machine that has nothing and no network."""

    def move() -> None:
        monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "other" / "home"))
        monkeypatch.setenv("TORCH_HOME", str(tmp_path / "other" / "torch"))
        monkeypatch.setenv("WORKBENCH_MIRROR", "http://127.0.0.1:9/")
        monkeypatch.setattr(catalog, "WEIGHTS_URL", "http://127.0.0.1:9/")

    return move


def test_a_recipe_is_carried_to_a_machine_without_network(
    network: Path,
    recipe: Path,
    elsewhere: Callable[[], None],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "bundle"
    assert run(["fetch", str(recipe), "--to", str(folder), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["data"], document["weights"], len(document["files"])) == ("mnist", "tiny", 5)
    assert not (paths.home() / "data").exists() and not paths.weights().exists()  # only the folder has it
    checked = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=folder, capture_output=True, check=False)
    assert checked.returncode == 0 and checked.stdout.count(b"OK") == 5
    elsewhere()
    assert run(["fetch", str(recipe)]) == 2
    assert run(["fetch", str(recipe), "--from", str(folder)]) == 0
    assert load(Choice("mnist")).source == str(paths.data_cache() / "MNIST" / "raw")
    assert catalog.find("tiny").local_weights() is not None
    assert run(["fetch", str(recipe)]) == 0  # everything is here
    assert run(["fetch", "--from", str(folder)]) == 0  # and may come twice


def test_the_folder_can_be_used_in_place(
    network: Path,
    recipe: Path,
    elsewhere: Callable[[], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "bundle"
    bundle.create_bundle(bundle.network_requirements(str(recipe)), folder, WORK)
    elsewhere()
    monkeypatch.setenv("WORKBENCH_DATA", str(folder / "data"))
    monkeypatch.setenv("TORCH_HOME", str(folder / "torch"))
    assert len(load(Choice("mnist")).train) == 30
    assert catalog.find("tiny").local_weights() is not None


def test_present_files_are_copied_and_other_recipes_stay(network: Path, recipe: Path, tmp_path: Path) -> None:
    needs, folder = bundle.network_requirements(str(recipe)), tmp_path / "bundle"
    bundle.download_requirements(needs, WORK)
    for file in network.iterdir():
        file.unlink()
    assert len(bundle.create_bundle(replace(needs, weights=None), folder, WORK)) == 4
    assert len(bundle.create_bundle(replace(needs, data=None), folder, WORK)) == 5
    # What another bundling left half done is made whole.
    (folder / "data" / "MNIST" / "raw" / "train-labels-idx1-ubyte.gz").write_bytes(b"")
    before = (folder / "SHA256SUMS").read_text()
    bundle.create_bundle(needs, folder, WORK)
    assert (folder / "SHA256SUMS").read_text() == before


def test_debians_files_are_put_into_torchvisions_layout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "debian" / "mnist"
    place.mkdir(parents=True)
    for name, content in mnist_files().items():
        (place / name).write_bytes(content)
    monkeypatch.setenv("WORKBENCH_DATA", str(tmp_path / "debian"))
    found = bundle.create_bundle(bundle.network_requirements("mnist-mlp"), tmp_path / "bundle", WORK)
    assert [file.path for file in found] == sorted(f"data/MNIST/raw/{name}" for name in mnist_files())


def test_a_broken_download_leaves_nothing_that_looks_whole(
    network: Path, recipe: Path, tmp_path: Path
) -> None:
    (network / "train-images-idx3-ubyte.gz").write_bytes(b"something else")
    with pytest.raises(UserError, match=r"train-images-idx3-ubyte\.gz is not the expected file"):
        bundle.create_bundle(bundle.network_requirements(str(recipe)), tmp_path / "bundle", WORK)
    assert not (tmp_path / "bundle" / "SHA256SUMS").exists()
    with pytest.raises(UserError, match=r"SHA256SUMS does not exist"):
        bundle.import_bundle(tmp_path / "bundle", WORK)


@pytest.fixture
def carried(network: Path, recipe: Path, tmp_path: Path, elsewhere: Callable[[], None]) -> Path:
    """A whole bundle, on a machine that has nothing."""
    bundle.create_bundle(bundle.network_requirements(str(recipe)), tmp_path / "bundle", WORK)
    elsewhere()
    return tmp_path / "bundle"


def link_out(folder: Path) -> None:
    path = folder / "data/MNIST/raw/t10k-images-idx3-ubyte.gz"
    path.unlink()
    path.symlink_to("/etc/passwd")


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (
            lambda f: flip(f / "data/MNIST/raw/t10k-images-idx3-ubyte.gz"),
            r"t10k-images.*is corrupt: its SHA-256",
        ),
        (
            lambda f: (f / "data/MNIST/raw/t10k-images-idx3-ubyte.gz").unlink(),
            r"t10k-images.*can't be read: No such",
        ),
        (lambda f: (f / "SHA256SUMS").write_text("no sums\n"), "line 1: expected a SHA-256"),
        (lambda f: (f / "SHA256SUMS").write_text(""), "lists no files"),
        (lambda f: (f / "SHA256SUMS").unlink(), "SHA256SUMS does not exist"),
        (
            lambda f: (f / "SHA256SUMS").write_text(f"{'0' * 64}  data/../../x\n"),
            "not a path of data or weights",
        ),
        (
            lambda f: (f / "SHA256SUMS").write_text(f"{'0' * 64}  /etc/passwd\n"),
            "not a path of data or weights",
        ),
        (
            lambda f: (f / "SHA256SUMS").write_text(f"{'0' * 64}  torch/x.pth\n"),
            "not a path of data or weights",
        ),
        (link_out, "not a path of data or weights"),
    ],
)
def test_a_bundle_that_suffered_is_refused_whole(
    carried: Path, harm: Callable[[Path], Any], message: str
) -> None:
    harm(carried)
    with pytest.raises(UserError, match=message) as caught:
        bundle.import_bundle(carried, WORK)
    assert "\n" not in str(caught.value)
    assert not paths.data_cache().exists() and not paths.weights().exists()


def test_another_file_that_is_there_already_is_kept(carried: Path) -> None:
    mine = paths.data_cache() / "MNIST" / "raw" / "train-labels-idx1-ubyte.gz"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    with pytest.raises(UserError, match=r"already exists and differs from .*: move it away first"):
        bundle.import_bundle(carried, WORK)
    assert mine.read_bytes() == b"mine" and len(list(mine.parent.iterdir())) == 1


def test_an_interrupted_bundle_leaves_no_partial_files(carried: Path) -> None:
    calls = iter([False] * 6 + [True] * 100)
    with pytest.raises(Cancelled):
        bundle.import_bundle(carried, bundle.WorkCallbacks(cancelled=lambda: next(calls)))
    left = [path for path in paths.data_cache().rglob("*") if path.is_file()]
    assert len(left) == 1 and not left[0].name.startswith(".")


def test_files_that_each_recipe_needs() -> None:
    assert bundle.network_requirements("photo-alexnet").describe() == "weights of alexnet"
    assert bundle.network_requirements("mnist-mlp").describe() == "data of mnist"
    assert bundle.network_requirements("digits-mlp").describe() == ""


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("fetch", "no recipe given"),
        ("fetch nonsense", "unknown recipe"),
        ("fetch digits-mlp --to a --from b", "can't be combined"),
        ("fetch --from /no/such", "/no/such/SHA256SUMS does not exist"),
    ],
)
def test_invalid_arguments(line: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(line.split()) == 2
    output = capsys.readouterr().err
    assert message in output and output.count("\n") == 1


def test_a_bundle_without_the_files_of_a_recipe_is_reported(
    carried: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["fetch", "cifar10-convnet", "--from", str(carried)]) == 2
    assert "does not contain the data of cifar10" in capsys.readouterr().err
    assert run(["fetch", "photo-alexnet", "--from", str(carried)]) == 2
    assert "does not contain the weights of alexnet" in capsys.readouterr().err
    assert run(["fetch", "digits-mlp"]) == 0
    assert "needs no downloads" in capsys.readouterr().out
