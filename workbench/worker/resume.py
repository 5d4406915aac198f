"""Where an attempt begins: the experiment, its settings by now, and the checkpoint it goes on from."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.config.experiment import Experiment, from_dict
from workbench.config.training_settings import Train
from workbench.core.errors import BadInput
from workbench.datasets.dataset import Data
from workbench.engine.settings_history import Change, Timeline
from workbench.engine.train_state import TrainState
from workbench.io.atomic_files import read_json
from workbench.runs.attempts import start_steps
from workbench.runs.journal import Attempt, JournalLine, SettingChange, attempts_of, read_journal
from workbench.runs.jsonl import LineWriter, keep_until, read_lines
from workbench.runs.metrics import MetricLine, StepRow
from workbench.runs.restart import lost_checkpoints
from workbench.worker.checkpoint_content import Circumstances
from workbench.worker.checkpoint_reader import LoadedCheckpoint
from workbench.worker.checkpoints import Checkpoints
from workbench.worker.context import Context

PREFIX = "train."
WORDS = {
    "threads": "{} CPU threads",
    "device": "on {}",
    "processor": "computed by {}",
    "torch": "torch {}",
    "batch_size": "batches of {}",
}
"""What changes the bits of a result, as a notice says it."""


class Beginning:
    """What stands before anything is loaded or built; `restored` is `None` for a run that begins at step 0.

    Raises `BadInput` where the experiment can't be read.
    """

    def __init__(self, context: Context, checkpoints: Checkpoints) -> None:
        self._context, self._folder = context, context.folder
        self.experiment = self._experiment()
        self.restored = self._newest(checkpoints)
        self.step = 0 if self.restored is None else self.restored.content["step"]
        self.timeline = self._timeline()
        self.settings: Train = self.timeline.at(self.step)
        """Those that hold at the step where this attempt begins; from here on the timeline knows all changes."""

    def _experiment(self) -> Experiment:
        content = read_json(self._folder.experiment)
        if content is None:
            raise BadInput(
                f"{self._folder.experiment} is missing or damaged: the run can't be started from it"
            )
        return from_dict(content)

    def _newest(self, checkpoints: Checkpoints) -> LoadedCheckpoint | None:
        loaded = checkpoints.newest()
        if loaded is None:
            self._check_step_0()
            return None
        for note in loaded.notices:
            self._context.notice(note, from_step=loaded.content["step"])
        return loaded

    def _check_step_0(self) -> None:
        """A run that was cut before its first checkpoint begins again, and says so; one that lost them does not."""
        if lost := lost_checkpoints(self._folder):
            raise BadInput(lost)
        if any(isinstance(row, StepRow) for row in read_lines(self._folder.metrics, MetricLine)):
            self._context.notice("cut before its first checkpoint: begun again at step 0", from_step=0)

    def _timeline(self) -> Timeline:
        return timeline_of(self.experiment.train, read_journal(self._folder.journal), self.step)

    def check_data(self, data: Data) -> None:
        """Refuse data that is not what the run began with (`BadInput`), unless that is accepted."""
        if self.restored is None or self.restored.content.get("fingerprint") == data.fingerprint:
            return
        attempts = attempts_of(read_journal(self._folder.journal))
        if not (attempts and attempts[-1].accept_changed_data):
            raise BadInput(
                "the dataset is not what this run was trained on (its fingerprint changed); "
                "resume with --accept-changed-data to go on with it all the same"
            )
        self._context.notice("the dataset changed since the run began", exact=False)


def timeline_of(base: Train, journal: Sequence[JournalLine], start: int) -> Timeline:
    """The settings by step, from the experiment's and the journal, for an attempt that begins at step `start`.

    What a resume set holds from where that attempt began; a change that was made further on, and then lost
    because the run was cut, happens again at its step, unless a later resume set the same thing.
    """
    timeline = Timeline(base)
    attempts, starts = attempts_of(journal), start_steps(journal)
    for record in journal:
        if isinstance(record, Attempt):
            step = starts.get(record.attempt, 0)
            _apply_overrides(timeline, record, min(step, start) if record is attempts[-1] else step)
        elif isinstance(record, SettingChange) and record.setting.startswith(PREFIX):
            timeline.add(Change(record.step, record.setting.removeprefix(PREFIX), record.value))
    return timeline


def _apply_overrides(timeline: Timeline, attempt: Attempt, step: int) -> None:
    """Add what an attempt that began at `step` set."""
    for key, value in attempt.overrides.items():
        if key.startswith(PREFIX):
            timeline.override(Change(step, key.removeprefix(PREFIX), value))


def take_over(state: TrainState, restored: LoadedCheckpoint, batch_size: int) -> list[str]:
    """Put `state` where the checkpoint stands; returns, in words, what could not be taken over as it was.

    With batches of another size than then it goes on from the same examples, as nearly as batches allow.
    """
    notes = state.load_state_dict(restored.content)
    examples = state.position * restored.content["batch_size"]
    state.position = min(examples // batch_size, state.steps_per_epoch)
    return notes


def differences(before: Circumstances, now: Circumstances, exact: bool = False) -> list[str]:
    """What is not as it was when a checkpoint was made, and changes the bits of the result, in words.

    `exact`: whether a GPU was told to add up in a fixed order.
    """
    was, are = dict(before), dict(now)
    found = [
        f"{words.format(are[name])} instead of {was[name]}"
        for name, words in WORDS.items()
        if are[name] != was.get(name, are[name])  # an older version kept less of this
    ]
    if now["device"] != "cpu" and not exact:
        found.append("a GPU adds up in another order each time, unless train.exact is set")
    return found


def open_metrics(context: Context, restored: LoadedCheckpoint | None) -> LineWriter:
    """The metrics without the rows of steps that will be made again: those after the checkpoint."""
    path, offset = context.folder.metrics, 0 if restored is None else restored.entry.metrics_offset
    kept = context.room.keep_trying(lambda: keep_until(path, offset)) if path.exists() else 0
    if kept < offset:
        context.notice(f"{path.name} is shorter than it was: rows of earlier steps are lost", exact=False)
    metrics = LineWriter(path)
    metrics.keep_trying = context.room.keep_trying
    return metrics
