"""The errors of an evaluation, class by class."""

from __future__ import annotations

from workbench.runs.metrics import EvaluationFile


def confused(evaluation: EvaluationFile | None) -> list[tuple[str, str, int]]:
    """True class, predicted class and count of all errors, the most frequent first.

    Cells of a damaged file that belong to no class are left out.
    """
    if evaluation is None:
        return []
    names = [row.name for row in evaluation.per_class]
    pairs = [
        (names[true], names[predicted], count)
        for true, predicted, count in evaluation.confusion
        if true != predicted and 0 <= true < len(names) and 0 <= predicted < len(names)
    ]
    return sorted(pairs, key=lambda pair: -pair[2])
