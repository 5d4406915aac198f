from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch.nn.parameter import is_lazy

from workbench.cli.main import run
from workbench.core.errors import UserError
from workbench.core.settings_schema import Choice
from workbench.models.factory import BuiltModel, build_model, build_shapes, check_forward

NET = """
import torch
from torch import nn

class ByName(nn.Module):
    def __init__(self, num_classes, input_shape, width=4):
        super().__init__()
        c, h, w = input_shape
        self.made_with = (num_classes, input_shape, width)
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(c * h * w, width), nn.Linear(width, num_classes))
    def forward(self, x):
        return self.net(x)

class ByPlace(nn.Module):
    def __init__(self, n, in_channels=1):
        super().__init__()
        self.made_with = (n, in_channels)
        self.net = nn.Sequential(nn.Flatten(), nn.LazyLinear(n))
    def forward(self, x):
        return self.net(x)

class Nothing(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    def forward(self, x):
        return self.net(x)

def function(classes, **options):
    net = Nothing()
    net.made_with = (classes, options)
    return net

class BadForward(Nothing):
    def forward(self, x):
        return self.net(x).gone

class Tuple(Nothing):
    def forward(self, x):
        return self.net(x), 1

class Auxiliary(Nothing):
    def forward(self, x):
        y = self.net(x)
        return {"out": y, "aux": y} if self.training else y

class Flattened(Nothing):
    def forward(self, x):
        return self.net(x).flatten() if self.training else self.net(x)

class Classes(Nothing):
    def forward(self, x):
        return self.net(x).round().long()

class Squeezed(nn.Module):
    def __init__(self):
        super().__init__()
        self.pool, self.head = nn.AdaptiveAvgPool2d(1), nn.Linear(1, 10)
    def forward(self, x):
        return self.head(self.pool(x).squeeze()[..., None])

class SingleGroups(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(1, 4, 8), nn.GroupNorm(4, 4), nn.Flatten(), nn.Linear(4, 10))

class Lazy(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.LazyLinear(4), nn.LazyBatchNorm1d(), nn.ReLU(), nn.LazyLinear(10))

class Counting(Nothing):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(10)
        self.norm.eval()
    def forward(self, x):
        return self.norm(self.net(x))

instance = Nothing()
sequence = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

class Maker:
    def __call__(self, classes):
        return Nothing()

maker = Maker()

def fails():
    raise RuntimeError("my own\\nmistake")

def no_module():
    return 3

constant = 3
"""


def line_of(text: str) -> int:
    return NET[: NET.index(text)].count("\n") + 1


@pytest.fixture
def net(tmp_path: Path) -> Path:
    path = tmp_path / "net.py"
    path.write_text(NET)
    return path


def built(path: Path, attribute: str, outputs: int = 10, **options: object) -> BuiltModel:
    choice = Choice(f"{path}:{attribute}", dict(options))
    return build_model(choice, shape=(1, 8, 8), outputs=outputs, task="classification")


def checked(path: Path, attribute: str, outputs: int = 10) -> None:
    one = built(path, attribute, outputs)
    check_forward(
        one, one.preprocessing(), torch.zeros(2, 1, 8, 8, dtype=torch.uint8), outputs, f"{path}:{attribute}"
    )


def test_make_is_called_with_the_arguments_of_its_signature(net: Path) -> None:
    assert built(net, "ByName", width=7).module.made_with == (10, (1, 8, 8), 7)
    assert built(net, "ByPlace").module.made_with == (10, 1)
    assert built(net, "function", depth=2).module.made_with == (10, {"depth": 2})
    assert built(net, "ByName").head == ("net.2",)
    for name in ("ByName", "ByPlace", "Nothing", "function"):
        checked(net, name)


