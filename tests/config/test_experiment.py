from __future__ import annotations

from pathlib import Path

import pytest

from workbench.config.experiment import all_settings, build, from_dict
from workbench.config.recipes import load_recipe, recipe_files
from workbench.core.errors import BadInput


def test_a_recipe_becomes_an_experiment_that_survives_json() -> None:
    experiment = build("digits-mlp", sets=["train.epochs=5", "model.widths=64,32", "train.lr=1e-2"])
    assert (experiment.train.epochs, experiment.train.lr) == (5, 0.01)
    assert list(experiment.model.options["widths"]) == [64, 32]
    assert from_dict(experiment.to_dict()) == experiment


def test_every_recipe_is_sound() -> None:
    for path in recipe_files():
        content = load_recipe(path.stem)
        assert content["title"]
        assert content["teaches"]
        if content.get("do", "train") == "train":
            assert build(path.stem).recipe == path.stem


def test_another_dataset_keeps_the_other_values_of_a_recipe() -> None:
    experiment = build("digits-mlp", dataset="shapes", sets=["data.size=16"])
    assert experiment.data.name == "shapes"
    assert experiment.data.options["size"] == 16
    assert "test" not in build("digits-mlp", dataset="shapes").to_dict()["train"]
    assert experiment.train == build("digits-mlp").train


def test_defaults_come_from_the_pair() -> None:
    assert build(dataset="digits", model="mlp").train.epochs == 30
    assert build(dataset="digits", model="mlp").name == "digits-mlp"


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("train.epochs=0", "train.epochs"),
        ("train.epochs=1000000000", "train.epochs"),
        ("train.epochs=1.5", "train.epochs"),
        ("train.batch_size=0", "train.batch_size"),
        ("train.batch_size=-1", "train.batch_size"),
        ("train.batch_size=1000000000", "train.batch_size"),
        ("train.lr=0", "train.lr"),
        ("train.lr=-1", "train.lr"),
        ("train.lr=inf", "train.lr"),
        ("train.lr=nan", "train.lr"),
        ("train.lr=abc", "train.lr"),
        ("train.optimizer=sdg", "did you mean 'sgd'"),
        ("train.epoch=3", "did you mean 'epochs'"),
        ("trian.epochs=3", "did you mean 'train.epochs'"),
        ("train.threads=0", "train.threads"),
        ("train.threads=many", "auto"),
        ("train.precision=fp8", "bf16"),
        ("model.dropout=1", "model.dropout"),
        ("model.widths=a,b", "model.widths"),
        ("data.colour=red", "data.colour"),
        ("train.device=gpu9", "cuda"),
        ("train.augment=crp", "did you mean 'crop'"),
        ("seed=-1", "seed"),
        ("seed=x", "seed"),
        ("epochs=3", "train.epochs"),
        ("train.epochs", "KEY=VALUE"),
        ("=3", "KEY=VALUE"),
        ("train=3", "train"),
    ],
)
def test_wrong_settings_are_named_in_one_line(setting: str, said: str) -> None:
    with pytest.raises(BadInput) as raised:
        build("digits-mlp", sets=[setting])
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)
    assert "`" not in str(raised.value)


@pytest.mark.parametrize(
    "name", ["../x", "/abs", "-rf", "", ".", "a/b", "a\nb", "\x1b[31m", "x" * 81, "last", "é" * 60]
)
def test_names_that_could_lead_elsewhere_are_refused(name: str) -> None:
    with pytest.raises(BadInput, match="run's name"):
        build("digits-mlp", name=name)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ({"dataset": "digit", "model": "mlp"}, "did you mean 'digits'"),
        ({"dataset": "digits", "model": "mpl"}, "did you mean 'mlp'"),
        ({"recipe": "digits-mpl"}, "did you mean 'digits-mlp'"),
        ({"dataset": "digits"}, "--model"),
        ({}, "--dataset"),
        ({"recipe": "./missing.toml"}, "missing.toml"),
        ({"dataset": "folder:", "model": "mlp"}, "folder:"),
        ({"dataset": "digits", "model": "./missing.py:Net"}, "missing.py"),
        ({"dataset": "./missing.py:make", "model": "mlp"}, "missing.py"),
        ({"dataset": "folder:/no/such/folder", "model": "mlp"}, "/no/such/folder"),
        ({"dataset": "line", "model": "convnet"}, "line"),
        ({"dataset": "clusters", "model": "convnet"}, "clusters"),
    ],
)
def test_wrong_choices_are_told_before_anything_starts(what: dict[str, str], said: str) -> None:
    with pytest.raises(BadInput) as raised:
        build(**what)  # type: ignore[arg-type]
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_recipe_of_ones_own(tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text('[data]\nname = "shapes"\n[model]\nname = "mlp"\n[train]\nepochs = 3\n')
    experiment = build(str(mine))
    assert (experiment.name, experiment.train.epochs, experiment.recipe) == ("mine", 3, None)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[data\n", "line 1"),
        ('data = "digits"\n', "data must be a table"),
        ('[data]\nname = "digits"\n[model]\nname = "mlp"\n[trian]\nepochs = 3\n', "did you mean 'train'"),
        ('[data]\nname = "digits"\n[model]\nname = "mlp"\n[train]\nepochs = "three"\n', "train.epochs"),
        ('v = 7\n[data]\nname = "digits"\n[model]\nname = "mlp"\n', "version 7"),
        ('do = "classify"\n', "workbench classify"),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, content: str, said: str) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(content)
    with pytest.raises(BadInput) as raised:
        build(str(mine))
    assert said in str(raised.value)


def test_all_settings_are_listed_with_types_and_defaults() -> None:
    rows = {row.key: row for row in all_settings("shapes", "mlp")}
    assert rows["train.epochs"].kind == "whole number"
    assert rows["train.optimizer"].choices
    assert {"data.size", "model.widths", "seed", "train.report_every"} <= set(rows)
    assert all(row.help for row in rows.values())
