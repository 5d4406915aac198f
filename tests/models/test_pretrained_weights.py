from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.file_server import serving
from workbench.core import paths
from workbench.core.errors import UserError
from workbench.models import catalog
from workbench.models.pretrained_weights import ensure_weights


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Path]:
    """The folder a local server gives files from, and that weights are downloaded from."""
    folder = tmp_path / "served"
    folder.mkdir()
    with serving(folder) as address:
        (tmp_path / "url").write_text(f"{address}/")
        yield folder


@pytest.fixture
def served(server: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A weights file on that server, named by its hash, as those of `tiny` in the catalog."""
    torch.save({"a": torch.ones(2)}, tmp_path / "w.pth")
    data = (tmp_path / "w.pth").read_bytes()
    path = server / f"tiny-{hashlib.sha256(data).hexdigest()[:8]}.pth"
    path.write_bytes(data)
    info = replace(catalog.find("resnet18"), name="tiny", weights_file=path.name)
    monkeypatch.setattr(catalog, "CATALOG", (*catalog.CATALOG, info))
    monkeypatch.setattr(catalog, "WEIGHTS_URL", (tmp_path / "url").read_text())
    return path


def test_weights_are_fetched_once_checked_and_kept_where_torch_looks(served: Path) -> None:
    path = ensure_weights("tiny")
    assert path == paths.weights() / served.name and path.read_bytes() == served.read_bytes()
    served.unlink()
    assert ensure_weights("tiny") == path
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(UserError, match="is not the published file"):
        ensure_weights("tiny")


def test_weights_with_another_hash_are_not_kept(served: Path) -> None:
    served.write_bytes(served.read_bytes()[:-1] + b"x")
    with pytest.raises(UserError, match="tiny"):
        ensure_weights("tiny")
    assert not (paths.weights() / served.name).exists()


def test_weights_that_can_not_be_fetched_are_named_with_their_folder(served: Path) -> None:
    served.unlink()
    with pytest.raises(UserError) as caught:
        ensure_weights("tiny")
    for part in (
        served.name,
        str(paths.weights()),
        "--weights FILE",
        "model.weights=FILE",
        "http://127.0.0.1",
    ):
        assert str(caught.value).count(part) == 1


def test_models_without_published_weights() -> None:
    with pytest.raises(UserError, match="mlp has no published weights"):
        ensure_weights("mlp")
