"""What a run amounts to, as `--json` prints it and the screen sums it up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from workbench.experiment import apply_overrides
from workbench.io.atomic import read_json
from workbench.runs.attempts import began, number_of
from workbench.runs.control import PAUSED
from workbench.runs.layout import RunFolder
from workbench.runs.reader import RATE, RunReader, RunView
from workbench.runs.records import epoch_of, number
from workbench.runs.reference import compare
from workbench.runs.status import Status
from workbench.runs.usage import summed_up

MOVING = {"training", "evaluating"}
"""Phases in which the newest pace is that of now."""
SECONDS = ("load", "train", "evaluate", "total")


def describe(folder: RunFolder) -> dict[str, Any]:
    """The document that `train`, `resume` and `show` print with `--json`."""
    reader = RunReader(folder)
    try:
        return describe_view(reader.read_all())
    finally:
        reader.close()


def describe_view(view: RunView) -> dict[str, Any]:
    """The same of a view that is at hand."""
    heartbeat, final, shown = view.heartbeat, final_evaluation(view), newest_evaluation(view)
    experiment = effective_experiment(view)
    return {
        "run": view.folder.id,
        "name": view.name,
        "tags": [str(tag) for tag in view.notes.get("tags") or ()],
        "notes": str(view.notes.get("notes") or ""),
        "status": str(view.status),
        "phase": heartbeat.get("phase") if view.status.live else None,
        "reason": reason(view),
        "directory": str(view.folder.path),
        "experiment": experiment,
        "step": int(heartbeat.get("step") or 0),
        "steps_total": heartbeat.get("steps_total"),
        "epoch": int(heartbeat.get("epoch") or 0),
        "epochs_total": experiment.get("train", {}).get("epochs"),
        "best": heartbeat.get("best"),
        "now": now(view) if view.status.live else None,
        "changes": changes(view.journal),
        "exact": not inexact(view),
        "seconds": seconds(view),
        "ways": (view.setup or {}).get("ways") or {},
        "test": _test(view, final),
        "per_class": per_class(view, shown),
        "per_class_split": None if shown is None else shown.get("split"),
        "per_class_epoch": None if shown is None else epoch_of(shown),
        "reference": compare(view, final),
        "system": summed_up(view.journal),
    }


def effective_experiment(view: RunView) -> dict[str, Any]:
    """The experiment with what resumes and people changed since."""
    experiment = view.experiment
    for record in view.journal:
        if record.get("kind") == "attempt" and record.get("overrides"):
            experiment = apply_overrides(experiment, record["overrides"])
        elif record.get("kind") == "change" and record.get("setting"):
            experiment = apply_overrides(experiment, {record["setting"]: record.get("value")})
    return experiment


def now(view: RunView) -> dict[str, float | None]:
    """The newest figures of a run that goes on: `lr`, `loss` and `accuracy` of training, `samples_per_second`, and
    `eta` in seconds; `None` where one is not known.
    """
    columns = {name: view.steps.column(name) for name in ("lr", "loss", "accuracy")}
    return {
        **{name: column[-1] if column else None for name, column in columns.items()},
        RATE: number(view.last_wall.get(RATE)) if view.heartbeat.get("phase") in MOVING else None,
        "eta": number(view.heartbeat.get("eta")),
    }


def changes(journal: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What was changed on the way, oldest first: `what` in words, and the `step` from which it held."""
    starts = began(journal)
    found = [
        (starts.get(number_of(record)) if "from_step" in record else record.get("step"), _change(record))
        for record in journal
    ]
    return [{"step": step, "what": what} for step, what in found if what]


def _change(record: Mapping[str, Any]) -> str:
    """What a journal record changed in words; empty for most."""
    match record.get("kind"):
        case "change":
            setting = str(record.get("setting")).removeprefix("train.")
            why = f" ({record['why']})" if record.get("why") else ""
            return f"{setting} {record.get('before')} → {record.get('value')}{why}"
        case "phase" if record.get("phase") == PAUSED:
            return "paused"
        case "notice" if "from_step" in record:
            return str(record.get("text"))
        case "attempt" if (number(record.get("attempt")) or 1) > 1:
            overrides = record.get("overrides") or {}
            said = [f"{key.removeprefix('train.')} {value}" for key, value in overrides.items()]
            return ", ".join(["resumed", *said])
    return ""


def reason(view: RunView) -> str | None:
    """Why a run ended as it did, in one line; `None` while it goes on or when there is nothing to say."""
    if view.status is Status.LOST:
        return "its processes ended without a word (killed, or the host restarted); resume goes on"
    if view.status.live:
        return None
    said = view.exit.get("reason")
    return None if said is None else str(said)


def inexact(view: RunView) -> list[str]:
    """Why the run is no longer exactly what an uncut one would be; empty while it is."""
    return [str(record.get("text", "")) for record in view.journal if record.get("exact") is False]


def seconds(view: RunView) -> dict[str, float]:
    """Wall time of each part, summed over attempts."""
    by_attempt: dict[int, dict[str, Any]] = {}
    for record in view.journal:
        if record.get("kind") == "phase" and isinstance(record.get("seconds"), dict):
            by_attempt[int(record.get("attempt") or 0)] = record["seconds"]
    beat = view.heartbeat
    if isinstance(beat.get("seconds"), dict):
        attempt = int(beat.get("attempt") or 0)
        known = by_attempt.get(attempt, {})
        if (number(beat["seconds"].get("total")) or 0) >= (number(known.get("total")) or 0):
            by_attempt[attempt] = beat["seconds"]
    return {
        part: round(sum(number(spent.get(part)) or 0.0 for spent in by_attempt.values()), 3)
        for part in SECONDS
    }


def final_evaluation(view: RunView) -> dict[str, Any] | None:
    """The evaluation row that is the run's result, or `None` until it is measured."""
    rows = [row for row in view.evaluations if row.get("final")]
    return rows[-1] if rows else None


def newest_evaluation(view: RunView) -> dict[str, Any] | None:
    """The result, else the newest evaluation of any split."""
    return final_evaluation(view) or (view.evaluations[-1] if view.evaluations else None)


def read_evaluation(folder: RunFolder, row: dict[str, Any] | None) -> dict[str, Any] | None:
    """The per-class figures and the confusion matrix that belong to an evaluation row, and whose weights it is of."""
    if row is None:
        return None
    found = read_json(folder.evaluations / f"step-{row.get('step')}-{row.get('split')}.json")
    weights: dict[str, Any] = {key: row[key] for key in ("weights_step", "weights_epoch") if key in row}
    return None if found is None else {**found, **weights}


def per_class(view: RunView, row: dict[str, Any] | None) -> list[dict[str, Any]] | None:
    """Accuracy, precision, recall, F1 and support of every class, or `None`."""
    found = read_evaluation(view.folder, row)
    return None if found is None else found.get("per_class")


def _test(view: RunView, final: dict[str, Any] | None) -> dict[str, Any] | None:
    if final is None or final.get("split") != "test":
        return None
    names = ("loss", "mse", "mae", "r2") if "r2" in final else ("loss", "accuracy")
    rest = [name for name in ("balanced_accuracy", "macro_f1", "top5", "tta_accuracy") if name in final]
    return {name: number(final.get(name)) for name in (*names, *rest)}
