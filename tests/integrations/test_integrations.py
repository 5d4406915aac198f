"""The loggers and callbacks in the real trainers of Lightning, Keras and transformers.

Each script is a process of its own: the libraries warn when they are imported.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.test_readme import README
from tests.tracking.conftest import only_run, read
from workbench.core import paths
from workbench.runs.journal import SavedFile, read_journal
from workbench.runs.reader import RunView
from workbench.runs.run_folder import RunFolder
from workbench.runs.status import Status
from workbench.runs.store import Store

RunScript = Callable[..., str]

LIGHTNING = """
import json, torch
from lightning.pytorch import LightningModule, Trainer
from workbench.integrations.lightning import WorkbenchLogger

class Model(LightningModule):
    def __init__(self, lr, layers):
        super().__init__()
        self.save_hyperparameters()
        self.layer = torch.nn.Linear(4, 1)
    def training_step(self, batch, index):
        loss = self.layer(batch).square().mean()
        self.log("train_loss", loss)
        return loss
    def validation_step(self, batch, index):
        self.log("val_loss", self.layer(batch).mean())
    def test_step(self, batch, index):
        self.log("test_loss", self.layer(batch).mean())
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)

given = []
class Recording(WorkbenchLogger):
    def log_metrics(self, metrics, step=None):
        given.append((step, dict(metrics)))
        super().log_metrics(metrics, step)

data = torch.utils.data.DataLoader(torch.randn(24, 4), batch_size=4)
logger = Recording("base", group="g", tags=["a"])
trainer = Trainer(max_epochs=2, accelerator="cpu", logger=logger, log_every_n_steps=2,
                  enable_progress_bar=False, enable_model_summary=False)
model = Model(0.1, [4, 2])
trainer.fit(model, data, data)
trainer.test(model, data, verbose=False)
logger.log_image("inputs", [torch.rand(3, 4, 4)], step=3)
json.dump({"given": given, "checkpoint": trainer.checkpoint_callback.best_model_path}, open("given.json", "w"))
"""

KERAS = """
import json, os
os.environ["KERAS_BACKEND"] = "torch"
import keras, numpy
from workbench.integrations.keras import WorkbenchCallback
inputs, targets = numpy.random.rand(40, 3).astype("float32"), numpy.random.rand(40, 1).astype("float32")
model = keras.Sequential([keras.layers.Dense(1)])
model.compile(keras.optimizers.SGD(0.25), loss="mse", metrics=["mae"])
callback = WorkbenchCallback("dense", every=2)
history = model.fit(inputs, targets, batch_size=10, epochs=3, validation_split=0.5, verbose=0, callbacks=[callback])
tested = model.evaluate(inputs, targets, verbose=0, return_dict=True, callbacks=[callback])
json.dump({"history": history.history, "tested": tested}, open("given.json", "w"))
"""

HUGGING_FACE = """
import json, torch
from transformers import PretrainedConfig, PreTrainedModel, Trainer, TrainingArguments
from workbench.integrations.huggingface import WorkbenchCallback

class Config(PretrainedConfig):
    model_type = "line"
class Line(PreTrainedModel):
    config_class = Config
    def __init__(self, config):
        super().__init__(config)
        self.layer = torch.nn.Linear(2, 1)
        self.post_init()
    def forward(self, x, labels=None):
        out = self.layer(x)
        return {"loss": (out - labels).square().mean(), "logits": out}

data = [{"x": torch.randn(2), "labels": torch.randn(1)} for _ in range(16)]
arguments = TrainingArguments(
    "out", max_steps=6, logging_steps=2, eval_steps=3, eval_strategy="steps", save_steps=3, report_to=[],
    use_cpu=True, per_device_train_batch_size=4, disable_tqdm=True, hub_token="secret",
)
trainer = Trainer(Line(Config()), arguments, train_dataset=data, eval_dataset=data,
                  callbacks=[WorkbenchCallback("line")])
