"""The choice of the classifier in the photo pane: the selected run, another run, a recipe or a published model."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from textual import on, work
from textual.reactive import reactive

from workbench.compute.protocol_records import (
    ClassifierRef,
    PublishedClassifier,
    RecipeClassifier,
    RunClassifier,
)
from workbench.config.recipes import load_recipe
from workbench.core.errors import UserError
from workbench.models import catalog as models
from workbench.runs.store import RunSummary
from workbench.ui.base.messages import Notify, RecipeSelected
from workbench.ui.base.pane import Pane, PaneServices
from workbench.ui.experiment.model_choosers import classifier_finder, weights_finder
from workbench.ui.photo.prediction_view import PredictionView
from workbench.ui.widgets.abstract_widget import AbstractWidgetMeta
from workbench.ui.widgets.chooser import Chooser


class ClassifierChoice(Pane, metaclass=AbstractWidgetMeta):  # type: ignore[metaclass]
    """A pane with a classifier that can be chosen, and a second one to compare with."""

    selected_classifier: reactive[ClassifierRef | None] = reactive(None)
    """The chosen classifier; `None` for the selected run."""

    second_classifier: reactive[ClassifierRef | None] = reactive(None)
    """A classifier to compare with; `None` for no comparison."""

    def __init__(self, services: PaneServices | None = None, *, id: str | None = None) -> None:
        super().__init__(services, id=id)
        self._run_names: dict[str, str] = {}
        """Names of the chosen runs, by folder."""

    @abstractmethod
    def classify_again(self) -> None:
        """Classify the current input with the new choice."""

    @property
    def active_classifier(self) -> ClassifierRef | None:
        """The classifier of the next prediction; `None` if none is chosen and there is no run."""
        if self.selected_classifier is not None:
            return self.selected_classifier
        return (
            None
            if self.view is None or not self.view.is_training
            else RunClassifier(str(self.view.folder.path))
        )

    def watch_view(self) -> None:
        self.update_labels()

    def watch_selected_classifier(self) -> None:
        self.update_labels()

    def on_mount(self) -> None:
        super().on_mount()
        self.update_labels()

    def update_labels(self) -> None:
        """Show the names of the classifiers in the predictions."""
        # There are no views before they are composed, nor while the screen closes.
        for view in self.query("#first").results(PredictionView):
            view.classifier = self._active_label()
        second = self.second_classifier
        for view in self.query("#second").results(PredictionView):
            view.prompt = ""
            view.classifier = "" if second is None else f"by {self._classifier_name(second)}"

    def _active_label(self) -> str:
        classifier = self.active_classifier
        if classifier is None:
            return "no classifier: press m to choose one"
        if self.selected_classifier is not None or self.view is None:
            return f"by {self._classifier_name(classifier)}"
        best = self.view.heartbeat.best
        if not (best or self.view.evaluations):
            return f"by {self.view.name}"
        return f"by {self.view.name}, best" + (f" of epoch {best.epoch}" if best else "")

    def action_model(self) -> None:
        """Choose the classifier: the best checkpoint of a run, a recipe or a torchvision model."""
        self._choose_classifier(second=False)

    def action_second(self) -> None:
        """Choose a second classifier to compare with, or remove it."""
        if self.second_classifier is None:
            self._choose_classifier(second=True)
        else:
            self.second_classifier = None

    @work(group="model", exclusive=True)
    async def _choose_classifier(self, *, second: bool) -> None:
        try:
            runs = await asyncio.to_thread(self.services.store.list_runs)
        except UserError as error:
            self.post_message(Notify(str(error), "error"))
            runs = []
        title = "Compare with" if second else "Classify with"
        chooser = Chooser(title, classifier_finder(runs, None if second else self._current_key()))
        if self.app.screen is self.screen:  # nothing else was opened meanwhile
            self.app.push_screen(chooser, lambda key: self._apply_choice(key, runs, second=second))

    def _current_key(self) -> str:
        """The key of the selected classifier in the list of classifiers."""
        classifier = self.selected_classifier
        if isinstance(classifier, RunClassifier):
            return f"run:{Path(classifier.run).name}"
        if isinstance(classifier, PublishedClassifier):
            return f"model:{classifier.model}"
        return "selected:" if classifier is None else f"recipe:{classifier.recipe}"

    def _apply_choice(self, key: str | None, runs: Sequence[RunSummary], *, second: bool) -> None:
        if key is None:
            return
        kind, _, name = key.partition(":")
        if kind == "run":
            run = next(run for run in runs if run.id == name)
            self._select(self._run(self.services.store.folder(name).path, run.name), second=second)
        elif kind == "selected":
            view = self.view
            selected_run = None if view is None else self._run(view.folder.path, view.name)
            self._select(selected_run if second else None, second=second)
        elif kind == "recipe":
            self.select_recipe(name, second=second)
        else:
            self._select_published(name, PublishedClassifier(name), second=second)

    def _run(self, folder: Path, name: str) -> RunClassifier:
        self._run_names[str(folder)] = name
        return RunClassifier(str(folder))

    def _select(self, classifier: ClassifierRef | None, *, second: bool) -> None:
        if second:
            self.second_classifier = classifier
        else:
            self.selected_classifier = classifier
        self.classify_again()

    @on(RecipeSelected)
    def _use_selected_recipe(self, event: RecipeSelected) -> None:
        self.select_recipe(event.recipe)

    def select_recipe(self, name: str, *, second: bool = False) -> None:
        """Classify with a recipe: the current image, or the next one."""
        try:
            section = load_recipe(name).get("model")
            model = dict(section) if isinstance(section, Mapping) else {}
            info = models.find(str(model.get("name", "")))
        except UserError as error:
            self.post_message(Notify(str(error), "error"))
            return
        if model.get("weights"):
            self._select(RecipeClassifier(name), second=second)
        else:
            self._select_published(info.name, RecipeClassifier(name), second=second)

    def _select_published(
        self, model: str, classifier: PublishedClassifier | RecipeClassifier, *, second: bool
    ) -> None:
        """Select a published model, after asking for its weights if they are not on this machine."""
        if models.find(model).local_weights():
            self._select(classifier, second=second)
            return

        def select_with_weights(file: str | None) -> None:
            if file is not None:
                self._select(msgspec.structs.replace(classifier, weights=file), second=second)

        self.app.push_screen(Chooser(f"Weights of {model}", weights_finder(model)), select_with_weights)

    def _classifier_name(self, classifier: ClassifierRef) -> str:
        if isinstance(classifier, RunClassifier):
            return f"{self._run_names.get(classifier.run, Path(classifier.run).name)}, best"
        return classifier.recipe if isinstance(classifier, RecipeClassifier) else classifier.model
