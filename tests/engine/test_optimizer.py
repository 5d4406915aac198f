from __future__ import annotations

import itertools
import warnings
from typing import Any

import pytest
import torch
from torch import nn

from workbench.config.lr_schedule import lr_at
from workbench.config.training_settings import TrainingSettings
from workbench.core.errors import UserError
from workbench.engine.freezing import Backbone
from workbench.engine.lookahead import FINAL_RETENTION, Lookahead, make_lookahead
from workbench.engine.optimizer import load_optimizer_state, make_optimizer, set_lr
from workbench.engine.torch_compat import unwrapped_step

CPU = torch.device("cpu")


def curve(train: TrainingSettings, steps_per_epoch: int) -> list[float]:
    return [lr_at(step, train, steps_per_epoch) for step in range(train.epochs * steps_per_epoch)]


def torch_curve(make: Any, steps: int, lr: float) -> list[float]:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=lr)
    scheduler, rates = make(optimizer), []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def test_cosine_schedule_equals_torchs() -> None:
    ours = curve(TrainingSettings(epochs=5, lr=0.3, schedule="cosine"), 20)
    theirs = torch_curve(lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 100), 100, 0.3)
    assert ours == pytest.approx(theirs)


def test_one_cycle_schedule_equals_torchs() -> None:
    ours = curve(TrainingSettings(epochs=5, lr=0.3, schedule="one-cycle"), 20)

    def make(optimizer: Any) -> Any:
        return torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.3, total_steps=100, cycle_momentum=False)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = torch_curve(make, 100, 0.3)
    assert ours == pytest.approx(theirs)


@pytest.mark.parametrize("factor", [1, 2])
def test_warm_restarts_equal_torchs(factor: int) -> None:
    train = TrainingSettings(epochs=7, lr=0.3, schedule="restarts", restart_every=2, restart_factor=factor)

    def make(optimizer: Any) -> Any:
        return torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 20, factor)

    assert curve(train, 10) == pytest.approx(torch_curve(make, 70, 0.3))


def test_step_schedule_equals_torchs() -> None:
    ours = curve(TrainingSettings(epochs=7, lr=0.3, schedule="step", step_every=2, step_factor=0.5), 10)
    theirs = torch_curve(lambda o: torch.optim.lr_scheduler.StepLR(o, 20, 0.5), 70, 0.3)
    assert ours == pytest.approx(theirs)


@pytest.mark.parametrize("schedule", ["constant", "step", "cosine", "one-cycle"])
def test_warmup_rises_to_the_peak_which_is_the_maximum(schedule: Any) -> None:
    rates = curve(TrainingSettings(epochs=6, lr=0.2, schedule=schedule, warmup=2.0), 10)
    assert all(a < b for a, b in itertools.pairwise(rates[:20]))
    assert rates[19] == pytest.approx(0.2)
    assert max(rates) == pytest.approx(0.2)
    assert min(rates) > 0


def test_a_run_of_one_step_has_a_learning_rate() -> None:
    for schedule in ("constant", "step", "cosine", "one-cycle"):
        assert 0 < lr_at(0, TrainingSettings(epochs=1, schedule=schedule), 1) <= 1e-3


def test_zero_initialized_momentum_equals_torchs_first_step() -> None:
    ours, theirs = nn.Linear(3, 2), nn.Linear(3, 2)
    theirs.load_state_dict(ours.state_dict())
    first = make_optimizer(ours, TrainingSettings(optimizer="sgd", lr=0.1, momentum=0.9), CPU)
    second = torch.optim.SGD(theirs.parameters(), lr=0.1, momentum=0.9, fused=True)
    for _ in range(3):
        for module, optimizer in ((ours, first), (theirs, second)):
            module.zero_grad()
            module(torch.ones(4, 3)).square().sum().backward()
            optimizer.step()
    assert torch.equal(ours.weight, theirs.weight)


def test_biases_and_norms_have_no_weight_decay() -> None:
    module = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    groups = make_optimizer(module, TrainingSettings(optimizer="adamw", weight_decay=0.1), CPU).param_groups
    assert [(g["weight_decay"], len(g["params"])) for g in groups] == [(0.1, 1), (0.0, 3)]


def test_weight_decay_can_apply_to_all_parameters() -> None:
    train = TrainingSettings(optimizer="adamw", weight_decay=0.1, decay_all=True)
    groups = make_optimizer(nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)), train, CPU).param_groups
    assert [(g["weight_decay"], len(g["params"])) for g in groups] == [(0.1, 4)]


def rates_by_name(module: nn.Module, train: TrainingSettings, head: tuple[str, ...]) -> dict[str, float]:
    optimizer = make_optimizer(module, train, CPU, head)
    set_lr(optimizer, train.lr, train)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    return {name: rates[id(parameter)] for name, parameter in module.named_parameters()}


