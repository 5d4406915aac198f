"""A run that a script logs to."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from workbench.core.errors import UserError
from workbench.io.record_codec import write_record
from workbench.runs.enums import Cause, Ending
from workbench.runs.journal import Journal, SavedFile
from workbench.runs.requests import STOP_REQUESTED
from workbench.runs.run_folder import RunFolder
from workbench.runs.script import ScriptConfig
from workbench.tracking.metrics_writer import MetricsWriter, warn
from workbench.tracking.session import OwnRun
from workbench.tracking.values import ConfigValue, config_values, scalars

INTERRUPTED = "interrupted"


class Config(dict[str, ConfigValue]):
    """Values of a run by key or as attributes, which the run records."""

    def __init__(self) -> None:
        super().__init__()
        object.__setattr__(self, "unsaved", set())

    unsaved: set[str]
    """The names of values that are not recorded yet."""

    def __getattr__(self, name: str) -> ConfigValue:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"there is no value {name!r}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        self.update({name: value})

    def __setitem__(self, name: str, value: Any) -> None:
        self.update({name: value})

    def update(self, values: object = None, **more: Any) -> None:  # type: ignore[override]
        """Add the values of a mapping, a namespace or a dataclass."""
        added = {**config_values(values), **config_values(more)}
        super().update(added)
        self.unsaved.update(added)


class Run:
    """A run that a script logs to, or one that ignores everything (`folder` is `None`).

    What needs numpy or Pillow is imported when it is used.

    No method that logs raises because of the disk, of values, or of missing folders: a training must not fail for its
    record. `log` may be called in any thread, and after a fork in parent and child.
    """

    def __init__(self, folder: RunFolder | None, own: OwnRun | None = None, config: object = None) -> None:
        self._folder, self._own = folder, own
        self._process = os.getpid()
        self._stepping = threading.Lock()
        self._step = -1
        self._warned: set[str] = set()
        self._writer = None if folder is None else MetricsWriter(folder, self._tick)
        self.config = Config()
        """The settings of the script, by name."""
        self.config.update(config)
        self.summary = Config()
        """Results that the script notes, and the newest value of each metric."""
        self._noted: dict[str, ConfigValue] = {}
        self.finished = False
        if self._writer is not None:
            os.register_at_fork(after_in_child=self._after_fork)
            self._writer.start()

    @property
    def id(self) -> str:
        """The id of the run; empty where nothing is recorded."""
        return self._folder.id if self._folder else ""

    @property
    def directory(self) -> Path | None:
        """The folder of the run; `None` where nothing is recorded."""
        return self._folder.path if self._folder else None

    @property
    def step(self) -> int:
        """The newest step; -1 before the first."""
        return self._step

    def log(self, values: Mapping[str, object], step: int | None = None, **_: Any) -> None:
        """Log numbers by name, nested ones as `outer/inner`.

        `step`: by default one more than the last. Steps may be left out, repeated or go back. Other arguments of other
        trackers are ignored.
        """
        if self._writer is None or self.finished:
            return
        numbers, others = scalars(values)
        with self._stepping:
            step = self._step + 1 if step is None else int(step)
            if step < self._step:
                self._warn_once(
                    "back", f"step {step} comes after step {self._step}: it is recorded as it comes"
                )
            self._step = max(self._step, step)
        if numbers:
            dict.update(self.summary, numbers)
            self._writer.add((step, numbers, time.time()))
        for name in others:
            self._log_other(name, values.get(name), step)

    def log_evaluation(
        self,
        labels: Any,
        predictions: Any = None,
        probabilities: Any = None,
        *,
        classes: Sequence[str] | None = None,
        paths: Sequence[str] | None = None,
        split: str = "validation",
        step: int | None = None,
    ) -> None:
        """Log the evaluation of a classification, with its metrics for each class and its confusion matrix.

        `labels`: N true classes, indices or names. `predictions`: N predicted classes; or `probabilities`: N ×
        classes. Sequences, numpy arrays and tensors are taken. `classes`: the names by index. `paths`: the files of
        the samples.
        """
        if self._writer is None or self._folder is None or self.finished:
            return
        try:
            row = import_module("workbench.tracking.evaluations").log_evaluation(
                self._folder, labels, predictions, probabilities,
                classes=classes, paths=paths, split=split, step=self._step_or_newest(step),
            )  # fmt: skip
        except (UserError, OSError) as error:
            self._warn_once(f"evaluation {error}", f"the evaluation is not recorded: {error}")
        else:
            self._writer.add(row)

    def log_image(self, name: str, image: Any, step: int | None = None) -> None:
        """Log an image: a path, an image of Pillow, or an array or tensor (height × width × channels, or channels
        first).
        """
        if self._folder is None or self.finished:
            return
        try:
            at = self._step_or_newest(step)
            import_module("workbench.tracking.images").save_image(self._folder, name, image, at)
        except (UserError, OSError) as error:
            self._warn_once(f"image {name}", f"the image {name} is not recorded: {error}")

    def save_checkpoint(self, path: str | os.PathLike[str], step: int | None = None) -> None:
        """Record a file that the script has saved, with its hash; it stays where it is."""
        if self._folder is None or self.finished:
            return
        place = Path(path).absolute()
        try:
            with place.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            at = self._step_or_newest(step)
            record = SavedFile(path=str(place), sha256=digest, size=place.stat().st_size, step=at)
            Journal(self._folder.journal).append(record)
        except OSError as error:
            self._warn_once(f"checkpoint {place}", f"{place} is not recorded: {error.strerror}")

    def finish(self, exit_code: int = 0, *, error: BaseException | None = None) -> None:
        """Write everything and end the run: as finished, or as failed with an exit code or an exception."""
        if self.finished or self._process != os.getpid():
            return
        self.finished = True
        if self._writer is None:
            return
        self._writer.close()
        self._save_config()
        if self._own is not None:
            try:
                self._own.end(*_ending(exit_code, error, self._own.stopped), max(0, self._step), exit_code)
            except OSError as failure:
                warn(f"the end of the run is not recorded: {failure.strerror}")

    def watch(self, *_: Any, **__: Any) -> None:
        """Do nothing: scripts written for other trackers call it."""

    define_metric = watch

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None
    ) -> None:
        self.finish(0 if error is None else 1, error=error)

    def _step_or_newest(self, step: int | None) -> int:
        return max(0, self._step if step is None else step)

    def _log_other(self, name: str, value: Any, step: int) -> None:
        if hasattr(value, "getbands"):  # an image of Pillow
            self.log_image(name, value, step)
        else:
            self._warn_once(
                f"value {name}", f"{name} is no number ({type(value).__name__}) and is not recorded"
            )

    def _tick(self) -> None:
        """In the writing thread: what is due besides metrics."""
        try:
            self._save_config()
            if self._own is not None:
                self._own.tick(max(0, self._step))
        except OSError as error:
            self._warn_once("folder", f"the run's folder can't be written: {error.strerror}")

    def _save_config(self) -> None:
        if self._folder is None or not (self.config.unsaved or self.summary.unsaved):
            return
        self._noted.update({name: self.summary[name] for name in self.summary.unsaved})
        self.config.unsaved.clear()
        self.summary.unsaved.clear()
        record = ScriptConfig(config=dict(self.config), summary=self._noted)
        try:
            write_record(self._folder.config, record, durable=False)
        except OSError as error:
            self._warn_once("config", f"the configuration can't be written: {error.strerror}")

    def _warn_once(self, kind: str, text: str) -> None:
        if kind not in self._warned:
            self._warned.add(kind)
            warn(text)

    def _after_fork(self) -> None:
        self._stepping, self._own = threading.Lock(), None
        if self._writer is not None:
            self._writer.restart_after_fork()


def _ending(exit_code: int, error: BaseException | None, stopped: bool) -> tuple[Ending, Cause, str | None]:
    if stopped:
        return (Ending.STOPPED, *STOP_REQUESTED)
    if isinstance(error, KeyboardInterrupt):
        return Ending.STOPPED, Cause.SIGNAL, INTERRUPTED
    if isinstance(error, SystemExit):
        exit_code, error = error.code if isinstance(error.code, int) else int(error.code is not None), None
    if error is not None:
        return Ending.FAILED, Cause.ERROR, f"{type(error).__name__}: {error}"
    if exit_code:
        return Ending.FAILED, Cause.ERROR, f"exit code {exit_code}"
    return Ending.FINISHED, Cause.COMPLETED, None
