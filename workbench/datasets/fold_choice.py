"""Which fold of a cross-validation a run holds out. Imports no torch."""

from __future__ import annotations

import msgspec

from workbench.core.errors import UserError
from workbench.core.text import plural


class FoldChoice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One fold of several, which together hold out every sample once."""

    count: int
    """The number of folds, at least 2."""
    held_out: int
    """The fold that is the test data, from 1 to `count`."""
    seed: int
    """Seed of the division into folds."""

    @property
    def text(self) -> str:
        """`fold 2 of 5`."""
        return f"fold {self.held_out} of {self.count}"

    def check(self, most: int, groups: int, name: str, what: str = "samples of one class") -> None:
        """Raise `UserError` for fewer samples (`most`: of the most frequent class) or groups (0: none) than folds."""
        if most < self.count:
            raise UserError(f"train.folds={self.count}, but {name} has at most {most} {what}")
        if 0 < groups < self.count:
            raise UserError(f"train.folds={self.count}, but {name} has only {plural(groups, 'group')}")

    def share(self, samples: int) -> int:
        """About how many of some samples are held out."""
        return round(samples / self.count)


def fold_counts(
    train: int | None, test: int | None, folds: int, *, draws_test: bool
) -> tuple[int | None, int | None]:
    """Training and test samples of a run that holds out one of `folds` (0: no cross-validation); `None` if unknown.

    A test split that is not drawn from all samples (`draws_test`) is not used.
    """
    if not folds or train is None or test is None:
        return train, test
    whole = train + (test if draws_test else 0)
    return whole - round(whole / folds), round(whole / folds)
