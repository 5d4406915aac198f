"""What panes tell the app: small messages in the past tense that say what happened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.message import Message

from workbench.ui.base.snapshot import Snapshot

if TYPE_CHECKING:
    from workbench.config.experiment import Experiment


@dataclass
class RunSelected(Message):
    """The cursor came to another run."""

    run_id: str


@dataclass
class RunOpened(Message):
    """A person wants to see this run's curves."""

    run_id: str


@dataclass
class RunStarted(Message):
    """A new run is there."""

    run_id: str


@dataclass
class StartWanted(Message):
    """A person asked for this experiment to be trained."""

    experiment: Experiment


@dataclass
class ClassifyWanted(Message):
    """A person chose a recipe that classifies."""

    recipe: str


class SecondRunWanted(Message):
    """A person wants the classes held against those of a second run."""


class RunsMarked(Message):
    """Marks were set or taken away."""


@dataclass
class Noticed(Message):
    """Something to say in the line of notices; `severity` is `information`, `warning` or `error`."""

    text: str
    severity: str = "information"
    passing: bool = False
    """Whether it goes with the next key, or after some seconds."""


@dataclass
class Undoable(Message):
    """Something was done that can be taken back: what it was in a few words, and how."""

    words: str
    undo: Callable[[], object]


@dataclass
class Updated(Message):
    """The monitor found something new."""

    snapshot: Snapshot
