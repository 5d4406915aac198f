"""The choosers of models: to train, and to classify with; and of the source of a model's weights."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence

from workbench.config.experiment import check_sources
from workbench.config.recipes import load_recipe, recipe_files
from workbench.core.distribution import install_hint
from workbench.core.text import format_bytes, format_count
from workbench.core.user_code import is_user_code, short_name
from workbench.models import catalog as models
from workbench.runs.store import RunSummary
from workbench.ui.base.status_style import fit_name, shared_names
from workbench.ui.experiment.choosers import DOWNLOADED, MAX_NAME_WIDTH, user_code_rows
from workbench.ui.widgets.chooser import Finder, FindOptions, Option, filter_options, path_options

_MOST_TIMM_ROWS = 100
"""The rows of timm's models that a text finds; with more of them every key would be slow."""


def model_finder(task: str, classes: int | None = None, current: str | None = None) -> Finder:
    """The models of the catalog that support `task`, the built-in ones first, or a custom model class.

    Parameters are those for a dataset of `classes` classes. Those of timm are found by typed words.
    """
    rows = [_model_row(info, classes) for info in models.CATALOG if task in info.tasks]

    def timm_row(info: models.ModelInfo) -> Option:
        return _model_row(info, classes)

    find = filter_options(rows, user_code_rows)
    return Finder(
        _with_timm(find, timm_row) if task == "classification" else find,
        hint="or a custom model: ./net.py:Net",
        headers=("model", "description", "input", "parameters", "weights"),
        check=_check_model,
        drop_columns=(2, 1),
        allow_text=True,
        current=current,
    )


def _with_timm(find: FindOptions, row: Callable[[models.ModelInfo], Option]) -> FindOptions:
    """The options that `find` finds, then those of timm's models that a text finds."""

    def find_all(text: str) -> list[Option]:
        options = find(text)
        if is_user_code(text) or "/" in text:
            return options
        if not text.strip():
            return [*options, _timm_heading(len(row(models.timm_models()[0]).cells))]
        found = models.find_by_words(text.split(), models.timm_models())[:_MOST_TIMM_ROWS]
        return [*options, *map(row, found)]

    return find_all


def _timm_heading(columns: int) -> Option:
    """The row that stands for timm's models until something is typed; choosing it types their prefix."""
    about = f"{len(models.timm_models()):,} more with pretrained weights: type words"
    cells = (models.TIMM_PREFIX, about, *[""] * (columns - 2))
    return Option(models.TIMM_PREFIX, cells, group=_timm_group(), expands=True)


def _timm_group() -> str:
    missing = importlib.util.find_spec("timm") is None
    return f"timm (not installed: {install_hint('timm')})" if missing else "timm"


def _model_row(info: models.ModelInfo, classes: int | None) -> Option:
    input_size = f"{info.input_size}×{info.input_size}" if info.published else "any"
    group = {
        "builtin": "built-in",
        "torchvision": "torchvision (parameters with ImageNet's 1,000 classes)",
    }.get(info.kind) or _timm_group()
    cells = (
        info.name.removeprefix(models.TIMM_PREFIX),
        models.describe_published(info),
        input_size,
        format_count(info.parameters_for(classes)).rjust(10),
        _weights_cell(info),
    )
    return Option(info.name, cells, group=group)


def _weights_cell(info: models.ModelInfo) -> str:
    if not info.weights_bytes:
        return ""
    return DOWNLOADED if info.local_weights() else f"↓ {format_bytes(info.weights_bytes)}"


def _check_model(name: str) -> None:
    check_sources(models.find(name).name)


def classifier_finder(runs: Sequence[RunSummary], current: str | None = None) -> Finder:
    """Classifiers: `selected:`, `run:ID`, `recipe:NAME`, or `model:NAME` of torchvision and timm.

    Models whose weights are here come first.
    """
    rows = [
        Option(
            "selected:", ("the selected run", "follows the cursor in the list of runs", "", ""), group="runs"
        )
    ]
    shared = shared_names(runs)
    rows += [
        Option(
            f"run:{run.id}",
            (
                fit_name(run, MAX_NAME_WIDTH, shared=run.name in shared),
                f"{short_name(run.dataset)}, {short_name(run.model)}, {run.status}",
                run.scores[0].text_without_epoch if run.scores else "-",
                "",
            ),
            group="runs",
        )
        for run in runs
    ]
    rows += _classification_recipe_rows()
    published = [info for info in models.CATALOG if info.kind == "torchvision"]
    for is_local in (True, False):
        rows += [
            _classifier_row(info) for info in published if (info.local_weights() is not None) is is_local
        ]
    return Finder(
        _with_timm(filter_options(rows), _classifier_row),
        headers=("classifier", "description", "result", "weights"),
        check=_check_classifier,
        current=current,
    )


def _classification_recipe_rows() -> list[Option]:
    rows = []
    for path in recipe_files():
        content = load_recipe(path.stem)
        if content.get("do") == "classify":
            rows.append(
                Option(
                    f"recipe:{path.stem}", (path.stem, str(content.get("title", "")), "", ""), group="recipes"
                )
            )
    return rows


def weights_finder(name: str) -> Finder:
    """The source of a model's weights: a download (empty key), or a local file (the key is its path)."""
    info = models.find(name)
    rows = [Option("", (f"download {format_bytes(info.weights_bytes)}", info.weights_url))]
    return Finder(
        filter_options(rows, path_options((".pth", ".pt", ".safetensors"))),
        hint=f"The weights are not on this machine: download them, enter the path of {info.weights_file}, "
        f"or import a bundle made with workbench fetch{_recipe_for_model(info.name)}",
        allow_text=True,
    )


def _recipe_for_model(model: str) -> str:
    """A space and the name of a classification recipe that uses this model; empty if there is none."""
    for path in recipe_files():
        content = load_recipe(path.stem)
        if (content.get("model") or {}).get("name") == model and content.get("do") == "classify":
            return f" {path.stem}"
    return ""


def _classifier_row(info: models.ModelInfo) -> Option:
    group = _timm_group() if info.kind == "timm" else "torchvision, ImageNet"
    return Option(
        f"model:{info.name}",
        (
            info.name.removeprefix(models.TIMM_PREFIX),
            models.describe_published(info),
            "",
            _weights_cell(info),
        ),
        group=group,
    )


def _check_classifier(key: str) -> None:
    if key.startswith("model:"):
        models.check_installed(key.removeprefix("model:"))
