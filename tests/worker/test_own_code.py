"""Runs with the user's own data and models: what is chosen by the data, and what is said before the first step."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from tests.worker.support import evaluation_rows, notices, outcome, prepared, run_until, same, setup_of
from workbench.config.experiment import experiment_from_dict
from workbench.core.errors import UserError
from workbench.core.progress import ignore_progress
from workbench.inference.classifier import Classifier
from workbench.inference.evaluate_run import evaluate_run
from workbench.inference.numeric import predict_numbers
from workbench.inference.pipeline_steps import classifier_steps
from workbench.inference.run_checkpoint import load_run_model
from workbench.io.atomic_files import write_json
from workbench.models.outputs import OutputKind
from workbench.runs.run_folder import RunFolder, create_run_folder

_CODE = """
import torch
from torch import nn

def plane(n=40):
    x = torch.rand(n, 3, generator=torch.manual_seed(0))
    return (x, x[:, :2] * 2), (x, x[:, :2] * 2)

class ByMode(nn.Sequential):
    def __init__(self, outputs, training, evaluation):
        super().__init__(nn.Flatten(), nn.Linear(16, outputs))
        ends = {"logits": lambda x: x, "softmax": lambda x: x.softmax(1), "sigmoid": torch.sigmoid}
        self.ends = {True: ends[training], False: ends[evaluation]}
    def forward(self, x):
        return self.ends[self.training](super().forward(x))

class LazyNet(nn.Sequential):
    def __init__(self, outputs):
        super().__init__(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(outputs))

def regression(n=40):
    x = torch.linspace(-1, 1, n)[:, None]
    return (x, 3 * x), (x, 3 * x)

def images(n=41):
    y = torch.arange(n) % 3
    x = (y[:, None, None, None] * 100 + torch.zeros(n, 1, 4, 4)).to(torch.uint8)
    return (x, y), (x[:9], y[:9])

class Net(nn.Sequential):
    def __init__(self, outputs, end="softmax", norm=False):
        ends = {"softmax": [nn.Softmax(1)], "log_softmax": [nn.LogSoftmax(1)], "sigmoid": [nn.Sigmoid()], "none": []}
        norms = [nn.BatchNorm1d(8)] if norm else []
        super().__init__(nn.Flatten(), nn.LazyLinear(8), *norms, nn.ReLU(), nn.Linear(8, outputs), *ends[end])
        self(torch.zeros(2, 1, 4, 4)) if outputs > 1 else None

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.3))
    def forward(self, x):
        return x + self.layers(x)

class Blocks(nn.Sequential):
    def __init__(self, outputs):
        super().__init__(nn.Conv2d(1, 4, 3), *[Block() for _ in range(3)], nn.Flatten(), nn.LazyLinear(outputs))

