"""What classifies in the photo pane: the selected run, another run, a recipe, or a published model."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from textual import work
from textual.reactive import reactive

from workbench.errors import BadInput
from workbench.models import catalogue as models
from workbench.recipes import load_recipe
from workbench.runs.status import Status
from workbench.runs.store import RunSummary, Store
from workbench.ui.choices import of_classifiers, of_weights
from workbench.ui.messages import Noticed
from workbench.ui.panes.base import Pane
from workbench.ui.widgets.answer import Answer
from workbench.ui.widgets.chooser import Chooser


class ClassifyingPane(Pane):
    """A pane in which something classifies, and that something can be chosen."""

    chosen: reactive[Mapping[str, Any] | None] = reactive(None)
    """What classifies, as the session takes it; `None`: the selected run."""

    second: reactive[Mapping[str, Any] | None] = reactive(None)
    """What classifies beside it; `None`: nothing does."""

    def ask_again(self) -> None:
        """What is shown is to be classified by the new choice."""
        raise NotImplementedError

    @property
    def by(self) -> Mapping[str, Any] | None:
        """What will classify, as the session takes it; `None` where nothing is chosen and there is no run."""
        if self.chosen is not None:
            return self.chosen
        return None if self.view is None else {"run": str(self.view.folder.path)}

    def watch_view(self) -> None:
        """Say by which run."""
        self.say_by()

    def watch_chosen(self) -> None:
        """Say by what."""
        self.say_by()

    def on_mount(self) -> None:
        """Say by what, from the start."""
        super().on_mount()
        self.say_by()

    def say_by(self) -> None:
        """Say in the answer by what."""
        # There is none before it is composed, nor while the screen closes.
        for answer in self.query("#first").results(Answer):
            answer.by = self._by_words()
        for answer in self.query("#second").results(Answer):
            answer.asks, answer.by = "", f"by {_name(self.second)}" if self.second is not None else ""

    def _by_words(self) -> str:
        by = self.by
        if by is None:
            return "by nothing yet: m chooses a model"
        if "run" not in by or self.chosen is not None or self.view is None:
            return f"by {_name(by)}"
        if self.view.status is Status.QUEUED or not (
            self.view.heartbeat.get("best") or self.view.evaluations
        ):
            return f"by {self.view.name}"
        best = self.view.heartbeat.get("best") or {}
        epoch = best.get("epoch")
        return f"by {self.view.name}, best" + (f" of epoch {epoch}" if epoch is not None else "")

    def action_model(self) -> None:
        """Choose what classifies: a run's best checkpoint, or a model of torchvision."""
        self._choose_model("chosen")

    def action_second(self) -> None:
        """Choose what classifies beside it; where something does, it no longer does."""
        if self.second is None:
            self._choose_model("second")
        else:
            self.second = None

    @work(group="model", exclusive=True)
    async def _choose_model(self, place: str) -> None:
        try:
            runs = await asyncio.to_thread(Store.default().rows)
        except BadInput as error:
            self.post_message(Noticed(str(error), "error"))
            runs = []
        title = "Classify by" if place == "chosen" else "Classify by this too"
        self.app.push_screen(
            Chooser(title, of_classifiers(runs)), lambda key: self._take_model(key, runs, place)
        )

    def _take_model(self, key: str | None, runs: Sequence[RunSummary], place: str) -> None:
        if key is None:
            return
        kind, _, name = key.partition(":")
        if kind == "run":
            found = next(run for run in runs if run.id == name)
            self._take(place, {"run": str(Store.default().root / name), "name": found.name})
        elif kind == "selected":
            view = self.view
            shown = None if view is None else {"run": str(view.folder.path), "name": view.name}
            self._take(place, None if place == "chosen" else shown)
        elif kind == "recipe":
            self.take_recipe(name, place)
        else:
            self._take_published(name, {"model": name}, place)

    def _take(self, place: str, by: Mapping[str, Any] | None) -> None:
        setattr(self, place, by)
        self.ask_again()

    def take_recipe(self, name: str, place: str = "chosen") -> None:
        """Classify by a recipe: what is shown, or the picture that is named next."""
        try:
            section = load_recipe(name).get("model")
            model = dict(section) if isinstance(section, Mapping) else {}
            known = models.find(str(model.get("name", "")))
        except BadInput as error:
            self.post_message(Noticed(str(error), "error"))
            return
        if model.get("weights"):
            self._take(place, {"recipe": name})
        else:
            self._take_published(known.name, {"recipe": name}, place)

    def _take_published(self, model: str, by: Mapping[str, Any], place: str) -> None:
        """Take it once it is known where the weights come from."""
        if models.find(model).weights_here():
            self._take(place, by)
            return

        def taken(file: str | None) -> None:
            if file is not None:
                self._take(place, {**by, "weights": file} if file else by)

        self.app.push_screen(Chooser(f"Weights of {model}", of_weights(model)), taken)


def _name(by: Mapping[str, Any]) -> str:
    """What classifies, as people call it."""
    if "run" in by:
        return f"{by.get('name', Path(by['run']).name)}, best"
    return str(by.get("recipe") or by["model"])
