"""The options of the choosers: recipes, datasets, models, classifiers, weights, setting values, export formats."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.config.data_summary import BALANCE_SETTINGS, DataSummary, balance_hint
from workbench.config.experiment import check_sources
from workbench.config.recipes import load_recipe, recipe_files
from workbench.config.training_settings import TrainingSettings
from workbench.core.errors import UserError
from workbench.core.text import (
    format_bytes,
    format_count,
    format_duration,
    format_shape,
    sanitize,
)
from workbench.core.user_code import is_user_code
from workbench.datasets import catalog as datasets
from workbench.datasets.file_sources import PREFIXES, SUFFIXES, find_source
from workbench.datasets.image_folder_facts import folder_facts, relative_path
from workbench.export.formats import FORMATS
from workbench.planning.plan import Plan, describe_shares
from workbench.system.devices import device_state, find_gpus, list_devices, training_device
from workbench.system.gpu import GpuInventory
from workbench.ui.widgets.chooser import Finder, Option, filter_options, path_options

DOWNLOADED = "✓ local"
MAX_NAME_WIDTH = 30
"""The most cells of the name of a run."""


def value_finder(choices: Sequence[str], current: str) -> Finder:
    """The values of a setting with a fixed list of choices; `current` is highlighted."""
    rows = [Option(value, (value, "present value" if value == current else "")) for value in choices]
    return Finder(filter_options(rows), current=current)


def device_finder(inventory: GpuInventory, current: str) -> Finder:
    """The devices of this host by the names that `train.device` accepts, or a typed name; `current` is highlighted."""
    automatic = training_device("auto", inventory)
    rows = [("auto", f"now {automatic.device} ({automatic.reason})", "")]
    for row in list_devices(inventory):
        state = "hidden by CUDA_VISIBLE_DEVICES" if row.hidden else device_state(row)
        memory = f"{format_bytes(row.memory_free)} free" if row.memory_free is not None else ""
        rows.append((row.device, sanitize(f"{row.name}, {state}" if state else row.name), memory))
    options = [Option(name, (name, *rest)) for name, *rest in rows]

    def check(name: str) -> None:
        find_gpus(name, 1, inventory)

    return Finder(
        filter_options(options), hint="or the start of a GPU's UUID, or cuda:0,1",
        headers=("device", "description", "memory"),
        check=check, allow_text=True, current=current,
    )  # fmt: skip


def recipe_finder(current: str | None = None) -> Finder:
    """The built-in recipes, and custom TOML files."""
    rows = []
    for path in recipe_files():
        try:
            content = load_recipe(path.stem)
        except UserError:
            continue
        rows.append(Option(path.stem, (path.stem, str(content.get("title", "")))))
    return Finder(
        filter_options(rows, path_options((".toml",))), hint="or a custom recipe: ./my_recipe.toml",
        check=load_recipe, allow_text=True, current=current,
    )  # fmt: skip


def proposal_finder(plan: Plan) -> Finder:
    """The settings that a plan measured as faster."""
    rows = [
        Option(
            row.assignment,
            (
                row.assignment.removeprefix("train."),
                row.side_effect,
                f"{row.factor:.1f}×",
                format_duration(row.seconds),
            ),
        )
        for row in plan.proposals
    ]
    return Finder(
        filter_options(rows),
        hint=describe_shares(plan),
        headers=("setting", "description", "speedup", "total"),
    )


def dataset_finder(current: str | None = None) -> Finder:
    """The dataset catalog, an image folder, or a custom dataset function."""
    rows = [_dataset_row(info.name) for info in datasets.CATALOG]
    return Finder(
        filter_options(rows, _user_dataset_rows, PREFIXES),
        hint="or custom data: folder:PATH, csv:FILE, npz:, tar:, parquet:, ./data.py:make",
        headers=("dataset", "description", "  size", "classes", "shape", "download"),
        check=_check_data, drop_columns=(2, 4), allow_text=True, current=current,
    )  # fmt: skip


def _dataset_row(name: str) -> Option:
    about = datasets.describe(name)
    samples = None if about.train is None or about.test is None else about.train + about.test
    classes = str(about.classes) if about.classes else about.task
    shape = format_shape(about.shape) if about.shape else "varies"
    download = DOWNLOADED if about.here else f"↓ {format_bytes(about.download)}"
    return Option(
        name,
        (
            name,
            about.title,
            ("" if samples is None else format_count(samples)).rjust(6),
            classes,
            shape,
            download,
        ),
        group=_KIND_GROUPS[about.kind],
    )


_KIND_GROUPS = {"builtin": "built-in (no download)", "published": "published"}


def _user_dataset_rows(text: str) -> list[Option]:
    """The paths that complete a text: folders behind `folder:`, else files that are a dataset, or Python files."""
    source = find_source(text)
    if source is not None and text.startswith(source.prefix):
        return path_options(
            source.suffixes, prefix=source.prefix, folders_only=source.is_folder,
            expand_folders=not source.is_folder,
        )(text)  # fmt: skip
    return user_code_rows(text, SUFFIXES)


def user_code_rows(text: str, suffixes: tuple[str, ...] = ()) -> list[Option]:
    """Python files, and those with `suffixes`, to complete a path.

    The name after the colon is not completed, as that would run the file.
    """
    if is_user_code(text):
        return []
    rows = path_options((".py", *suffixes))(text)
    return [
        Option(row.key + ":", (row.cells[0] + ":",), expands=True) if row.key.endswith(".py") else row
        for row in rows
    ]


def _check_data(name: str) -> None:
    dataset = datasets.find(name).name
    check_sources(dataset)
    folder_facts(dataset, {})


def contents_finder(contents: DataSummary, train: TrainingSettings) -> Finder:
    """What a folder of images contains, line by line; for rare classes the settings that help, as `KEY=VALUE`."""
    rows = [Option("", (line,)) for line in contents.lines]
    facts = contents.facts
    rows += [
        Option("", (f"{relative_path(file.path, facts)}: {file.reason}",), group="skipped")
        for file in facts.skipped.files
    ]
    if balance_hint(train) and contents.is_imbalanced:
        rows[:0] = [Option(key, (key, help)) for key, help in BALANCE_SETTINGS.items()]
    return Finder(filter_options(rows), hint="enter on a setting sets it; esc closes")


def export_format_finder() -> Finder:
    """The formats that a run can be exported to."""
    return Finder(filter_options([Option(row.name, (row.name, row.title)) for row in FORMATS.values()]))
