"""Handwritten training loops over tensors in memory: the baseline of the benchmarks.

`python -m tests.benchmarks.loops KIND FOLDER --epochs N --threads N` trains in its own process and prints one
JSON object. Loss and accuracy are accumulated per epoch, as in the workbench; no value is read during an epoch.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.tutorials import cifar10_convnet, mnist_mlp


@dataclass(frozen=True)
class Setting:
    """The training settings of a recipe."""

    batch: int
    optimizer: str
    lr: float
    mean: float
    std: float


SETTINGS = {
    "mnist-mlp": Setting(32, "adam", 0.001, 0.0, 1.0),
    "cifar10-convnet": Setting(4, "sgd", 0.001, 0.5, 0.5),
    "resnet": Setting(128, "sgd", 0.05, 0.5, 0.5),
}


def network(kind: str) -> nn.Module:
    """The network of the tutorial; for `resnet` the module of the workbench."""
    if kind == "mnist-mlp":
        return mnist_mlp.Net(softmax=True)
    if kind == "cifar10-convnet":
        return cifar10_convnet.Net()
    from workbench.models.architectures.resnet import ResNet

    return ResNet((3, 32, 32), 10)


def tensors(kind: str, folder: str) -> tuple[Tensor, Tensor]:
    """Inputs, float32 [N, C, H, W], and labels, int64 [N]."""
    if kind == "mnist-mlp":
        raw = Path(folder, "MNIST", "raw")
        x = _bytes_of(raw / "train-images-idx3-ubyte", 16).reshape(-1, 1, 28, 28)
        y = _bytes_of(raw / "train-labels-idx1-ubyte", 8).long()
    else:
        images = cifar10_convnet.CifarBatches(
            sorted(Path(folder, "cifar-10-batches-py").glob("data_batch_*"))
        )
        x = torch.from_numpy(images.images).permute(0, 3, 1, 2)
        y = torch.tensor(images.labels)
    setting = SETTINGS[kind]
    return ((x.float() / 255 - setting.mean) / setting.std).contiguous(), y


def _bytes_of(path: Path, head: int) -> Tensor:
    """The bytes after the header of an idx file: uint8 [N]."""
    return torch.frombuffer(bytearray(path.read_bytes()[head:]), dtype=torch.uint8)


def optimizer_of(net: nn.Module, setting: Setting) -> torch.optim.Optimizer:
    """The optimizer of the tutorials, but fused, which is the fastest one of torch."""
    if setting.optimizer == "adam":
        return torch.optim.Adam(net.parameters(), lr=setting.lr, fused=True)
    return torch.optim.SGD(net.parameters(), lr=setting.lr, momentum=0.9, fused=True)


def train(
    net: nn.Module, x: Tensor, y: Tensor, setting: Setting, *, epochs: int, precision: str = "fp32"
) -> dict[str, Any]:
    """Train for `epochs`; returns the duration, and the loss and accuracy of the last epoch."""
    optimizer, steps, size = optimizer_of(net, setting), 0, setting.batch
    net.train()
    began = _clock(x.device)
    for _ in range(epochs):
        order = torch.randperm(len(x), device=x.device)
        total = torch.zeros((), dtype=torch.float64, device=x.device)
        right = torch.zeros((), dtype=torch.int64, device=x.device)
        for start in range(0, len(x), size):
            batch = order[start : start + size]
            inputs, labels = x[batch], y[batch]
            with autocast(x.device, precision):
                outputs = net(inputs)
                loss = F.cross_entropy(outputs, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.detach() * len(labels)
            right += (outputs.argmax(1) == labels).sum()
            steps += 1
    seconds = _clock(x.device) - began
    return {
        "seconds": seconds, "steps": steps, "loss": total.item() / len(x), "accuracy": right.item() / len(x),
        "examples": epochs * len(x),
    }  # fmt: skip


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager[Any]:
    """The context of the forward pass."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else contextlib.nullcontext()


def _clock(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def main() -> None:
    """Run the loop that the arguments describe and print its result."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=sorted(SETTINGS))
    parser.add_argument("folder")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="fp32")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    x, y = (part.to(options.device) for part in tensors(options.kind, options.folder))
    net = network(options.kind).to(options.device)
    if options.kind == "resnet" and options.device != "cpu":
        net, x = net.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    # Warm-up: kernels are loaded and selected before the measurement.
    setting = SETTINGS[options.kind]
    train(network(options.kind).to(options.device), x[: setting.batch], y[: setting.batch], setting, epochs=2)
    print(json.dumps(train(net, x, y, setting, epochs=options.epochs, precision=options.precision)))


if __name__ == "__main__":
    main()
