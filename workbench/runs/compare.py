"""Runs held against each other: their results, and the settings in which they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from workbench.runs.layout import RunFolder
from workbench.runs.report import describe

NOT_COMPARED = {"v", "name", "title", "teaches", "reference"}
"""What an experiment says that decides nothing."""
LISTED = {"run", "name"}
"""Keys by which the runs of a comparison are told apart."""


def differing(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The keys of `compare_runs` that a table of them shows: what is the same in all has no row."""
    return [key for key in rows[0] if key not in LISTED and len({repr(row.get(key)) for row in rows}) > 1]


def names_of(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the runs are called in such a table: by name, where several bear one with the end of their ids."""
    names = [str(row["name"]) for row in rows]
    return [
        name if names.count(name) == 1 else f"{name} {str(row['run']).rpartition('-')[2]}"
        for name, row in zip(names, rows, strict=True)
    ]


def compare_runs(folders: list[RunFolder]) -> list[dict[str, Any]]:
    """One row a run, with the same keys: results first, then each setting that is not the same in all."""
    documents = [describe(folder) for folder in folders]
    settings = [_flat(document["experiment"]) for document in documents]
    names = {name: None for flat in settings for name in flat if name.partition(".")[0] not in NOT_COMPARED}
    changed = [name for name in names if len({repr(flat.get(name)) for flat in settings}) > 1]
    results = [_results(document) for document in documents]
    measured = dict.fromkeys(key for result in results for key in result)
    return [
        {key: result.get(key) for key in measured} | {name: flat.get(name) for name in changed}
        for result, flat in zip(results, settings, strict=True)
    ]


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
