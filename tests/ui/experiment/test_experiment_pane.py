"""The experiment pane: what is chosen, set by hand, derived, counted and handed out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from textual.app import App, ComposeResult
from textual.widgets import Input

from workbench.compute.client import SessionClient, SessionError
from workbench.compute.protocol import ModelSummary, Request, SummarizeModel
from workbench.config.experiment import Experiment, build
from workbench.core.errors import BadInput
from workbench.core.settings_schema import Choice
from workbench.models.layer_row import LayerRow
from workbench.ui.base.messages import Noticed
from workbench.ui.experiment import choosers
from workbench.ui.experiment.draft import Draft, cost
from workbench.ui.experiment.layers_screen import LayersScreen
from workbench.ui.experiment.pane import ExperimentPane
from workbench.ui.experiment.summary_text import Counted, cost_lines, layers_line, summary_lines
from workbench.ui.widgets.chooser import Chooser, lay_out
from workbench.ui.widgets.form import Form

Until = Callable[..., Any]
SUMMARY = ModelSummary(
    layers=(
        LayerRow("body.0", "Flatten", (64,), 0, 0),
        LayerRow("body.1", "Linear", (128,), 8320, 8320),
        LayerRow("head", "Linear", (10,), 1290, 1290),
    ),
    parameters=9610,
    trainable=9610,
    data_shape=(1, 8, 8),
    input_shape=(1, 8, 8),
    outputs=10,
    head=("head",),
    pretrained=False,
)
CPU = ("cpu", "no GPU here")


class Said(SessionClient):
    """A session whose answer is known."""

    def __init__(self, answer: ModelSummary | str = SUMMARY) -> None:
        super().__init__()
        self.answer, self.asked = answer, list[Request[Any]]()

    async def request(self, request: Request[Any], progress: Any = None) -> Any:
        self.asked.append(request)
        if isinstance(self.answer, str):
            raise SessionError(self.answer)
        return self.answer


class Shown(App[None]):
    def __init__(self, session: SessionClient | None = None) -> None:
        super().__init__()
        self.session, self.notices = session or Said(), list[str]()

    def compose(self) -> ComposeResult:
        yield ExperimentPane(session=self.session)

    @property
    def pane(self) -> ExperimentPane:
        return self.screen_stack[0].query_one(ExperimentPane)

    def on_noticed(self, event: Noticed) -> None:
        self.notices.append(event.text)


# The draft


def test_the_first_experiment_is_the_recipe_that_needs_no_network() -> None:
    draft = Draft()
    assert draft.experiment() == build("digits-mlp")
    assert draft.is_new and draft.problem is None


def test_what_is_set_by_hand_is_kept_and_what_suits_the_pair_is_found_anew() -> None:
    draft = Draft()
    draft.set("train.epochs", "3")
    draft.choose("data", "cifar10")
    draft.choose("model", "resnet18")
    experiment, fresh = draft.experiment(), build(dataset="cifar10", model="resnet18")
    assert experiment.train.epochs == 3
    assert experiment.train.lr == fresh.train.lr and experiment.train.batch_size == fresh.train.batch_size
    assert (experiment.name, experiment.recipe) == ("cifar10-resnet18", None)
    draft.reset("train.epochs")
    assert draft.experiment() == fresh


def test_options_go_with_what_they_belong_to() -> None:
    draft = Draft()
    draft.set("model.widths", "32, 16")
    assert list(draft.experiment().model.options["widths"]) == [32, 16]
    draft.choose("model", "linear")
    assert "widths" not in draft.experiment().model.options
    keys = [field.key for field in draft.fields()]
    assert "model.bias" in keys and "model.widths" not in keys


@pytest.mark.parametrize(
    ("key", "text", "said"),
    [
        ("train.lr", "abc", "train.lr must be a number"),
        ("train.epochs", "0", ">= 1"),
        ("train.batch_size", "10000000000", "train.batch_size"),
        ("train.optimizer", "adm", "did you mean 'adam'"),
        ("train.augment", "flp", "did you mean 'flip'"),
        ("model.dropout", "1.5", "model.dropout"),
        ("name", "../x", "can't be a run's name"),
        ("seed", "-1", ">= 0"),
    ],
)
def test_what_can_not_be_is_told_in_one_line_and_not_taken(key: str, text: str, said: str) -> None:
    draft = Draft()
    complaint = draft.complaint(key, text)
    assert complaint and said in complaint and "\n" not in complaint
    with pytest.raises(BadInput):
        draft.set(key, text)
    assert draft.experiment() == build("digits-mlp")


def test_a_pair_that_does_not_go_together_says_so_until_it_does() -> None:
    draft = Draft()
    draft.choose("data", "clusters")
    draft.choose("model", "convnet")
    assert draft.problem and "takes pictures" in draft.problem
    with pytest.raises(BadInput):
        draft.experiment()
    draft.set("train.epochs", "4")  # the pair is not this setting's fault
    assert "✗" in cost_lines(draft, Counted(), CPU, 60)[0].plain
    draft.choose("model", "mlp")
    assert draft.experiment().train.epochs == 4


def test_a_runs_experiment_can_be_begun_from() -> None:
    draft, experiment = Draft(), build("digits-mlp", sets=["train.lr=0.5", "seed=7"])
    draft.load(experiment)
    assert draft.experiment() == experiment
    with pytest.raises(BadInput):
        draft.load(Experiment(name="x", data=Choice("nothing"), model=Choice("mlp")))
    assert draft.experiment() == experiment


def test_none_empties_a_list_and_stays_a_word_elsewhere() -> None:
    draft = Draft()
    draft.choose("data", "cifar10")
    draft.set("train.augment", "none")
    draft.set("train.class_weights", "balanced")
    draft.set("train.class_weights", "none")
    assert draft.experiment().train.augment == () and draft.experiment().train.class_weights == "none"


def test_your_own_files_are_looked_for(tmp_path: Path) -> None:
    draft = Draft()
    for section, name in (
        ("data", f"folder:{tmp_path}/gone"),
        ("model", f"{tmp_path}/net.py:Net"),
        ("data", "mnst"),
    ):
        with pytest.raises(BadInput):
            draft.choose(section, name)
    (tmp_path / "net.py").write_text("raise SystemExit('never run in the screen')")
    draft.choose("model", f"{tmp_path}/net.py:Net")
    assert draft.experiment().model.name == f"{tmp_path}/net.py:Net"


def test_the_cost_is_counted() -> None:
    draft = Draft()
    draft.load(build("digits-mlp", sets=["train.epochs=30", "train.batch_size=32", "train.validation=0.1"]))
    spent = cost(draft, 9610)
    assert (spent.train, spent.validation, spent.test) == (1294, 144, 359)
    assert spent.steps == 41 * 30 and spent.parameters == 9610 and spent.download == 0
    draft.choose("data", "cifar10")
    assert cost(draft, None).download == 170_498_071


@pytest.mark.parametrize("width", [18, 36, 76])
def test_the_summary_keeps_to_its_width(width: int) -> None:
    lines = summary_lines(Draft(), Counted(SUMMARY), CPU, width)
    assert all(line.cell_len <= width for line in lines[:-1])
    if width == 36:
        text = "\n".join(line.plain for line in lines)
        for said in (
            "digits 1.3k/~144 val 359 test",
            "mlp 9.6k",
            "1×8×8─▸128─▸10",
            "seed 0",
            "t train on CPU",
        ):
            assert said in text


def test_the_layers_line_leaves_out_what_only_reshapes() -> None:
    assert layers_line(SUMMARY) == "1×8×8─▸128─▸10" and layers_line(None) == ""


def test_the_layers_line_names_a_few_convolutions_and_counts_many() -> None:
    few = summary_of(
        ("Conv2d", 6, 28, 28),
        ("BatchNorm2d", 6, 28, 28),
        ("Conv2d", 16, 10, 10),
        ("Linear", 84),
        ("Linear", 10),
    )
    assert layers_line(few) == "3×32×32─▸6─▸16─▸84─▸10"
    many = summary_of(*[("Conv2d", 64, 8, 8)] * 20, ("Linear", 10))
    assert layers_line(many) == "3×32×32─▸20 conv─▸10"


@pytest.mark.parametrize("room", [12, 16, 20, 22])
def test_a_layers_line_that_is_too_long_keeps_its_ends(room: int) -> None:
    line = layers_line(summary_of(("Conv2d", 6, 28, 28), ("Linear", 84), ("Linear", 10)), room)
    assert line.startswith("3×32×32─▸") and line.endswith("─▸10")
    assert len(line) <= max(room, len("3×32×32─▸…─▸10"))


def summary_of(*layers: Any) -> ModelSummary:
    """Of a network with layers of these kinds and shapes, which all learn."""
    rows = tuple(LayerRow("", kind, tuple(shape), 1, 1) for kind, *shape in layers)
    return replace(SUMMARY, layers=rows, input_shape=(3, 32, 32))


def test_our_own_models_tell_their_parameters_and_their_words_are_not_cut() -> None:
    rows = choosers.of_models("classification")._find("")
    lines = [line.split() for line in lay_out(rows, 98, (1,)) if "×224" not in line]
    own = {words[0]: words[-1] for words in lines if "any" in words}
    assert own["mlp"] == "395k" and own["convnet"] == "62k"
    assert not [words for words in lines if words[0] in own and "…" in " ".join(words)]


# The pane


async def test_a_low_pane_shows_the_summary_and_enter_opens_the_form(until: Until, text_of: Until) -> None:
    app = Shown(session := Said())
    async with app.run_test(size=(38, 11)) as pilot:
        app.pane.enter()
        await until(pilot, "mlp 9.6k")
        assert isinstance(session.asked[0], SummarizeModel)
        await pilot.press("enter")
        await until(pilot, "▸ recipe")
        await pilot.press("escape")
        await until(pilot, "t train on CPU")
        assert app.pane.experiment() == build("digits-mlp")


async def test_a_high_pane_is_a_form_where_a_value_is_typed_and_checked(until: Until) -> None:
    app = Shown()
    async with app.run_test(size=(80, 30)) as pilot:
        app.pane.enter()
        await until(pilot, "▸ recipe")
        form = app.query_one(Form)
        while form.pointed is None or form.pointed.key != "train.epochs":
            await pilot.press("down")
        await pilot.press("enter")
        await until(pilot, lambda: bool(app.query(Input)))
        await pilot.press("x")
        await until(pilot, "train.epochs must be a whole number")
        await pilot.press("backspace", "4", "enter")
        await until(pilot, lambda: app.pane.experiment().train.epochs == 4)
        assert app.pane.headline == "digits-mlp──changed"
        await pilot.press("delete")
        await until(pilot, lambda: app.pane.experiment() == build("digits-mlp"))


async def test_data_and_model_are_chosen_with_keys_alone(until: Until) -> None:
    app = Shown()
    async with app.run_test(size=(80, 24)) as pilot:
        app.pane.enter()
        await pilot.press("f")
        await until(pilot, lambda: isinstance(app.screen, Chooser))
        await pilot.press(*"shapesz")
        await until(pilot, "filter ▸ shapesz")
        await until(pilot, "nothing matches 'shapesz'")
        await pilot.press("backspace")
        await until(pilot, "coloured shapes")
        await pilot.press("enter")
        await until(pilot, lambda: app.pane.draft.data == "shapes")
        await pilot.press("m")
        await until(pilot, "torchvision")
        await pilot.press(*"convnet", "enter")
        await until(pilot, lambda: app.pane.draft.model == "convnet")
        assert app.pane.experiment() == build(dataset="shapes", model="convnet")
        await pilot.press("a")
        await until(pilot, "digits-mlp")
        await pilot.press(*"digits", "enter")
        await until(pilot, lambda: app.pane.experiment() == build("digits-mlp"))


async def test_a_word_is_chosen_from_a_list_and_yes_becomes_no(until: Until) -> None:
    app = Shown()
    async with app.run_test(size=(80, 50)) as pilot:
        app.pane.enter()
        await until(pilot, "▸ recipe")
        form = app.query_one(Form)
        for key, keys, value in (("train.optimizer", [*"sgd", "enter"], "sgd"), ("train.nesterov", [], True)):
            while form.pointed is None or form.pointed.key != key:
                await pilot.press("down")
            await pilot.press("enter")
            await pilot.pause()
            await pilot.press(*keys)
            name = key.partition(".")[2]
            await until(
                pilot, lambda name=name, value=value: getattr(app.pane.experiment().train, name) == value
            )


async def test_the_layers_are_shown_one_by_one(until: Until) -> None:
    app = Shown()
    async with app.run_test(size=(80, 24)) as pilot:
        app.pane.enter()
        await pilot.press("v")
        await until(pilot, lambda: isinstance(app.screen, LayersScreen))
        await until(pilot, "8,320")
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, LayersScreen))


async def test_why_the_layers_can_not_be_counted_is_said(until: Until) -> None:
    app = Shown(Said("convnet can't take inputs [of] this\x1b shape"))
    async with app.run_test(size=(80, 24)) as pilot:
        app.pane.enter()
        await pilot.press("v")
        await until(pilot, "✗ convnet can't take inputs [of] this\ufffd shape")
        assert app.notices


async def test_your_own_code_is_not_run_before_it_is_asked_for(tmp_path: Path, until: Until) -> None:
    (tmp_path / "net.py").write_text("")
    session = Said()
    app = Shown(session)
    async with app.run_test(size=(80, 24)) as pilot:
        app.pane.draft.choose("model", f"{tmp_path}/net.py:Net")
        app.pane.enter()
        await until(pilot, "▸ recipe")
        await pilot.pause(0.5)
        assert session.asked == []
        await pilot.press("v")
        await until(pilot, lambda: bool(session.asked))


@pytest.mark.parametrize("size", [(200, 50), (40, 12), (20, 5), (3, 2)])
async def test_no_size_is_too_small(size: tuple[int, int]) -> None:
    app = Shown()
    async with app.run_test(size=size) as pilot:
        app.pane.enter()
        await pilot.press("down", "enter", "escape")
        await pilot.resize_terminal(80, 24)
        await pilot.pause()
        assert app.pane.experiment() == build("digits-mlp")


# The plan


async def test_a_plan_is_made_by_a_key_shown_and_applied_by_another(until: Until, home: Path) -> None:
    app = Shown()
    async with app.run_test(size=(80, 24)) as pilot:
        app.pane.enter()
        await pilot.press("b")
        await until(pilot, "esc cancels")
        await pilot.press("escape")
        await until(pilot, lambda: "esc cancels" not in str(app.pane.query_one("#cost").render()))
        await pilot.press("b")
        await until(pilot, "samples/s", 60.0)
        await until(pilot, "disk ✓")
        plan = app.pane._preflight.of(app.pane.experiment())
        assert plan is not None
        if not plan.proposals:  # a machine on which nothing is faster says so
            await pilot.press("b")
            await until(pilot, lambda: any("nothing that was tried" in notice for notice in app.notices))
            return
        await pilot.press("b")
        await until(pilot, "forward and backward")
        await pilot.press("enter")
        key, _, value = plan.proposals[0].assignment.partition("=")
        await until(pilot, lambda: str(app.pane.draft.value(key)) == value)
        # What was planned is not said of another experiment.
        await until(pilot, lambda: "samples/s" not in str(app.pane.query_one("#cost").render()))
    assert not (home / "runs").exists()


async def test_what_can_not_be_planned_is_noticed(until: Until) -> None:
    app = Shown()
    async with app.run_test(size=(80, 24)) as pilot:
        app.pane.load(build("mnist-mlp"))
        app.pane.enter()
        await pilot.press("b")
        await until(pilot, lambda: any("workbench fetch mnist-mlp" in notice for notice in app.notices))


async def test_settings_are_found_by_words(until: Until) -> None:
    app = Shown()
    async with app.run_test(size=(100, 9)) as pilot:  # so low that the form has to be opened
        app.pane.filter = "rate peak"
        await until(pilot, lambda: [f.field.key for f in app.pane.query_one(Form).rows] == ["train.lr"])
        assert app.pane.headline.endswith("/rate peak")
        app.pane.filter = "nonsense"
        await until(pilot, lambda: not app.pane.query_one(Form).rows)
        await pilot.press("enter", "down", "delete", "y")  # nothing to point at
        app.pane.filter = ""
        await until(pilot, lambda: len(app.pane.query_one(Form).rows) > 30)
