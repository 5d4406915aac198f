"""The experiment pane: selecting, overriding, defaults, cost estimates and plans."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from msgspec.structs import replace
from textual.app import App, ComposeResult
from textual.widgets import Input, OptionList

from tests.folder_data import draw_classes, draw_images
from tests.gpus import FOREIGN_PID, StubDriver, driver, gpu, mig_slice
from tests.ui.screen_steps import Until, move_to_row
from workbench.compute.client import ComputeClient, ComputeError
from workbench.compute.protocol import Request, SummarizeModel, Warm
from workbench.compute.protocol_responses import ModelSummary
from workbench.config.data_summary import experiment_data
from workbench.config.experiment import Experiment, build_experiment
from workbench.core.errors import UserError
from workbench.core.settings_schema import Choice
from workbench.models import torchvision_models
from workbench.models.catalog import find as find_model
from workbench.models.layer_row import LayerRow
from workbench.system import devices
from workbench.system.devices import TrainingDevice
from workbench.ui.base.messages import Notify
from workbench.ui.base.pane import PaneServices
from workbench.ui.experiment import model_choosers
from workbench.ui.experiment.draft import Draft, cost
from workbench.ui.experiment.layers_screen import LayersScreen
from workbench.ui.experiment.pane import ExperimentPane
from workbench.ui.experiment.summary_text import (
    ModelSummaryResult,
    cost_lines,
    experiment_summary,
    layers_line,
)
from workbench.ui.widgets.chooser import Chooser, format_columns
from workbench.ui.widgets.form import Form

__all__ = ["driver"]

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
CPU = TrainingDevice("cpu", "no GPU found")
NO_CUDA = TrainingDevice(
    "cpu", "torch can't use cuda:0", "the run trains on the CPU, because torch can't use the GPU"
)


class FakeComputeClient(ComputeClient):
    """A client with a fixed response."""

    def __init__(self, response: ModelSummary | str = SUMMARY) -> None:
        super().__init__()
        self.response, self.requests = response, list[Request[Any]]()

    async def request(self, request: Request[Any], progress: Any = None) -> Any:
        self.requests.append(request)
        if isinstance(self.response, str):
            raise ComputeError(self.response)
        return self.response


class Shown(App[None]):
    def __init__(self, session: ComputeClient | None = None) -> None:
        super().__init__()
        self.session, self.notices = session or FakeComputeClient(), list[str]()

    def compose(self) -> ComposeResult:
        yield ExperimentPane(PaneServices(lambda: self.session))

    @property
    def pane(self) -> ExperimentPane:
        return self.screen_stack[0].query_one(ExperimentPane)

    def on_workbench_notify(self, event: Notify) -> None:
        self.notices.append(event.text)


# The draft


def test_the_first_experiment_is_a_recipe_without_download() -> None:
    draft = Draft()
    assert draft.experiment() == build_experiment("digits-mlp")
    assert draft.is_unmodified and draft.problem is None


def test_overrides_are_kept_and_the_defaults_of_the_new_pair_apply() -> None:
    draft = Draft()
    draft.set("train.epochs", "3")
    draft.choose("data", "cifar10")
    draft.choose("model", "resnet18")
    experiment, fresh = draft.experiment(), build_experiment(dataset="cifar10", model="resnet18")
    assert experiment.train.epochs == 3
    assert experiment.train.lr == fresh.train.lr and experiment.train.batch_size == fresh.train.batch_size
    assert (experiment.name, experiment.recipe) == ("cifar10-resnet18", None)
    draft.reset("train.epochs")
    assert draft.experiment() == fresh


def test_settings_with_several_values_are_several_experiments() -> None:
    draft = Draft()
    draft.set("train.lr", "0.1 | 0.03")
    draft.set("model.widths", "256,256 | 64 | 32")
    assert (draft.count, draft.state) == (6, ("digits-mlp", "6 runs"))
    made = draft.variants()
    assert {(one.experiment.train.lr, one.experiment.model.options["widths"]) for one in made} == {
        (lr, widths) for lr in (0.1, 0.03) for widths in ((256, 256), (64,), (32,))
    }
    assert draft.experiment().train.lr == 0.1
    shown = {field.key: field.value for field in draft.fields()}
    assert (shown["train.lr"], shown["model.widths"]) == ("0.1 | 0.03", "256,256 | 64 | 32")
    for text, words in (("0.1 | fast", "train.lr"), ("0.1 |", "empty value"), ("1 | 1", "twice")):
        with pytest.raises(UserError, match=words):
            draft.set("train.lr", text)
    draft.set("on_finish", "date | cat")
    assert draft.count == 6 and draft.variants()[0].experiment.on_finish == "date | cat"
    draft.reset("train.lr")
    draft.reset("model.widths")
    assert (draft.count, draft.state) == (1, ("digits-mlp", "changed"))


def test_options_are_dropped_with_their_model() -> None:
    draft = Draft()
    draft.set("model.widths", "32, 16")
    assert list(draft.experiment().model.options["widths"]) == [32, 16]
    draft.choose("model", "linear")
    assert "widths" not in draft.experiment().model.options
    keys = [field.key for field in draft.fields()]
    assert "model.bias" in keys and "model.widths" not in keys


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        ("train.lr", "abc", "train.lr must be a number"),
        ("train.epochs", "0", ">= 1"),
        ("train.batch_size", "10000000000", "train.batch_size"),
        ("train.optimizer", "adm", "did you mean 'adam'"),
        ("train.augment", "flp", "did you mean 'flip'"),
        ("model.dropout", "1.5", "model.dropout"),
        ("name", "../x", "invalid run name"),
        ("seed", "-1", ">= 0"),
    ],
)
def test_invalid_settings_are_rejected_with_one_line(key: str, text: str, expected: str) -> None:
    draft = Draft()
    error = draft.setting_error(key, text)
    assert error and expected in error and "\n" not in error
    with pytest.raises(UserError):
        draft.set(key, text)
    assert draft.experiment() == build_experiment("digits-mlp")


def test_an_incompatible_pair_is_reported_until_it_is_replaced() -> None:
    draft = Draft()
    draft.choose("data", "clusters")
    draft.choose("model", "convnet")
    assert draft.problem and "requires images" in draft.problem
    with pytest.raises(UserError):
        draft.experiment()
    draft.set("train.epochs", "4")  # the incompatible pair is not an error of this setting
    assert "✗" in cost_lines(draft, ModelSummaryResult(), CPU, 60)[0].plain
    draft.choose("model", "mlp")
    assert draft.experiment().train.epochs == 4


def test_the_experiment_of_a_run_can_be_loaded() -> None:
    draft, experiment = Draft(), build_experiment("digits-mlp", sets=["train.lr=0.5", "seed=7"])
    draft.load(experiment)
    assert draft.experiment() == experiment
    with pytest.raises(UserError):
        draft.load(Experiment(name="x", data=Choice("nothing"), model=Choice("mlp")))
    assert draft.experiment() == experiment


def test_none_empties_a_list_but_is_a_value_elsewhere() -> None:
    draft = Draft()
    draft.choose("data", "cifar10")
    draft.set("train.augment", "none")
    draft.set("train.class_weights", "balanced")
    draft.set("train.class_weights", "none")
    assert draft.experiment().train.augment == () and draft.experiment().train.class_weights == "none"


def test_custom_files_must_exist_and_are_not_run(tmp_path: Path) -> None:
    draft = Draft()
    for section, name in (
        ("data", f"folder:{tmp_path}/gone"),
        ("model", f"{tmp_path}/net.py:Net"),
        ("data", "mnst"),
    ):
        with pytest.raises(UserError):
            draft.choose(section, name)
    (tmp_path / "net.py").write_text("class Net: ...\n\nraise SystemExit('never run in the screen')")
    draft.choose("model", f"{tmp_path}/net.py:Net")
    assert draft.experiment().model.name == f"{tmp_path}/net.py:Net"


def test_the_cost_is_estimated() -> None:
    draft = Draft()
    draft.load(
        build_experiment(
            "digits-mlp", sets=["train.epochs=30", "train.batch_size=32", "train.validation=0.1"]
        )
    )
    estimate = cost(draft, 9610)
    assert (estimate.train, estimate.validation, estimate.test) == (1294, 144, 359)
    assert estimate.steps == 41 * 30 and estimate.parameters == 9610 and estimate.download == 0
    draft.choose("data", "cifar10")
    assert cost(draft, None).download == 170_498_071


@pytest.mark.parametrize("width", [18, 36, 76])
def test_the_summary_fits_into_its_width(width: int) -> None:
    with_warning = experiment_summary(Draft(), ModelSummaryResult(SUMMARY), NO_CUDA, width)
    assert any("⚠ the run trains" in line.plain for line in with_warning)
    lines = experiment_summary(Draft(), ModelSummaryResult(SUMMARY), CPU, width)
    assert all(line.cell_len <= width for line in [*with_warning[:-1], *lines[:-1]])
    if width == 36:
        text = "\n".join(line.plain for line in lines)
        for expected in (
            "digits 1.3k/~144 val 359 test",
            "mlp 9.6k",
            "1×8×8─▸128─▸10",
            "seed 0",
            "t train on CPU",
        ):
            assert expected in text


def test_the_layers_line_omits_layers_without_parameters() -> None:
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
    """The summary of a network of layers with these kinds and shapes, all with parameters."""
    rows = tuple(LayerRow("", kind, tuple(shape), 1, 1) for kind, *shape in layers)
    return replace(SUMMARY, layers=rows, input_shape=(3, 32, 32))


def test_built_in_models_are_listed_with_their_parameters_and_untruncated_text() -> None:
    rows = model_choosers.model_finder("classification")._find("")
    lines = [line.split() for line in format_columns(rows, 98, (1,)) if "×224" not in line]
    built_in = {words[0]: words[-1] for words in lines if "any" in words}
    assert built_in["mlp"] == "395k" and built_in["convnet"] == "62k"
    assert not [words for words in lines if words[0] in built_in and "…" in " ".join(words)]


# The pane


async def test_a_low_pane_shows_the_summary_and_enter_opens_the_form(until: Until, text_of: Until) -> None:
    app = Shown(session := FakeComputeClient())
    async with app.run_test(size=(38, 11)) as pilot:
        app.pane.focus_content()
        await until(pilot, "mlp 9.6k")
        assert isinstance(session.requests[0], SummarizeModel)
        await pilot.press("enter")
        await until(pilot, "▸ recipe")
        await pilot.press("escape")
        await until(pilot, "t train on CPU")
        assert app.pane.experiment() == build_experiment("digits-mlp")


async def test_a_high_pane_is_a_form_where_a_value_is_typed_and_checked(until: Until) -> None:
    app = Shown()
    async with app.run_test(size=(80, 30)) as pilot:
        app.pane.focus_content()
        await until(pilot, "▸ recipe")
        form = app.query_one(Form)
        await move_to_row(pilot, form, "train.epochs")
        await pilot.press("enter")
        await until(pilot, lambda: bool(app.query(Input)))
        await pilot.press("x")
        await until(pilot, "train.epochs must be a whole number")
        await pilot.press("backspace", "4", "enter")
        await until(pilot, lambda: app.pane.experiment().train.epochs == 4)
        assert app.pane.headline == "digits-mlp──changed"
        await pilot.press("delete")
        await until(pilot, lambda: app.pane.experiment() == build_experiment("digits-mlp"))


async def test_data_and_model_are_selected_with_the_keyboard(until: Until) -> None:
    app = Shown()
    async with app.run_test(size=(80, 24)) as pilot:
        app.pane.focus_content()
        await pilot.press("f")
        await until(pilot, lambda: isinstance(app.screen, Chooser))
        await pilot.press(*"shapesz")
        await until(pilot, "filter ▸ shapesz")
        await until(pilot, "nothing matches 'shapesz'")
        await pilot.press("backspace")
        await until(pilot, "colored shapes")
        await pilot.press("enter")
        await until(pilot, lambda: app.pane.draft.data == "shapes")
        await pilot.press("m")
        await until(pilot, "torchvision")
        await pilot.press(*"convnet", "enter")
        await until(pilot, lambda: app.pane.draft.model == "convnet")
        assert app.pane.experiment() == build_experiment(dataset="shapes", model="convnet")
        await pilot.press("m")
        await until(pilot, "torchvision")
        await pilot.press(*"resnet10t", "enter")
        await until(pilot, lambda: app.pane.draft.model == "timm:resnet10t.c3_in1k")
        await pilot.press("a")
        await until(pilot, "digits-mlp")
        await pilot.press(*"digits", "enter")
        await until(pilot, lambda: app.pane.experiment() == build_experiment("digits-mlp"))


async def test_values_are_selected_from_a_list_and_booleans_toggle(until: Until) -> None:
    app = Shown()
    async with app.run_test(size=(80, 50)) as pilot:
        app.pane.focus_content()
        await until(pilot, "▸ recipe")
        form = app.query_one(Form)
        for key, keys, value in (("train.optimizer", [*"sgd", "enter"], "sgd"), ("train.nesterov", [], True)):
            await move_to_row(pilot, form, key)
            await pilot.press("enter")
            await pilot.pause()
            await pilot.press(*keys)
            name = key.partition(".")[2]
            await until(
                pilot, lambda name=name, value=value: getattr(app.pane.experiment().train, name) == value
            )


async def test_the_device_is_selected_from_those_of_this_host(
    until: Until, driver: StubDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "cuda_problem", lambda inventory: "")
    driver.write([gpu(0, pids=[FOREIGN_PID]), gpu(1), gpu(2, slices=[mig_slice(1)])])
    app = Shown()
    async with app.run_test(size=(80, 50)) as pilot:
        app.pane.focus_content()
        await until(pilot, "on cuda:1 (idle)")
        form = app.query_one(Form)
        await move_to_row(pilot, form, "train.device")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, Chooser))
        await until(pilot, "now cuda:1 (idle)")
        await until(pilot, "MIG-11111111")
        await until(pilot, "H100, 1 process")
        await pilot.press(*"cuda:7", "enter")
        await until(pilot, "no device cuda:7 on this host; available: cuda:0, cuda:1, MIG-11111111, cpu")
        await pilot.press("backspace", "0", "enter")
        await until(pilot, lambda: app.pane.experiment().train.device == "cuda:0")
        await until(pilot, "on cuda:0 (requested, busy)")


async def test_gpus_that_torch_cannot_use_are_a_warning_in_the_screen(
    until: Until, driver: StubDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "cuda_problem", lambda inventory: "libcuda.so.1 can't be loaded")
    driver.write([gpu(0), gpu(1)])
    app = Shown()
    async with app.run_test(size=(80, 30)) as pilot:
        await until(pilot, "⚠ the run trains on the CPU, because torch can't use the 2 GPUs")
        await until(pilot, lambda: bool(app.notices))
        (notice,) = app.notices
        assert notice.startswith("WARNING: the run trains on the CPU") and "libcuda.so.1" in notice


async def test_the_layers_are_listed(until: Until) -> None:
    app = Shown()
    async with app.run_test(size=(80, 24)) as pilot:
        app.pane.focus_content()
        await pilot.press("v")
        await until(pilot, lambda: isinstance(app.screen, LayersScreen))
        await until(pilot, "8,320")
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, LayersScreen))


async def test_an_error_of_counting_layers_is_shown(until: Until) -> None:
    app = Shown(FakeComputeClient("convnet can't take inputs [of] this\x1b shape"))
    async with app.run_test(size=(80, 24)) as pilot:
        app.pane.focus_content()
        await pilot.press("v")
        await until(pilot, "✗ convnet can't take inputs [of] this\ufffd shape")
        assert app.notices


async def test_a_weights_file_that_does_not_fit_is_shown_while_it_is_typed(
    tmp_path: Path, until: Until
) -> None:
    """With a real compute process; the file is checked again once it has changed."""
    path, compute = tmp_path / "weights.pth", ComputeClient()
    torch.save({"conv.weight": torch.zeros(3)}, path)
    app = Shown(compute)
    try:
        await compute.request(Warm())
        async with app.run_test(size=(120, 40)) as pilot:
            app.pane.load(build_experiment(dataset="digits", model="squeezenet1_1"))
            app.pane.focus_content()
            await until(pilot, "squeezenet1_1")
            await move_to_row(pilot, app.query_one(Form), "model.weights")
            await pilot.press("enter")
            await until(pilot, lambda: bool(app.query(Input)))
            app.query_one(Input).value = str(path)
            await pilot.press("enter")
            await until(pilot, "✗ the weights in /")
            assert "do not fit the model: it has names such as conv.weight" in app.pane.model_summary.error
            torch.save(torchvision_models.build(find_model("squeezenet1_1"), 1000).state_dict(), path)
            await move_to_row(pilot, app.query_one(Form), "train.epochs")
            await pilot.press("enter")
            await until(pilot, lambda: bool(app.query(Input)))
            await pilot.press("4", "enter")
            await until(pilot, lambda: app.pane.model_summary.summary is not None)
    finally:
        compute.close()


async def test_user_code_runs_only_on_request(tmp_path: Path, until: Until) -> None:
    (tmp_path / "net.py").write_text("class Net: ...")
    session = FakeComputeClient()
    app = Shown(session)
    async with app.run_test(size=(80, 24)) as pilot:
        app.pane.draft.choose("model", f"{tmp_path}/net.py:Net")
        app.pane.focus_content()
        await until(pilot, "▸ recipe")
        await pilot.pause(0.5)
        assert session.requests == []
        await pilot.press("v")
        await until(pilot, lambda: bool(session.requests))


@pytest.mark.parametrize("size", [(200, 50), (40, 12), (20, 5), (3, 2)])
async def test_the_pane_works_at_any_size(size: tuple[int, int]) -> None:
    app = Shown()
    async with app.run_test(size=size) as pilot:
        app.pane.focus_content()
        await pilot.press("down", "enter", "escape")
        await pilot.resize_terminal(80, 24)
        await pilot.pause()
        assert app.pane.experiment() == build_experiment("digits-mlp")


# The plan


async def test_a_plan_is_made_shown_and_its_proposal_applied(until: Until, home: Path) -> None:
    app = Shown()
    async with app.run_test(size=(80, 24)) as pilot:
        app.pane.focus_content()
        await pilot.press("b")
        await until(pilot, "esc cancels")
        await pilot.press("escape")
        await until(pilot, lambda: "esc cancels" not in str(app.pane.query_one("#cost").render()))
        await pilot.press("b")
        await until(pilot, "samples/s", 60.0)
        await until(pilot, "disk ✓")
        plan = app.pane._plans.get(app.pane.experiment())
        assert plan is not None
        if not plan.proposals:  # nothing is faster on this machine
            await pilot.press("b")
            await until(pilot, lambda: any("No faster setting found" in notice for notice in app.notices))
            return
        await pilot.press("b")
        await until(pilot, "forward and backward")
        await pilot.press("enter")
        key, _, value = plan.proposals[0].assignment.partition("=")
        await until(pilot, lambda: str(app.pane.draft.value(key)) == value)
        # The plan is not shown for another experiment.
        await until(pilot, lambda: "samples/s" not in str(app.pane.query_one("#cost").render()))
    assert not (home / "runs").exists()


async def test_an_error_of_planning_is_shown(until: Until) -> None:
    app = Shown()
    async with app.run_test(size=(80, 24)) as pilot:
        app.pane.load(build_experiment("mnist-mlp"))
        app.pane.focus_content()
        await pilot.press("b")
        await until(pilot, lambda: any("workbench fetch mnist-mlp" in notice for notice in app.notices))


async def test_the_whole_help_of_a_row_is_shown_where_it_is_cut(until: Until) -> None:
    app = Shown()
    async with app.run_test(size=(54, 30)) as pilot:
        app.pane.focus_content()
        await until(pilot, "▸ recipe")
        form = app.query_one(Form)
        await move_to_row(pilot, form, "data.seed")
        await until(pilot, "seed of the split, independent of the seed of the\nexperiment")
    async with Shown().run_test(size=(120, 30)) as pilot:
        pilot.app.pane.focus_content()  # type: ignore[attr-defined]
        await until(pilot, "▸ recipe")
        assert not pilot.app.query_one("#help").display, "the row has room"


async def test_settings_are_filtered_by_words(until: Until) -> None:
    app = Shown()
    async with app.run_test(size=(100, 9)) as pilot:  # so low that the form has to be opened
        app.pane.filter = "rate maximum"
        await until(pilot, lambda: [f.field.key for f in app.pane.query_one(Form).rows] == ["train.lr"])
        assert app.pane.headline.endswith("/rate maximum")
        assert app.pane.complete_filter("label_s") == ["label_smoothing"]
        assert app.pane.complete_filter("train.label_s") == ["train.label_smoothing"]
        app.pane.filter = "nonsense"
        await until(pilot, lambda: not app.pane.query_one(Form).rows)
        await pilot.press("enter", "down", "delete", "y")  # no field to act on
        app.pane.filter = ""
        await until(pilot, lambda: len(app.pane.query_one(Form).rows) > 30)


async def test_the_contents_of_a_folder_and_the_settings_for_rare_classes(
    tmp_path: Path, until: Until
) -> None:
    root = tmp_path / "pets"
    draw_classes(root / "train", cat=40, dog=40, owl=1)
    draw_classes(root / "test", cat=5, dog=5, owl=2)
    draw_images(root / "test1", 3)
    (root / "train" / "cat" / "phone.heic").write_bytes(b"\0")
    async with Shown().run_test(size=(100, 40)) as pilot:
        pane = pilot.app.query_one(ExperimentPane)
        pane.draft.choose("data", f"folder:{root}")
        pane._changed()
        await until(pilot, "3 classes, 1 folder left out, 1 skipped, imbalanced")
        await pane._show_contents()
        await pilot.pause()
        shown = pilot.app.screen.query_one(OptionList)
        text = "\n".join(str(shown.get_option_at_index(i).prompt) for i in range(shown.option_count))
        assert (
            "test1 (test split, 3 images without class folders)" in text
            and "phone.heic: in HEIC format" in text
        )
        await pilot.press("enter")
        await pilot.pause()
        assert pane.draft.value("train.class_weights") == "balanced"


def test_the_model_row_uses_classes_size_and_options_of_the_run(tmp_path: Path) -> None:
    for split in ("train", "test"):
        draw_classes(tmp_path / split, size=(32, 32), cat=3, dog=3, owl=3)
    draft = Draft()
    draft.choose("data", f"folder:{tmp_path}")
    draft.choose("model", "convnet")

    def lines() -> str:
        contents = experiment_data(draft.experiment())
        return "\n".join(
            x.plain for x in experiment_summary(draft, ModelSummaryResult(), CPU, 70, contents=contents)
        )

    assert "3×32×32─▸…─▸3" in lines() and "9 test" in lines()
    draft.set("data.size", "20")
    assert "3×20×20─▸…─▸3" in lines()
    assert draft.choices()[0].options["size"] == 20
    draft.choose("model", "resnet18")
    contents = experiment_data(draft.experiment())
    assert cost(draft, None, contents).parameters == 11_178_051
    assert find_model("resnet18").parameters_for(3) == 11_178_051


async def test_a_table_of_images_is_chosen_by_its_path(tmp_path: Path, until: Until) -> None:
    draw_classes(tmp_path, cat=6, dog=5)
    rows = [f"{name}/{i}.png,{name}" for name in ("cat", "dog") for i in range(6)]
    (tmp_path / "labels.csv").write_text("\n".join(["path,label", *rows]))
    (tmp_path / "notes.txt").touch()
    async with Shown().run_test(size=(100, 40)) as pilot:
        pane = pilot.app.query_one(ExperimentPane)
        for typed in (f"csv:{tmp_path}/la", f"{tmp_path}/la"):
            await pilot.press("f")
            await until(pilot, lambda: isinstance(pilot.app.screen, Chooser))
            await pilot.press(*typed)
            await until(pilot, "labels.csv")
            await pilot.press("tab", "enter")
            await until(pilot, lambda: not isinstance(pilot.app.screen, Chooser))
            assert pane.draft.data == f"csv:{tmp_path}/labels.csv"
            pane.draft.choose("data", "digits")
        pane.draft.choose("data", f"csv:{tmp_path}/labels.csv")
        pane._changed()
        await until(pilot, "2 classes, 1 skipped")


def test_folds_in_the_form_are_a_run_each() -> None:
    draft = Draft()
    draft.set("train.folds", "4")
    assert draft.count == len(draft.variants()) == 4
    assert draft.state == ("digits-mlp", "4 runs")
    assert draft.experiment().train.fold == 0
    estimate = cost(draft, None)
    assert (estimate.train, estimate.validation, estimate.test) == (1213, 135, 449)
    draft.set("train.lr", "0.1 | 0.01")
    draft.set("train.folds", "4 | 2")
    assert draft.count == len(draft.variants()) == 2 * (4 + 2)
    draft.set("train.fold", "2")
    assert draft.count == len(draft.variants()) == 4
