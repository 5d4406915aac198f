"""A dataset that is looked at: which one it is, how the session is asked about it, and how far that is."""

from __future__ import annotations

import time
from typing import TypeVar

from rich.text import Text
from textual import work
from textual.timer import Timer
from textual.widgets import Static

from workbench.compute.client import SessionClient, SessionError
from workbench.compute.protocol import Answer, DatasetOverview, DescribeDataset, Request
from workbench.config.experiment import Experiment
from workbench.core.errors import BadInput
from workbench.core.progress import Progress
from workbench.core.text import duration, safe
from workbench.ui.base.pane import Pane
from workbench.ui.base.theme import THEME
from workbench.ui.data.dataset_text import Source
from workbench.ui.experiment.draft import Draft
from workbench.ui.services.compute import close_session, progress_text, session_of

GROUPS = ("data", "page", "one")
"""The requests that go on side by side; a newer one of a group takes its place."""
SLOW = 2.0
"""Seconds after which a request says how long it has taken."""


A = TypeVar("A", bound=Answer)


class LookingPane(Pane):
    """A pane on the experiment's dataset, or on the selected run's. Own code runs only when it is asked for."""

    def __init__(self, *, session: SessionClient | None = None, id: str | None = None) -> None:
        super().__init__(id=id)
        self._given = session
        self.source: Source | None = None
        self.of_run = False
        self.overview: DatasetOverview | None = None
        self._doing, self._since, self._number = "", 0.0, 0
        self._clock: Timer | None = None

    def begin(self, source: Source) -> None:
        """Another dataset is looked at: show that nothing is known of it yet."""
        raise NotImplementedError

    def take(self, overview: DatasetOverview) -> None:
        """Show the dataset that was loaded."""
        raise NotImplementedError

    def say_facts(self) -> None:
        """Show what is known, where something else was said meanwhile."""
        raise NotImplementedError

    def on_unmount(self) -> None:
        """The session ends with the screen."""
        if self._given is None:
            close_session(self.app)

    @property
    def session(self) -> SessionClient:
        """What loads the data."""
        return self._given or session_of(self.app)

    def look(self) -> None:
        """Load the dataset that is chosen now, unless it is shown already."""
        source = self._chosen()
        if source is None or (source == self.source and self.overview):
            return
        self.source, self.overview = source, None
        self.headline = source.headline
        self.begin(source)
        if source.own:
            self.say(f"{source.title} is your own code: enter runs it and shows what it gives")
        else:
            self.load()

    def _chosen(self) -> Source | None:
        try:
            if self.of_run and self.view is not None and self.view.experiment is not None:
                return Source.of(self.view.experiment.to_dict(), f"of {self.view.name}")
            return Source.of(self._experiment().to_dict(), "of the experiment")
        except BadInput as error:
            self.say(f"✗ {error}", THEME.error)
            return None

    def _experiment(self) -> Experiment:
        """The experiment pane's; what it begins with where that is not there yet. Raises `BadInput`."""
        pane = getattr(self.app, "experiment_pane", None)
        experiment: Experiment = (pane or Draft()).experiment()
        return experiment

    def load(self) -> None:
        """Load what is looked at (again)."""
        if self.source is not None and self.overview is None:
            self._load(self.source)

    @work(group="data", exclusive=True)
    async def _load(self, source: Source) -> None:
        request = DescribeDataset(dataset=source.dataset, batch=source.batch)
        found = await self.ask(request, f"loading {source.title}")
        if found is not None:
            self.overview = found
            self.take(found)

    async def ask(self, request: Request[A], doing: str = "") -> A | None:
        """The answer to a request about the shown dataset; `None` after showing why there is none."""
        source = self.source
        assert source is not None
        number = self._begin(doing or f"asking {source.title}", say=bool(doing) or source.own)
        try:
            found = await self.session.request(request, self._progress)
        except SessionError as error:
            self.say(f"✗ {error}", THEME.error)
            return None
        finally:
            if number == self._number:
                self._end()
        self.say_facts()
        return found

    # How far it is

    @property
    def busy(self) -> bool:
        """Whether something is asked for."""
        return bool(self._doing)

    def _begin(self, doing: str, *, say: bool) -> int:
        self._doing, self._since = doing, time.monotonic()
        self._number += 1
        if say:
            self._say_doing()
        if self._clock is None:
            self._clock = self.set_interval(1.0, self._tick)
        return self._number

    def _progress(self, progress: Progress) -> None:
        self._doing = progress_text(progress)
        self._say_doing()

    def _tick(self) -> None:
        if time.monotonic() - self._since >= SLOW:
            self._say_doing()

    def _say_doing(self) -> None:
        took = time.monotonic() - self._since
        self.say(f"… {self._doing}" + (f"  {duration(took)}  esc stops it" if took >= SLOW else ""))

    def _end(self) -> None:
        self._doing = ""
        if self._clock is not None:
            self._clock.stop()
            self._clock = None

    def give_up(self) -> None:
        """Take back what is asked for."""
        for group in GROUPS:
            self.workers.cancel_group(self, group)
        self._end()
        if self.overview:
            self.say_facts()
        else:
            self.say("stopped: enter begins again")

    def say(self, text: str, style: str | None = None) -> None:
        """Say it where the facts stand."""
        for facts in self.query("#facts").results(Static):  # none once the screen closes
            facts.update(Text(safe(text), style or ""))
