"""CUDA graphs: replayed steps against eager ones, in real captures."""

from __future__ import annotations

from typing import Any

from tests.gpu.checks import Env, Failed
from tests.gpu.support import RESNET, difference, epoch_losses, notice_texts, step_losses, train
from tests.gpu.training import NEAR
from tests.worker.support import setup_of

CASES: dict[str, tuple[dict[str, Any], dict[str, Any] | None]] = {
    "adam": ({"optimizer": "adam", "max_grad_norm": 1.0}, None),
    "adamw bf16": ({"optimizer": "adamw", "weight_decay": 0.01, "precision": "bf16"}, RESNET),
    "sgd": ({"optimizer": "sgd", "lr": 0.05, "momentum": 0.9, "schedule": "one-cycle"}, RESNET),
    "rmsprop": ({"optimizer": "rmsprop", "momentum": 0.5, "schedule": "cosine"}, None),
    "micro-batches": ({"optimizer": "sgd", "lr": 0.05, "micro_batch": 20, "class_weights": "balanced"}, None),
    "mixup, lookahead": ({"optimizer": "adam", "augment": ["flip", "mixup"], "lookahead": 3}, RESNET),
    "dropout": ({"optimizer": "adam"}, {"name": "mlp", "widths": [64], "dropout": 0.3}),
}
FIRST_STEPS = 20
"""Compared one by one: later, rounding has grown."""
LIMITS = {"adamw bf16": 0.03, "dropout": 0.1}
"""Relative differences that are accepted, where not `NEAR`."""


def equal(env: Env) -> str:
    """With a graph and without one, the losses are equal."""
    worst: dict[str, float] = {}
    for name, (changes, model) in CASES.items():
        settings = {"precision": "fp32", "deterministic": True, "epochs": 2, **changes}
        graph = train(env, {**settings, "cuda_graph": "yes"}, model)
        if not setup_of(graph).cuda_graph.enabled:
            raise Failed(f"{name}: not captured: {setup_of(graph).cuda_graph.reason}")
        eager = train(env, {**settings, "cuda_graph": "no"}, model)
        # Random numbers may be drawn in another order, which only a mean evens out.
        losses = epoch_losses if name == "dropout" else step_losses
        worst[name] = difference(losses(graph)[:FIRST_STEPS], losses(eager)[:FIRST_STEPS])
        if worst[name] > LIMITS.get(name, NEAR):
            raise Failed(f"{name}: the losses of replayed steps differ by {worst[name]:.1%}")
    return "losses differ by " + ", ".join(f"{name} {value:.1g}" for name, value in worst.items())


def recapture(env: Env) -> str:
    """After unfreezing the backbone, and in a resumed run, steps are captured anew."""
    settings = {"optimizer": "sgd", "lr": 0.05, "epochs": 3, "freeze_epochs": 1, "deterministic": True}
    settings["precision"] = "fp32"
    graph, eager = (train(env, {**settings, "cuda_graph": use}, RESNET) for use in ("yes", "no"))
    if texts := [text for text in notice_texts(graph) if "captured" in text]:
        raise Failed(texts[0])
    largest = difference(epoch_losses(graph), epoch_losses(eager))
    if largest > NEAR * 10:
        raise Failed(f"epoch losses differ by {largest:.1%}")
    return f"epoch losses differ by {largest:.2g}"


READING = """
import torch
from torch import nn

class Net(nn.Module):
    'Reads a value, in each step or only while it is captured; and draws random numbers afterwards.'

    def __init__(self, classes, shape, always=True):
        super().__init__()
        self.always = always
        self.first, self.last, self.drop = nn.Linear(64, 32), nn.Linear(32, classes), nn.Dropout(0.2)

    def forward(self, x):
        hidden = self.first(x.flatten(1)).relu()
        if self.always or (x.is_cuda and torch.cuda.is_current_stream_capturing()):
            float(hidden.detach().abs().max())
        return self.last(self.drop(hidden))
"""


def fallback(env: Env) -> str:
    """A step that can't be captured runs eagerly, with its reason as a notice."""
    path = env.folder / "net.py"
    path.write_text(READING)
    reasons = []
    for always in (True, False):
        run = train(
            env, {"optimizer": "adam", "cuda_graph": "yes"}, {"name": f"{path}:Net", "always": always}
        )
        setup = setup_of(run)
        if setup.cuda_graph.enabled:
            raise Failed("a step that reads a value was captured")
        if not any("captured" in text for text in notice_texts(run)):
            raise Failed("no notice says that steps run eagerly")
        reasons.append(setup.cuda_graph.reason)
    return "; then ".join(reasons)
