"""The table of torchvision's architectures against the torchvision that is installed."""

from __future__ import annotations

import csv
import lzma

import msgspec
import pytest

from workbench.models.catalog import WEIGHTS_URL, find
from workbench.models.generate_torchvision_csv import (
    MEASURED_COLUMNS,
    TABLE,
    architecture_shapes,
    measured_parameters,
    registry_rows,
)
from workbench.models.torchvision_models import torchvision_models
from workbench.models.weights_check import SHAPES, Architecture

MEND = "torchvision.csv is of another torchvision: run python -m workbench.models.generate_torchvision_csv"


@pytest.fixture(scope="module")
def table() -> dict[str, dict[str, str]]:
    with TABLE.open(newline="", encoding="utf-8") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


def test_the_table_equals_torchvisions_metadata(table: dict[str, dict[str, str]]) -> None:
    """A newer torchvision may have more architectures and other texts; the table stays correct."""
    installed = {row["name"]: row for row in registry_rows()}
    assert set(table) <= set(installed), MEND
    for name, row in table.items():
        stated = {key: value for key, value in row.items() if key not in MEASURED_COLUMNS}
        assert {**stated, "title": ""} == {**installed[name], "title": ""}, f"{name}: {MEND}"
    assert not [row["title"] for row in installed.values() if row["title"].endswith((" and", " with", " as"))]


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1", "regnet_y_400mf"])
def test_parameters_are_those_for_any_number_of_classes(table: dict[str, dict[str, str]], name: str) -> None:
    measured = measured_parameters(name)
    assert measured == {column: table[name][column] for column in MEASURED_COLUMNS}
    assert find(name).parameters_for(1000) == find(name).parameters == find(name).parameters_for(None)
    assert find("resnet18").parameters_for(10) == 11_181_642


def test_all_weights_come_from_the_folder_the_catalog_names(table: dict[str, dict[str, str]]) -> None:
    models = torchvision_models()
    urls = {name: models.get_model_weights(name).DEFAULT.url for name in table}
    assert urls == {name: WEIGHTS_URL + row["weights_file"] for name, row in table.items()}


def test_the_shapes_of_all_architectures_are_known(table: dict[str, dict[str, str]]) -> None:
    shapes = msgspec.json.decode(lzma.decompress(SHAPES.read_bytes()), type=dict[str, Architecture])
    assert set(shapes) == set(table), MEND
    for name in ("resnet18", "vit_b_16", "squeezenet1_0", "densenet121"):
        assert shapes[name] == architecture_shapes(name), f"{name}: {MEND}"
