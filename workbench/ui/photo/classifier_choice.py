"""What classifies in the photo pane: the selected run, another run, a recipe, or a published model."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, cast

import msgspec
from textual import work
from textual.reactive import reactive

from workbench.compute.protocol_records import (
    ClassifierRef,
    PublishedClassifier,
    RecipeClassifier,
    RunClassifier,
)
from workbench.config.recipes import load_recipe
from workbench.core.errors import BadInput
from workbench.models import catalog as models
from workbench.runs.status import Status
from workbench.runs.store import RunSummary, Store
from workbench.ui.base.messages import Noticed
from workbench.ui.base.pane import Pane
from workbench.ui.experiment.choosers import of_classifiers, of_weights
from workbench.ui.photo.prediction_view import Answer
from workbench.ui.widgets.chooser import Chooser


class HoldsStore(Protocol):
    """What the pane's app has."""

    store: Store


class ClassifyingPane(Pane):
    """A pane in which something classifies, and that something can be chosen."""

    chosen: reactive[ClassifierRef | None] = reactive(None)
    """What classifies; `None`: the selected run."""

    second: reactive[ClassifierRef | None] = reactive(None)
    """What classifies beside it; `None`: nothing does."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._run_names: dict[str, str] = {}
        """Names of the runs that were chosen, by folder."""

    @property
    def _store(self) -> Store:
        """The runs that can be chosen from: the app's."""
        return cast("HoldsStore", self.app).store

    def ask_again(self) -> None:
        """What is shown is to be classified by the new choice."""
        raise NotImplementedError

    @property
    def by(self) -> ClassifierRef | None:
        """What will classify; `None` where nothing is chosen and there is no run."""
        if self.chosen is not None:
            return self.chosen
        return None if self.view is None else RunClassifier(str(self.view.folder.path))

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
            answer.asks, answer.by = (
                "",
                f"by {self._classifier_name(self.second)}" if self.second is not None else "",
            )

    def _by_words(self) -> str:
        by = self.by
        if by is None:
            return "by nothing yet: m chooses a model"
        if self.chosen is not None or self.view is None:
            return f"by {self._classifier_name(by)}"
        best = self.view.heartbeat.best
        if self.view.status is Status.QUEUED or not (best or self.view.evaluations):
            return f"by {self.view.name}"
        return f"by {self.view.name}, best" + (f" of epoch {best.epoch}" if best else "")

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
            runs = await asyncio.to_thread(self._store.rows)
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
            self._take(place, self._run(self._store.folder(name).path, found.name))
        elif kind == "selected":
            view = self.view
            shown = None if view is None else self._run(view.folder.path, view.name)
            self._take(place, None if place == "chosen" else shown)
        elif kind == "recipe":
            self.take_recipe(name, place)
        else:
            self._take_published(name, PublishedClassifier(name), place)

    def _run(self, folder: Path, name: str) -> RunClassifier:
        self._run_names[str(folder)] = name
        return RunClassifier(str(folder))

    def _take(self, place: str, by: ClassifierRef | None) -> None:
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
            self._take(place, RecipeClassifier(name))
        else:
            self._take_published(known.name, RecipeClassifier(name), place)

    def _take_published(self, model: str, by: PublishedClassifier | RecipeClassifier, place: str) -> None:
        """Take it once it is known where the weights come from."""
        if models.find(model).weights_here():
            self._take(place, by)
            return

        def taken(file: str | None) -> None:
            if file is not None:
                self._take(place, msgspec.structs.replace(by, weights=file))

        self.app.push_screen(Chooser(f"Weights of {model}", of_weights(model)), taken)

    def _classifier_name(self, by: ClassifierRef) -> str:
        """What classifies, as people call it."""
        if isinstance(by, RunClassifier):
            return f"{self._run_names.get(by.run, Path(by.run).name)}, best"
        return by.recipe if isinstance(by, RecipeClassifier) else by.model