def test_the_rate_falls_from_the_head_to_the_input() -> None:
    module = nn.Sequential(*(nn.Linear(2, 2) for _ in range(4)), nn.BatchNorm1d(2), nn.Linear(2, 2))
    train = TrainingSettings(lr=0.8, layer_decay=0.5, weight_decay=0.1, head_lr=0.3)
    rates = rates_by_name(module, train, ("5",))
    by_layer = {name.split(".")[0]: rate for name, rate in rates.items()}
    assert by_layer == pytest.approx({"0": 0.05, "1": 0.1, "2": 0.2, "3": 0.4, "4": 0.4, "5": 0.3})
    assert all(rates[name] == by_layer[name.split(".")[0]] for name in rates)


def test_the_rate_of_the_head_follows_the_schedule() -> None:
    module, train = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)), TrainingSettings(lr=0.1, head_lr=0.4)
    optimizer = make_optimizer(module, train, CPU, ("1",))
    set_lr(optimizer, 0.01, train)
    assert sorted(group["lr"] for group in optimizer.param_groups) == pytest.approx([0.01, 0.04])


def test_groups_without_new_settings_are_those_of_stored_runs() -> None:
    """The states of optimizers are stored by the order of their parameters."""
    module = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))
    train = TrainingSettings(optimizer="adamw", weight_decay=0.1, norm_bias_lr_scale=2.0)
    groups = make_optimizer(module, train, CPU, ("2",)).param_groups
    names = {id(p): name for name, p in module.named_parameters()}
    assert [[names[id(p)] for p in group["params"]] for group in groups] == [
        ["1.bias"], ["0.weight", "2.weight"], ["0.bias", "1.weight", "2.bias"],
    ]  # fmt: skip


def test_muon_updates_the_matrices_as_torchs_and_adamw_the_rest() -> None:
    torch.manual_seed(0)
    ours = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2))
    theirs = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2))
    theirs.load_state_dict(ours.state_dict())
    train = TrainingSettings(optimizer="muon", lr=0.02, weight_decay=0.1)
    first = make_optimizer(ours, train, CPU, ("2",))
    rest = [p for name, p in theirs.named_parameters() if name not in {"0.weight", "1.weight"}]
    others = [
        torch.optim.Muon([theirs[0].weight, theirs[1].weight], lr=0.02, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW([rest[2]], lr=0.02, weight_decay=0.1, fused=True),
        torch.optim.AdamW([rest[0], rest[1], rest[3]], lr=0.02, weight_decay=0.0, fused=True),
    ]
    for step in range(4):
        for module in (ours, theirs):
            module.zero_grad()
            module(torch.ones(3, 4)).square().sum().backward()
        for optimizer in (first, *others):
            unwrapped_step(optimizer)()
        if step == 1:  # a resume
            again = make_optimizer(ours, train, CPU, ("2",))
            assert load_optimizer_state(again, first.state_dict())
            first = again
    for name, value in ours.state_dict().items():
        assert torch.equal(value, theirs.state_dict()[name]), name


def test_set_lr_reaches_every_group() -> None:
    optimizer = make_optimizer(nn.Linear(2, 2), TrainingSettings(optimizer="sgd", weight_decay=0.1), CPU)
    set_lr(optimizer, 0.123)
    assert {g["lr"] for g in optimizer.param_groups} == {0.123}


def test_a_frozen_backbone_keeps_weights_and_statistics() -> None:
    module = nn.Sequential()
    module.add_module("body", nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)))
    module.add_module("head", nn.Linear(4, 2))
    fixed = nn.Parameter(torch.zeros(1), requires_grad=False)
    module.register_parameter("fixed", fixed)
    backbone = Backbone(module, ("head",))
    step = unwrapped_step(
        make_optimizer(module, TrainingSettings(optimizer="sgd", lr=0.1, momentum=0.9), CPU)
    )

    def learned(frozen: bool) -> dict[str, bool]:
        before = {k: v.clone() for k, v in module.state_dict().items()}
        backbone.train(len(backbone.stages) if frozen else 0)
        module(torch.randn(8, 4)).square().sum().backward()
        step()
        return {k: not torch.equal(v, before[k]) for k, v in module.state_dict().items()}

    changed = learned(frozen=True)
    assert {name for name, moved in changed.items() if moved} == {"head.weight", "head.bias"}
    changed = learned(frozen=False)
    assert changed["body.0.weight"]
    assert changed["body.1.running_mean"]
    assert not changed["fixed"]
    assert not fixed.requires_grad


def test_stages_are_unfrozen_from_the_head_on() -> None:
    layers = [nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)) for _ in range(4)]
    module = nn.Sequential(*layers, nn.Linear(2, 2))
    backbone, train = Backbone(module, ("4",)), TrainingSettings(freeze_epochs=2, unfreeze_every=2)
    frozen = [backbone.num_frozen(epoch, train) for epoch in range(10)]
    assert frozen == [4, 4, 3, 3, 2, 2, 1, 1, 0, 0]
    backbone.train(2)
    trained = {name.split(".")[0] for name, p in module.named_parameters() if p.requires_grad}
    assert trained == {"2", "3", "4"}
    assert [layer[1].training for layer in layers] == [False, False, True, True]


