from __future__ import annotations

import json
import math
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn import metrics as sk
from torch import Tensor, nn

from workbench.datasets.dataset import Split
from workbench.engine.data_placement import place_split
from workbench.engine.device import Precision
from workbench.engine.evaluate import eval_batch_size, evaluate, with_tta
from workbench.engine.task import Classification, Regression
from workbench.runs.evaluation import ClassifiedSamples, Evaluation, classification_evaluation
from workbench.runs.evaluation_writer import write_evaluation
from workbench.runs.run_folder import create_run_folder

CPU = torch.device("cpu")
FP32 = Precision("fp32", CPU)


def plain(raw: Tensor, _: torch.device) -> Tensor:
    return raw


def measured(logits: Tensor, targets: Tensor, classes: int) -> Evaluation:
    """Evaluate a model that outputs just these logits."""
    source = place_split(Split(logits, targets), plain, CPU)
    names = [f"c{i}" for i in range(classes)]
    return evaluate(
        nn.Identity(), source, Classification(classes), split="test", classes=names, precision=FP32
    )


@pytest.fixture
def predictions() -> tuple[Tensor, Tensor]:
    """Logits and targets of 12 classes: class 10 has no examples, class 11 is never predicted."""
    generator = torch.Generator().manual_seed(0)
    targets = torch.randint(0, 10, (3000,), generator=generator)
    targets[::50] = 11
    logits = torch.randn(3000, 12, generator=generator)
    logits[torch.arange(3000), targets] += 1.5
    logits[:, 11] = -9
    return logits, targets


def test_classification_metrics_equal_scikit_learns(predictions: tuple[Tensor, Tensor]) -> None:
    logits, targets = predictions
    found = measured(logits, targets, 12)
    truth, predicted = targets.numpy(), logits.argmax(1).numpy()
    probabilities = logits.double().softmax(1).numpy()
    labels = list(range(12))
    assert found.scores["accuracy"] == pytest.approx(sk.accuracy_score(truth, predicted))
    assert found.scores["balanced_accuracy"] == pytest.approx(np.mean(
        sk.recall_score(truth, predicted, average=None, labels=[i for i in labels if i != 10])
    ))  # fmt: skip
    assert found.scores["macro_f1"] == pytest.approx(sk.f1_score(truth, predicted, average="macro"))
    assert found.scores["loss"] == pytest.approx(sk.log_loss(truth, probabilities, labels=labels), rel=1e-12)
    assert found.scores["top5"] == pytest.approx(
        sk.top_k_accuracy_score(truth, probabilities, k=5, labels=labels)
    )
    table = sk.precision_recall_fscore_support(truth, predicted, labels=labels, zero_division=0)
    for row, precision, recall, f1, support in zip(found.per_class, *table, strict=True):
        assert (row.precision or 0.0) == pytest.approx(precision)
        assert (row.recall or 0.0) == pytest.approx(recall)
        assert (row.f1 or 0.0) == pytest.approx(f1)
        assert row.support == support
        assert row.accuracy == row.recall
    matrix = np.zeros((12, 12), int)
    for true, guess, count in found.confusion:
        matrix[true, guess] = count
    assert (matrix == sk.confusion_matrix(truth, predicted, labels=labels)).all()


def test_a_loss_is_computed_in_double_precision() -> None:
    """In single precision it would be 0."""
    found = measured(torch.tensor([[20.0, 0.0]]), torch.tensor([0]), 2)
    assert found.scores["loss"] == pytest.approx(math.log1p(math.exp(-20)), rel=1e-6)


def test_undefined_metrics_are_none(predictions: tuple[Tensor, Tensor]) -> None:
    rows = {row.name: row for row in measured(*predictions, 12).per_class}
    assert rows["c10"].recall is None
    assert rows["c10"].support == 0
    assert rows["c11"].precision is None
    assert rows["c11"].recall == rows["c11"].f1 == 0


