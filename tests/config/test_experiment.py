from __future__ import annotations

import json
from pathlib import Path

import pytest

from workbench.config.experiment import (
    all_settings,
    build_experiment,
    experiment_from_dict,
    experiment_from_record,
)
from workbench.config.recipes import load_recipe, recipe_files
from workbench.core.errors import UserError


def test_a_recipe_becomes_an_experiment_that_survives_json() -> None:
    experiment = build_experiment(
        "digits-mlp", sets=["train.epochs=5", "model.widths=64,32", "train.lr=1e-2"]
    )
    assert (experiment.train.epochs, experiment.train.lr) == (5, 0.01)
    assert list(experiment.model.options["widths"]) == [64, 32]
    assert experiment_from_dict(experiment.to_dict()) == experiment


def test_every_recipe_is_valid() -> None:
    for path in recipe_files():
        content = load_recipe(path.stem)
        assert content["title"]
        assert content["teaches"]
        if content.get("do", "train") == "train":
            assert build_experiment(path.stem).recipe == path.stem


def test_another_dataset_keeps_the_other_values_of_a_recipe() -> None:
    experiment = build_experiment("digits-mlp", dataset="shapes", sets=["data.size=16"])
    assert experiment.data.name == "shapes"
    assert experiment.data.options["size"] == 16
    assert "test" not in build_experiment("digits-mlp", dataset="shapes").to_dict()["train"]
    assert experiment.train == build_experiment("digits-mlp").train


@pytest.mark.parametrize(
    "sets", [["model.name=linear"], ["model.name={file}:Net"], ["data.name=clusters", "model.name=mlp"]]
)
def test_another_model_by_a_setting_has_none_of_the_options_of_the_former_one(
    sets: list[str], tmp_path: Path
) -> None:
    (tmp_path / "net.py").write_text("class Net: ...\n")
    sets = [assignment.format(file=tmp_path / "net.py") for assignment in sets]
    chosen = dict(assignment.split("=") for assignment in sets)
    expected = build_experiment("digits-mlp", dataset=chosen.get("data.name"), model=chosen["model.name"])
    assert build_experiment("digits-mlp", sets=sets) == expected


def test_options_beside_the_name_of_another_model_are_kept_in_any_order(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("class Net: ...\n")
    sets = ["model.hidden=16", f"model.name={tmp_path}/net.py:Net"]
    options = [build_experiment("digits-mlp", sets=order).model.options for order in (sets, sets[::-1])]
    assert options == [{"hidden": 16}] * 2


def test_defaults_come_from_the_pair() -> None:
    assert build_experiment(dataset="digits", model="mlp").train.epochs == 30
    assert build_experiment(dataset="digits", model="mlp").name == "digits-mlp"


@pytest.mark.parametrize(
    ("setting", "message"),
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
        ("train.epoch=3", "did you mean 'train.epochs'"),
        ("trian.epochs=3", "did you mean 'train.epochs'"),
        ("train.threads=0", "train.threads"),
        ("train.threads=many", "auto"),
        ("train.precision=fp8", "bf16"),
        ("model.dropout=1", "model.dropout"),
        ("model.widths=a,b", "model.widths"),
        ("data.colour=red", "data.colour"),
        ("train.device=gpu9", "cuda"),
        ("train.epochs=\udcff", "train.epochs"),
        ("train.optimizer=\udcff", "train.optimizer"),
        ("model.widths=8,\udcff", "model.widths"),
        ("data.test=\ud800", "data.test"),
        ("train.augment=crp", "did you mean 'crop'"),
        ("seed=-1", "seed"),
        ("seed=x", "seed"),
        ("epochs=3", "train.epochs"),
        ("train.epochs", "KEY=VALUE"),
        ("=3", "KEY=VALUE"),
        ("train=3", "train"),
    ],
)
def test_invalid_settings_are_reported_in_one_line(setting: str, message: str) -> None:
    with pytest.raises(UserError) as raised:
        build_experiment("digits-mlp", sets=[setting])
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
    assert "`" not in str(raised.value)


@pytest.mark.parametrize(
    "name", ["../x", "/abs", "-rf", "", ".", "a/b", "a\nb", "\x1b[31m", "x" * 81, "last", "é" * 60]
)
def test_invalid_run_names_are_rejected(name: str) -> None:
    with pytest.raises(UserError, match="invalid run name"):
        build_experiment("digits-mlp", name=name)


