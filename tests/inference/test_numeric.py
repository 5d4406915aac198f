from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import torch

from workbench.cli.main import run as command
from workbench.core.errors import UserError
from workbench.inference.classifier import Classifier
from workbench.inference.numeric import predict_numbers, takes_numbers
from workbench.inference.results import NumericResult
from workbench.runs.run_folder import RunFolder

MakeRun = Callable[..., RunFolder]
LINE = {"model": {"name": "scalar", "start": 2.0}, "classes": [], "task": "regression"}
POINTS = {
    "model": {"name": "mlp", "widths": [4], "batch_norm": True, "softmax": True},
    "classes": ["low", "high"],
}


def test_new_numbers_are_predicted(make_run: MakeRun) -> None:
    run = make_run(shape=(1,), **LINE)
    assert takes_numbers(run.path)
    assert not takes_numbers(make_run().path)
    first, second = predict_numbers(run.path, ["0.25", "-3"], 5)
    assert first == NumericResult("0.25", None, (), (0.5,))
    assert second.values == (-6.0,)
    assert "takes 1 number, for example 0.5" in str(predict_numbers(run.path, ["1,2"], 5)[0].error)


def test_points_are_classified_with_one_softmax_only(make_run: MakeRun) -> None:
    run = make_run(shape=(2,), **POINTS)
    (result,) = predict_numbers(run.path, ["0.2,0.8"], 5)
    assert sum(row.probability for row in result.top) == pytest.approx(1)
    state = torch.load(run.checkpoints / "step-1.pt", weights_only=True)["model"]
    hidden = torch.relu(
        (state["body.1.weight"] @ torch.tensor([0.2, 0.8]) + state["body.1.bias"]) / (1 + 1e-5) ** 0.5
    )
    expected = torch.softmax(state["head.weight"] @ hidden + state["head.bias"], 0)
    assert result.top[0].probability == pytest.approx(float(expected.max()), abs=1e-5)
    assert result.top[0].label == ["low", "high"][int(expected.argmax())]


@pytest.mark.parametrize("text", ["dog.jpg", "", "0.1", "0.1,0.2,0.3", "nan,0", "1e99999,0"])
def test_wrong_numbers_are_reported(make_run: MakeRun, text: str) -> None:
    (result,) = predict_numbers(make_run(shape=(2,), **POINTS).path, [text], 5)
    assert "takes 2 numbers, for example 0.5,0.5" in str(result.error)


def test_the_command_predicts_the_valid_inputs(
    home: object, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_run(shape=(1,), **LINE)
    monkeypatch.setenv("WORKBENCH_HOME", str(folder.path.parents[1]))
    assert command(["classify", "0.25", "--run", "last"]) == 0
    assert capsys.readouterr().out == "0.25  0.5\n"
    assert command(["classify", "0.25", "x", "--run", "last", "--json"]) == 2
    captured = capsys.readouterr()
    results = json.loads(captured.out)["results"]
    assert results[0] == {"path": "0.25", "error": None, "top": [], "values": [0.5]}
    assert set(results[1]) == {"path", "error", "top"} and results[1]["error"]
    assert captured.err.count("\n") == 1


def test_an_image_is_not_for_a_run_of_numbers(make_run: MakeRun) -> None:
    with pytest.raises(UserError, match=r"was trained on numbers, not on images.* 0\.5,0\.5"):
        Classifier.from_run(make_run(shape=(2,), **POINTS).path)
