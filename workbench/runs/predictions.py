"""What a model predicted for each sample of an evaluation, as the `.bin` beside its file has it."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from workbench.core.errors import BadInput
from workbench.io.record_codec import read_record
from workbench.runs.metrics import EvaluationFile
from workbench.runs.run_folder import RunFolder

FIELDS = ["index", "label", "top", "probability"]


@dataclass(frozen=True)
class SamplePrediction:
    """The prediction for one sample."""

    index: int
    label: int
    top: tuple[int, ...]
    """Class indices, the likeliest first."""
    probability: float
    """Of the true class."""


def read_predictions(run: RunFolder, step: int, split: str) -> list[SamplePrediction]:
    """The predictions of an evaluation, in the order of the samples. Raises `BadInput` where they are not kept."""
    evaluation = read_record(run.evaluation(step, split), EvaluationFile)
    layout = evaluation.records if evaluation else None
    if layout is None or [name for name, _ in layout.fields] != FIELDS:
        raise BadInput(f"the predictions of step {step} ({split}) are not kept")
    try:
        content = (run.evaluations / layout.file).read_bytes()
        rows = list(struct.iter_unpack(layout.struct, content))
    except (OSError, struct.error) as error:
        raise BadInput(f"{layout.file} can't be read: {error}") from None
    return [SamplePrediction(row[0], row[1], row[2:-1], row[-1]) for row in rows]
