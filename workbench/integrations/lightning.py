"""A `Logger` for Lightning: `Trainer(logger=WorkbenchLogger(name="base"))`."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

try:
    from lightning.fabric.loggers.logger import rank_zero_experiment
    from lightning.pytorch.callbacks import ModelCheckpoint
    from lightning.pytorch.loggers import Logger
    from lightning.pytorch.utilities import rank_zero_only
except ModuleNotFoundError:  # the package that has only Lightning's trainer
    from lightning_fabric.loggers.logger import rank_zero_experiment
    from pytorch_lightning.callbacks import ModelCheckpoint  # type: ignore[assignment]
    from pytorch_lightning.loggers import Logger  # type: ignore[assignment]
    from pytorch_lightning.utilities import rank_zero_only

from workbench.integrations.active_run import ActiveRun
from workbench.tracking.run import Run


class WorkbenchLogger(Logger):
    """Logs metrics, hyperparameters and checkpoints of a `Trainer` to a run.

    The run is `run`, else the one that the script has started, else (or with a name, a group or tags of its own) a new
    one. It ends with the script, so that `trainer.test` after `trainer.fit` logs to it too.
    """

    def __init__(
        self,
        name: str = "",
        *,
        group: str = "",
        tags: Sequence[str] = (),
        notes: str = "",
        run: Run | None = None,
    ) -> None:
        super().__init__()
        self._name = name
        self._active = ActiveRun(run, name=name, group=group, tags=tags, notes=notes)
        self._recorded: set[tuple[str, int]] = set()
        """Checkpoints that are recorded: their paths and times of modification."""

    @property
    @rank_zero_experiment
    def experiment(self) -> Run:
        """The run; in processes of other ranks something that ignores everything."""
        return self._active.get()

    @property
    def name(self) -> str:
        """The name of the folder that Lightning puts checkpoints into."""
        return self._name or "workbench"

    @property
    def version(self) -> str:
        """The id of the run, the folder below that; empty where nothing is recorded."""
        run = self.experiment
        return run.id if isinstance(run, Run) else ""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log metrics by name."""
        self.experiment.log(metrics, step)

    @rank_zero_only
    def log_hyperparams(self, params: Mapping[str, object] | Namespace, *_: Any, **__: Any) -> None:
        """Add hyperparameters to the settings of the run."""
        self.experiment.config.update(params)

    @rank_zero_only
    def log_image(self, key: str, images: Sequence[Any], step: int | None = None, **_: Any) -> None:
        """Log images, with the arguments of Lightning's other loggers; several are `key/0`, `key/1`, …"""
        for index, image in enumerate(images):
            self.experiment.log_image(key if len(images) == 1 else f"{key}/{index}", image, step)

    @rank_zero_only
    def after_save_checkpoint(self, checkpoint_callback: ModelCheckpoint) -> None:
        """Record the files that the callback keeps, with their hashes."""
        saved = checkpoint_callback
        kept = {saved.best_model_path, saved.last_model_path, *saved.best_k_models}
        for path in map(Path, sorted(filter(None, kept))):
            if path.is_file() and (key := (str(path), path.stat().st_mtime_ns)) not in self._recorded:
                self._recorded.add(key)
                self.experiment.save_checkpoint(path)
