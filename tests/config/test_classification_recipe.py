"""Recipes that classify, and their published figures beside ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench.cli.main import run
from workbench.config import classification_recipe as recipes
from workbench.config.experiment import build
from workbench.config.recipes import recipe_files
from workbench.core.errors import BadInput
from workbench.inference.results import Prediction

ESPRESSO = [
    Prediction(967, "espresso", 0.8812, 22.41),
    Prediction(968, "cup", 0.07, 19.0),
    Prediction(1, "goldfish", 0.01, 3.0),
]


def test_the_photo_recipes_say_what_was_published() -> None:
    dog, coffee = recipes.load("photo-alexnet"), recipes.load("photo-coffee")
    assert (dog.model.name, coffee.model.name) == ("alexnet", "alexnet")
    assert (dog.top[0].index, dog.top[0].probability, dog.top[0].logit) == (258, 0.7245, 16.8252)
    told = [(one.index, one.label, one.probability) for one in coffee.top]
    assert told == [(967, "espresso", 0.8785), (968, "cup", 0.0728), (504, "coffee mug", 0.0434),
                    (925, "consomme", 0.0037), (960, "chocolate sauce", 0.0009)]  # fmt: skip
    assert coffee.top[0].logit == 22.3059
    for recipe in (dog, coffee):
        assert recipe.reference and recipe.reference.published == recipe.top[0].probability
        assert recipe.teaches and recipe.reference.source and recipe.reference.tolerance <= 0.02


def test_training_one_says_how_it_is_used(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BadInput, match=r"workbench classify PICTURE --recipe photo-alexnet"):
        build("photo-alexnet")
    assert run(["train", "photo-alexnet"]) == 2
    assert "workbench classify PICTURE --recipe photo-alexnet" in capsys.readouterr().err
    assert run(["classify", "--recipe", "photo-alexnet"]) == 2
    assert "name the picture" in capsys.readouterr().err
    assert {"photo-alexnet", "photo-coffee"} <= {path.stem for path in recipe_files()}


def test_ours_stands_beside_the_published_figure() -> None:
    found = recipes.compare_with_published(recipes.load("photo-coffee"), ESPRESSO)
    assert found is not None
    assert (found.metric, found.published, found.ours, found.within) == (
        "probability", 0.8785, 0.8812, True,
    )  # fmt: skip
    first, cup, mug = found.top[:3]
    assert (first.logit, first.published_logit) == (22.41, 22.3059)
    assert (cup.ours, cup.published) == (0.07, 0.0728) and mug.ours is None
    far = [Prediction(967, "espresso", 0.8, 20.0)]
    outside = recipes.compare_with_published(recipes.load("photo-coffee"), far)
    assert outside is not None and outside.within is False


def test_of_another_photo_nothing_is_judged() -> None:
    for scores in (ESPRESSO, []):
        found = recipes.compare_with_published(recipes.load("photo-alexnet"), scores)
        assert found is not None
        assert (found.ours, found.within) == (None, None)
        assert all(row.ours is None for row in found.top)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('do = "train"\n', "trains a model"),
        ('do = "classify"\n', "model.name|name"),
        ('do = "classify"\nmodel = 3\n', "model must be a table"),
        ('do = "classify"\n[model]\nname = "mlp"\n', "must be a model of torchvision, not mlp"),
        ('do = "classify"\n[model]\nname = "alexnt"\n', "did you mean 'alexnet'"),
        ('do = "classify"\nepochs = 3\n[model]\nname = "alexnet"\n', "unknown setting epochs"),
        (
            'do = "classify"\n[model]\nname = "alexnet"\nwieghts = "w"\n',
            "model.wieghts.*did you mean 'weights'",
        ),
        ('do = "classify"\n[model]\nname = "alexnet"\n[[top]]\nprobability = 2\n', "<= 1"),
        ('do = "classify"\n[model]\nname = "alexnet"\n[reference]\npublished = 0.5\n', "tolerance"),
    ],
)
def test_a_recipe_that_is_wrong_is_told_in_a_line(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(BadInput, match=says) as caught:
        recipes.load(str(path))
    assert "\n" not in str(caught.value)


def test_a_recipe_of_ones_own_needs_no_figures(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('do = "classify"\n[model]\nname = "resnet18"\nweights = "~/w.pth"\n')
    recipe = recipes.load(str(path))
    assert recipe.model.weights == "~/w.pth"
    assert recipes.compare_with_published(recipe, ESPRESSO) is None
