"""How a run is found by what a person calls it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

from workbench.core.errors import BadInput, nearest

TO_THE_SECOND = len("20261121-164058")
"""Of an id: when the run began, which is nearly always enough to name it."""


def chosen(wanted: str, runs: Sequence[tuple[str, str]], lists: str) -> str:
    """The id among `runs` (id and name, newest first) that `wanted` means: `last`, an id, a name, a prefix of one.

    Of several runs of one name the newest is meant, by a prefix of the name too, where it fits no other name.
    Raises `BadInput`, which ends in `lists`: where all of them can be seen.
    """
    if wanted == "last" and runs:
        return runs[0][0]
    called = [run_id for run_id, _ in runs if run_id == wanted] or [i for i, name in runs if name == wanted]
    if called:
        return called[0]
    begun = [run for run in runs if wanted and any(word.startswith(wanted) for word in run)]
    one_name = len({name for _, name in begun}) == 1 and all(name.startswith(wanted) for _, name in begun)
    if len(begun) == 1 or one_name:
        return begun[0][0]
    if begun:
        few = ", ".join(run_id for run_id, _ in begun[:4])
        raise BadInput(f"'{wanted}' can mean {len(begun)} runs: {few}{', …' if len(begun) > 4 else ''}")
    known = {word for run in runs for word in run}
    raise BadInput(f"there is no run '{wanted}'{nearest(wanted, known)}; {lists}")


def beginnings(ids: Sequence[str]) -> list[str]:
    """As much of each id as names its run: its time to the second, or more where several began in the same."""
    length = next(n for n in count(TO_THE_SECOND) if len({run_id[:n] for run_id in ids}) == len(ids))
    return [run_id[:length] for run_id in ids]
