"""A pane on a dataset: which dataset it shows, its requests to the compute process, and their progress."""

from __future__ import annotations

import time
from abc import abstractmethod
from typing import TypeVar

from rich.text import Text
from textual import work
from textual.timer import Timer
from textual.widgets import Static

from workbench.compute.client import ComputeError
from workbench.compute.protocol import DescribeDataset, Request
from workbench.compute.protocol_responses import DatasetOverview, Response
from workbench.config.experiment import Experiment
from workbench.core.errors import UserError
from workbench.core.progress import Progress
from workbench.core.text import format_duration, sanitize
from workbench.ui.base.pane import Pane, PaneServices
from workbench.ui.base.theme import THEME
from workbench.ui.data.dataset_text import DatasetSource
from workbench.ui.experiment.draft import Draft
from workbench.ui.services.progress_text import progress_text
from workbench.ui.widgets.abstract_widget import AbstractWidgetMeta

WORKER_GROUPS = ("data", "page", "one")
"""Groups of requests that run concurrently; a new request of a group cancels the one before."""
SLOW_SECONDS = 2.0
"""Seconds after which the elapsed time of a request is shown."""


A = TypeVar("A", bound=Response)


class DatasetPane(Pane, metaclass=AbstractWidgetMeta):  # type: ignore[metaclass]
    """A pane on the dataset of the experiment or of the selected run. User code runs only on request."""

    def __init__(self, services: PaneServices | None = None, *, id: str | None = None) -> None:
        super().__init__(services, id=id)
        self.source: DatasetSource | None = None
        self.of_run = False
        self.overview: DatasetOverview | None = None
        self._operation, self._started, self._number = "", 0.0, 0
        self._timer: Timer | None = None

    @abstractmethod
    def reset(self, source: DatasetSource) -> None:
        """Empty the pane for another dataset."""

    @abstractmethod
    def show_overview(self, overview: DatasetOverview) -> None:
        """Show the loaded dataset."""

    @abstractmethod
    def show_facts(self) -> None:
        """Show the facts of the dataset in place of a status."""

    def refresh_dataset(self) -> None:
        """Load the current dataset of the experiment or the run, unless it is shown already."""
        source = self._current_source()
        if source is None or (source == self.source and self.overview):
            return
        self.source, self.overview = source, None
        self.headline = source.headline
        self.reset(source)
        if source.is_user_code:
            self.show_status(f"{source.title} is user code: press enter to run it and show its data")
        else:
            self.load()

    def _current_source(self) -> DatasetSource | None:
        try:
            if self.of_run and self.view is not None and self.view.experiment is not None:
                return DatasetSource.from_experiment(self.view.experiment, f"of {self.view.name}")
            return DatasetSource.from_experiment(self._experiment(), "of the experiment")
        except UserError as error:
            self.show_status(f"✗ {error}", THEME.error)
            return None

    def _experiment(self) -> Experiment:
        """The experiment of the experiment pane, or its default until that pane is mounted. Raises `UserError`."""
        return self.services.current_experiment() or Draft().experiment()

    def load(self) -> None:
        """Load the dataset, unless it is loaded."""
        if self.source is not None and self.overview is None:
            self._load(self.source)

    @work(group="data", exclusive=True)
    async def _load(self, source: DatasetSource) -> None:
        request = DescribeDataset(dataset=source.dataset, batch=source.batch)
        overview = await self.request(request, f"loading {source.title}")
        if overview is not None:
            self.overview = overview
            self.show_overview(overview)

    async def request(self, request: Request[A], operation: str = "") -> A | None:
        """The response to a request about the shown dataset; `None` after showing the error."""
        source = self.source
        assert source is not None
        number = self._start_timer(operation or f"reading {source.title}", show=bool(operation))
        try:
            response = await self.services.compute.request(request, self._progress)
        except ComputeError as error:
            self.show_status(f"✗ {error}", THEME.error)
            return None
        finally:
            if number == self._number:
                self._stop_timer()
        self.show_facts()
        return response

    # Progress

    @property
    def busy(self) -> bool:
        """Whether a request is running."""
        return bool(self._operation)

    def _start_timer(self, operation: str, *, show: bool) -> int:
        self._operation, self._started = operation, time.monotonic()
        self._number += 1
        if show:
            self._show_progress()
        if self._timer is None:
            self._timer = self.set_interval(1.0, self._tick)
        return self._number

    def _progress(self, progress: Progress) -> None:
        self._operation = progress_text(progress)
        self._show_progress()

    def _tick(self) -> None:
        if time.monotonic() - self._started >= SLOW_SECONDS:
            self._show_progress()

    def _show_progress(self) -> None:
        elapsed = time.monotonic() - self._started
        detail = f"  {format_duration(elapsed)}  esc cancels" if elapsed >= SLOW_SECONDS else ""
        self.show_status(f"… {self._operation}{detail}")

    def _stop_timer(self) -> None:
        self._operation = ""
        if self._timer is not None:
            self._timer.stop()
            self._timer = None

    def cancel_requests(self) -> None:
        """Cancel the running requests."""
        for group in WORKER_GROUPS:
            self.workers.cancel_group(self, group)
        self._stop_timer()
        if self.overview:
            self.show_facts()
        else:
            self.show_status("Cancelled. Press enter to load the dataset again.")

    def show_status(self, text: str, style: str | None = None) -> None:
        """Show `text` in place of the facts, in as many rows: another height would need another page of samples."""
        for facts in self.query("#facts").results(Static):  # none once the screen closes
            rows = facts.size.height if self.overview else 1
            facts.update(Text(sanitize(text) + "\n" * (rows - 1), style or "", no_wrap=rows > 1))
