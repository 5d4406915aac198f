"""Averages of the weights: EMA against its formula, SWA and batch norm statistics against PyTorch's own."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, update_bn

from workbench.config.lr_schedule import first_averaged_epoch, lr_at
from workbench.config.training_settings import TrainingSettings
from workbench.engine.batches import Batch
from workbench.engine.device import Precision
from workbench.engine.weight_average import WeightAverage, make_average, recompute_batch_norm

FP32 = Precision("fp32", torch.device("cpu"))
SWA = TrainingSettings(swa=0.5, epochs=6)


def network() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Dropout(0.5), nn.Linear(5, 2))


def change(module: nn.Module, seed: int) -> None:
    """What a training step does to weights and statistics."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in module.state_dict().values():
            value.add_(1 if value.dtype == torch.int64 else torch.randn(value.shape, generator=generator))


def values(average: WeightAverage) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in average.state_dict()["weights"].items()}


def test_the_decay_of_the_moving_average_warms_up() -> None:
    module, train = network(), TrainingSettings(ema=0.5)
    average = WeightAverage(module, "ema")
    expected = values(average)
    for step in range(12):
        change(module, step)
        average.after_step(train, 0, ends_epoch=False)
        decay = min(0.5, (1 + step) / (10 + step))
        state = module.state_dict()
        expected = {name: decay * value + (1 - decay) * state[name] for name, value in expected.items()}
    for name, value in values(average).items():
        torch.testing.assert_close(value, expected[name])
    assert average.updates == 12


def test_swa_is_the_mean_of_the_ends_of_the_last_epochs_as_in_pytorch() -> None:
    module = network()
    average, theirs = WeightAverage(module, "swa"), AveragedModel(module)
    for epoch in range(SWA.epochs):
        for last in (False, True):
            change(module, 10 * epoch + last)
            average.after_step(SWA, epoch, ends_epoch=last)
        if epoch >= 3:
            theirs.update_parameters(module)
    assert (first_averaged_epoch(SWA), average.updates) == (3, 3)
    for name, value in theirs.module.named_parameters():
        torch.testing.assert_close(values(average)[name], value.detach())


def test_the_averaged_weights_are_in_the_module_for_a_while() -> None:
    module = network()
    average = WeightAverage(module, "ema")
    change(module, 1)
    before, averaged = {k: v.clone() for k, v in module.state_dict().items()}, values(average)
    places = [value.data_ptr() for value in module.state_dict().values()]
    with pytest.raises(ValueError, match="inside"), average.in_place():
        now = module.state_dict()
        assert all(torch.equal(now[name], value) for name, value in averaged.items())
        raise ValueError("inside")
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert all(torch.equal(value, averaged[name]) for name, value in values(average).items())
    assert places == [value.data_ptr() for value in module.state_dict().values()]


def test_batch_norm_statistics_equal_those_of_update_bn() -> None:
    ours, theirs = network(), network()
    samples = torch.randn(40, 4, generator=torch.Generator().manual_seed(1))
    batches = [Batch(part, torch.zeros(len(part))) for part in samples.split(8)]
    ours.eval()
    before, counter = torch.get_rng_state(), ours[1].num_batches_tracked.clone()
    recompute_batch_norm(ours, batches, FP32, lambda: None)
    assert torch.equal(torch.get_rng_state(), before) and torch.equal(ours[1].num_batches_tracked, counter)
    assert not ours.training and ours[1].momentum == 0.1
    update_bn([(batch.inputs,) for batch in batches], theirs)
    for name in ("running_mean", "running_var"):
        torch.testing.assert_close(getattr(ours[1], name), getattr(theirs[1], name))


def test_interrupted_statistics_are_the_former_ones() -> None:
    module = network()
    before = {name: value.clone() for name, value in module.state_dict().items()}

    def stop() -> None:
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        recompute_batch_norm(module, [Batch(torch.randn(8, 4), torch.zeros(8))], FP32, stop)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert module.training


def test_an_average_of_another_kind_starts_anew() -> None:
    module = network()
    average = WeightAverage(module, "ema")
    change(module, 2)
    average.after_step(TrainingSettings(ema=0.9), 0, ends_epoch=False)
    same = make_average(module, TrainingSettings(ema=0.9), average.state_dict())
    other = make_average(module, SWA, average.state_dict())
    assert same is not None and same.updates == 1 and other is not None and other.updates == 0
    assert all(torch.equal(value, values(average)[name]) for name, value in values(same).items())
    assert make_average(module, TrainingSettings(), average.state_dict()) is None


def test_the_rate_of_averaged_epochs_is_constant() -> None:
    train = TrainingSettings(swa=0.5, swa_lr=0.02, lr=0.1, epochs=4, schedule="cosine")
    rates = [lr_at(step, train, 10) for step in range(40)]
    assert rates[:20] == [
        lr_at(step, TrainingSettings(lr=0.1, epochs=4, schedule="cosine"), 10) for step in range(20)
    ]
    assert rates[20:] == [0.02] * 20
