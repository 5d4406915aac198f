"""Weights files as people have them: what is loaded, left out and newly made, and what is refused before a start."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from tests.worker.support import notices, prepared
from workbench.cli.main import run
from workbench.config.experiment import experiment_from_dict
from workbench.core.errors import UserError
from workbench.core.settings_schema import Choice
from workbench.io.atomic_files import write_json
from workbench.models import catalog, torchvision_models
from workbench.models.factory import BuiltModel, build_model
from workbench.models.pretrained_weights import WeightsRequest
from workbench.models.weights_check import check_weights
from workbench.runs.run_folder import create_run_folder

State = dict[str, Tensor]
NAME = "squeezenet1_1"


@pytest.fixture(scope="module")
def state() -> State:
    """Weights of ImageNet's shape, all different from those of a new model."""
    module = torchvision_models.build(catalog.find(NAME), 1000, pretrained=True)
    return {name: torch.full_like(tensor, 0.5) for name, tensor in module.state_dict().items()}


def prefixed(state: State, prefix: str) -> State:
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


def zeros(state: State) -> State:
    return {name: torch.zeros_like(tensor) for name, tensor in state.items()}


def with_metadata(state: State) -> State:
    """As `Module.state_dict` returns it."""
    ordered = OrderedDict(state)
    ordered._metadata = OrderedDict({"": {"version": 1}})  # type: ignore[attr-defined]
    return ordered


FORMS: dict[str, tuple[Callable[[State], Any], str, str]] = {
    "plain": (lambda state: state, "", ""),
    "of a module": (with_metadata, "", ""),
    "torchvision's scripts": (lambda state: {"model": state, "epoch": 3, "optimizer": {"state": {}}}, "model", ""),
    "timm": (lambda state: {"state_dict": state, "arch": "x", "epoch": 9}, "state_dict", ""),
    "timm, averaged too": (
        lambda state: {"state_dict_ema": zeros(state), "state_dict": state}, "state_dict", ""),
    "averaged only": (lambda state: {"ema_state": state, "step": 5}, "ema_state", ""),
    "model_state_dict": (lambda state: {"model_state_dict": state, "loss": 0.1}, "model_state_dict", ""),
    "nested": (lambda state: {"checkpoint": {"network": {"weights": state}}}, "checkpoint.network.weights", ""),
    "DataParallel": (lambda state: prefixed(state, "module."), "", "module."),
    "torch.compile": (lambda state: {"model": prefixed(state, "_orig_mod.")}, "model", "_orig_mod."),
    "both": (lambda state: prefixed(state, "module._orig_mod."), "", "module."),
    "SWA": (lambda state: {"n_averaged": torch.tensor(7), **prefixed(state, "module.")}, "", "module."),
    "Lightning": (
        lambda state: {"state_dict": {**prefixed(state, "model."), "criterion.weight": torch.ones(9)},
                       "pytorch-lightning_version": "2.4.0", "hyper_parameters": {"lr": 0.1}, "callbacks": {}},
        "state_dict", "model."),
    "Lightning, net": (lambda state: {"state_dict": prefixed(state, "net.")}, "state_dict", "net."),
    "teacher and student": (
        lambda state: {**prefixed(zeros(state), "teacher."), **prefixed(state, "student.")}, "", "student."),
    "profiled": (lambda state: {**state, "total_ops": torch.zeros(()), "total_params": torch.zeros(())}, "", ""),
}  # fmt: skip


