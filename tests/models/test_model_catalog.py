from __future__ import annotations

from pathlib import Path

import pytest

from workbench.config.experiment import build_experiment
from workbench.core import paths
from workbench.core.errors import UserError
from workbench.core.user_code import is_user_code
from workbench.models.catalog import CATALOG, describe, find


def test_names_are_unique_and_each_is_found() -> None:
    names = [info.name for info in CATALOG]
    assert len(names) == len(set(names)) >= 85
    assert all(find(name).name == name for name in names)


def test_an_unknown_name_gets_a_suggestion() -> None:
    with pytest.raises(UserError, match="did you mean 'resnet50'"):
        find("resnet5O")


def test_a_custom_class_is_identified_by_its_full_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    info = find("./net.py:Net")
    assert info.name == f"{tmp_path}/net.py:Net"
    assert info.kind == "custom" and is_user_code(info.name) and not is_user_code("resnet18")


@pytest.mark.parametrize(
    ("name", "options", "shape", "size"),
    [
        ("resnet18", {"pretrained": True}, (3, 32, 32), 224),
        ("resnet18", {"pretrained": False}, (3, 32, 32), 32),
        ("resnet18", {"pretrained": False}, (3, 500, 375), 224),
        ("resnet18", {"pretrained": False}, None, 224),
        ("alexnet", {"pretrained": False}, (1, 28, 28), 63),
        ("inception_v3", {"pretrained": True}, (1, 28, 28), 299),
        ("resnet18", {"input_size": 96}, (3, 32, 32), 96),
        ("convnet", {}, (3, 32, 32), None),
        ("convnet", {}, (1, 8, 8), 32),
        ("mlp", {}, (1, 8, 8), None),
        ("mlp", {}, (2,), None),
    ],
)
def test_the_size_images_are_resized_to(
    name: str, options: dict[str, object], shape: tuple[int, ...] | None, size: int | None
) -> None:
    assert find(name).size_for(options, shape) == size


def test_images_of_no_common_size_get_one() -> None:
    assert find("resnet18").load_size({"pretrained": True}) == 224
    assert find("resnet18").load_size({"input_size": 64}) == 64
    assert find("convnet").load_size({}) == 32


def test_every_pair_makes_a_valid_experiment() -> None:
    for info in CATALOG:
        for sets in ([], ["model.pretrained=no"]) if info.kind == "torchvision" else ([],):
            data = "digits" if "classification" in info.tasks else "line"
            assert build_experiment(dataset=data, model=info.name, sets=sets).train.lr > 0


def test_a_pretrained_network_is_tuned_with_small_steps_head_first(tmp_path: Path) -> None:
    train = build_experiment(dataset=f"folder:{tmp_path}", model="resnet18").train
    assert (train.optimizer, train.schedule, train.freeze_epochs, train.batch_size) == (
        "adamw",
        "cosine",
        1,
        32,
    )
    assert train.lr < 1e-3
    assert (
        build_experiment(
            dataset="cifar10", model="resnet18", sets=["model.pretrained=no"]
        ).train.freeze_epochs
        == 0
    )


def test_a_depth_no_residual_network_has_is_refused() -> None:
    with pytest.raises(UserError, match="6n"):
        build_experiment(dataset="digits", model="resnet", sets=["model.depth=19"])


def test_weights_are_here_once_torch_has_them() -> None:
    info = find("squeezenet1_0")
    assert info.local_weights() is None and describe(info).weights_here is None
    paths.weights().mkdir(parents=True)
    (paths.weights() / info.weights_file).write_bytes(b"x")
    assert info.local_weights() == paths.weights() / info.weights_file
    assert info.weights_url == "https://download.pytorch.org/models/squeezenet1_0-b66bff10.pth"
