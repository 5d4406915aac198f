from __future__ import annotations

import pytest

from workbench.config.training_settings import TrainingSettings
from workbench.core.errors import UserError
from workbench.core.settings_schema import SettingValue
from workbench.engine.settings_history import SettingOverride, SettingsHistory
from workbench.runs.journal import Attempt, SettingChange
from workbench.worker.resume import build_settings_history

BASE = TrainingSettings(lr=0.1, epochs=5)


def attempt(number: int, step: int, **overrides: SettingValue) -> Attempt:
    return Attempt(
        attempt=number, from_step=step, overrides={f"train.{key}": value for key, value in overrides.items()}
    )


def change(step: int, key: str, value: SettingValue) -> SettingChange:
    return SettingChange(setting=f"train.{key}", value=value, step=step)


def test_an_override_applies_from_its_step_on() -> None:
    timeline = SettingsHistory(BASE, [SettingOverride(10, "lr", 0.2), SettingOverride(20, "lr", 0.3)])
    assert [timeline.at(s).lr for s in (0, 9, 10, 19, 20, 99)] == [0.1, 0.1, 0.2, 0.2, 0.3, 0.3]
    assert [timeline.next_change(s) for s in (0, 10, 20)] == [10, 20, None]


def test_of_two_overrides_at_one_step_the_later_applies() -> None:
    assert (
        SettingsHistory(BASE, [SettingOverride(10, "lr", 0.2), SettingOverride(10, "lr", 0.3)]).at(10).lr
        == 0.3
    )


def test_a_lost_change_is_reapplied_unless_a_resume_overrides_it() -> None:
    journal = [attempt(1, 0), change(50, "lr", 0.5), change(50, "epochs", 9), attempt(2, 40, lr=0.7)]
    timeline = build_settings_history(BASE, journal, start=40)
    assert [timeline.at(s).lr for s in (39, 40, 60)] == [0.1, 0.7, 0.7]
    assert [timeline.at(s).epochs for s in (49, 50)] == [5, 9]


def test_a_resume_override_applies_from_the_actual_first_step() -> None:
    timeline = build_settings_history(BASE, [attempt(1, 0), attempt(2, 40, lr=0.7)], start=30)
    assert (timeline.at(29).lr, timeline.at(30).lr) == (0.1, 0.7)


def test_an_invalid_value_is_rejected() -> None:
    with pytest.raises(UserError, match="lr"):
        SettingsHistory(BASE, [SettingOverride(1, "lr", -1.0)])


def test_overrides_of_other_settings_are_ignored() -> None:
    started = Attempt(from_step=0, overrides={"on_fail": "mail me", "train.lr": 0.7})
    assert build_settings_history(BASE, [started], start=0).at(0).lr == 0.7
