"""The predictions for each sample of an evaluation, from its `.bin` file."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from pathlib import Path

from workbench.core.errors import UserError
from workbench.io.record_codec import read_record
from workbench.io.regular_files import read_regular_file
from workbench.runs.metrics import EvaluationFile
from workbench.runs.run_folder import RunFolder

FIELDS = ["index", "label", "top", "probability"]
"""The fields of every version; newer ones have `confidence` behind them."""


_STRUCT = re.compile(r"<([0-9]{0,5}[BHIf])+")
"""The layouts that are written: whole numbers and floats."""


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
    confidence: float | None = None
    """Probability of the predicted class; `None` in evaluations of older versions, which did not store it."""

    @property
    def is_error(self) -> bool:
        """Whether another class was predicted than the true one."""
        return self.label != self.top[0]

    @property
    def error_order(self) -> tuple[bool, float, int]:
        """Sorts the most confident mistakes first, then the correct predictions, the least confident first."""
        confidence = 1 - self.probability if self.confidence is None else self.confidence
        return not self.is_error, -confidence if self.is_error else confidence, self.index


def read_predictions(run: RunFolder, step: int, split: str) -> list[SamplePrediction]:
    """The predictions of an evaluation, in sample order. Raises `UserError` where they are missing or damaged."""
    evaluation = read_record(run.evaluation(step, split), EvaluationFile)
    layout = evaluation.records if evaluation else None
    names = [name for name, _ in layout.fields] if layout else []
    if layout is None or names not in (FIELDS, [*FIELDS, "confidence"]):
        raise UserError(f"the predictions of step {step} ({split}) are not stored")
    if Path(layout.file).name != layout.file or not _STRUCT.fullmatch(layout.struct):
        raise UserError(
            f"the predictions of step {step} ({split}) can't be read: their description is damaged"
        )
    try:
        content = read_regular_file(run.evaluations / layout.file)
        rows = list(struct.iter_unpack(layout.struct, content))
    except (OSError, ValueError, struct.error) as error:
        raise UserError(f"{layout.file} can't be read: {error}") from None
    end = len(FIELDS) - 1 - len(names)  # of the classes, before the probabilities
    for row in rows[:1]:
        if len(row) < len(names) or not all(isinstance(value, int) for value in row[:end]):
            raise UserError(f"{layout.file} can't be read: {layout.struct} is not {', '.join(names)}")
    return [SamplePrediction(row[0], row[1], row[2:end], *row[end:]) for row in rows]
