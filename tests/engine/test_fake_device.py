"""Training and evaluation forward on a fake CUDA device: all of it is on the device, and nothing of a step is read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from tests.fake_device import CUDA, DeviceReads, FakeState, FusedKernels, fake_cuda
from workbench.config.experiment import build_experiment
from workbench.datasets.augmentation import NAMES
from workbench.datasets.dataset import Dataset, Split
from workbench.engine import decision_plot, evaluate
from workbench.engine.batches import Batch, Batches
from workbench.engine.data_placement import place_split
from workbench.engine.device import DeviceChoice
from workbench.engine.freezing import Backbone
from workbench.engine.loop import train_epoch
from workbench.engine.nan_guard import NonFiniteGuard
from workbench.engine.prefetch import ChunkReader
from workbench.engine.running_sums import RunningSums
from workbench.engine.settings_history import SettingsHistory
from workbench.models.outputs import OutputKind
from workbench.runs.run_folder import RunFolder
from workbench.worker import components as building
from workbench.worker.components import TrainingComponents
from workbench.worker.context import Context
from workbench.worker.resume import StartPoint

__all__ = ["fake_cuda"]

SAMPLES, CLASSES = 50, 10
OPTIMIZERS = ("sgd", "adam", "adamw", "rmsprop")
IMAGES, POINTS = (3, 32, 32), (2,)


def made_data(shape: tuple[int, ...], task: str = "classification") -> Dataset:
    """Fake samples on the host: uint8 images, or float32 numbers."""
    dtype = torch.uint8 if len(shape) == 3 else torch.float32
    regression = task == "regression"
    splits = [
        Split(
            torch.zeros(SAMPLES, *shape, dtype=dtype),
            torch.zeros(SAMPLES, 1) if regression else torch.zeros(SAMPLES, dtype=torch.int64),
        )
        for _ in range(2)
    ]
    names = () if regression else tuple(map(str, range(CLASSES)))
    normalized = (0.5,) * 3 if len(shape) == 3 else ()
    return Dataset(task, names, splits[0], None, splits[1], normalized, normalized)  # type: ignore[arg-type]


class FakeComponents(TrainingComponents):
    """The components of a run, on made-up data."""

    def __init__(self, data: Dataset, sets: list[str], model: str) -> None:
        self._made = data
        experiment = build_experiment("cifar10-fast", sets=[f"model.name={model}", "train.augment=", *sets])
        start = SimpleNamespace(experiment=experiment, settings=experiment.train, restored=None)
        super().__init__(cast(Context, SimpleNamespace(
            heartbeat=SimpleNamespace(report_progress=lambda _: None), attempt=1, folder=RunFolder(Path("missing")),
            membership=None,
            requests=SimpleNamespace(stop_requested=lambda: False),
        )), cast(StartPoint, start))  # fmt: skip

    def _load_dataset(self, start: StartPoint) -> Dataset:
        return self._made


@pytest.fixture
def on_cuda(fake_cuda: FakeTensorMode, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeTensorMode]:
    """The mode, entered; components are put on the fake device."""
    monkeypatch.setattr(building, "pick_training_device", lambda name, is_assigned: DeviceChoice(CUDA))
    # Values tell whether outputs are probabilities; fake tensors have none.
    monkeypatch.setattr(building, "detect_output_kind", lambda *_, **__: OutputKind.LOGITS)
    monkeypatch.setattr(building, "configure_determinism", lambda device, deterministic: None)
    with fake_cuda, FusedKernels():
        yield fake_cuda


def fake_components(*sets: str, model: str = "convnet", data: Dataset | None = None) -> TrainingComponents:
    sets = ("train.precision=bf16", "train.batch_size=16", "train.tta=none", *sets)
    return FakeComponents(data or made_data(IMAGES), list(sets), model)


def fake_state(parts: TrainingComponents) -> FakeState:
    return FakeState(
        Backbone(parts.model.module, parts.model.head),
        task=parts.task,
        precision=parts.precision,
        settings_history=SettingsHistory(parts.settings),
        sums=RunningSums(parts.task, parts.device),
    )


class Steps:
    """Reports and hooks of a loop: what was read from the device up to the end of each step."""

    log_every, update_every = 1 << 60, 2

    def __init__(self, found: list[str]) -> None:
        self._found, self.per_step = found, list[list[str]]()

    def write_step(self, step: int, epoch: float, lr: float) -> None:
        raise AssertionError("no row is due")

    def after_step(self, state: Any) -> None:
        self.per_step.append(list(self._found))
        self._found.clear()


def train_one_epoch(parts: TrainingComponents, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What was read from the device in each step of the real loop, with the data that was prepared before it."""
    state, checks = fake_state(parts), list[int]()
    monkeypatch.setattr(NonFiniteGuard, "check", lambda guard, step: checks.append(step))
    batches = parts.epochs.batches(0)
    with DeviceReads() as found:
        steps = Steps(found)
        train_epoch(state, batches, steps, steps)
    assert state.step == len(batches) == 4
    assert checks == [4], "the guard is read at the epoch's end only"
    for tensor in state.mutated_tensors():
        assert tensor.device == CUDA
    return steps.per_step


