"""Upgrades of records that older versions wrote: JSON content in, JSON content out.

A record type with older forms has a static method `upgrade`, which `record_codec` calls before decoding. Sample runs
of each released version are in `tests/stored_runs`. The rule for the names of keys is in `records`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from workbench.config.setting_aliases import upgrade_overrides, upgrade_setting
from workbench.runs.enums import Cause, Ending, Outcome

JsonObject = dict[str, object]

_FORMER_SETUP_KEYS = {"ways": "execution", "set_aside": "skipped_files", "report_every": "log_every"}
_FORMER_FEATURE_KEYS = {"used": "enabled", "why": "reason"}
_REJECTED_PREFIX, _ENDED_PREFIX = "not done: ", "the run has "
_CAUSES_BY_REASON = {
    "stopped on request": Cause.REQUESTED,
    "stopped by SIG": Cause.SIGNAL,
    "stopped because its supervisor ended": Cause.SUPERVISOR_ENDED,
}
"""Causes of stops by the start of the reason that version 0.1.0 wrote."""


def evaluation_row(content: JsonObject, fields: Iterable[str]) -> JsonObject:
    """Version 0.1.0 wrote values of the model (`weight`) beside the metrics; `fields` are the current ones."""
    values = {name: content[name] for name in content.keys() - {"v", "kind", *fields}}
    return {**content, "model": values} if values else content


def heartbeat(content: JsonObject) -> JsonObject:
    """Version 0.1.0 wrote whether there is a checkpoint (`true`) instead of the time at which it was saved.

    The time of the heartbeat, at or after that moment, takes its place. Units of progress were named otherwise.
    """
    content = _with_current_keys(content, {"saved": "checkpoint_saved_at"})
    if content.get("checkpoint_saved_at") is True:
        content = {**content, "checkpoint_saved_at": content.get("time")}
    progress = content.get("progress")
    if isinstance(progress, Mapping) and progress.get("unit") == "pictures":
        content = {**content, "progress": {**progress, "unit": "images"}}
    return content


def setup(content: JsonObject) -> JsonObject:
    """Keys of version 0.1.0 under their current names."""
    content = _with_current_keys(content, _FORMER_SETUP_KEYS)
    features = {
        name: _with_current_keys(feature, _FORMER_FEATURE_KEYS)
        for name in ("compile", "cuda_graph")
        if isinstance(feature := content.get(name), Mapping)
    }
    return {**content, **features}


def checkpoint(content: JsonObject) -> JsonObject:
    """The content of a checkpoint of version 0.1.0 under its current keys."""
    return _with_current_keys(content, {"report_every": "log_every"})


def notice(content: JsonObject) -> JsonObject:
    """Version 0.1.0 had another key for the metrics after an upgrade of workbench."""
    return _with_current_keys(content, {"now": "after"})


def answer(content: JsonObject, key: str) -> JsonObject:
    """Version 0.1.0 wrote the outcome of a request as the start of its answer, which is at `key`."""
    text = content.get(key)
    if "outcome" in content or not isinstance(text, str):
        return content
    if text.startswith(_REJECTED_PREFIX):
        return {**content, key: text.removeprefix(_REJECTED_PREFIX), "outcome": Outcome.REJECTED}
    return {**content, "outcome": Outcome.ENDED} if text.startswith(_ENDED_PREFIX) else content


def exit_record(content: JsonObject) -> JsonObject:
    """Version 0.1.0 wrote no cause; it follows from the status `finished` and from the reasons of stops."""
    if "cause" in content:
        return content
    if content.get("status") == Ending.FINISHED:
        return {**content, "cause": Cause.COMPLETED}
    reason = content.get("reason")
    if isinstance(reason, str):
        for start, cause in _CAUSES_BY_REASON.items():
            if reason.startswith(start):
                return {**content, "cause": cause}
    return content


def attempt(content: JsonObject) -> JsonObject:
    """Settings changed by a resume, under their current names."""
    overrides = content.get("overrides")
    return (
        {**content, "overrides": upgrade_overrides(overrides)} if isinstance(overrides, Mapping) else content
    )


def setting_change(content: JsonObject) -> JsonObject:
    """A setting that was changed during the run, under its current name; so is the key of the cause."""
    content = _with_current_keys(content, {"why": "cause"})
    setting = content.get("setting")
    if not isinstance(setting, str):
        return content
    _, before = upgrade_setting(setting, content.get("before"))
    name, value = upgrade_setting(setting, content.get("value"))
    return {**content, "setting": name, "value": value, "before": before}


def _with_current_keys(content: Mapping[str, object], former: Mapping[str, str]) -> JsonObject:
    """`content` with `former` keys renamed. Where it has both names of a value, the current one wins."""
    return {
        former.get(key, key): value
        for key, value in content.items()
        if former.get(key, key) == key or former[key] not in content
    }
