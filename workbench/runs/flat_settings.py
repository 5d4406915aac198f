"""The settings of a run by full name, as its experiment or its script records them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from workbench.config.experiment import Experiment
from workbench.core.settings_schema import SettingValue

_LEFT_OUT = {"v", "name", "title", "teaches", "reference"}
"""Parts of an experiment that are no settings."""


def flat_settings(experiment: Experiment | None) -> dict[str, SettingValue]:
    """The settings of a training by full name (`train.lr`, `data.name`)."""
    sections = experiment.to_dict() if experiment else {}
    return dict(_flatten({key: value for key, value in sections.items() if key not in _LEFT_OUT}))


def _flatten(section: Mapping[str, SettingValue], prefix: str = "") -> Iterator[tuple[str, SettingValue]]:
    for key, value in section.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield prefix + key, list(value) if isinstance(value, tuple) else value  # as JSON has it
