"""The experiment pane: the dataset, model and settings of the next run, and its estimated cost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from functools import partial
from typing import ClassVar

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.reactive import reactive
from textual.widgets import Static

from workbench.config.data_summary import DataSummary
from workbench.config.experiment import Experiment
from workbench.config.recipes import load_recipe
from workbench.core.errors import RunFailed, UserError
from workbench.core.settings_schema import Choice
from workbench.core.text import sanitize
from workbench.core.user_code import is_user_code
from workbench.datasets import catalog as datasets
from workbench.datasets.file_sources import is_listed
from workbench.planning.plan import Plan, describe_proposal
from workbench.system import devices
from workbench.system.devices import TrainingDevice
from workbench.system.gpu import read_inventory
from workbench.ui.base.layout import PaneId
from workbench.ui.base.messages import ClassifyRequested, Notify, Undoable
from workbench.ui.base.pane import PaneServices
from workbench.ui.experiment import choosers, model_choosers
from workbench.ui.experiment.draft import DEVICE_SETTING, Draft
from workbench.ui.experiment.draft_file import load_draft, save_draft
from workbench.ui.experiment.layers_screen import LayersScreen
from workbench.ui.experiment.previews import PreviewPane
from workbench.ui.experiment.summary_text import cost_lines, experiment_summary, layers_line
from workbench.ui.experiment.summary_view import CostLine, ExperimentSummary
from workbench.ui.services.folder_contents import FolderContents
from workbench.ui.services.model_summaries import ModelSummaries, ModelSummaryResult
from workbench.ui.services.plans import PLANNING_TEXT, PlanCache, cost_parts
from workbench.ui.widgets.chooser import Chooser, Finder
from workbench.ui.widgets.form import Field, Form, filter_fields, shows_help, value_width

FORM_MIN_ROWS = 12
"""From this height on the form is visible; a lower pane shows the summary until it is opened."""


class ExperimentPane(PreviewPane):
    """The experiment that `t` trains: `experiment()` returns it, `load()` replaces it."""

    ID = PaneId.EXPERIMENT

    DEFAULT_CSS = """
    ExperimentPane > #cost { height: auto; max-height: 3; color: $text-muted; }
    ExperimentPane > #help { height: auto; max-height: 4; color: $text-muted; text-style: italic; display: none; }
    ExperimentPane.-form.-help > #help { display: block; }
    ExperimentPane > Form, ExperimentPane > #cost { display: none; }
    ExperimentPane.-form > Form, ExperimentPane.-form > #cost { display: block; }
    ExperimentPane.-form > ExperimentSummary { display: none; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "recipes", "recipe"),
        Binding("f", "datasets", "data"),
        Binding("m", "models", "model"),
        Binding("v", "layers", "layers"),
        Binding("b", "plan", "plan"),
        Binding("escape", "cancel_plan", "cancel the plan", show=False),
    ]

    opened: reactive[bool] = reactive(False)
    """Whether the form was opened in a low pane."""

    FILTERABLE = True

    def __init__(self, services: PaneServices | None = None, *, id: str | None = None) -> None:
        super().__init__(services, id=id)
        self.draft = Draft()
        self._saved = self.draft.content
        self._summaries = ModelSummaries(self.services.compute)
        self._device = TrainingDevice("", "")
        self._plans, self._plan_status, self._folders = PlanCache(), "", FolderContents()

    def compose(self) -> ComposeResult:
        yield ExperimentSummary()
        yield Form(self.draft.setting_error, id="form")
        yield Static("", id="help", markup=False)
        yield CostLine(id="cost")

    def on_mount(self) -> None:
        super().on_mount()
        load_draft(self.draft, self.services.store.home)
        self._saved = self.draft.content
        self._changed()

    def on_unmount(self) -> None:
        self._plans.cancel()

    def load(self, experiment: Experiment) -> None:
        """Replace the draft by the experiment of a run. Raises `UserError`."""
        self.draft.load(experiment)
        self._changed()
        self._push_undo()

    def clear_filter(self) -> None:
        """Show all settings again: a filter was for the change before this training."""
        self.filter = ""

    def _push_undo(self) -> None:
        """Make the last change undoable with `u`."""

        def undo() -> None:
            self.draft.undo()
            self._changed()

        self.post_message(Undoable(self.draft.last_change, undo))

    def text_to_copy(self) -> str:
        """The setting under the cursor, in the syntax of `--set`."""
        field = self.query_one(Form).highlighted if self.has_class("-form") else None
        return f"{field.key}={field.value}" if field and "." in field.key else ""

    def focus_content(self) -> None:
        """Focus the form, or the summary if that is visible."""
        self._arrange()
        self.query_one("Form" if self.has_class("-form") else "ExperimentSummary").focus()

    def on_resize(self) -> None:
        self._arrange()
        self._show()

    def filter_names(self) -> Iterable[str]:
        return [name for field in self.draft.fields() for name in (field.key, field.key.rpartition(".")[2])]

    def watch_filter(self) -> None:
        if self.filter:
            self.opened = True
        self._update_headline()
        self._show()

    @on(ExperimentSummary.Opened)
    def _summary_opened(self, event: ExperimentSummary.Opened) -> None:
        event.stop()
        self.opened = True
        self.focus_content()

    def watch_opened(self) -> None:
        self._arrange()

    @on(events.DescendantFocus)
    def _focus_entered(self) -> None:
        self._summarize_in_background()
        self._list_folder()
        self._update_device()

    def _arrange(self) -> None:
        had_focus = self.has_focus_within
        was_form = self.has_class("-form")
        if self.query_one(Form).editor is not None:
            self.opened = True  # what is being typed stays, however low the pane becomes
        form = self.opened or self.content_size.height >= FORM_MIN_ROWS
        self.set_class(form, "-form")
        self.query_one(Form).closable = self.opened
        if form != was_form:
            self._show()
            if had_focus and not isinstance(self.app.focused, Form | ExperimentSummary):
                return
            if had_focus:
                self.focus_content()

    @property
    def model_summary(self) -> ModelSummaryResult:
        """The layers of the selected model on the selected dataset."""
        return self._summaries.get(*self.draft.choices())

    @property
    def _contents(self) -> DataSummary | None:
        """What the folder of the selected dataset contains, once it is listed."""
        return None if self.draft.problem else self._folders.get(self.experiment())

    def _changed(self) -> None:
        if self.draft.content != self._saved:
            self._saved = self.draft.content
            save_draft(self.draft, self.services.store.home)
        self._update_headline()
        self._show()
        self._update_device()
        self._list_folder()
        if self.has_focus_within or self.has_class("-form"):  # a row that closes has no focus for a moment
            self._summarize_in_background()

    def _update_headline(self) -> None:
        self.headline = "──".join(filter(None, (*self.draft.state, f"/{self.filter}" * bool(self.filter))))

    def _show(self) -> None:
        if not self.is_mounted or not self.query(Form) or not self.query("#help"):
            return  # not composed yet, or the app ends
        content = (self.draft, self.model_summary, self._device, self.content_size.width, self._plan_parts())
        if self.has_class("-form"):
            width = value_width(self.content_size.width - 2)  # without the scroll bar
            layers = layers_line(self.model_summary.summary, width)
            fields = self.draft.fields(layers, self._contents.short if self._contents else "")
            form = self.query_one(Form)
            form.show(filter_fields(fields, self.filter))
            self._show_help(form.highlighted if form.has_focus else None)
            self.query_one(CostLine).lines = tuple(cost_lines(*content, contents=self._contents))
        else:
            lines = experiment_summary(*content, contents=self._contents)
            self.query_one(ExperimentSummary).lines = tuple(lines[: max(1, self.content_size.height)])

    def _plan_parts(self) -> list[str]:
        """The cost line of a running or finished plan; empty without a plan."""
        if self.draft.problem:
            return []
        experiment = self.experiment()
        if self._plans.is_planning_for(experiment):
            return [self._plan_status, "esc cancels"]
        plan = self._plans.get(experiment)
        return [] if plan is None else cost_parts(plan)

    @on(Form.Highlighted)
    def _field_highlighted(self, event: Form.Highlighted) -> None:
        event.stop()
        self._show_help(event.field)

    def _show_help(self, field: Field | None) -> None:
        """Show the whole help of the row under the cursor, if the row has no room for it."""
        form = self.query_one(Form)
        cut = field is not None and form.size.width > 0 and not shows_help(field, form.size.width)
        self.query_one("#help", Static).update(sanitize(field.help) if field and cut else "")
        self.set_class(cut, "-help")
        self.call_after_refresh(form.show_cursor)

    @on(Form.Changed)
    def _field_changed(self, event: Form.Changed) -> None:
        event.stop()
        self._apply(lambda: self.draft.set(event.key, event.value))

    @on(Form.Reset)
    def _field_reset(self, event: Form.Reset) -> None:
        event.stop()
        self._apply(lambda: self.draft.reset(event.key))

    @on(Form.Closed)
    def _form_closed(self, event: Form.Closed) -> None:
        event.stop()
        if self._plans.is_planning:
            self.action_cancel_plan()
            return
        if self.filter:
            self.filter = ""
            return
        self.opened = False
        self.focus_content()

    @on(Form.Opened)
    async def _field_opened(self, event: Form.Opened) -> None:
        event.stop()
        actions = {"recipe": self.action_recipes, "data": self.action_datasets, "model": self.action_models,
                   "layers": self.action_layers, "contents": self._show_contents,
                   "schedule": self.action_schedule}  # fmt: skip
        if event.field.key in actions:
            await actions[event.field.key]()
        elif event.field.key == DEVICE_SETTING:
            self._choose_device(event.field)
        else:
            await self._choose_value(event.field)

    async def _choose_value(self, field: Field) -> None:
        await self._choose(
            f"{field.label}: {field.help}",
            choosers.value_finder(field.choices, field.value),
            lambda value: self.draft.set(field.key, value),
        )

    @work(group="devices", exclusive=True)
    async def _choose_device(self, field: Field) -> None:
        inventory = await asyncio.to_thread(read_inventory)
        await self._choose(
            f"{field.label}: {field.help}",
            choosers.device_finder(inventory, field.value),
            lambda name: self.draft.set(field.key, name),
        )

    async def _show_contents(self) -> None:
        """List what the folder contains, and offer the settings for rare classes."""
        if contents := self._contents:
            finder = choosers.contents_finder(contents, self.experiment().train)
            await self._choose(f"Contents of {contents.facts.root}", finder, self._select_proposal)

    @work(group="folder", exclusive=True)
    async def _list_folder(self) -> None:
        if self.draft.problem or not is_listed(self.draft.data):
            return
        try:
            changed = await self._folders.update(self.experiment())
        except UserError as error:
            self.post_message(Notify(str(error), "error"))
            return
        if changed:
            self._show()

    async def action_recipes(self) -> None:
        """Select a recipe."""
        await self._choose("Recipes", choosers.recipe_finder(self.draft.recipe), self._select_recipe)

    def _select_recipe(self, name: str) -> None:
        if load_recipe(name).get("do") == "classify":
            self.post_message(ClassifyRequested(name))
        else:
            self.draft.load_recipe(name)

    async def action_datasets(self) -> None:
        """Select the dataset."""
        await self._choose(
            "Datasets", choosers.dataset_finder(self.draft.data), lambda name: self.draft.choose("data", name)
        )

    async def action_models(self) -> None:
        """Select the model."""
        about = datasets.describe(self.draft.data)
        classes = len(self._contents.facts.classes) if self._contents else about.classes
        finder = model_choosers.model_finder(about.task, classes, self.draft.model)
        await self._choose("Models", finder, lambda name: self.draft.choose("model", name))

    async def _choose(self, title: str, finder: Finder, select: Callable[[str], None]) -> None:
        def apply(key: str | None) -> None:
            if key is not None:
                self._apply(lambda: select(key))

        await self.app.push_screen(Chooser(title, finder), apply)

    def _apply(self, change: Callable[[], None]) -> None:
        num_changes = self.draft.num_changes
        try:
            change()
        except UserError as error:
            self.post_message(Notify(str(error), "error"))
        if self.draft.num_changes != num_changes:
            self._push_undo()
        self._changed()

    async def action_layers(self) -> None:
        """List the layers of the model."""
        self._show_layers()

    @work(group="layers", exclusive=True)
    async def _show_layers(self) -> None:
        if not self.model_summary.is_known:
            self.post_message(Notify("Counting the layers…", transient=True))
        result = await self._summarize(self.draft.choices())
        if result.error:
            self.post_message(Notify(result.error, "error"))
        elif result.summary:
            self.open_screen(LayersScreen(f"{self.draft.model} on {self.draft.data}", result.summary))

    async def action_plan(self) -> None:
        """Measure the experiment for a few steps; if there is a plan already, select a faster setting."""
        try:
            plan = self._plans.get(self.experiment())
        except UserError as error:
            self.post_message(Notify(str(error), "error"))
            return
        if plan is None:
            self._make_plan()
        elif plan.proposals:
            await self._choose("Faster settings", choosers.proposal_finder(plan), self._select_proposal)
        else:
            self.post_message(Notify(f"No faster setting found; tried {', '.join(plan.tried)}."))

    def _select_proposal(self, assignment: str) -> None:
        key, _, value = assignment.partition("=")
        if key:
            self.draft.set(key, value)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """`esc` is bound only while a plan is running."""
        return action != "cancel_plan" or self._plans.is_planning

    def action_cancel_plan(self) -> None:
        """Cancel the running plan."""
        self._plans.cancel()

    @work(group="plan")
    async def _make_plan(self) -> None:
        if self._plans.is_planning:
            self.post_message(Notify("A plan is already running; esc cancels it.", "warning"))
            return
        self._show_plan_status(PLANNING_TEXT)
        try:
            show = partial(self.app.call_from_thread, self._show_plan_status)
            planning = self._plans.make_plan(self.experiment(), show)
            self._show()
            plan = await planning
        except (UserError, RunFailed, OSError) as error:
            self.post_message(Notify(f"plan: {error}", "error"))
        else:
            self._notify_plan(plan)
        self._show()

    def _notify_plan(self, plan: Plan | None) -> None:
        """Show the warnings of a finished plan and its best proposal."""
        for notice in plan.notices if plan else ():
            self.post_message(Notify(f"plan: {notice}", "warning"))
        if plan and plan.proposals:
            self.post_message(Notify(f"{describe_proposal(plan.proposals[0])}; b selects"))

    def _show_plan_status(self, status: str) -> None:
        if status != self._plan_status:
            self._plan_status = status
            self._show()

    def _summarize_in_background(self) -> None:
        choices = self.draft.choices()
        if not (self.model_summary.is_known or any(is_user_code(one.name) for one in choices)):
            self._start_summary(choices)  # user code runs only on request

    @work(group="layers", exclusive=True)
    async def _start_summary(self, choices: tuple[Choice, Choice]) -> None:
        await self._summarize(choices)

    async def _summarize(self, choices: tuple[Choice, Choice]) -> ModelSummaryResult:
        """Count the layers of these choices, unless dataset or model change within the next 0.3 s."""
        if self.model_summary.is_known:
            return self.model_summary
        await asyncio.sleep(0.3)
        if choices != self.draft.choices():
            return ModelSummaryResult()
        await self._summaries.request(*choices)
        self._show()
        return self.model_summary

    @work(group="device", exclusive=True)
    async def _update_device(self) -> None:
        requested = str(self.draft.value("train.device"))
        device = await asyncio.to_thread(devices.training_device, requested)
        if device == self._device:
            return
        if device.warning and device.warning != self._device.warning:
            self.post_message(Notify(f"WARNING: {device.warning}", "warning"))
        self._device = device
        self._show()
