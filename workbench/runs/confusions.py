"""The misclassifications of an evaluation."""

from __future__ import annotations

from workbench.runs.metrics import EvaluationFile


def confused_pairs(evaluation: EvaluationFile | None) -> list[tuple[str, str, int]]:
    """True class, predicted class and count of all misclassifications, the most frequent first.

    Cells of a damaged file with an invalid class index are left out.
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
