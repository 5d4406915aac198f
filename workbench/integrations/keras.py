"""A callback for Keras: `model.fit(…, callbacks=[WorkbenchCallback(name="base")])`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import keras

from workbench.integrations.active_run import ActiveRun
from workbench.tracking.run import Run

TEST = "test"
"""The prefix of what `model.evaluate` measures outside of `fit`."""


class WorkbenchCallback(keras.callbacks.Callback):
    """Logs the metrics of each epoch, the learning rate, and the settings of `fit` and the optimizer to a run.

    `every`: log the metrics so far in the epoch after so many batches too, as `batch/NAME`; 0: only epochs. The step is
    the number of batches that were trained on. The run is `run`, else the one that the script has started, else (or
    with a name, a group or tags of its own) a new one. It ends with the script, so that `model.evaluate` after
    `model.fit` logs to it too.
    """

    def __init__(
        self,
        name: str = "",
        *,
        group: str = "",
        tags: Sequence[str] = (),
        notes: str = "",
        run: Run | None = None,
        every: int = 0,
    ) -> None:
        super().__init__()
        self._active = ActiveRun(run, name=name, group=group, tags=tags, notes=notes)
        self._every = every
        self._batches = 0
        self._fitting = False

    def on_train_begin(self, logs: Mapping[str, object] | None = None) -> None:
        """Record the settings."""
        self._fitting = True
        optimizer = getattr(self.model, "optimizer", None)
        settings = {name: value for name, value in self.params.items() if name != "verbose"}
        if optimizer is not None:
            settings["optimizer"] = optimizer.get_config()
        self._active.get().config.update(settings)

    def on_train_batch_end(self, batch: int, logs: Mapping[str, object] | None = None) -> None:
        """Count the batch, and log its metrics if they are due."""
        self._batches += 1
        if self._every and self._batches % self._every == 0:
            self._active.get().log({"batch": dict(logs or {})}, self._batches)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, object] | None = None) -> None:
        """Log the metrics of the epoch under their names, as `CSVLogger` does."""
        self._active.get().log({"epoch": epoch + 1, **(logs or {}), **self._learning_rate()}, self._batches)

    def on_train_end(self, logs: Mapping[str, object] | None = None) -> None:
        """From now on an evaluation is one of its own."""
        self._fitting = False

    def on_test_end(self, logs: Mapping[str, object] | None = None) -> None:
        """Log what `model.evaluate` has measured."""
        if not self._fitting:
            self._active.get().log({TEST: dict(logs or {})}, self._batches)

    def _learning_rate(self) -> dict[str, float]:
        rate = getattr(getattr(self.model, "optimizer", None), "learning_rate", None)
        return {} if rate is None else {"learning_rate": float(keras.ops.convert_to_numpy(rate))}
