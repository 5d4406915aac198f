"""Writing an evaluation: its file, and one record a sample beside it."""

from __future__ import annotations

from typing import Any

import numpy as np

from workbench.engine.evaluate import Evaluation
from workbench.io.atomic_files import write_bytes
from workbench.io.record_codec import write_record
from workbench.runs.metrics import Drawing, EvaluationFile, RecordLayout
from workbench.runs.run_folder import RunFolder


def write(
    evaluation: Evaluation, folder: RunFolder, step: int, epoch: int, draw: Drawing | None = None
) -> None:
    """Write `step-N-SPLIT.bin` and then `step-N-SPLIT.json`, which says how to read it.

    The `.bin` is one record after the other, see `RecordLayout`. For a classification: index, label, the top-k class
    ids (best first), probability of the true class. `draw` is what `drawing.drawing` returns.
    """
    path = folder.evaluation(step, evaluation.split)
    records = path.with_suffix(".bin")
    write_bytes(records, evaluation.records.tobytes(), durable=False)
    record = EvaluationFile(
        step=step,
        epoch=epoch,
        split=evaluation.split,
        count=evaluation.count,
        per_class=evaluation.per_class,
        confusion=evaluation.confusion,
        draw=draw,
        records=layout(evaluation.records.dtype, records.name),
        weights_step=None,
        weights_epoch=None,
        **evaluation.scores,
    )
    write_record(path, record, durable=False)


def layout(dtype: np.dtype[Any], file: str) -> RecordLayout:
    """How records of `dtype` lie in `file`: `struct` `<IH5Hf`, `fields` `(("index", 1), …)`."""
    letters = {"u4": "I", "u2": "H", "f4": "f"}
    text, fields = "<", []
    for name in dtype.names or ():
        part = dtype[name]
        size = int(np.prod(part.shape, dtype=int))
        text += f"{size if part.shape else ''}{letters[part.base.str[1:]]}"
        fields.append((name, size))
    return RecordLayout(file=file, struct=text, fields=tuple(fields))
