"""The setting `train.resize`."""

from __future__ import annotations

import pytest

from workbench.config.experiment import build_experiment
from workbench.config.progressive_resizing import resizing_steps, training_side
from workbench.config.training_settings import TrainingSettings
from workbench.core.errors import UserError


def test_sides_follow_the_part_of_the_training() -> None:
    train = TrainingSettings(epochs=10, resize="128@0, 192@0.5,224@.85")
    assert [training_side(train, epoch) for epoch in range(10)] == [128] * 5 + [192] * 4 + [224]
    assert training_side(TrainingSettings(), 3) is None
    assert resizing_steps("") == ()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("128", "can't be '128'; it can be"),
        ("128@0,x@1", "can't be '128@0,x@1'; it can be"),
        ("128@0.1", "must start with 0"),
        ("128@0,192@0.5,224@0.5", "must start with 0, rise"),
        ("128@0,192@1", "end below 1"),
        ("2@0", "at least 4 pixels"),
    ],
)
def test_what_can_not_be_is_said_in_one_line(text: str, problem: str) -> None:
    with pytest.raises(UserError, match=r"^train\.resize") as error:
        build_experiment("digits-mlp", sets=[f"train.resize={text}"])
    assert problem in str(error.value) and "\n" not in str(error.value)