@pytest.mark.parametrize(
    ("arguments", "message"),
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
        ({"dataset": "csv:", "model": "mlp"}, "csv: needs a path, for example csv:./labels.csv"),
        ({"dataset": "/no/labels.csv", "model": "mlp"}, "file not found: /no/labels.csv"),
        ({"dataset": "npz:/no/x", "model": "mlp"}, "file not found: /no/x"),
        ({"dataset": "tar:/no/x-{0..3}.tar", "model": "mlp"}, "/no/x-{0..3}.tar (tar:PATTERN expects shards"),
        ({"dataset": "parquet:/no", "model": "mlp"}, "file not found: /no"),
        ({"dataset": "line", "model": "convnet"}, "line"),
        ({"dataset": "clusters", "model": "convnet"}, "clusters"),
    ],
)
def test_invalid_choices_are_reported_before_anything_starts(arguments: dict[str, str], message: str) -> None:
    with pytest.raises(UserError) as raised:
        build_experiment(**arguments)  # type: ignore[arg-type]
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_custom_recipe(tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text('[data]\nname = "shapes"\n[model]\nname = "mlp"\n[train]\nepochs = 3\n')
    experiment = build_experiment(str(mine))
    assert (experiment.name, experiment.train.epochs, experiment.recipe) == ("mine", 3, None)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[data\n", "line 1"),
        ('data = "digits"\n', "data must be a table"),
        ('[data]\nname = "digits"\n[model]\nname = "mlp"\n[trian]\nepochs = 3\n', "did you mean 'train'"),
        ('[data]\nname = "digits"\n[model]\nname = "mlp"\n[train]\nepochs = "three"\n', "train.epochs"),
        ('v = 7\n[data]\nname = "digits"\n[model]\nname = "mlp"\n', "version 7"),
        ('do = "classify"\n', "workbench classify"),
    ],
)
def test_an_invalid_file_is_reported(tmp_path: Path, content: str, message: str) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(content)
    with pytest.raises(UserError) as raised:
        build_experiment(str(mine))
    assert message in str(raised.value)


def test_all_settings_are_listed_with_types_and_defaults() -> None:
    rows = {row.key: row for row in all_settings("shapes", "mlp")}
    assert rows["train.epochs"].kind == "whole number"
    assert rows["train.optimizer"].choices
    assert {"data.size", "model.widths", "seed", "train.log_every"} <= set(rows)
    assert all(row.help for row in rows.values())


FORMER = {
    "bias_lr": ("norm_bias_lr_scale", 2.0), "clip_norm": ("max_grad_norm", 5.0), "exact": ("deterministic", True),
    "keep_every": ("keep_checkpoint_every", 3), "report_every": ("log_every", 7),
    "wait_for_space": ("disk_full_timeout", 1.0),
}  # fmt: skip


@pytest.mark.parametrize("former", FORMER)
def test_former_names_of_settings_are_read_everywhere(former: str, tmp_path: Path) -> None:
    name, value = FORMER[former]
    wanted = build_experiment("digits-mlp", sets=[f"train.{name}={value}"])
    assert getattr(wanted.train, name) == value
    assert build_experiment("digits-mlp", sets=[f"train.{former}={value}"]) == wanted
    content = wanted.to_dict()
    content["train"][former] = content["train"].pop(name)
    assert experiment_from_dict(content) == wanted == experiment_from_record(content)
    default = build_experiment("digits-mlp")
    assert default.with_overrides({f"train.{former}": value}) == wanted
    mine = tmp_path / "mine.toml"
    value_in_toml = json.dumps(value)
    mine.write_text(f'[data]\nname = "digits"\n[model]\nname = "mlp"\n[train]\n{former} = {value_in_toml}\n')
    assert getattr(build_experiment(str(mine)).train, name) == value
    assert name in load_recipe(str(mine))["train"]


def test_the_former_value_of_on_nan_is_read() -> None:
    assert build_experiment("digits-mlp", sets=["train.on_nan=go_back"]).train.on_nan == "rollback"


def test_the_current_name_wins_over_the_former_one() -> None:
    content = build_experiment("digits-mlp").to_dict()
    content["train"] |= {"clip_norm": 1.0, "max_grad_norm": 2.0}
    assert experiment_from_dict(content).train.max_grad_norm == 2.0


def test_only_current_names_are_suggested() -> None:
    with pytest.raises(UserError) as raised:
        build_experiment("digits-mlp", sets=["train.clip_nrm=1"])
    assert "clip_norm" not in str(raised.value)
    assert not set(FORMER) & {row.key.removeprefix("train.") for row in all_settings()}