@pytest.mark.parametrize(
    ("attribute", "message"),
    [
        ("fails", rf"RuntimeError: my own mistake \(.*net\.py:{line_of('raise')}\)$"),
        ("no_module", "must return a torch.nn.Module, not int"),
        ("gone", "has no class or function 'gone'"),
        ("constant", "has no class or function 'constant'"),
    ],
)
def test_errors_are_one_line(net: Path, attribute: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        built(net, attribute)
    assert "\n" not in str(caught.value)


def test_an_option_it_does_not_take_is_named(net: Path) -> None:
    with pytest.raises(UserError, match=r"model\.depth: unknown parameter"):
        built(net, "ByName", depth=3)


def test_a_file_that_is_not_there_or_does_not_parse(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="file not found"):
        built(tmp_path / "none.py", "Net")
    (tmp_path / "bad.py").write_text("x = 1\ndef broken(:\n")
    with pytest.raises(UserError, match=r"SyntaxError.*bad\.py:2"):
        built(tmp_path / "bad.py", "Net")
    (tmp_path / "raises.py").write_text("import nothing_of_this_name\n")
    with pytest.raises(UserError, match=r"ModuleNotFoundError.*raises\.py:1"):
        built(tmp_path / "raises.py", "Net")


def test_a_model_file_can_import_its_neighbors(tmp_path: Path) -> None:
    (tmp_path / "neighbor_of_net.py").write_text("from torch import nn\nclass Net(nn.Flatten): pass\n")
    (tmp_path / "main_net.py").write_text("from neighbor_of_net import Net\n")
    assert type(built(tmp_path / "main_net.py", "Net").module).__name__ == "Net"


def test_an_invalid_forward_is_an_error_before_training(net: Path) -> None:
    with pytest.raises(UserError, match=rf"AttributeError.*net\.py:{line_of('.gone')}"):
        checked(net, "BadForward")
    with pytest.raises(UserError, match=r"net\.py:Tuple returns a tuple of 2 values: .* the logits"):
        checked(net, "Tuple")
    with pytest.raises(UserError, match="Classes returns int64 values: it must return the logits"):
        checked(net, "Classes")
    with pytest.raises(UserError, match=r"returns \[2, 10\].*needs \[2, 3\]"):
        checked(net, "Nothing", outputs=3)


@pytest.mark.parametrize(
    ("name", "reason"),
    [("Squeezed", r"returns \[10\] for a batch of 1; the data needs \[1, 10\]: squeeze\(\) also removes the dim"),
     ("SingleGroups", r"SingleGroups does not accept a single input of shape \[1, 8, 8\]: ValueError: Expected more")],
)  # fmt: skip
def test_a_model_that_takes_no_single_sample_is_refused(net: Path, name: str, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        checked(net, name)


def test_lazy_layers_have_parameters_before_weights_are_loaded(net: Path, tmp_path: Path) -> None:
    one = built(net, "Lazy")
    assert not any(is_lazy(value) for value in one.module.state_dict().values())
    assert one.module.training
    weights = {f"model.{key}": value + 1 for key, value in one.module.state_dict().items()}
    torch.save({"state_dict": weights}, tmp_path / "lightning.ckpt")
    loaded = built(net, "Lazy", weights=str(tmp_path / "lightning.ckpt"))
    assert loaded.weights is not None and not loaded.weights.new and not loaded.weights.left_out
    for key, value in loaded.module.state_dict().items():
        torch.testing.assert_close(value, weights[f"model.{key}"])
    shapes = build_shapes(Choice(f"{net}:Lazy"), shape=(1, 8, 8), outputs=10, task="classification")
    assert shapes.module.state_dict()["1.weight"].shape == (4, 64)


@pytest.mark.parametrize(
    ("name", "reason"),
    [("Auxiliary", "Auxiliary in training mode returns a dict of 2 values: it must return a tensor"),
     ("Flattened", r"Flattened in training mode returns \[20\] for a batch of 2; the data needs \[2, 10\]")],
)  # fmt: skip
def test_outputs_in_training_mode_are_checked_too(net: Path, name: str, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        checked(net, name)


def test_the_check_in_training_mode_changes_nothing(net: Path) -> None:
    one = built(net, "Counting")
    one.module.train()
    one.module.norm.eval()
    before = {k: v.clone() for k, v in one.module.state_dict().items()}
    inputs = torch.randint(0, 255, (2, 1, 8, 8), dtype=torch.uint8)
    check_forward(one, one.preprocessing(), inputs, 10, f"{net}:Counting")
    assert all(torch.equal(v, before[k]) for k, v in one.module.state_dict().items())
    assert one.module.training and not one.module.norm.training


@pytest.mark.parametrize(
    ("name", "reason"),
    [("instance", "instance is a model, not a class; name Nothing"),
     ("sequence", r"sequence is a model, not a class: put it into a function \(def make_sequence")],
)  # fmt: skip
def test_a_model_that_is_made_already_is_refused_before_the_start(
    net: Path, home: Path, capsys: pytest.CaptureFixture[str], name: str, reason: str
) -> None:
    assert run(["train", "--dataset", "digits", "--model", f"{net}:{name}"]) == 2
    assert re.search(reason, capsys.readouterr().err)
    assert not (home / "runs").exists()
    with pytest.raises(UserError, match=reason):
        built(net, name)
    checked(net, "maker")


def test_the_check_changes_nothing(net: Path) -> None:
    one = build_model(Choice("resnet", {"depth": 8}), shape=(1, 8, 8), outputs=3, task="classification")
    before = {k: v.clone() for k, v in one.module.state_dict().items()}
    state = torch.get_rng_state()
    check_forward(one, one.preprocessing(), torch.zeros(2, 1, 8, 8, dtype=torch.uint8), 3)
    assert one.module.training and torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(v, before[k]) for k, v in one.module.state_dict().items())
