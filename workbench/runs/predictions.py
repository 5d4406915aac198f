"""The predictions for each sample of an evaluation, from its `.bin` file."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from workbench.core.errors import UserError
from workbench.io.record_codec import read_record
from workbench.runs.metrics import EvaluationFile
from workbench.runs.run_folder import RunFolder

FIELDS = ["index", "label", "top", "probability"]


@dataclass(frozen=True)
class SamplePrediction:
    """The prediction for one sample."""

    index: int
    """Position in the split."""
    label: int
    """True class."""
    top: tuple[int, ...]
    """Class indices, the likeliest first."""
    probability: float
    """Probability of the true class."""


def read_predictions(run: RunFolder, step: int, split: str) -> list[SamplePrediction]:
    """The predictions of an evaluation, in sample order. Raises `UserError` where they are missing or damaged."""
    evaluation = read_record(run.evaluation(step, split), EvaluationFile)
    layout = evaluation.records if evaluation else None
    if layout is None or [name for name, _ in layout.fields] != FIELDS:
        raise UserError(f"the predictions of step {step} ({split}) are not stored")
    try:
        content = (run.evaluations / layout.file).read_bytes()
        rows = list(struct.iter_unpack(layout.struct, content))
    except (OSError, struct.error) as error:
        raise UserError(f"{layout.file} can't be read: {error}") from None
    return [SamplePrediction(row[0], row[1], row[2:-1], row[-1]) for row in rows]