CASES: list[tuple[str, list[str]]] = [
    *((f"augment {name}", [f"train.augment={name}"]) for name in NAMES),
    ("mixup and cutmix", ["train.augment=flip,mixup,cutmix"]),
    *((name, [f"train.optimizer={name}", "train.momentum=0.9"]) for name in OPTIMIZERS),
    *(
        (f"{name} fp16", [f"train.optimizer={name}", "train.precision=fp16", "train.max_grad_norm=1"])
        for name in OPTIMIZERS[:-1]
    ),
    ("fp32", ["train.precision=fp32"]),
    ("lookahead", ["train.lookahead=1"]),
    ("ema", ["train.ema=0.99"]),
    *((name, [f"train.optimizer={name}"]) for name in ("nadam", "radam", "muon")),
    ("layer decay", ["train.layer_decay=0.7", "train.head_lr=0.01"]),
    ("clipping", ["train.max_grad_norm=1"]),
    ("micro-batches", ["train.micro_batch=5", "train.class_weights=balanced"]),
    ("micro-batches of mixed images", ["train.micro_batch=5", "train.augment=mixup"]),
    ("class weights", ["train.class_weights=balanced", "train.label_smoothing=0.1"]),
    ("frozen", ["train.freeze_epochs=1"]),
    ("undo", ["train.auto_micro_batch=yes"]),
    *((f"schedule {name}", [f"train.schedule={name}"]) for name in ("cosine", "one-cycle", "step")),
]


