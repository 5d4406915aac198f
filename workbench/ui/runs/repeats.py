"""Repeats folded into one row of the list: the mean of their results, and the deviation beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from workbench.core.text import format_decimals
from workbench.runs.groups import Statistics, group_labels, group_runs, out_of_fold, statistics_of
from workbench.runs.scores import Score
from workbench.runs.store import RunSummary


@dataclass(frozen=True)
class Repeats:
    """The runs that a row stands for."""

    runs: Sequence[RunSummary]
    """Oldest first."""
    test: Statistics | None
    best: Statistics | None
    out_of_fold: Statistics | None = None
    """Of a cross-validation that has tested all folds: over all samples, each held out once."""

    @property
    def ids(self) -> frozenset[str]:
        """The ids of the runs."""
        return frozenset(run.id for run in self.runs)

    @property
    def description(self) -> str:
        """`3 runs  test .9132 ± .0041, 95 % interval .9031 to .9233`."""
        parts = [f"{len(self.runs)} runs"]
        for label, one in (("test", self.test), ("best val", self.best)):
            if one is not None and one.sd is not None and one.low is not None and one.high is not None:
                low, high = format_decimals(one.low), format_decimals(one.high)
                parts.append(
                    f"{label} {format_decimals(one.mean)} ± {format_decimals(one.sd)}, 95 % interval {low} to {high}"
                )
        if self.out_of_fold is not None:
            parts.insert(1, f"out-of-fold {format_decimals(self.out_of_fold.mean)}")
        return "  ".join(parts)


def fold_repeats(rows: Sequence[RunSummary]) -> tuple[list[RunSummary], dict[str, Repeats]]:
    """One row for each group, and by its id what it stands for where that is more than one run.

    The row is that of a live run, else of the one that starts next, else of the newest, under the name of the group.
    """
    folded, repeats = [], {}
    groups = group_runs(rows)
    named = [group for group in groups if group[0].group]
    labels = dict(zip((group[-1].id for group in named), group_labels(named), strict=True))
    for group in groups:
        queued = sorted((run for run in group if run.position), key=lambda run: run.position or 0)
        live = [run for run in reversed(group) if run.status.live]
        shown = [*live, *queued, group[-1]][0]
        if len(group) > 1:
            test, best = (
                _statistics([run.test_score for run in group]),
                _statistics([run.best_score for run in group]),
            )
            whole = next(iter(out_of_fold(group).values()), None)
            repeats[shown.id] = Repeats(group, test, best, statistics_of(whole) if whole else None)
            shown = replace(shown, name=labels.get(group[-1].id, shown.name))
        folded.append(shown)
    return folded, repeats


def _statistics(scores: Sequence[Score | None]) -> Statistics | None:
    known = [score for score in scores if score is not None]
    values = [score.value for score in known if score.metric == known[0].metric]
    return statistics_of(values) if values else None


NO_REPEATS: Mapping[str, Repeats] = {}
