"""What records of older versions need before today's types can read them: JSON content in, JSON content out.

A record type that has older forms has a static method `upgrade`, which `record_codec` calls. Sample runs of each
version are kept in `tests/stored_runs`.
"""

from __future__ import annotations

from collections.abc import Iterable

JsonObject = dict[str, object]


def evaluation_row(content: JsonObject, fields: Iterable[str]) -> JsonObject:
    """0.1.0 wrote values of the model's own (`weight`) beside the metrics; `fields` are today's."""
    others = content.keys() - {"v", "kind", *fields}
    values = {name: content[name] for name in others if isinstance(content[name], int | float | str)}
    return {**content, "model": values} if values else content


def heartbeat(content: JsonObject) -> JsonObject:
    """0.1.0 wrote whether there is a checkpoint, not when it was saved: that was before this heartbeat."""
    return {**content, "saved": content.get("time")} if content.get("saved") is True else content
