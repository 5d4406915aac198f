"""How a run is found by what a person calls it."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.errors import BadInput, nearest


def chosen(wanted: str, runs: Sequence[tuple[str, str]], lists: str) -> str:
    """The id among `runs` (id and name, newest first) that `wanted` means: `last`, an id, a name, a prefix of one.

    Raises `BadInput`, which ends in `lists`: where all of them can be seen.
    """
    if wanted == "last" and runs:
        return runs[0][0]
    called = [run_id for run_id, _ in runs if run_id == wanted] or [i for i, name in runs if name == wanted]
    if called:
        return called[0]
    begun = [
        run_id for run_id, name in runs if wanted and (run_id.startswith(wanted) or name.startswith(wanted))
    ]
    if len(begun) == 1:
        return begun[0]
    if begun:
        few = ", ".join(begun[:4])
        raise BadInput(f"'{wanted}' can mean {len(begun)} runs: {few}{', …' if len(begun) > 4 else ''}")
    known = {word for run in runs for word in run}
    raise BadInput(f"there is no run '{wanted}'{nearest(wanted, known)}; {lists}")
