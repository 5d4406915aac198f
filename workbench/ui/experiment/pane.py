"""The experiment: what will be trained, with what settings, and what that takes."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.reactive import reactive
from textual.widget import Widget

from workbench.compute.client import SessionClient, SessionError
from workbench.compute.protocol import SummarizeModel
from workbench.config.experiment import Experiment
from workbench.config.recipes import load_recipe
from workbench.core.errors import BadInput, RunFailed
from workbench.core.user_code import is_user_code
from workbench.datasets import catalog as datasets
from workbench.planning.plan import Plan, how_much_faster
from workbench.system import machine_info
from workbench.ui.base.messages import ClassifyWanted, Noticed, Undoable
from workbench.ui.base.pane import Pane
from workbench.ui.experiment import choosers
from workbench.ui.experiment.draft import Draft
from workbench.ui.experiment.layers_screen import LayersScreen
from workbench.ui.experiment.summary_text import Counted, cost_lines, layers_line, summary_lines
from workbench.ui.experiment.summary_view import CostLine, Summary
from workbench.ui.services.compute import close_session, session_of
from workbench.ui.services.plans import MAKING, Preflight, cost_parts
from workbench.ui.widgets.chooser import Chooser, Finder
from workbench.ui.widgets.form import Field, Form, matching, room_of

FORM_FROM = 13
"""Rows from which the form is shown at once; a lower pane shows the summary until it is opened."""


class ExperimentPane(Pane):
    """What `t` will train: chosen, set, checked and counted. `experiment()` gives it, `load()` replaces it."""

    NUMBER = "2"
    NAME = "Experiment"
    SHORT = "Exp"

    DEFAULT_CSS = """
    ExperimentPane > #cost { height: auto; max-height: 3; color: $text-muted; }
    ExperimentPane > Form, ExperimentPane > #cost { display: none; }
    ExperimentPane.-form > Form, ExperimentPane.-form > #cost { display: block; }
    ExperimentPane.-form > Summary { display: none; }
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
    """Whether the form was opened in a pane that is low."""

    filter: reactive[str] = reactive("")
    """Words that name, value or help of a shown setting have."""

    def __init__(self, *, session: SessionClient | None = None, id: str | None = None) -> None:
        super().__init__(id=id)
        self._given = session
        self.draft = Draft()
        self._counted: dict[str, Counted] = {}
        self._device = ("", "")
        self._preflight, self._planned = Preflight(), ""

    def compose(self) -> ComposeResult:
        """The summary, and the form with what it costs."""
        yield Summary()
        yield Form(self.draft.complaint, id="form")
        yield CostLine(id="cost")

    def on_mount(self) -> None:
        """Show the first recipe."""
        super().on_mount()
        self._changed()

    def on_unmount(self) -> None:
        """The session and what is being tried end with the screen."""
        self._preflight.cancel()
        if self._given is None:
            close_session(self.app)

    @property
    def session(self) -> SessionClient:
        """What counts the layers."""
        return self._given or session_of(self.app)

    def experiment(self) -> Experiment:
        """The experiment as it stands. Raises `BadInput`."""
        return self.draft.experiment()

    def load(self, experiment: Experiment) -> None:
        """Begin again from the experiment of a run. Raises `BadInput`."""
        self.draft.load(experiment)
        self._changed()
        self._undoable()

    def _undoable(self) -> None:
        """Let `u` take the change back that was just made."""

        def undo() -> None:
            self.draft.undo()
            self._changed()

        self.post_message(Undoable(self.draft.last_change, undo))

    def copied(self) -> str:
        """The setting under the cursor, as `--set` takes it."""
        field = self.query_one(Form).pointed if self.has_class("-form") else None
        return f"{field.key}={field.value}" if field is not None and "." in field.key else ""

    def enter(self) -> None:
        """Give the focus to what is shown."""
        self._arrange()
        target: Widget = self.query_one(Form) if self.has_class("-form") else self.query_one(Summary)
        self.call_after_refresh(target.focus)

    def on_resize(self) -> None:
        """A high pane shows the form, a low one the summary."""
        self._arrange()
        self._show()

    def watch_filter(self) -> None:
        """Show the settings that are left; those of a pane that is low are opened."""
        if self.filter:
            self.opened = True
        self._say_which()
        self._show()

    @on(Summary.Opened)
    def _open(self, event: Summary.Opened) -> None:
        event.stop()
        self.opened = True
        self.enter()

    def watch_opened(self) -> None:
        """Show the form, or the summary again."""
        self._arrange()

    @on(events.DescendantFocus)
    def _came_here(self) -> None:
        self._count_layers()
        self._look_for_device()

    def _arrange(self) -> None:
        had_focus = self.has_focus_within
        before = self.has_class("-form")
        form = self.opened or self.content_size.height >= FORM_FROM
        self.set_class(form, "-form")
        self.query_one(Form).can_leave = self.opened
        if form != before:
            self._show()
            if had_focus and not isinstance(self.app.focused, Form | Summary):
                return
            if had_focus:
                self.enter()

    @property
    def counted(self) -> Counted:
        """The layers of this pair of dataset and model."""
        return self._counted.get(repr(self.draft.choices()), Counted())

    def _changed(self) -> None:
        self._say_which()
        self._show()
        self._look_for_device()
        if self.has_focus_within:
            self._count_layers()

    def _say_which(self) -> None:
        parts = (
            self.draft.recipe,
            "" if self.draft.is_new else "changed",
            f"/{self.filter}" * bool(self.filter),
        )
        self.headline = "──".join(part for part in parts if part)

    def _show(self) -> None:
        if not self.is_mounted:
            return
        known = self.draft, self.counted, self._device, self.content_size.width, self._plan_parts()
        if self.has_class("-form"):
            room = room_of(self.content_size.width - 2)  # beside the scroll bar
            fields = self.draft.fields(layers_line(self.counted.summary, room))
            self.query_one(Form).show(matching(fields, self.filter))
            self.query_one(CostLine).lines = tuple(cost_lines(*known))
        else:
            lines = summary_lines(*known)
            self.query_one(Summary).lines = tuple(lines[: max(1, self.content_size.height)])

    def _plan_parts(self) -> list[str]:
        """What the line of costs says of a plan; nothing where there is none."""
        if self.draft.problem:
            return []
        experiment = self.experiment()
        if self._preflight.is_making(experiment):
            return [self._planned, "esc cancels"]
        plan = self._preflight.of(experiment)
        return [] if plan is None else cost_parts(plan)

    @on(Form.Changed)
    def _set(self, event: Form.Changed) -> None:
        event.stop()
        self._try(lambda: self.draft.set(event.key, event.value))

    @on(Form.Reset)
    def _reset(self, event: Form.Reset) -> None:
        event.stop()
        self._try(lambda: self.draft.reset(event.key))

    @on(Form.Left)
    def _left(self, event: Form.Left) -> None:
        event.stop()
        if self._preflight.busy:
            self.action_cancel_plan()
            return
        if self.filter:
            self.filter = ""
            return
        self.opened = False
        self.enter()

    @on(Form.Opened)
    async def _opened_row(self, event: Form.Opened) -> None:
        event.stop()
        actions = {"recipe": self.action_recipes, "data": self.action_datasets, "model": self.action_models,
                   "layers": self.action_layers}  # fmt: skip
        if event.field.key in actions:
            await actions[event.field.key]()
        else:
            await self._choose_value(event.field)

    async def _choose_value(self, field: Field) -> None:
        await self._ask(
            f"{field.label}: {field.help}",
            choosers.of_words(field.choices, field.value),
            lambda value: self.draft.set(field.key, value),
        )

    async def action_recipes(self) -> None:
        """Choose a ready experiment."""
        await self._ask("Recipes", choosers.of_recipes(), self._take_recipe)

    def _take_recipe(self, name: str) -> None:
        if load_recipe(name).get("do") == "classify":
            self.post_message(ClassifyWanted(name))
        else:
            self.draft.load_recipe(name)

    async def action_datasets(self) -> None:
        """Choose the dataset."""
        await self._ask("Datasets", choosers.of_datasets(), lambda name: self.draft.choose("data", name))

    async def action_models(self) -> None:
        """Choose the model."""
        task = datasets.find(self.draft.data).task
        await self._ask("Models", choosers.of_models(task), lambda name: self.draft.choose("model", name))

    async def _ask(self, title: str, finder: Finder, take: Any) -> None:
        def taken(key: str | None) -> None:
            if key is not None:
                self._try(lambda: take(key))

        await self.app.push_screen(Chooser(title, finder), taken)

    def _try(self, change: Any) -> None:
        changes = self.draft.changes
        try:
            change()
        except BadInput as error:
            self.post_message(Noticed(str(error), "error"))
        if self.draft.changes != changes:
            self._undoable()
        self._changed()

    async def action_layers(self) -> None:
        """Show the model layer by layer."""
        self._show_layers()

    @work(group="layers", exclusive=True)
    async def _show_layers(self) -> None:
        if not self.counted.known:
            self.post_message(Noticed("counting the layers…"))
        counted = await self._summarise()
        if counted.error:
            self.post_message(Noticed(counted.error, "error"))
        elif counted.summary:
            self.app.push_screen(LayersScreen(f"{self.draft.model} on {self.draft.data}", counted.summary))

    async def action_plan(self) -> None:
        """Try the experiment for some steps; once that is known, choose among what was faster."""
        try:
            plan = self._preflight.of(self.experiment())
        except BadInput as error:
            self.post_message(Noticed(str(error), "error"))
            return
        if plan is None:
            self._make_plan()
        elif plan.proposals:
            await self._ask("Faster", choosers.of_proposals(plan), self._take_proposal)
        else:
            self.post_message(Noticed(f"nothing that was tried is faster: {', '.join(plan.tried)}"))

    def _take_proposal(self, assignment: str) -> None:
        key, _, value = assignment.partition("=")
        self.draft.set(key, value)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """`esc` has something to cancel only while a plan is being made."""
        return action != "cancel_plan" or self._preflight.busy

    def action_cancel_plan(self) -> None:
        """End what is being tried."""
        self._preflight.cancel()

    @work(group="plan")
    async def _make_plan(self) -> None:
        if self._preflight.busy:
            self.post_message(Noticed("a plan is being made already; esc cancels it", "warning"))
            return
        self._plan_says(MAKING)
        try:
            making = self._preflight.make(self.experiment(), self._hear)
            self._show()
            plan = await making
        except (BadInput, RunFailed, OSError) as error:
            self.post_message(Noticed(f"plan: {error}", "error"))
        else:
            self._tell_of(plan)
        self._show()

    def _tell_of(self, plan: Plan | None) -> None:
        """Say what a plan found beside figures."""
        for notice in () if plan is None else plan.notices:
            self.post_message(Noticed(f"plan: {notice}", "warning"))
        if plan and plan.proposals:
            self.post_message(Noticed(f"{how_much_faster(plan.proposals[0])}; b chooses"))

    def _hear(self, said: str) -> None:
        self.app.call_from_thread(self._plan_says, said)

    def _plan_says(self, said: str) -> None:
        if said != self._planned:
            self._planned = said
            self._show()

    def _count_layers(self) -> None:
        own = any(is_user_code(choice.name) for choice in self.draft.choices())
        if not self.counted.known and not own:  # somebody's own code is run when they ask for it
            self._count()

    @work(group="layers", exclusive=True)
    async def _count(self) -> None:
        await self._summarise()

    async def _summarise(self) -> Counted:
        """The layers of this pair, asked for once things have been still for a moment."""
        if self.counted.known:
            return self.counted
        data, model = self.draft.choices()
        await asyncio.sleep(0.3)
        if (data, model) != self.draft.choices():
            return Counted()
        try:
            found = Counted(await self.session.request(SummarizeModel(data=data, model=model)))
        except SessionError as error:
            found = Counted(error=str(error))
        self._counted[repr((data, model))] = found
        self._show()
        return found

    def _look_for_device(self) -> None:
        self._device_now()

    @work(group="device", exclusive=True)
    async def _device_now(self) -> None:
        wanted = str(self.draft.value("train.device"))
        self._device_is(await asyncio.to_thread(machine_info.training_device, wanted))

    def _device_is(self, found: tuple[str, str]) -> None:
        if found != self._device:
            self._device = found
            self._show()