def test_averages_are_over_the_classes_that_occur() -> None:
    """Of c0 to c3, c1 occurs once, c2 never, and c3 is only predicted."""
    truth, predicted = torch.tensor([0, 0, 1]), torch.tensor([0, 3, 0])
    scores = measured(F.one_hot(predicted, 4).float(), truth, 4).scores
    assert scores["balanced_accuracy"] == (1 / 2 + 0) / 2
    assert scores["macro_f1"] == pytest.approx((1 / 2 + 0 + 0) / 3)
    assert scores["macro_f1"] == pytest.approx(sk.f1_score(truth, predicted, average="macro"))


def test_accuracies_weighted_by_support_sum_to_the_accuracy(predictions: tuple[Tensor, Tensor]) -> None:
    found = measured(*predictions, 12)
    weighed = sum((row.accuracy or 0) * row.support for row in found.per_class) / found.count
    assert weighed == pytest.approx(found.scores["accuracy"], abs=1e-12)


def test_few_classes_have_no_top5() -> None:
    found = measured(torch.eye(3), torch.tensor([0, 1, 1]), 3)
    assert "top5" not in found.scores
    assert found.scores["accuracy"] == pytest.approx(2 / 3)
    assert "top5" not in measured(torch.eye(10), torch.arange(10), 10).scores
    assert measured(torch.arange(11.0).expand(11, 11), torch.arange(11), 11).scores["top5"] == 5 / 11


def test_predicted_classes_alone_have_neither_top5_nor_loss() -> None:
    """As a script may log them."""
    labels = np.arange(12)
    samples = ClassifiedSamples(labels, labels[:, None], np.ones(12), np.ones(12))
    found = classification_evaluation("test", [str(label) for label in labels], samples, None)
    assert found.scores == {"accuracy": 1.0, "balanced_accuracy": 1.0, "macro_f1": 1.0}


def test_record_files_match_their_layout(predictions: tuple[Tensor, Tensor], tmp_path: Path) -> None:
    logits, targets = predictions
    found = measured(logits, targets, 12)
    folder = create_run_folder(tmp_path, "run")
    write_evaluation(found, folder, step=7, epoch=2)
    described = json.loads(folder.evaluation(7, "test").read_text())
    assert described["step"] == 7
    assert described["accuracy"] == found.scores["accuracy"]
    layout = described["records"]
    assert layout["fields"] == [["index", 1], ["label", 1], ["top", 5], ["probability", 1], ["confidence", 1]]
    rows = list(struct.iter_unpack(layout["struct"], (folder.evaluations / layout["file"]).read_bytes()))
    assert len(rows) == 3000
    index, label, *top, probability, confidence = rows[123]
    assert confidence == pytest.approx(float(logits[123].softmax(0).max()), rel=1e-5)
    assert (index, label) == (123, int(targets[123]))
    assert top == logits[123].topk(5).indices.tolist()
    assert probability == pytest.approx(float(logits[123].softmax(0)[targets[123]]), rel=1e-5)


@pytest.mark.parametrize(
    ("shape", "outputs"),
    [((200,), (200, 1)), ((200, 1), (200,)), ((200, 3), (200, 3)), ((200, 2, 2), (200, 4))],
)
def test_regression_metrics_equal_scikit_learns(
    shape: tuple[int, ...], outputs: tuple[int, ...], tmp_path: Path
) -> None:
    generator = torch.Generator().manual_seed(0)
    wanted = torch.randn(shape, generator=generator)
    wanted *= torch.arange(1, wanted[0].numel() + 1).reshape(shape[1:])  # each output has a spread of its own
    predictions = (wanted + 0.3 * torch.randn(shape, generator=generator)).reshape(outputs)
    source = place_split(Split(predictions, wanted), plain, CPU)
    found = evaluate(nn.Identity(), source, Regression(1), split="test", classes=(), precision=FP32)
    truth, guess = wanted.double().reshape(200, -1).numpy(), predictions.double().reshape(200, -1).numpy()
    expected = {"mse": sk.mean_squared_error, "mae": sk.mean_absolute_error, "r2": sk.r2_score}
    scores = {name: function(truth, guess) for name, function in expected.items()}
    assert found.scores == pytest.approx({**scores, "loss": scores["mse"]}, rel=1e-12)
    assert found.count == 200
    folder = create_run_folder(tmp_path, "run")
    write_evaluation(found, folder, step=1, epoch=1)
    layout = json.loads(folder.evaluation(1, "test").read_text())["records"]
    rows = list(struct.iter_unpack(layout["struct"], (folder.evaluations / layout["file"]).read_bytes()))
    assert rows[9] == (9, *truth[9], *guess[9])


