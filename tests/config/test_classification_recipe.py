"""Classification recipes, and their published predictions compared with ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench.cli.main import run
from workbench.config.classification_recipe import load_classification_recipe
from workbench.config.experiment import build_experiment
from workbench.config.recipes import recipe_files
from workbench.core.errors import UserError
from workbench.inference.published_comparison import compare_with_published
from workbench.inference.results import Prediction

ESPRESSO = [
    Prediction(967, "espresso", 0.8812, 22.41),
    Prediction(968, "cup", 0.07, 19.0),
    Prediction(1, "goldfish", 0.01, 3.0),
]


def test_photo_recipes_have_published_predictions() -> None:
    dog, coffee = load_classification_recipe("photo-alexnet"), load_classification_recipe("photo-coffee")
    assert (dog.model.name, coffee.model.name) == ("alexnet", "alexnet")
    assert (dog.top[0].index, dog.top[0].probability, dog.top[0].logit) == (258, 0.7245, 16.8252)
    published = [(row.index, row.label, row.probability) for row in coffee.top]
    assert published == [(967, "espresso", 0.8785), (968, "cup", 0.0728), (504, "coffee mug", 0.0434),
                    (925, "consomme", 0.0037), (960, "chocolate sauce", 0.0009)]  # fmt: skip
    assert coffee.top[0].logit == 22.3059
    for recipe in (dog, coffee):
        assert recipe.reference and recipe.reference.published == recipe.top[0].probability
        assert recipe.teaches and recipe.reference.source and recipe.reference.tolerance <= 0.02


def test_training_a_classification_recipe_explains_its_use(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match=r"workbench classify IMAGE --recipe photo-alexnet"):
        build_experiment("photo-alexnet")
    assert run(["train", "photo-alexnet"]) == 2
    assert "workbench classify IMAGE --recipe photo-alexnet" in capsys.readouterr().err
    assert run(["classify", "--recipe", "photo-alexnet"]) == 2
    assert "no images given" in capsys.readouterr().err
    assert {"photo-alexnet", "photo-coffee"} <= {path.stem for path in recipe_files()}


def test_predictions_are_compared_with_the_published_ones() -> None:
    comparison = compare_with_published(load_classification_recipe("photo-coffee"), ESPRESSO)
    assert comparison is not None
    assert (comparison.metric, comparison.published, comparison.ours, comparison.within) == (
        "probability", 0.8785, 0.8812, True,
    )  # fmt: skip
    first, cup, mug = comparison.top[:3]
    assert (first.logit, first.published_logit) == (22.41, 22.3059)
    assert (cup.ours, cup.published) == (0.07, 0.0728) and mug.ours is None
    far = [Prediction(967, "espresso", 0.8, 20.0)]
    outside = compare_with_published(load_classification_recipe("photo-coffee"), far)
    assert outside is not None and outside.within is False


def test_other_photos_are_not_compared() -> None:
    for scores in (ESPRESSO, []):
        comparison = compare_with_published(load_classification_recipe("photo-alexnet"), scores)
        assert comparison is not None
        assert (comparison.ours, comparison.within) == (None, None)
        assert all(row.ours is None for row in comparison.top)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('do = "train"\n', "trains a model"),
        ('do = "classify"\n', "model.name|name"),
        ('do = "classify"\nmodel = 3\n', "model must be a table"),
        ('do = "classify"\n[model]\nname = "mlp"\n', "must be a model of torchvision or timm, not mlp"),
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
def test_an_invalid_recipe_is_reported_in_one_line(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        load_classification_recipe(str(path))
    assert "\n" not in str(caught.value)


def test_a_custom_recipe_needs_no_reference(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('do = "classify"\n[model]\nname = "resnet18"\nweights = "~/w.pth"\n')
    recipe = load_classification_recipe(str(path))
    assert recipe.model.weights == "~/w.pth"
    assert compare_with_published(recipe, ESPRESSO) is None