def functional(outputs):
    class Functional(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(16, outputs)
        def forward(self, x):
            return torch.softmax(self.layer(x.flatten(1)), -1)
    return Functional()
"""


@pytest.fixture
def make(tmp_path: Path, home: Path) -> Callable[..., RunFolder]:
    """A run folder of own data and an own or a built-in model."""

    def made(data: str, model: dict[str, Any], **train: Any) -> RunFolder:
        path = tmp_path / "own.py"
        path.write_text(_CODE)
        if model["name"][0].isupper() or model["name"] == "functional":
            model = {**model, "name": f"{path}:{model['name']}"}
        settings = {"epochs": 1, "threads": 1, "device": "cpu", "batch_size": 8, **train}
        content = {"name": "own", "data": {"name": f"{path}:{data}"}, "model": model, "train": settings}
        folder = create_run_folder(home / "runs", "own")
        write_json(folder.experiment, experiment_from_dict(content).to_dict())
        return folder

    return made


def test_a_regression_of_ones_own_monitors_the_loss(make: Callable[..., RunFolder]) -> None:
    folder = make(
        "regression", {"name": "mlp", "widths": [4]}, epochs=2, patience=1, class_weights="balanced"
    )
    trainer = run_until(folder, None)
    assert "train.class_weights: without effect in a regression" in {one.text for one in notices(folder)}
    assert trainer.state.settings.monitor == "loss"
    assert trainer.state.best is not None and trainer.state.best.value <= 0
    assert evaluation_rows(folder)[-1].final
    other = make("regression", {"name": "mlp"}, monitor="macro_f1")
    with pytest.raises(UserError, match=r"train\.monitor: a regression has no macro_f1; set it to loss"):
        prepared(other)


@pytest.mark.parametrize(
    ("model", "kind", "says"),
    [
        ({"name": "Net"}, OutputKind.PROBABILITIES, "so the loss can't fall below 0.551 .* return the logits"),
        ({"name": "functional"}, OutputKind.PROBABILITIES, "ends in a softmax"),
        ({"name": "Net", "end": "sigmoid"}, OutputKind.SIGMOID, "ends in a sigmoid"),
        ({"name": "Net", "end": "log_softmax"}, OutputKind.LOG_PROBABILITIES, "log-softmax; .* changes nothing"),
        ({"name": "Net", "end": "none"}, OutputKind.LOGITS, None),
    ],
)  # fmt: skip
def test_outputs_that_are_no_logits_are_reported_and_not_softmaxed_again(
    make: Callable[..., RunFolder], model: dict[str, Any], kind: OutputKind, says: str | None
) -> None:
    assert math.isclose(math.log(math.e + 9) - 1, 1.461, abs_tol=1e-3)
    folder = make("images", model)
    run_until(folder, None)
    texts = [notice.text for notice in notices(folder)]
    if says is None:
        assert texts == []
    else:
        assert any(re.search(says, text) for text in texts), texts
    loaded = load_run_model(folder.path)
    assert loaded.spec.outputs is kind
    classifier = Classifier.from_run(folder.path, device="cpu")
    image = Image.new("L", (4, 4), 200)
    found = classifier.classify([image])[0]
    inputs = loaded.spec.preprocessing(torch.full((1, 1, 4, 4), 200, dtype=torch.uint8))
    with torch.no_grad():
        outputs = loaded.module.eval()(inputs)[0]
    expected = {
        OutputKind.PROBABILITIES: outputs,
        OutputKind.SIGMOID: outputs / outputs.sum(),
        OutputKind.LOG_PROBABILITIES: outputs.exp(),
        OutputKind.LOGITS: outputs.softmax(0),
    }[kind]
    torch.testing.assert_close(found, expected)
    assert float(found.sum()) == pytest.approx(1)
    has_logit = classifier.predict_image(image)[0].logit is not None
    names = [step.name for step in classifier_steps(classifier, image)[0]]
    assert has_logit == ("logits" in names) == (kind is OutputKind.LOGITS)


@pytest.mark.parametrize("evaluation", ["softmax", "sigmoid"])
def test_a_model_that_gives_probabilities_in_evaluation_mode_only_has_one_loss(
    make: Callable[..., RunFolder], evaluation: str
) -> None:
    folder = make("images", {"name": "ByMode", "training": "logits", "evaluation": evaluation})
    run_until(folder, None)
    texts = [notice.text for notice in notices(folder)]
    assert not any("can't fall below" in text for text in texts)
    assert any(re.search("returns logits in training mode and .* in evaluation mode", text) for text in texts)
    loaded = load_run_model(folder.path)
    inputs, labels = (torch.arange(9) % 3 * 100).to(torch.uint8), torch.arange(9) % 3
    images = inputs[:, None, None, None].expand(9, 1, 4, 4)
    with torch.no_grad():
        outputs = loaded.module.eval()(loaded.spec.preprocessing(images)).double()
    answers = outputs / outputs.sum(1, keepdim=True)
    expected = float(-answers.gather(1, labels[:, None]).log().mean())
    assert evaluation_rows(folder)[-1].metric("loss") == pytest.approx(expected, rel=1e-4)
    again = evaluate_run(folder, "test", "cpu", ignore_progress)
    assert again.metrics["loss"] == pytest.approx(expected, rel=1e-4)


def test_a_softmax_in_training_mode_only_is_said(make: Callable[..., RunFolder]) -> None:
    folder = make("images", {"name": "ByMode", "training": "softmax", "evaluation": "logits"})
    run_until(folder, None)
    assert any("so the loss can't fall below 0.551" in notice.text for notice in notices(folder))
    assert load_run_model(folder.path).spec.outputs is OutputKind.LOGITS


def test_a_model_with_lazy_layers_answers_and_evaluates(make: Callable[..., RunFolder]) -> None:
    folder = make("images", {"name": "LazyNet"})
    run_until(folder, None)
    trained = evaluation_rows(folder)[-1].metric("loss")
    again = evaluate_run(folder, "test", "cpu", ignore_progress)
    assert again.metrics["loss"] == pytest.approx(trained, rel=1e-5)
    probabilities = Classifier.from_run(folder.path, device="cpu").classify([Image.new("L", (4, 4), 100)])
    assert float(probabilities.sum()) == pytest.approx(1)


def test_a_regression_of_several_targets_answers_and_evaluates(make: Callable[..., RunFolder]) -> None:
    folder = make("plane", {"name": "mlp", "widths": [4]})
    run_until(folder, None)
    trained = evaluation_rows(folder)[-1].metric("loss")
    again = evaluate_run(folder, "test", "cpu", ignore_progress)
    assert again.metrics["loss"] == pytest.approx(trained, rel=1e-5)
    assert len(predict_numbers(folder.path, ["0.1,0.2,0.3"], 5)[0].values) == 2


def test_a_model_that_fails_after_the_training_is_one_line_with_its_place(
    make: Callable[..., RunFolder],
) -> None:
    folder = make("images", {"name": "ByMode", "training": "logits", "evaluation": "logits"})
    run_until(folder, None)
    path = folder.path.parents[2] / "own.py"
    broken = _CODE.replace("return self.ends[self.training]", "return self.gone[self.training]")
    path.write_text(broken)
    line = broken[: broken.index("self.gone")].count("\n") + 1
    reason = rf"AttributeError: .*gone.* \(.*own\.py:{line}\)"
    with pytest.raises(UserError, match=reason):
        Classifier.from_run(folder.path, device="cpu").classify([Image.new("L", (4, 4))])
    with pytest.raises(UserError, match=reason):
        evaluate_run(folder, "test", "cpu", ignore_progress)


def test_batch_norm_never_gets_a_single_sample(make: Callable[..., RunFolder]) -> None:
    model = {"name": "Net", "end": "none", "norm": True}
    with pytest.raises(UserError, match=r"train\.batch_size: batch norm can't train on single samples"):
        prepared(make("images", model, batch_size=1, validation=0.0))
    leftover = make("images", model, validation=0.0)  # 41 images: five batches of 8, and one image
    assert run_until(leftover, None).state.step == 5
    assert setup_of(leftover).counts["train"] == 41


def test_activation_checkpointing_changes_no_bit_of_a_run(make: Callable[..., RunFolder]) -> None:
    plain, checkpointed = (
        make("images", {"name": "Blocks"}),
        make("images", {"name": "Blocks"}, activation_checkpointing=True, compile=True),
    )
    for folder in (plain, checkpointed):
        run_until(folder, None)
    (rows, content), (expected_rows, expected) = outcome(checkpointed), outcome(plain)
    assert rows == expected_rows and same(content["model"], expected["model"])
    said = {one.text for one in notices(checkpointed)}
    assert "train.compile is not used: train.activation_checkpointing can't be compiled" in said
    layers = make("images", {"name": "Net", "end": "none"}, activation_checkpointing=True)
    run_until(layers, None)
    assert any(
        one.text.startswith("train.activation_checkpointing: without effect") for one in notices(layers)
    )