def test_evaluation_leaves_the_model_unchanged_and_calls_back_per_batch() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)).train()
    model[1].eval()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    source = place_split(Split(torch.randn(2500, 2), torch.zeros(2500, dtype=torch.int64)), plain, CPU)
    asked: list[int] = []

    def run(**options: int) -> None:
        evaluate(
            model, source, Classification(3), split="test", classes="abc", precision=FP32,
            after_batch=lambda: asked.append(1), **options,
        )  # fmt: skip

    run()
    assert len(asked) == 3
    run(batch_size=500)
    assert len(asked) == 3 + 5
    assert model.training
    assert not model[1].training
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_batches_of_evaluations_are_limited_in_bytes_in_samples_and_by_the_run() -> None:
    def size(floats: int, limit: int = 0) -> int:
        split = Split(torch.zeros(1).expand(1, floats), torch.zeros(1, dtype=torch.int64))
        return eval_batch_size(place_split(split, plain, CPU), limit)

    assert [size(floats) for floats in (1, 12_000, 9_000_000)] == [1024, 666, 1]
    assert (size(12_000, 100), size(12_000, 1000)) == (100, 666)


def test_nan_is_written_as_a_string(tmp_path: Path) -> None:
    found = measured(torch.full((4, 2), float("nan")), torch.tensor([0, 1, 0, 1]), 2)
    folder = create_run_folder(tmp_path, "run")
    write_evaluation(found, folder, step=1, epoch=1)
    assert json.loads(folder.evaluation(1, "test").read_text())["loss"] == "NaN"


class LeftEdge(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        seen = x[:, 0, :, 0].mean(1)
        return torch.stack([-seen, seen], 1)


def test_test_time_augmentation_averages_views() -> None:
    """A model that only reads the left edge predicts half of the images correctly, and with mirroring all of them."""
    images = torch.zeros(40, 1, 6, 6)
    edges = torch.where(torch.arange(40) % 4 < 2, 0, 5)
    images[torch.arange(40), 0, :, edges] = (torch.arange(40) % 2 * 2 - 1).float()[:, None]
    source = place_split(Split(images, torch.arange(40) % 2), plain, CPU)
    module = LeftEdge()

    def scores(tta: str) -> dict[str, float]:
        return evaluate(
            module, source, Classification(2), split="test", classes="ab", precision=FP32, tta=tta
        ).scores

    assert "tta_accuracy" not in scores("none")
    for tta in ("mirror", "translate"):
        assert scores(tta)["accuracy"] == 0.75
        assert scores(tta)["tta_accuracy"] == 1.0
    x = torch.rand(2, 1, 6, 6)
    assert torch.equal(with_tta(module, "mirror")(x), (module(x) + module(x.flip(-1))) / 2)
    padded = F.pad(x, (1, 1, 1, 1), "reflect")
    views = [(x, 0.25), (padded[..., :6, :6], 0.125), (padded[..., 2:, 2:], 0.125)]
    expected = sum(weight * (module(view) + module(view.flip(-1))) for view, weight in views)
    assert torch.allclose(with_tta(module, "translate")(x), expected)
