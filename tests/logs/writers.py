"""Logs as the real packages write them: `python -m tests.logs.writers tests/logs/samples` renews the stored samples.

Each function writes a log into an empty folder and returns what it gave to the package, as `Expected`. Packages that
are not installed for tests can be installed anywhere: only this module imports them.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

SAMPLES = Path(__file__).parent / "samples"
EXPECTED = "expected.json"


@dataclass
class Expected:
    """What a log holds: steps and values of each metric, and the settings."""

    series: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)

    def add(self, step: int, metrics: Mapping[str, float]) -> None:
        for name, value in metrics.items():
            self.series.setdefault(name, []).append((step, float(value)))


def write_lightning(folder: Path) -> Expected:
    """Two epochs of a linear model; the calls of the logger are recorded."""
    import torch
    from lightning.pytorch import LightningModule, Trainer
    from lightning.pytorch.loggers import CSVLogger

    expected = Expected(config={"lr": 0.1, "layers": "[4, 2]", "optimizer/name": "sgd"})

    class Model(LightningModule):
        def __init__(self, lr: float, layers: tuple[int, ...], optimizer: dict[str, str]) -> None:
            super().__init__()
            self.save_hyperparameters()
            self.layer = torch.nn.Linear(4, 1)

        def training_step(self, batch: torch.Tensor, index: int) -> torch.Tensor:
            loss = self.layer(batch).square().mean()
            self.log("train_loss", loss)
            return loss

        def validation_step(self, batch: torch.Tensor, index: int) -> None:
            self.log_dict({"val_loss": self.layer(batch).mean(), "val/index": float(index)})

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    class RecordingLogger(CSVLogger):
        def log_metrics(self, metrics: dict[str, Any], step: int | None = None) -> None:
            expected.add(step or 0, {name: value for name, value in metrics.items() if name != "epoch"})
            super().log_metrics(metrics, step)

    data = torch.utils.data.DataLoader(torch.randn(24, 4), batch_size=4)
    trainer = Trainer(
        max_epochs=2, accelerator="cpu", logger=RecordingLogger(str(folder)), log_every_n_steps=2,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(Model(0.1, (4, 2), {"name": "sgd"}), data, data)
    return expected


def write_keras(folder: Path) -> Expected:
    """Three epochs of a dense layer."""
    os.environ["KERAS_BACKEND"] = "torch"
    import keras
    import numpy

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", metrics=["mae"])
    inputs = numpy.random.default_rng(0).normal(size=(32, 4)).astype("float32")
    callback = keras.callbacks.CSVLogger(str(folder / "training.log"))
    history = model.fit(
        inputs, inputs.sum(1), epochs=3, validation_split=0.25, verbose=0, callbacks=[callback]
    ).history
    return Expected({name: list(enumerate(map(float, values))) for name, values in history.items()})


def write_hugging_face(folder: Path) -> Expected:
    """Three epochs with a checkpoint and an evaluation each."""
    import torch
    from transformers import Trainer, TrainingArguments

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(4, 1)

        def forward(self, inputs: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
            outputs = self.layer(inputs)
            return {"loss": (outputs - labels).square().mean(), "logits": outputs}

    data = [{"inputs": torch.randn(4), "labels": torch.ones(1)} for _ in range(16)]
    arguments = TrainingArguments(
        str(folder), num_train_epochs=3, per_device_train_batch_size=4, logging_steps=2, eval_strategy="epoch",
        save_strategy="epoch", report_to="none", use_cpu=True, disable_tqdm=True,
    )  # fmt: skip
    trainer = Trainer(Model(), arguments, train_dataset=data, eval_dataset=data)
    trainer.train()
    trainer.save_state()
    for file in folder.rglob("*"):  # weights and optimizer states
        if file.is_file() and file.name != "trainer_state.json":
            file.unlink()
    expected = Expected(config={"max_steps": 12, "num_train_epochs": 3, "logging_steps": 2})
    for row in trainer.state.log_history:
        expected.add(row["step"], {name: row[name] for name in row if name not in {"step", "epoch"}})
    return expected


def write_wandb(folder: Path) -> Expected:
    """Nested metrics, NaN and infinity, steps left out, a histogram, images, and a setting that changes."""
    os.environ |= {"WANDB_MODE": "offline", "WANDB_SILENT": "true"}
    import numpy
    import wandb

    config = {"lr": 0.1, "optimizer": {"name": "adam", "betas": [0.9, 0.99]}, "augment": True, "seed": None}
    run = wandb.init(project="samples", dir=str(folder), config=config)
    expected = Expected()
    for step in range(40):
        value = math.nan if step == 2 else math.inf if step == 3 else 1 / (step + 1)
        run.log({"loss": value, "nested": {"count": step, "text": "x"}, "val/accuracy": step / 40})
        expected.add(step, {"loss": value, "nested/count": step, "val/accuracy": step / 40})

    def image(brightness: int) -> wandb.Image:
        return wandb.Image(numpy.full((4, 4, 3), brightness, numpy.uint8), caption="plain")

    run.log({"samples": {"picture": image(50)}, "several": [image(60), image(70)]}, step=60)
    run.log({"late": 3, "weights": wandb.Histogram([1, 2, 3]), "samples": {"picture": image(80)}}, step=100)
    expected.add(100, {"late": 3})
    run.log({"long": 1.5, "comment": "c" * 40_000})  # longer than a block
    expected.add(100, {"long": 1.5})  # the step is open until one without a number follows
    run.config.update({"lr": 0.2}, allow_val_change=True)
    run.summary["best"] = 0.7
    run.finish()
    for file in folder.rglob("*"):
        if file.is_symlink() or (file.is_file() and file.suffix not in {".wandb", ".png"}):
            file.unlink()
    expected.config = {
        "lr": 0.2, "optimizer/name": "adam", "optimizer/betas": "[0.9, 0.99]", "augment": True, "seed": None,
    }  # fmt: skip
    expected.summary = {"best": 0.7, "late": 3, "val/accuracy": 39 / 40, "nested/count": 39}
    return expected


def write_timm(folder: Path) -> Expected:
    """Three epochs as timm's train.py notes them."""
    import yaml
    from timm.utils import update_summary

    expected = Expected(config={"model": "resnet18", "lr": 0.05, "opt_betas": None})
    (folder / "args.yaml").write_text(yaml.safe_dump(expected.config))
    for epoch in range(3):
        train, evaluation = {"loss": 1 / (epoch + 1)}, {"loss": 0.5 - epoch / 10, "top1": 50.0 + epoch}
        update_summary(epoch, train, evaluation, folder / "summary.csv", lr=0.05, write_header=epoch == 0)
        expected.add(epoch, {"train_loss": train["loss"], "lr": 0.05})
        expected.add(epoch, {f"eval_{name}": value for name, value in evaluation.items()})
    return expected


WRITERS: dict[str, Callable[[Path], Expected]] = {
    "lightning": write_lightning,
    "keras": write_keras,
    "hugging-face": write_hugging_face,
    "wandb": write_wandb,
    "timm": write_timm,
}


def main(target: Path, names: list[str]) -> None:
    """Write logs with these names into folders of `target`."""
    for name in names:
        folder = target / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        expected = WRITERS[name](folder)
        (folder / EXPECTED).write_text(json.dumps(asdict(expected), indent=1) + "\n")
        for empty in sorted((path for path in folder.rglob("*") if path.is_dir()), reverse=True):
            if not any(empty.iterdir()):
                empty.rmdir()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:] or list(WRITERS))
