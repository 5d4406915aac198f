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

from tests.worker.support import evaluation_rows, notices, prepared, run_until, setup_of
from workbench.config.experiment import experiment_from_dict
from workbench.core.errors import UserError
from workbench.inference.classifier import Classifier
from workbench.inference.pipeline_steps import classifier_steps
from workbench.inference.run_checkpoint import load_run_model
from workbench.io.atomic_files import write_json
from workbench.models.outputs import OutputKind
from workbench.runs.run_folder import RunFolder, create_run_folder

_CODE = """
import torch
from torch import nn

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
    folder = make("regression", {"name": "mlp", "widths": [4]}, epochs=2, patience=1)
    trainer = run_until(folder, None)
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


def test_batch_norm_never_gets_a_single_sample(make: Callable[..., RunFolder]) -> None:
    model = {"name": "Net", "end": "none", "norm": True}
    with pytest.raises(UserError, match=r"train\.batch_size: batch norm can't train on single samples"):
        prepared(make("images", model, batch_size=1, validation=0.0))
    leftover = make("images", model, validation=0.0)  # 41 images: five batches of 8, and one image
    assert run_until(leftover, None).state.step == 5
    assert setup_of(leftover).counts["train"] == 41
