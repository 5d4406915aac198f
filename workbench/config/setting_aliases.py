"""Former names of settings, still accepted wherever settings are read.

TOML files, `experiment.json`, the journal of a run and `--set` may contain the names of version 0.1.0. Only the
current names are written, listed and suggested.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench.core.settings_schema import Section

_PREFIX = "train."
_FORMER_KEYS = {
    "bias_lr": "norm_bias_lr_scale",
    "clip_norm": "max_grad_norm",
    "exact": "deterministic",
    "keep_every": "keep_checkpoint_every",
    "report_every": "log_every",
    "wait_for_space": "disk_full_timeout",
}
"""Former and current names of settings `train.NAME`."""
_FORMER_VALUES = {("on_nan", "go_back"): "rollback"}
"""Current values by the setting `train.NAME` and its former value."""


def upgrade_train_section(section: Section) -> Section:
    """A table `[train]` under the current names. Where it has both names of a setting, the current one wins."""
    upgraded: dict[str, object] = {}
    for key, value in section.items():
        name = _FORMER_KEYS.get(key, key)
        if name == key or name not in section:
            upgraded[name] = _upgrade_value(name, value)
    return upgraded


def upgrade_setting(name: str, value: Any) -> tuple[str, Any]:
    """The full name of a setting (`train.lr`) and its value under the current names."""
    if not name.startswith(_PREFIX):
        return name, value
    key = name.removeprefix(_PREFIX)
    current = _FORMER_KEYS.get(key, key)
    return _PREFIX + current, _upgrade_value(current, value)


def upgrade_overrides(overrides: Section) -> Section:
    """Settings by their full names, under the current names."""
    return dict(upgrade_setting(name, value) for name, value in overrides.items())


def upgrade_experiment(content: Section) -> Section:
    """The TOML or JSON form of an experiment under the current names; a `train` that is not a table stays as it is."""
    train = content.get("train")
    return {**content, "train": upgrade_train_section(train)} if isinstance(train, Mapping) else dict(content)


def _upgrade_value(key: str, value: Any) -> Any:
    return _FORMER_VALUES.get((key, value), value) if isinstance(value, str) else value