def tuned(path: Path) -> BuiltModel:
    choice = Choice(NAME, {"pretrained": True, "weights": str(path)})
    check_weights(choice)
    return build_model(choice, shape=(3, 32, 32), outputs=10, task="classification")


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("form", FORMS)
def test_the_weights_in_files_of_many_tools_are_found(
    form: str, zipped: bool, state: State, tmp_path: Path
) -> None:
    make, entry, prefix = FORMS[form]
    torch.save(make(state), tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    built = tuned(tmp_path / "w.pth")
    loaded = {name: tensor for name, tensor in built.module.state_dict().items() if "classifier" not in name}
    assert all(bool((tensor == 0.5).all()) for tensor in loaded.values())
    weights = built.weights
    assert weights is not None and (weights.entry, weights.prefix) == (entry, prefix)
    assert set(weights.loaded) == set(loaded)
    assert weights.new == ("classifier.1.weight", "classifier.1.bias")
    content = make(state)
    extra = {"n_averaged", "criterion.weight", "total_ops", "total_params"} & set(
        content.get("state_dict", content)
    )
    head = {f"{prefix}classifier.1.{name}" for name in ("weight", "bias")}
    left_out = {name.replace("_orig_mod.", "") if form == "both" else name for name in weights.left_out}
    assert {name for name in left_out if not name.startswith("teacher.")} == head | extra
    assert built.notices[0].startswith(f"{tmp_path / 'w.pth'}: loaded {len(loaded)} tensors")
    assert "newly initialized classifier.1.weight, classifier.1.bias" in built.notices[0]


def test_safetensors_with_a_prefix(state: State, tmp_path: Path) -> None:
    save = pytest.importorskip("safetensors.torch").save_file
    save(prefixed(state, "model."), tmp_path / "w.safetensors")
    weights = tuned(tmp_path / "w.safetensors").weights
    assert weights is not None and weights.prefix == "model."


def test_a_densenets_old_names_are_understood(tmp_path: Path) -> None:
    module = torchvision_models.build(catalog.find("densenet121"), 1000, pretrained=True)
    old = {
        name.replace(".norm1.", ".norm.1.").replace(".conv2.", ".conv.2.")
        if "denselayer" in name
        else name: tensor
        for name, tensor in module.state_dict().items()
    }
    assert "features.denseblock1.denselayer2.norm.1.running_mean" in old
    torch.save(old, tmp_path / "w.pth")
    check_weights(Choice("densenet121", {"weights": str(tmp_path / "w.pth")}))
    request = WeightsRequest(str(tmp_path / "w.pth"), with_head=True)
    loaded = torchvision_models.load_published(module, catalog.find("densenet121"), request)
    assert loaded.new == () and loaded.left_out == ()


class Network:
    """A pickled object of somebody's class."""


BAD: dict[str, tuple[Callable[[State], Any], str]] = {
    "another architecture": (
        lambda _: torchvision_models.build(catalog.find("squeezenet1_0"), 10, pretrained=True).state_dict(),
        "do not fit the model: missing "),
    "other names": (lambda state: {f"blocks.{n}.w": t for n, t in enumerate(state.values())},
                    "has names such as blocks.0.w, blocks.1.w, the model expects names such as features.0.weight"),
    "half of it": (lambda state: dict(list(state.items())[:20]), "do not fit the model: missing "),
    "two sets": (lambda state: prefixed(state, "first.") | prefixed(state, "second."),
                 "has 2 sets of weights that fit (first., second.)"),
    "no weights": (lambda _: {"epoch": 3}, "contains no weights"),
    "a tensor": (lambda _: torch.ones(3), "is not a checkpoint with weights"),
    "Lightning, with a class of another package": (
        lambda state: {"state_dict": state, "hyper_parameters": argparse.Namespace(lr=0.1)},
        'contains argparse.Namespace, and loading a class may run any code; where you made the file, load it and save '
        'only the weights: torch.save(ckpt["state_dict"], "weights.pth")'),
    "a whole model": (lambda _: Network(), "is not a checkpoint with weights: it contains Network; save model.state_"),
}  # fmt: skip


@pytest.mark.parametrize("form", BAD)
def test_a_file_that_does_not_fit_is_refused_before_the_start(
    form: str, state: State, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make, reason = BAD[form]
    torch.save(make(state), tmp_path / "w.pth")
    refused(tmp_path / "w.pth", reason, home, capsys)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "is empty"), (b"<html>404</html>", "not a checkpoint"), (b"PK\x03\x04 cut", "not a checkpoint"),
     (None, "can't be read")],
)  # fmt: skip
def test_a_file_without_weights_is_refused_before_the_start(
    content: bytes | None, reason: str, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        (tmp_path / "w.pth").write_bytes(content)
    refused(tmp_path / "w.pth", reason, home, capsys)


def refused(path: Path, reason: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`train` and `plan` exit with 2 and one line; no run is created."""
    settings = ["--dataset", "digits", "--model", NAME, "--set", f"model.weights={path}"]
    for command in ("train", "plan"):
        assert run([command, *settings]) == 2
        line = capsys.readouterr().err.splitlines()[-1]
        assert reason in line and str(path) in line
    assert not (home / "runs").exists()


def test_nothing_in_a_file_is_executed(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return os.system, (f"touch '{tmp_path / 'proof'}'",)

    torch.save({"state_dict": {"features.0.weight": Evil()}}, tmp_path / "w.pth")
    with pytest.raises(UserError):
        tuned(tmp_path / "w.pth")
    assert not (tmp_path / "proof").exists()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_classify_nothing(
    value: float, state: State, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (32, 32)).save(tmp_path / "x.png")
    torch.save({**state, "features.0.weight": state["features.0.weight"] * value}, tmp_path / "w.pth")
    command = ["classify", str(tmp_path / "x.png"), "--model", NAME, "--weights", str(tmp_path / "w.pth")]
    assert run(command) == 2
    output = capsys.readouterr()
    assert output.out == "" and "has NaN or infinite weights in features.0.weight" in output.err
    with pytest.raises(UserError, match=r"NaN or infinite weights in features\.0\.weight"):
        tuned(tmp_path / "w.pth")


def test_quantized_weights_are_no_weights(state: State, tmp_path: Path) -> None:
    torch.save({name: (10 * tensor).to(torch.int8) for name, tensor in state.items()}, tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"has weights of type torch\.int8 in .*: save them as floats"):
        tuned(tmp_path / "w.pth")


@pytest.mark.parametrize(
    ("form", "said"),
    [("model_state_dict", "loaded 52 tensors of model_state_dict"),
     ("timm, averaged too", "loaded 52 tensors of state_dict; not those of state_dict_ema, which fit too"),
     ("teacher and student", "(without the prefix student.); not those of teacher., which fit too"),
     ("plain", "w.pth: loaded 52 tensors")],
)  # fmt: skip
def test_classify_reports_the_loaded_weights(
    form: str, said: str, state: State, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (32, 32)).save(tmp_path / "x.png")
    torch.save(FORMS[form][0](state), tmp_path / "w.pth")
    command = ["classify", str(tmp_path / "x.png"), "--model", NAME, "--weights", str(tmp_path / "w.pth")]
    assert run(command) == 0
    lines = capsys.readouterr().err.splitlines()
    assert any(said in line for line in lines), lines


OWN_NET = """
from torch import nn

class Net(nn.Module):
    def __init__(self, classes, shape, width=6):
        super().__init__()
        self.body = nn.Linear(shape[0] * shape[1] * shape[2], width)
        self.head = nn.Linear(width, classes)

    def forward(self, x):
        return self.head(self.body(x.flatten(1)))

    def begin_from(self, inputs):
        nn.init.zeros_(self.body.weight)

class Named(Net):
    def __init__(self, classes, shape, weights="small"):
        super().__init__(classes, shape, {"small": 2, "large": 9}[weights])
"""


@pytest.fixture
def own_net(tmp_path: Path) -> Path:
    (tmp_path / "net.py").write_text(OWN_NET)
    return tmp_path / "net.py"


def own(path: Path, name: str = "Net", outputs: int = 10, **options: object) -> BuiltModel:
    choice = Choice(f"{path}:{name}", dict(options))
    check_weights(choice)
    return build_model(choice, shape=(1, 8, 8), outputs=outputs, task="classification")


def test_a_model_of_ones_own_starts_from_a_file_too(own_net: Path, tmp_path: Path) -> None:
    state = {name: tensor * 0 + 0.25 for name, tensor in own(own_net).module.state_dict().items()}
    torch.save({"state_dict": prefixed(state, "model.")}, tmp_path / "w.pth")
    same = own(own_net, weights=str(tmp_path / "w.pth"))
    assert all(bool((tensor == 0.25).all()) for tensor in same.module.state_dict().values())
    assert same.weights is not None and same.weights.new == () == same.weights.left_out
    assert "loaded 4 tensors of state_dict (without the prefix model.)" in same.notices[0]
    other = own(own_net, outputs=3, weights=str(tmp_path / "w.pth"))
    assert other.weights is not None and other.weights.new == ("head.weight", "head.bias")
    assert set(other.weights.left_out) == {"model.head.weight", "model.head.bias"}
    assert bool((other.module.state_dict()["body.weight"] == 0.25).all())
    with pytest.raises(UserError, match=r"do not fit the model: shapes differ body\.bias is 6, expected 7"):
        own(own_net, weights=str(tmp_path / "w.pth"), width=7)


def test_a_parameter_called_weights_is_the_models_own(own_net: Path) -> None:
    assert own(own_net, "Named", weights="large").module.get_parameter("body.bias").shape == (9,)


def test_a_file_that_is_missing_is_refused_before_the_start_for_ones_own_model(
    own_net: Path, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    setting = f"model.weights={tmp_path / 'none.pth'}"
    assert run(["train", "--dataset", "digits", "--model", f"{own_net}:Net", "--set", setting]) == 2
    assert "none.pth" in capsys.readouterr().err.splitlines()[-1]
    assert not (home / "runs").exists()


def test_a_run_of_ones_own_model_keeps_the_weights_of_its_file(
    own_net: Path, home: Path, tmp_path: Path
) -> None:
    state = {name: tensor * 0 + 0.25 for name, tensor in own(own_net).module.state_dict().items()}
    torch.save(state, tmp_path / "w.pth")
    content = {
        "name": "own",
        "data": {"name": "digits"},
        "model": {"name": f"{own_net}:Net", "weights": str(tmp_path / "w.pth")},
        "train": {"epochs": 1, "threads": 1, "device": "cpu"},
    }
    folder = create_run_folder(home / "runs", "own")
    write_json(folder.experiment, experiment_from_dict(content).to_dict())
    with contextlib.closing(prepared(folder)) as trainer:
        assert bool((trainer.state.module.get_parameter("body.weight") == 0.25).all())
    assert any("loaded 4 tensors" in notice.text for notice in notices(folder))
