"""Runs held against each other: their results, and the settings in which they differ."""

from __future__ import annotations

from typing import Any

from workbench.runs.layout import RunFolder
from workbench.runs.report import describe


def compare_runs(folders: list[RunFolder]) -> list[dict[str, Any]]:
    """One row a run, with the same keys: results first, then each setting that is not the same in all."""
    documents = [describe(folder) for folder in folders]
    settings = [_flat(document["experiment"]) for document in documents]
    names = {name: None for flat in settings for name in flat if name not in {"v", "name"}}
    differing = [name for name in names if len({repr(flat.get(name)) for flat in settings}) > 1]
    rows = [
        {**_results(document), **{name: flat.get(name) for name in differing}}
        for document, flat in zip(documents, settings, strict=True)
    ]
    keys = dict.fromkeys(key for row in rows for key in row)
    return [{key: row.get(key) for key in keys} for row in rows]


def _results(document: dict[str, Any]) -> dict[str, Any]:
    test = document["test"] or {}
    figures = {f"test.{name}": None if value is None else round(value, 4) for name, value in test.items()}
    return {
        "run": document["run"],
        "name": document["name"],
        "status": document["status"],
        "epoch": document["epoch"],
        "seconds": document["seconds"]["total"],
        **{f"test.{name}": None for name in ("loss", "accuracy")},
        **figures,
    }


def _flat(section: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in section.items():
        if isinstance(value, dict):
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = value
    return flat
