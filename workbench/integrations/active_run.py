"""The run that a logger or callback logs to."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.runs.records import Notes
from workbench.tracking.api import current_run, init
from workbench.tracking.run import Run


class ActiveRun:
    """A run that is given, or else started with the first use.

    Without a name, a group, tags or notes of its own it is the run that the script has started already, if there is
    one.
    """

    def __init__(
        self, run: Run | None, *, name: str = "", group: str = "", tags: Sequence[str] = (), notes: str = ""
    ) -> None:
        self._run = run
        self._about = Notes(name=name, group=group, tags=tuple(tags), notes=notes)

    def get(self) -> Run:
        """The run."""
        if self._run is None:
            about = self._about
            active = current_run() if about == Notes() else None
            self._run = active or init(name=about.name, group=about.group, tags=about.tags, notes=about.notes)
        return self._run

    def __getstate__(self) -> dict[str, object]:
        """Copies for other processes start a run of their own, or ignore everything, as their rank is."""
        return {"_about": self._about, "_run": None}
