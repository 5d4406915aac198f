"""What there is to choose from, as rows: recipes, datasets, models, words."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence

from workbench.config.experiment import check_sources
from workbench.config.recipes import load_recipe, recipe_files
from workbench.core.errors import BadInput
from workbench.core.text import count, duration, fraction, size, times
from workbench.core.user_code import is_user_code
from workbench.datasets import catalog as datasets
from workbench.datasets.image_folder_layout import check_choice
from workbench.models import catalog as models
from workbench.planning.plan import Plan, where_it_goes
from workbench.runs.store import RunSummary
from workbench.ui.widgets.chooser import Find, Finder, Row, files, filtering

HERE = "✓ here"


def of_words(words: Sequence[str], now: str) -> Finder:
    """A setting's words."""
    rows = [Row(word, (f"{'●' if word == now else ' '} {word}",)) for word in words]
    return Finder(filtering(rows))


def of_recipes() -> Finder:
    """Ready experiments, and TOML files of one's own."""
    rows = []
    for path in recipe_files():
        try:
            content = load_recipe(path.stem)
        except (BadInput, tomllib.TOMLDecodeError):
            continue
        rows.append(Row(path.stem, (path.stem, str(content.get("title", "")))))
    return Finder(
        filtering(rows, files((".toml",))), hint="or a file of your own: ./mine.toml",
        check=load_recipe, typed=True,
    )  # fmt: skip


def of_proposals(plan: Plan) -> Finder:
    """What was faster when it was tried."""
    rows = [
        Row(
            row.assignment,
            (row.assignment.removeprefix("train."), row.says, f"{row.factor:.1f}×", duration(row.seconds)),
        )
        for row in plan.proposals
    ]
    return Finder(filtering(rows), hint=where_it_goes(plan), heads=("set", "which", "an epoch", "in all"))


def of_datasets() -> Finder:
    """The catalogue of datasets, a folder of pictures, a function of one's own."""
    rows = [_dataset_row(info.name) for info in datasets.CATALOGUE]
    return Finder(
        filtering(rows, _own_data), hint="or your own: folder:PATH, ./data.py:make",
        heads=("dataset", "what it is", "  size", "classes", "shape", "here"), check=_check_data, drop=(2, 4),
        typed=True,
    )  # fmt: skip


def _dataset_row(name: str) -> Row:
    about = datasets.describe(name)
    examples = None if about.train is None or about.test is None else about.train + about.test
    classes = str(about.classes) if about.classes else about.task
    shape = times(about.shape) if about.shape else "varies"
    here = HERE if about.here else f"↓ {size(about.download)}"
    return Row(
        name,
        (name, about.title, ("" if examples is None else count(examples)).rjust(6), classes, shape, here),
        group=_GROUPS[about.kind],
    )


_GROUPS = {"builtin": "need no network", "published": "published"}


def _own_data(text: str) -> list[Row]:
    if text.startswith("folder:"):
        return files((), prefix="folder:", folders_only=True, leads=False)(text)
    return _own_code(text)


def _own_code(text: str) -> list[Row]:
    """Python files while their name is typed; what stands behind the colon is the person's to know."""
    if is_user_code(text):
        return []
    rows = files((".py",))(text)
    return [row if row.leads else Row(row.key + ":", (row.cells[0] + ":",), leads=True) for row in rows]


def _check_data(name: str) -> None:
    found = datasets.find(name).name
    check_sources(found)
    check_choice(found)


def of_models(task: str) -> Finder:
    """The catalogue of models that can learn `task`, our own first, and a class of one's own."""
    rows = [_model_row(info) for info in models.CATALOGUE if task in info.tasks]
    find: Find = filtering(rows, _own_code)
    return Finder(
        find,
        hint="or your own: ./net.py:Net",
        heads=("model", "what it is", "input", "parameters", "weights"),
        check=_check_model,
        drop=(1,),
        typed=True,
    )


def _model_row(info: models.ModelInfo) -> Row:
    about = models.describe(info)
    side = f"{info.input_size}×{info.input_size}" if info.kind == "torchvision" else "any"
    weights = (
        "" if not info.weights_bytes else HERE if about.weights_here else f"↓ {size(info.weights_bytes)}"
    )
    group = "workbench's own" if info.kind == "builtin" else "torchvision"
    return Row(
        info.name, (info.name, info.title, side, count(info.parameters).rjust(10), weights), group=group
    )


def _check_model(name: str) -> None:
    check_sources(models.find(name).name)


def of_classifiers(runs: Sequence[RunSummary]) -> Finder:
    """What can classify: `selected:`, `run:ID`, `recipe:NAME`, or `model:NAME` of torchvision; those whose weights
    are here first.
    """
    rows = [Row("selected:", ("the selected run", "follows the cursor of pane 1", ""), group="runs")]
    rows += [
        Row(
            f"run:{run.id}",
            (run.name, f"{run.dataset}, {run.model}, {run.status}", fraction(run.best)),
            group="runs",
        )
        for run in runs
    ]
    rows += _classifying_recipes()
    published = [info for info in models.CATALOGUE if info.kind == "torchvision"]
    for here in (True, False):
        rows += [_classifier_row(info) for info in published if (info.weights_here() is not None) is here]
    return Finder(filtering(rows), heads=("by", "what it is", "weights"))


def _classifying_recipes() -> list[Row]:
    rows = []
    for path in recipe_files():
        content = load_recipe(path.stem)
        if content.get("do") == "classify":
            rows.append(
                Row(f"recipe:{path.stem}", (path.stem, str(content.get("title", "")), ""), group="recipes")
            )
    return rows


def of_weights(name: str) -> Finder:
    """Where a model's weights come from: the network, or a local file (then the key is its path)."""
    info = models.find(name)
    rows = [Row("", (f"download {size(info.weights_bytes)}", info.weights_url))]
    return Finder(
        filtering(rows, files((".pth", ".pt", ".safetensors"))),
        hint=f"the weights are not here: download them, type the path of {info.weights_file}, or bring them with "
        f"workbench fetch{_recipe_with(info.name)}",
        typed=True,
    )


def _recipe_with(model: str) -> str:
    """The name of a recipe that has this model, with a space before it; empty where there is none."""
    for path in recipe_files():
        content = load_recipe(path.stem)
        if (content.get("model") or {}).get("name") == model and content.get("do") == "classify":
            return f" {path.stem}"
    return ""


def _classifier_row(info: models.ModelInfo) -> Row:
    here = HERE if info.weights_here() else f"↓ {size(info.weights_bytes)}"
    return Row(f"model:{info.name}", (info.name, info.title, here), group="torchvision, ImageNet")


FORMS = (
    ("onnx", "for other runtimes"),
    ("safetensors", "the weights, safe to load"),
    ("pytorch", "a state dict for torch.load"),
    ("tensorboard", "the curves for TensorBoard"),
    ("csv", "the curves as a table"),
)


def of_forms() -> Finder:
    """What a run can be exported as."""
    return Finder(filtering([Row(name, (name, what)) for name, what in FORMS]))