@pytest.mark.parametrize("sets", [sets for _, sets in CASES], ids=[name for name, _ in CASES])
def test_no_step_reads_from_the_device(
    sets: list[str], on_cuda: FakeTensorMode, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = fake_components(*sets)
    assert parts.channels_last
    assert parts.splits["train"].resident
    first, *others = train_one_epoch(parts, monkeypatch)
    assert others == [[]] * 3
    # Constants of the data, such as its mean, are copied once.
    assert not [name for name in first if "cpu to" not in name]


def test_a_scaler_with_an_optimizer_that_is_not_fused_reads_once_per_step(
    on_cuda: FakeTensorMode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`GradScaler` itself decides on the host whether RMSprop makes its step."""
    parts = fake_components("train.optimizer=rmsprop", "train.precision=fp16")
    with pytest.raises(torch._subclasses.fake_tensor.DataDependentOutputException):
        train_one_epoch(parts, monkeypatch)


@pytest.mark.parametrize("model", ["mlp", "linear"])
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_numbers_are_trained_on_the_device(
    model: str, task: str, on_cuda: FakeTensorMode, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = fake_components("train.label_smoothing=0", model=model, data=made_data(POINTS, task))
    assert train_one_epoch(parts, monkeypatch)[1:] == [[]] * 3


@pytest.mark.parametrize(("task", "precision"), [("classification", "bf16"), ("regression", "fp32")])
def test_the_automatic_precision_of_a_gpu(task: str, precision: str, on_cuda: FakeTensorMode) -> None:
    parts = fake_components(
        "train.precision=auto", "train.label_smoothing=0", model="mlp", data=made_data(POINTS, task)
    )
    assert parts.precision.name == precision
    assert parts.with_settings(batch_size=8).precision.name == precision


def test_streamed_chunks_are_trained_on_the_device(
    on_cuda: FakeTensorMode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread that copies them has no fake device; all that follows has."""
    parts = fake_components("train.augment=translate,colour,mixup")
    parts.splits["train"] = replace(parts.splits["train"], split=parts.data.train, resident=False)
    parts.epochs = parts._make_epochs()

    def chunks(reader: ChunkReader, keys: Iterator[Tensor]) -> Iterator[Tensor]:
        for key in keys:
            assert key.device.type == "cpu"
            yield reader._split.split.gather(key).to(CUDA)

    monkeypatch.setattr(ChunkReader, "__init__", lambda self, split: setattr(self, "_split", split))
    monkeypatch.setattr(ChunkReader, "chunks", chunks)
    assert train_one_epoch(parts, monkeypatch)[1:] == [[]] * 3


@pytest.mark.parametrize("task", ["classification", "regression"])
@pytest.mark.parametrize("tta", ["none", "mirror", "translate"])
def test_an_evaluation_reads_its_outputs_once(
    task: str, tta: str, on_cuda: FakeTensorMode, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Not cifar-fast in bf16: fake inference does not cast the inputs of convolutions that pad to the same size.
    parts = fake_components("train.label_smoothing=0", model="resnet", data=made_data(IMAGES, task))
    seen: list[Tensor] = []

    def scored(outputs: Tensor, *values: Any, **_: Any) -> evaluate.Evaluation:
        seen.extend([outputs, *(value for value in values if isinstance(value, Tensor))])
        return cast(evaluate.Evaluation, SimpleNamespace(scores={}))

    monkeypatch.setattr(evaluate, "_classification", scored)
    monkeypatch.setattr(evaluate, "_regression", scored)
    monkeypatch.setattr(evaluate, "_accuracy", scored)
    with DeviceReads() as found:
        evaluate.evaluate(
            parts.model.module, parts.splits["test"], parts.task, split="test", classes=parts.data.classes,
            precision=parts.precision, batch_size=16, tta=tta,
        )  # fmt: skip
    assert seen and all(tensor.device.type == "cpu" for tensor in seen)
    passes = 2 if tta != "none" and task == "classification" else 1
    # The targets, and the outputs of each pass; not their copies by the operator behind the method.
    assert [name for name in found if not name.startswith("aten::_to_copy")] == ["Tensor.cpu"] * (1 + passes)


def test_the_regions_of_a_classifier_are_computed_on_the_device(on_cuda: FakeTensorMode) -> None:
    parts = fake_components(model="mlp", data=made_data(POINTS))
    grid = torch.zeros(20, 2)
    found = decision_plot._predicted_classes(parts.model.module, parts.splits["test"], grid)
    assert (found.shape, found.device) == ((20,), CUDA)


VIEWING = """
from torch import nn

class Net(nn.Module):
    'As in tutorials: x.view needs features in the order of their channels.'

    def __init__(self, classes, shape, view=True):
        super().__init__()
        self.conv, self.head, self.view = nn.Conv2d(3, 4, 5), nn.Linear(4 * 28 * 28, classes), view

    def forward(self, x):
        x = self.conv(x)
        return self.head(x.view(-1, 4 * 28 * 28) if self.view else x.flatten(1))
"""


@pytest.mark.parametrize("view", [True, False])
def test_a_custom_model_with_view_keeps_the_order_of_channels(
    view: bool, on_cuda: FakeTensorMode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "net.py").write_text(VIEWING)
    sets = ("train.norm_bias_lr_scale=1", f"model.view={str(view).lower()}")
    parts = fake_components(*sets, model=f"{tmp_path}/net.py:Net")
    assert parts.channels_last == (not view)
    assert train_one_epoch(parts, monkeypatch)[1:] == [[]] * 3


class Forgetful(nn.Module):
    """Keeps a tensor that does not move with it."""

    def __init__(self) -> None:
        super().__init__()
        self.head, self.scale = nn.Linear(3 * 32 * 32, CLASSES), torch.ones(CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.head(x.flatten(1)) * self.scale)


class Reading(Forgetful):
    """Reads a value in each step."""

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.head(x.flatten(1))
        return outputs / outputs.detach().abs().max().cpu().clamp(min=1).to(outputs.device)


@pytest.mark.parametrize(("kind", "error"), [(Forgetful, "same device"), (Reading, None)])
def test_a_tensor_left_on_the_host_is_found(
    kind: type[Forgetful], error: str | None, on_cuda: FakeTensorMode, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = fake_components("train.precision=fp32", "train.norm_bias_lr_scale=1")
    module = kind().to(CUDA)
    monkeypatch.setattr(parts, "model", replace(parts.model, module=module, head=()))
    if error is not None:
        with pytest.raises(RuntimeError, match=error):
            train_one_epoch(parts, monkeypatch)
        return
    assert all("aten::_to_copy from cuda:0 to cpu" in step for step in train_one_epoch(parts, monkeypatch))


def test_targets_left_on_the_host_are_found(on_cuda: FakeTensorMode, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = fake_components("train.precision=fp32")
    prepare = Batches._prepare

    def forgetting(self: Batches, *values: Any) -> Batch:
        batch = prepare(self, *values)
        return replace(batch, targets=torch.zeros(len(batch), dtype=torch.int64))

    monkeypatch.setattr(Batches, "_prepare", forgetting)
    with pytest.raises(RuntimeError, match="same device"):
        train_one_epoch(parts, monkeypatch)


def test_a_split_is_copied_to_the_device_where_it_fits(on_cuda: FakeTensorMode) -> None:
    placed = place_split(made_data(IMAGES).train, lambda raw, device: raw.to(device).float(), CUDA)
    assert placed.inputs.device == placed.targets.device == CUDA
    assert placed.split.targets.device.type == "cpu"
    assert placed.reason.startswith("resident in cuda:0")
