"""A new sweep as it is typed into a form: the spaces of settings, and how they are searched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from workbench.config.experiment import all_settings, build_experiment
from workbench.config.recipes import RecipeContent
from workbench.core.errors import UserError
from workbench.core.settings_schema import Setting
from workbench.runs.flat_settings import flat_settings
from workbench.sweeps.definition import NOT_SEARCHED, SweepRequest, define_sweep
from workbench.sweeps.records import PrunerName, SamplerName, SweepDefinition
from workbench.sweeps.space import FORMS
from workbench.ui.experiment.draft import COMMON_SETTINGS, format_value
from workbench.ui.widgets.form import Field

NAME, TRIALS, WORKERS, SAMPLER, PRUNER, METRIC, MINIMIZE = OPTIONS = (
    "name", "trials", "workers", "sampler", "pruner", "metric", "minimize",
)  # fmt: skip
DEFAULTS = {
    NAME: "", TRIALS: "20", WORKERS: "1", SAMPLER: SamplerName.TPE.value, PRUNER: PrunerName.MEDIAN.value,
    METRIC: "", MINIMIZE: "no",
}  # fmt: skip
HELP = {
    NAME: "name of the sweep, and of the group of its runs (empty: that of the experiment)",
    TRIALS: "how many are tried; empty for all combinations of a grid",
    WORKERS: "trials at once",
    SAMPLER: "how settings are chosen; a grid tries all combinations",
    PRUNER: "which trials are stopped early",
    METRIC: "what is improved (empty: train.monitor on validation data)",
    MINIMIZE: "lower is better (known of loss and errors)",
}
CHOICES = {SAMPLER: tuple(SamplerName), PRUNER: tuple(PrunerName)}
PROBE = "seed=0:1"
"""A space that every experiment has: the other options are checked with it before one is typed."""


@dataclass(frozen=True)
class SweepDraft:
    """What is typed. It may be invalid: `define` then raises."""

    content: RecipeContent
    """The experiment before defaults."""
    spaces: Mapping[str, str] = field(default_factory=dict)
    """Settings by full name, each with the text of its space."""
    options: Mapping[str, str] = field(default_factory=dict)
    """Options that differ from their defaults."""

    def option(self, key: str) -> str:
        """An option as it is typed, or its default."""
        return self.options.get(key, DEFAULTS[key])

    def changed(self, key: str, text: str) -> SweepDraft:
        """The draft with another text for an option or a space; an empty one removes a space."""
        if key in OPTIONS:
            return replace(self, options={**self.options, key: text.strip()})
        spaces = {name: space for name, space in self.spaces.items() if name != key}
        return replace(self, spaces={**spaces, key: text.strip()} if text.strip() else spaces)

    def reset(self, key: str) -> SweepDraft:
        """The draft with the default of an option, or without a space."""
        options = {name: text for name, text in self.options.items() if name != key}
        return replace(self, options=options) if key in OPTIONS else self.changed(key, "")

    def error(self, key: str, text: str) -> str | None:
        """What would be wrong with this text, in one line; errors that are there already are ignored."""
        before, after = self.problem(), self.changed(key, text).problem()
        return after if after != before else None

    def problem(self) -> str | None:
        try:
            self._define([f"{key}={space}" for key, space in self.spaces.items()] or [PROBE])
        except UserError as error:
            return str(error).removeprefix("--param ").removeprefix("--")
        return None

    def define(self) -> SweepDefinition:
        """The sweep that is typed. Raises `UserError`."""
        if not self.spaces:
            raise UserError(f"type what is searched into at least one setting: {FORMS}")
        return self._define([f"{key}={space}" for key, space in self.spaces.items()])

    def _define(self, params: list[str]) -> SweepDefinition:
        return define_sweep(
            SweepRequest(
                content=self.content, params=params, trials=self._count(TRIALS), workers=self._count(WORKERS) or 1,
                sampler=SamplerName(self.option(SAMPLER)), pruner=PrunerName(self.option(PRUNER)),
                metric=self.option(METRIC) or None, minimize=self.option(MINIMIZE) == "yes",
            )
        )  # fmt: skip

    def _count(self, key: str) -> int | None:
        text = self.option(key)
        if not text:
            return None
        try:
            return int(text)
        except ValueError:
            raise UserError(f"{key}: '{text}' is not a whole number") from None

    def fields(self) -> list[Field]:
        """The rows of the form: the options, then all settings with what is searched, or their value in all trials."""
        experiment = build_experiment(self.content)
        values = flat_settings(experiment)
        rows = {row.key: row for row in all_settings(experiment.data.name, experiment.model.name)}
        first = [key for key in COMMON_SETTINGS if key in rows]
        keys = [key for key in dict.fromkeys([*first, *rows]) if key not in NOT_SEARCHED]
        return [
            *(self._option_field(key) for key in OPTIONS),
            Field("settings", f"settings to search: {FORMS}", "", "heading"),
            *(
                self._setting_field(rows[key], format_value(values.get(key, rows[key].default)))
                for key in keys
            ),
        ]

    def _option_field(self, key: str) -> Field:
        kind = "choice" if key in CHOICES else "yes/no" if key == MINIMIZE else "text"
        return Field(key, key, self.option(key), kind, key in self.options, HELP[key], CHOICES.get(key, ()))

    def _setting_field(self, row: Setting, value: str) -> Field:
        section, _, name = row.key.rpartition(".")
        label = name if section in {"", "train"} else row.key
        space = self.spaces.get(row.key)
        return Field(
            row.key, label, value if space is None else space, FORMS, space is not None, row.help, row.choices
        )
