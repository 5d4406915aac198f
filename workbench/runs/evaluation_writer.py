"""Writing an evaluation: a JSON file, and a binary file with one record per sample."""

from __future__ import annotations

from typing import Any

import numpy as np

from workbench.io.atomic_files import write_bytes
from workbench.io.record_codec import write_record
from workbench.runs.evaluation import Evaluation
from workbench.runs.metrics import Drawing, EvaluationFile, RecordLayout
from workbench.runs.run_folder import RunFolder


def write_evaluation(
    evaluation: Evaluation,
    folder: RunFolder,
    step: int,
    epoch: int,
    *,
    draw: Drawing | None = None,
    paths: tuple[str, ...] = (),
    positions: tuple[int, ...] = (),
) -> None:
    """Write `step-N-SPLIT.bin` and then `step-N-SPLIT.json`, which describes its layout.

    The `.bin` file is a sequence of records, see `RecordLayout`. Those of a classification: index, label, the top-k
    class ids (best first), probabilities of the true and of the predicted class. `draw`: the plot of the
    evaluation, if there is one. `paths`: the files of the samples, if they are known. `positions`: their
    indices in the whole data, of a fold that is held out.
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
        paths=paths,
        positions=positions,
        records=record_layout(evaluation.records.dtype, records.name),
        # Given for the type checker, for which `scores` could contain them.
        weights_step=None,
        weights_epoch=None,
        **evaluation.scores,
    )
    write_record(path, record, durable=False)


def record_layout(dtype: np.dtype[Any], file: str) -> RecordLayout:
    """The layout of records of `dtype` in `file`: `struct` like `<IH5Hf`, `fields` like `(("index", 1), …)`."""
    letters = {"u4": "I", "u2": "H", "f4": "f"}
    text, fields = "<", []
    for name in dtype.names or ():
        part = dtype[name]
        size = int(np.prod(part.shape, dtype=int))
        text += f"{size if part.shape else ''}{letters[part.base.str[1:]]}"
        fields.append((name, size))
    return RecordLayout(file=file, struct=text, fields=tuple(fields))