def test_the_triangular_schedule_is_piecewise_linear() -> None:
    rates = curve(TrainingSettings(epochs=10, lr=2.0, schedule="triangular"), 10)
    assert rates[0] == pytest.approx(0.4)
    assert rates[23] == max(rates) == 2.0
    assert rates[99] == pytest.approx(2 * (0.07 + 0.93 / 77))
    falls = [b - a for a, b in itertools.pairwise(rates[23:])]
    assert max(falls) - min(falls) < 1e-9
    early = curve(TrainingSettings(epochs=10, lr=2.0, schedule="triangular", warmup=1.0), 10)
    assert early.index(max(early)) == 10


def test_norm_biases_have_their_own_learning_rate() -> None:
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(2, 2))
    train = TrainingSettings(optimizer="sgd", lr=0.1, weight_decay=0.5, norm_bias_lr_scale=10.0)
    optimizer = make_optimizer(module, train, CPU)
    set_lr(optimizer, 0.2)
    quick, weights, rest = optimizer.param_groups
    assert [p.shape for p in quick["params"]] == [(2,)]
    assert quick["params"][0] is module[1].bias
    assert (quick["lr"], quick["weight_decay"]) == (2.0, 0.05)
    assert (weights["lr"], weights["weight_decay"]) == (0.2, 0.5)
    assert len(rest["params"]) == 3
    assert (
        make_optimizer(module, TrainingSettings(weight_decay=0.5), CPU).param_groups[0]["params"][0]
        is module[0].weight
    )


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_a_learning_rate_tensor_gives_the_same_steps(name: Any) -> None:
    train = TrainingSettings(optimizer=name, lr=0.1, momentum=0.9, weight_decay=0.01)
    modules = [nn.Linear(4, 3), nn.Linear(4, 3)]
    modules[1].load_state_dict(modules[0].state_dict())
    x = torch.randn(8, 4)
    for module, on_device in zip(modules, (False, True), strict=True):
        optimizer = make_optimizer(module, train, CPU)
        step = unwrapped_step(optimizer)
        for group in optimizer.param_groups if on_device else ():
            group["lr"] = torch.tensor(group["lr"])
        for rate in (0.1, 0.03):
            set_lr(optimizer, rate)
            optimizer.zero_grad()
            module(x).square().sum().backward()
            step()
    assert torch.allclose(modules[0].weight, modules[1].weight, rtol=1e-6)


@pytest.mark.parametrize("name", ["adam", "rmsprop"])
def test_optimizer_state_moves_to_the_device_that_capturable_requires(name: Any) -> None:
    """From the CPU to a device that holds its own step counts; `meta` replaces a GPU."""
    module, meta = nn.Linear(2, 2), nn.Linear(2, 2, device="meta")
    train = TrainingSettings(optimizer=name, lr=0.1)
    here = make_optimizer(module, train, CPU)
    module(torch.ones(3, 2)).sum().backward()
    here.step()
    there = make_optimizer(meta, train, torch.device("meta"))
    for group in there.param_groups:
        group["capturable"] = True
    assert load_optimizer_state(there, here.state_dict())
    assert [group["capturable"] for group in there.param_groups] == [True]
    assert {state["step"].device.type for state in there.state.values()} == {"meta"}


def test_optimizer_state_of_other_groups_is_not_loaded() -> None:
    module = nn.Linear(2, 2)
    one, other = (make_optimizer(module, TrainingSettings(weight_decay=decay), CPU) for decay in (0.0, 0.1))
    assert not load_optimizer_state(one, other.state_dict())


def test_lookahead_interpolates_towards_the_slow_weights() -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    lookahead = Lookahead(module)
    start = module[0].weight.detach().clone()
    with torch.no_grad():
        module[0].weight.add_(1.0)
        module[1].running_mean.add_(1.0)
    lookahead.update(0.5)
    kept = FINAL_RETENTION / 8
    assert torch.allclose(module[0].weight, start + 1 - kept)
    assert torch.allclose(module[1].running_mean, torch.full((2,), 1 - kept))
    average = module[0].weight.detach().clone()
    with torch.no_grad():
        module[0].weight.add_(1.0)
    again = make_lookahead([t.clone() for t in lookahead.state_dict()], 5, module)
    assert again is not None
    again.update(1.0)
    assert torch.equal(module[0].weight, average)
    assert make_lookahead(None, 0, module) is None


def test_a_model_without_parameters_is_rejected() -> None:
    with pytest.raises(UserError, match="no parameters"):
        make_optimizer(torch.nn.Flatten(), TrainingSettings(), torch.device("cpu"))