trainer.train()
json.dump(trainer.state.log_history, open("given.json", "w"))
"""


@pytest.fixture
def run_script(tmp_path: Path) -> RunScript:
    """Run a script in a process of its own; what it printed."""

    def run(text: str) -> str:
        (tmp_path / "job.py").write_text(text)
        result = subprocess.run(
            [sys.executable, "job.py"], capture_output=True, text=True, check=False, timeout=240, cwd=tmp_path,
            env={**os.environ, "KERAS_BACKEND": "torch"},
        )  # fmt: skip
        assert result.returncode == 0, result.stderr
        return result.stdout

    return run


def given(tmp_path: Path) -> Any:
    return json.loads((tmp_path / "given.json").read_text())


def points(view: RunView, name: str) -> list[tuple[int, float]]:
    return list(zip(view.logged[name].steps, view.logged[name].values, strict=True))


def saved_files(folder: RunFolder) -> dict[str, str]:
    """The hashes of recorded checkpoints by path."""
    lines = read_journal(folder.journal)
    return {line.path: line.sha256 for line in lines if isinstance(line, SavedFile)}


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_lightning(run_script: RunScript, tmp_path: Path) -> None:
    run_script(LIGHTNING)
    view = read(only_run())
    assert (view.name, view.notes.group, view.notes.tags) == ("base", "g", ("a",))
    assert view.status is Status.FINISHED
    calls = given(tmp_path)["given"]
    for name in ("train_loss", "val_loss", "test_loss", "epoch"):
        logged = [(step, pytest.approx(metrics[name])) for step, metrics in calls if name in metrics]
        assert points(view, name) == logged and logged
    assert view.config.config == {"lr": 0.1, "layers": "[4, 2]"}
    assert (view.folder.images / "inputs" / "step-3.png").is_file()
    checkpoint = Path(given(tmp_path)["checkpoint"])
    assert checkpoint.parent == tmp_path / "base" / view.folder.id / "checkpoints"
    assert saved_files(view.folder)[str(checkpoint)] == sha256(checkpoint)


def test_lightning_on_other_ranks_records_nothing(run_script: RunScript) -> None:
    out = run_script(
        "import os\nos.environ['LOCAL_RANK'] = '1'\n"
        "from lightning.pytorch.utilities import rank_zero_only\nassert rank_zero_only.rank == 1\n"
        "from workbench.integrations.lightning import WorkbenchLogger\n"
        "logger = WorkbenchLogger('base')\nlogger.log_metrics({'loss': 1.0}, 1)\n"
        "logger.log_hyperparams({'lr': 1})\nlogger.experiment.log_image('a', None)\nprint(repr(logger.version))\n"
    )
    assert out == "''\n" and not paths.runs().exists()


def test_keras(run_script: RunScript, tmp_path: Path) -> None:
    run_script(KERAS)
    view = read(only_run())
    history, tested = given(tmp_path)["history"], given(tmp_path)["tested"]
    for name, values in history.items():
        assert points(view, name) == [
            (2 * (epoch + 1), pytest.approx(value)) for epoch, value in enumerate(values)
        ]
    assert list(view.logged["epoch"].values) == [1, 2, 3]
    assert points(view, "learning_rate") == [(2, 0.25), (4, 0.25), (6, 0.25)]
    assert [step for step, _ in points(view, "batch/loss")] == [2, 4, 6]
    assert points(view, "test/loss") == [(6, pytest.approx(tested["loss"]))]
    assert view.config.config["optimizer/name"] == "sgd" and view.config.config["epochs"] == 3


def test_hugging_face(run_script: RunScript, tmp_path: Path) -> None:
    run_script(HUGGING_FACE)
    view = read(only_run())
    history = given(tmp_path)
    for name in ("loss", "eval_loss", "learning_rate", "grad_norm", "train_loss"):
        logged = [(row["step"], pytest.approx(row[name])) for row in history if name in row]
        assert points(view, name) == logged and logged, name
    assert view.config.config["max_steps"] == 6 and view.config.config["model/model_type"] == "line"
    assert "secret" not in view.folder.config.read_text()
    weights = tmp_path / "out" / "checkpoint-6" / "model.safetensors"
    assert saved_files(view.folder)[str(weights)] == sha256(weights)


def test_a_callback_without_a_name_logs_to_the_run_of_the_script(run_script: RunScript) -> None:
    run_script(
        "import workbench\nfrom workbench.integrations.active_run import ActiveRun\n"
        "run = workbench.init(name='mine')\nassert ActiveRun(None).get() is run\n"
        "assert ActiveRun(run, name='x').get() is run\n"
        "import pickle\nassert pickle.loads(pickle.dumps(ActiveRun(run))).get() is run\n"
        "other = ActiveRun(None, name='other').get()\nassert other is not run and run.finished\n"
    )
    assert {row.name for row in Store.default().list_runs()} == {"mine", "other"}


def test_logging_imports_none_of_these_libraries(run_script: RunScript) -> None:
    run_script(
        "import sys, workbench, workbench.integrations\nrun = workbench.init()\nrun.log({'a': 1})\nrun.finish()\n"
        "assert not {'lightning', 'keras', 'transformers', 'torch'} & set(sys.modules), 'imported'\n"
    )


@pytest.mark.parametrize("library", ["lightning", "keras", "huggingface"])
def test_the_example_of_the_readme_logs_a_run(run_script: RunScript, library: str) -> None:
    example = next(
        block
        for block in re.findall(r"^```python\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
        if f"workbench.integrations.{library}" in block
    )
    training = {"lightning": LIGHTNING, "keras": KERAS, "huggingface": HUGGING_FACE}[library]
    head = training.partition("given = []" if library == "lightning" else "callback =")[0]
    if library == "huggingface":
        head = training.partition("trainer =")[0] + "model = Line(Config())\n"
    if library == "lightning":
        head += (
            "data = torch.utils.data.DataLoader(torch.randn(24, 4), batch_size=4)\nmodel = Model(0.1, [1])\n"
        )
    run_script(head + example)
    view = read(only_run())
    assert view.name == "base" and len(view.logged) > 1
